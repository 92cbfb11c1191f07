//! Why a question has no answer.

use std::error::Error as StdError;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use http_body_util::LengthLimitError;
use kube::client::AuthError;

use super::MAX_ANSWER_BYTES;
use crate::authn::Unavailable;

pub(super) fn check_status(status: StatusCode, headers: &HeaderMap) -> Result<(), Unavailable> {
    match status {
        StatusCode::OK | StatusCode::CREATED => Ok(()),
        StatusCode::UNAUTHORIZED => Err(Unavailable::OwnCredentials),
        StatusCode::FORBIDDEN => Err(Unavailable::Rbac),
        StatusCode::TOO_MANY_REQUESTS => Err(Unavailable::Busy { retry_after: retry_after(headers) }),
        // Redirects among them: nothing here follows one.
        other => Err(Unavailable::Status(other.as_u16())),
    }
}

/// `Retry-After` in seconds, held between one and thirty.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds.clamp(1, 30)))
}

pub(super) fn unreachable(error: kube::Error) -> Unavailable {
    let text = describe(&error).into();
    if is_tls(&error) { Unavailable::Tls(text) } else { Unavailable::Network(text) }
}

/// What a credential plugin printed may be a credential, so it is never repeated.
pub(super) fn describe(error: &kube::Error) -> String {
    match causes(error).find_map(|cause| cause.downcast_ref::<AuthError>()) {
        Some(AuthError::AuthExecRun { out, .. }) => {
            format!("the kubeconfig's credential plugin failed: {}", out.status)
        }
        Some(AuthError::AuthExecParse(_)) => "the kubeconfig's credential plugin printed no ExecCredential".into(),
        _ => chain(error),
    }
}

pub(super) fn broken_off(error: Box<dyn StdError + Send + Sync>) -> Unavailable {
    if error.is::<LengthLimitError>() {
        return Unavailable::Unreadable(format!("longer than {MAX_ANSWER_BYTES} bytes").into());
    }
    Unavailable::Network(chain(error.as_ref()).into())
}

fn is_tls(error: &kube::Error) -> bool {
    causes(error).any(|cause| cause.is::<rustls::Error>())
}

/// An error and its causes in one line.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            let colon = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{colon}{cause}");
        }
    }
    text
}

/// An error and what lies below it. `io::Error::source` passes over the very error it wraps, so that is taken first.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error = *error;
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as &(dyn StdError + 'static)).or_else(|| error.source())
    })
}
