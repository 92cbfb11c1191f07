//! Why a caller was not authenticated, sorted by who has to act.

use std::sync::Arc;
use std::time::Duration;

use super::pods;

/// Why a caller was not authenticated. Texts go to the log; the caller gets a fixed text per code.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No slot held a credential.
    #[error("missing authentication: no bearer token or session secret")]
    Missing,
    #[error("invalid session secret")]
    WrongSessionSecret,
    /// A session secret came, and none is configured.
    #[error("session secret authentication is disabled: no session secret is configured")]
    SessionDisabled,
    /// A token came, and `kubernetes.enabled` is off.
    #[error("kubernetes authentication is disabled")]
    KubernetesDisabled,
    /// Not a ServiceAccount token by its looks; the API server was not asked. The text never repeats the token.
    #[error("malformed token: {0}")]
    Malformed(&'static str),
    #[error("token expired")]
    Expired,
    /// Issued longer ago than `kubernetes.max_token_age`, whatever its `exp` says.
    #[error("token expired for us: it was issued more than {limit:?} ago (kubernetes.max_token_age)")]
    TooOld { limit: Duration },
    /// `nbf` or `iat` lie more than the leeway ahead.
    #[error("token is not valid yet")]
    NotYetValid,
    /// Refused, and not issued for the audience we ask for; `hint()` says how to get one that is.
    #[error("token refused: it was not issued for the audience `{audience}`")]
    WrongAudience { audience: Arc<str> },
    /// The API server says no, or names somebody who is not a ServiceAccount.
    #[error("token refused: {0}")]
    Refused(Arc<str>),
    /// veilwarden's own ServiceAccount may not call through itself.
    #[error("token refused: it is the proxy's own identity")]
    OwnIdentity,
    /// The call does not come from the pod that its token names.
    #[error("token refused: {0}")]
    Pod(pods::Refusal),
    /// Nobody could say who calls; the caller's credential may well be good.
    #[error("authentication unavailable: {0}")]
    Unavailable(#[from] Unavailable),
}

/// Why nobody could say who calls.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unavailable {
    #[error(
        "RBAC: the API server forbids us to review tokens; grant the verb `create` on \
         `tokenreviews.authentication.k8s.io` to the proxy's ServiceAccount (ClusterRole `system:auth-delegator` has it)"
    )]
    Rbac,
    #[error(
        "RBAC: the API server forbids us to read its signing keys; bind the ClusterRole \
         `system:service-account-issuer-discovery` to the proxy's ServiceAccount"
    )]
    KeysForbidden,
    /// The keys that verify tokens were never had, or are too old to go by.
    #[error("the API server's signing keys are not known: {0}")]
    NoKeys(&'static str),
    #[error("the API server does not accept our own credentials (401)")]
    OwnCredentials,
    #[error("our own ServiceAccount token cannot be read and no earlier one is known")]
    OwnToken,
    /// HTTP 429, with its `Retry-After` if it named one.
    #[error("the API server asks us to slow down (429)")]
    Busy { retry_after: Option<Duration> },
    /// Any other HTTP status than 200 and 201; a redirect, too.
    #[error("the API server answered with HTTP status {0}")]
    Status(u16),
    #[error("no answer from the API server within {0:?}")]
    Timeout(Duration),
    /// The server's certificate does not verify; the token was not sent.
    #[error("TLS with the API server failed: {0}")]
    Tls(Arc<str>),
    #[error("the API server cannot be reached: {0}")]
    Network(Arc<str>),
    #[error("unreadable answer from the API server: {0}")]
    Unreadable(Arc<str>),
    /// `max_reviews_per_second` is used up; the API server was not asked.
    #[error("the cap on token reviews is reached")]
    Throttled,
    #[error("the review was interrupted")]
    Interrupted,
    /// The caller's pod or namespace is not known because the watch fails or has not begun.
    #[error("the caller's pod is not known: {0}")]
    Pods(Arc<str>),
}

/// Whose fault a failed authentication is, and with it what the caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Nothing was presented.
    Missing,
    /// Something was presented, and it is not good.
    Rejected,
    /// We cannot tell; come again later.
    Unavailable,
}

impl Error {
    pub fn blame(&self) -> Blame {
        match self {
            Error::Missing => Blame::Missing,
            Error::WrongSessionSecret
            | Error::SessionDisabled
            | Error::KubernetesDisabled
            | Error::Malformed(_)
            | Error::Expired
            | Error::TooOld { .. }
            | Error::NotYetValid
            | Error::WrongAudience { .. }
            | Error::Refused(_)
            | Error::OwnIdentity
            | Error::Pod(_) => Blame::Rejected,
            Error::Unavailable(_) => Blame::Unavailable,
        }
    }

    /// A label for metrics, from a closed set.
    pub fn label(&self) -> &'static str {
        match self {
            Error::Missing => "missing",
            Error::WrongSessionSecret => "invalid_secret",
            Error::SessionDisabled | Error::KubernetesDisabled => "disabled",
            Error::Malformed(_) => "malformed",
            Error::Expired => "expired",
            Error::TooOld { .. } => "too_old",
            Error::NotYetValid => "not_yet_valid",
            Error::WrongAudience { .. } => "wrong_audience",
            Error::Refused(_) => "invalid",
            Error::OwnIdentity => "own_identity",
            Error::Pod(refusal) => refusal.label(),
            Error::Unavailable(reason) => reason.label(),
        }
    }

    /// When it is worth asking again, for `Retry-After`; only for failures that heal by themselves.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Unavailable(reason) => Some(reason.retry_after()),
            _ => None,
        }
    }

    /// What the caller can do about it, where the words of the error do not say it already.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::WrongAudience { audience } => Some(format!(
                "send a token issued for this proxy: add a projected volume to the pod \
                 (volumes: projected: sources: serviceAccountToken: {{audience: {audience}, path: token, \
                 expirationSeconds: 3600}}) and send that file's content; for a try, \
                 `kubectl create token SERVICEACCOUNT --audience {audience}`"
            )),
            Error::Pod(refusal) => Some(refusal.hint().to_owned()),
            _ => None,
        }
    }
}

impl Unavailable {
    /// A label for metrics, from a closed set.
    pub fn label(&self) -> &'static str {
        match self {
            Unavailable::Rbac | Unavailable::KeysForbidden => "rbac",
            Unavailable::NoKeys(_) => "no_keys",
            Unavailable::OwnCredentials | Unavailable::OwnToken => "own_credentials",
            Unavailable::Busy { .. } => "api_server_busy",
            Unavailable::Status(_) => "api_server_error",
            Unavailable::Timeout(_) => "timeout",
            Unavailable::Tls(_) => "tls_error",
            Unavailable::Network(_) => "network_error",
            Unavailable::Unreadable(_) => "unreadable",
            Unavailable::Throttled => "throttled",
            Unavailable::Interrupted => "unknown",
            Unavailable::Pods(_) => "pods_unknown",
        }
    }

    fn retry_after(&self) -> Duration {
        const SOON: Duration = Duration::from_secs(1);
        const LATER: Duration = Duration::from_secs(5);
        match self {
            Unavailable::Busy { retry_after } => retry_after.unwrap_or(SOON),
            // Somebody has to change a setting first.
            Unavailable::Rbac
            | Unavailable::KeysForbidden
            | Unavailable::OwnCredentials
            | Unavailable::OwnToken
            | Unavailable::Tls(_) => LATER,
            Unavailable::Status(_)
            | Unavailable::Timeout(_)
            | Unavailable::Network(_)
            | Unavailable::Unreadable(_)
            | Unavailable::NoKeys(_)
            | Unavailable::Throttled
            | Unavailable::Interrupted
            | Unavailable::Pods(_) => SOON,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_error() -> Vec<Error> {
        let unavailable = [
            Unavailable::Rbac,
            Unavailable::KeysForbidden,
            Unavailable::NoKeys("x"),
            Unavailable::OwnCredentials,
            Unavailable::OwnToken,
            Unavailable::Busy { retry_after: Some(Duration::from_secs(3)) },
            Unavailable::Status(500),
            Unavailable::Timeout(Duration::from_secs(2)),
            Unavailable::Tls("x".into()),
            Unavailable::Network("x".into()),
            Unavailable::Unreadable("x".into()),
            Unavailable::Throttled,
            Unavailable::Interrupted,
            Unavailable::Pods("x".into()),
        ];
        let mut all = vec![
            Error::Missing,
            Error::WrongSessionSecret,
            Error::SessionDisabled,
            Error::KubernetesDisabled,
            Error::Malformed("x"),
            Error::Expired,
            Error::TooOld { limit: Duration::from_secs(1) },
            Error::NotYetValid,
            Error::WrongAudience { audience: "veilwarden".into() },
            Error::Refused("x".into()),
            Error::OwnIdentity,
            Error::Pod(pods::Refusal::NoPod),
        ];
        all.extend(unavailable.map(Error::from));
        all
    }

    #[test]
    fn only_what_heals_by_itself_says_when_to_come_again() {
        for error in every_error() {
            let unavailable = error.blame() == Blame::Unavailable;
            assert_eq!(error.retry_after().is_some(), unavailable, "{error}");
            if let Some(wait) = error.retry_after() {
                assert!((1..=30).contains(&wait.as_secs()), "{error}");
            }
        }
    }

    #[test]
    fn labels_are_lower_case_words() {
        for error in every_error() {
            assert!(error.label().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{error}");
        }
    }

    #[test]
    fn the_words_that_people_search_for_are_in_the_texts() {
        assert!(Error::KubernetesDisabled.to_string().contains("disabled"));
        assert!(Error::Expired.to_string().contains("expired"));
        assert!(Error::Missing.to_string().contains("missing authentication"));
        assert!(Error::WrongSessionSecret.to_string().contains("invalid session secret"));
        assert!(Error::from(Unavailable::Rbac).to_string().contains("RBAC"));
    }

    #[test]
    fn only_a_wrong_audience_and_a_wrong_pod_have_a_hint() {
        for error in every_error() {
            match error {
                Error::WrongAudience { .. } => {
                    let hint = error.hint().unwrap_or_default();
                    assert!(hint.contains("serviceAccountToken") && hint.contains("audience: veilwarden"), "{hint}");
                }
                Error::Pod(_) => assert!(error.hint().is_some(), "{error}"),
                _ => assert!(error.hint().is_none(), "{error}"),
            }
        }
    }
}
