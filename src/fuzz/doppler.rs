//! What Doppler answers: a value that a field can carry, or an error fit for the log.

use std::sync::LazyLock;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use zeroize::Zeroizing;

use crate::client::Answer;
use crate::route::Template;
use crate::secrets::doppler::Doppler;
use crate::secrets::{DopplerSettings, Error};

/// Our own token, which a store might send back.
const TOKEN: &str = "canary-0123456789";

static STORE: LazyLock<Doppler> = LazyLock::new(|| {
    let settings = DopplerSettings {
        base_url: "https://doppler.test".to_owned(),
        token: TOKEN.into(),
        project: None,
        config: None,
        timeout: Duration::from_secs(1),
    };
    Doppler::new(&settings).expect("a store")
});

static PLAIN: LazyLock<Template> = LazyLock::new(|| Template::parse("{{secret}}").expect("a template"));

/// A body, as that of a success and as that of a refusal; its first line also as `Retry-After`.
pub fn doppler(data: &[u8]) {
    match STORE.read(data) {
        Ok(secret) => assert!(PLAIN.render(&secret).is_some(), "a value that no field can carry"),
        Err(error) => is_fit_for_the_log(&error),
    }
    let line = data.split(|b| *b == b'\n').next().unwrap_or_default();
    let value = HeaderValue::from_bytes(line).ok();
    let headers: HeaderMap = value.into_iter().map(|value| (RETRY_AFTER, value)).collect();
    for status in [StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS] {
        let body = Zeroizing::new(data.to_vec());
        is_fit_for_the_log(&STORE.refusal(&Answer { status, headers: headers.clone(), body }));
    }
}

fn is_fit_for_the_log(error: &Error) {
    let said = error.to_string();
    assert!(!said.contains(TOKEN), "our own token is repeated: {said}");
    assert!(said.chars().count() < 400 && !said.chars().any(char::is_control), "{said:?}");
}
