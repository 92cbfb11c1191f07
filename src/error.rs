//! Every failure of a call: its code, its status, and what the caller is told.
//!
//! The caller gets a fixed text per code, the request id and a hint. Causes go to the log under the same id.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;

use crate::gate::Refusal;
use crate::limits::Limit;
use crate::redact::{Reflected, body, frames};
use crate::request::credential::BadCredential;
use crate::{authn, policy, request, secrets};

mod ways_in;
pub use ways_in::WaysIn;

/// Why a call did not get the upstream's answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("framing: {0}")]
    Gate(#[from] Refusal),
    #[error("request: {0}")]
    Request(#[from] request::Error),
    #[error("credential: {0}")]
    Credential(#[from] BadCredential),
    #[error("authentication: {0}")]
    Authn(#[from] authn::Error),
    #[error("no route for this host")]
    NoRoute,
    #[error("there is no CA to intercept with")]
    NoCa,
    #[error("no TLS in a relayed tunnel: {0}")]
    NoTls(String),
    #[error("policy denied: {0}")]
    Denied(String),
    #[error("policy: {0}")]
    Policy(#[from] policy::Error),
    #[error("secret: {0}")]
    Secret(#[from] secrets::Error),
    #[error("upstream: {0}")]
    Upstream(#[from] Fault),
    #[error(transparent)]
    Reflected(#[from] Reflected),
    #[error("the audit queue is full")]
    AuditFull,
    #[error("{0}")]
    Overloaded(Limit),
    /// The caller's identity is over its rate; asking again makes sense after that time.
    #[error("limits.requests_per_second is reached")]
    RateLimited(Duration),
    #[error("internal: {0}")]
    Internal(&'static str),
}

/// What went wrong between us and an upstream.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    #[error("address not allowed: {0}")]
    AddressNotAllowed(String),
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("no connection within the limit")]
    ConnectTimeout,
    #[error("no answer within the limit")]
    FirstByteTimeout,
    #[error("broken answer: {0}")]
    BadAnswer(String),
    #[error("the caller's body stopped: {0}")]
    CallerBody(String),
}

impl From<body::Refused> for Error {
    fn from(refused: body::Refused) -> Error {
        match refused {
            body::Refused::Reflected(reflected) => reflected.into(),
            body::Refused::Unreadable(coding) => Fault::BadAnswer(coding.to_string()).into(),
        }
    }
}

impl From<frames::Broken> for Error {
    fn from(broken: frames::Broken) -> Error {
        match broken {
            frames::Broken::Reflected(reflected) => reflected.into(),
            frames::Broken::Unreadable(why) => Fault::BadAnswer(why.to_owned()).into(),
        }
    }
}

/// Stable codes, as in the error body and the `X-Veilwarden-Error` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    Unauthorized,
    InvalidToken,
    TokenExpired,
    AuthUnavailable,
    MissingHost,
    InvalidHost,
    InvalidPath,
    BadRequest,
    HostNotAllowed,
    PolicyDenied,
    MethodNotAllowed,
    UriTooLong,
    Misdirected,
    RateLimited,
    HeadersTooLarge,
    PolicyError,
    InternalError,
    SecretError,
    UpstreamError,
    SecretReflected,
    Overloaded,
    UpstreamTimeout,
    LoopDetected,
}

impl Code {
    /// Name, status and the one text that callers see for it.
    fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Code::Unauthorized => ("UNAUTHORIZED", 401, "the call carries no valid credential"),
            Code::InvalidToken => ("INVALID_TOKEN", 401, "the token was refused"),
            Code::TokenExpired => ("TOKEN_EXPIRED", 401, "the token has expired"),
            Code::AuthUnavailable => ("AUTH_UNAVAILABLE", 503, "the credential cannot be checked at the moment"),
            Code::MissingHost => ("MISSING_HOST", 400, "the call does not name an upstream"),
            Code::InvalidHost => ("INVALID_HOST", 400, "the host is malformed"),
            Code::InvalidPath => ("INVALID_PATH", 400, "the request target is malformed or ambiguous"),
            Code::BadRequest => ("BAD_REQUEST", 400, "the request is malformed"),
            Code::HostNotAllowed => ("HOST_NOT_ALLOWED", 403, "calls to this host are not allowed"),
            Code::PolicyDenied => ("POLICY_DENIED", 403, "the policy does not allow this call"),
            Code::MethodNotAllowed => ("METHOD_NOT_ALLOWED", 405, "this method is never passed on"),
            Code::UriTooLong => ("URI_TOO_LONG", 414, "the request target is too long"),
            Code::Misdirected => ("MISDIRECTED", 421, "the call names another host than its tunnel leads to"),
            Code::RateLimited => ("RATE_LIMITED", 429, "this identity makes too many calls"),
            Code::HeadersTooLarge => ("HEADERS_TOO_LARGE", 431, "the header fields are too large or too many"),
            Code::PolicyError => ("POLICY_ERROR", 500, "the policy could not decide"),
            Code::InternalError => ("INTERNAL_ERROR", 500, "veilwarden failed"),
            Code::SecretError => ("SECRET_ERROR", 502, "the secret for this call is not available"),
            Code::UpstreamError => ("UPSTREAM_ERROR", 502, "the upstream cannot be reached or answered brokenly"),
            Code::SecretReflected => ("SECRET_REFLECTED", 502, "the upstream sent the secret back"),
            Code::Overloaded => ("OVERLOADED", 503, "veilwarden is too busy to take the call"),
            Code::UpstreamTimeout => ("UPSTREAM_TIMEOUT", 504, "the upstream did not answer in time"),
            Code::LoopDetected => ("LOOP_DETECTED", 508, "the call has been through veilwarden before"),
        }
    }

    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub fn message(self) -> &'static str {
        self.row().2
    }
}

impl Error {
    /// The code of this failure; every variant has exactly one.
    pub fn code(&self) -> Code {
        match self {
            Error::Gate(Refusal::Malformed(_)) => Code::BadRequest,
            Error::Gate(Refusal::Target(_)) => Code::InvalidPath,
            Error::Gate(Refusal::TargetTooLong) => Code::UriTooLong,
            Error::Gate(Refusal::HeadersTooLarge(_)) => Code::HeadersTooLarge,
            Error::Request(request::Error::Malformed(_)) => Code::BadRequest,
            Error::Request(request::Error::InvalidHost(_)) => Code::InvalidHost,
            Error::Request(request::Error::MissingHost) => Code::MissingHost,
            Error::Request(request::Error::Misdirected) => Code::Misdirected,
            Error::Request(request::Error::Path(_) | request::Error::Query(_)) => Code::InvalidPath,
            Error::Request(request::Error::Method(_)) => Code::MethodNotAllowed,
            Error::Request(request::Error::Loop) => Code::LoopDetected,
            Error::Credential(_) => Code::InvalidToken,
            Error::Authn(error) => code_of_authn(error),
            Error::NoRoute => Code::HostNotAllowed,
            Error::NoCa => Code::MethodNotAllowed,
            Error::NoTls(_) => Code::BadRequest,
            Error::Denied(_) => Code::PolicyDenied,
            Error::Policy(_) => Code::PolicyError,
            Error::Secret(_) => Code::SecretError,
            Error::Upstream(Fault::ConnectTimeout | Fault::FirstByteTimeout) => Code::UpstreamTimeout,
            Error::Upstream(Fault::AddressNotAllowed(_) | Fault::Unreachable(_) | Fault::BadAnswer(_)) => {
                Code::UpstreamError
            }
            Error::Upstream(Fault::CallerBody(_)) => Code::BadRequest,
            Error::Reflected(_) => Code::SecretReflected,
            Error::AuditFull | Error::Overloaded(_) => Code::Overloaded,
            Error::RateLimited(_) => Code::RateLimited,
            Error::Internal(_) => Code::InternalError,
        }
    }

    /// What the caller may do about it. Never names other hosts, secret ids, addresses or internals.
    pub fn hint(&self, ways: WaysIn) -> Option<Cow<'_, str>> {
        let text = match self {
            Error::Gate(refusal) => return Some(refusal.to_string().into()),
            Error::Request(request::Error::MissingHost) => {
                "name the upstream in the X-Upstream-Host header, for example \"X-Upstream-Host: api.github.com\""
            }
            Error::Request(error) => return Some(error.to_string().into()),
            Error::Credential(bad) => bad.0,
            Error::Authn(error) => return hint_of_authn(error, ways),
            Error::NoRoute => "ask the operator for a route to this host, or check its spelling and port",
            Error::NoCa => {
                "CONNECT needs a CA, which the operator makes with \"veilwarden ca init\" or by setting state_dir; without \
                 one, send the path and name the upstream in X-Upstream-Host"
            }
            Error::NoTls(_) => "only TLS passes through this tunnel",
            Error::Denied(reason) => return Some(reason.as_str().into()),
            Error::Policy(_) => "the operator finds the cause in veilwarden's log under this request id",
            Error::Secret(_) => {
                "try again later; the operator finds the cause in veilwarden's log under this request id"
            }
            Error::Upstream(Fault::CallerBody(_)) => "the request's body did not arrive whole",
            Error::Upstream(_) | Error::AuditFull => "try again later",
            Error::Overloaded(Limit::ConcurrentRequestsPerIdentity) => {
                "this identity has as many calls under way as it may: let some end, or try again after the time in Retry-After"
            }
            Error::Overloaded(_) | Error::RateLimited(_) => "try again after the time in Retry-After",
            Error::Reflected(_) => {
                "the upstream answers this call with the credential that was put into it, and its route does not pass that on"
            }
            Error::Internal(_) => "report this with the request id",
        };
        Some(text.into())
    }

    /// For `Retry-After`: when asking again makes sense.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Authn(error) => error.retry_after(),
            Error::AuditFull | Error::Overloaded(_) => Some(Duration::from_secs(1)),
            Error::RateLimited(wait) => Some(*wait),
            _ => None,
        }
    }

    /// Whether the message's framing is in doubt, so that nothing more can be read from the connection.
    pub fn poisons_connection(&self) -> bool {
        matches!(self, Error::Gate(_) | Error::Upstream(Fault::CallerBody(_)))
    }
}

/// A missing credential and a wrong session secret get the same answer.
fn code_of_authn(error: &authn::Error) -> Code {
    use authn::Error as E;
    match error {
        E::Missing | E::WrongSessionSecret | E::SessionDisabled | E::KubernetesDisabled => Code::Unauthorized,
        E::Malformed(_) | E::NotYetValid | E::WrongAudience { .. } | E::Refused(_) | E::OwnIdentity | E::Pod(_) => {
            Code::InvalidToken
        }
        E::Expired | E::TooOld { .. } => Code::TokenExpired,
        E::Unavailable(_) => Code::AuthUnavailable,
    }
}

fn hint_of_authn(error: &authn::Error, ways: WaysIn) -> Option<Cow<'_, str>> {
    if let Some(hint) = error.hint() {
        return Some(hint.into());
    }
    let text = match code_of_authn(error) {
        Code::Unauthorized => return ways.hint().map(Cow::from),
        Code::TokenExpired => "read the token file again: the kubelet renews it before it expires",
        Code::AuthUnavailable => "try again after the time in Retry-After",
        _ => return None,
    };
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h37_no_credential_and_a_wrong_secret_look_the_same() {
        let (missing, wrong) = (Error::Authn(authn::Error::Missing), Error::Authn(authn::Error::WrongSessionSecret));
        assert_eq!(missing.code(), wrong.code());
        for (forward, token) in [(true, true), (true, false), (false, true), (false, false)] {
            let ways = WaysIn { token, session: true, forward };
            assert!(missing.hint(ways).is_some() && missing.hint(ways) == wrong.hint(ways), "{ways:?}");
        }
    }

    #[test]
    fn what_the_caller_sees_holds_no_cause() {
        let cause = "10.1.2.3:443 refused";
        for fault in
            [Fault::AddressNotAllowed(cause.into()), Fault::Unreachable(cause.into()), Fault::BadAnswer(cause.into())]
        {
            let error = Error::Upstream(fault);
            assert!(!error.code().message().contains(cause));
            assert!(!error.hint(WaysIn::default()).unwrap_or_default().contains(cause));
        }
    }
}
