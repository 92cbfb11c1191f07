//! Doppler: `GET {base}/v3/configs/config/secret`.
//!
//! The store's id is a *locator*: the query of that call, made by [`locator`]. It names project, config and secret,
//! so that it is also the right key for a cache.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::{DopplerSettings, Error, Secret, SecretStore};
use crate::BoxFuture;
use crate::client::{self, Answer, Client};

mod reply;

pub(super) const STORE: &str = "doppler";
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;
/// How much of a store's own words may go to the log, in characters.
const MAX_WORDS: usize = 256;
/// Everything but the unreserved characters of RFC 3986, section 2.3.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The Doppler API under one token.
pub struct Doppler {
    client: Client,
    /// Up to and with the question mark.
    secret_url: String,
    token: Secret,
    timeout: Duration,
}

/// The id under which [`Doppler`] knows a secret.
pub fn locator(project: &str, config: &str, name: &str) -> String {
    let encode = |part| utf8_percent_encode(part, QUERY);
    format!("project={}&config={}&name={}", encode(project), encode(config), encode(name))
}

impl Doppler {
    /// Checks the settings. Nothing is sent.
    pub fn new(settings: &DopplerSettings) -> Result<Doppler, Error> {
        let client = Client::new(None).map_err(|error| Error::Misconfigured(error.to_string()))?;
        Doppler::with_client(settings, client)
    }

    fn with_client(settings: &DopplerSettings, client: Client) -> Result<Doppler, Error> {
        let wrong = |error: &dyn std::fmt::Display| {
            Error::Misconfigured(format!("Doppler's base_url {}: {error}", settings.base_url))
        };
        let base: Uri = settings.base_url.parse().map_err(|error| wrong(&error))?;
        client::check_url(&base).map_err(|error| wrong(&error))?;
        if base.query().is_some() {
            return Err(wrong(&"it must not have a query"));
        }
        let token = Secret::new(settings.token.expose_secret().to_owned())
            .map_err(|error| Error::Misconfigured(format!("the Doppler token: {error}")))?;
        let secret_url = format!("{}/v3/configs/config/secret?", settings.base_url.trim_end_matches('/'));
        Ok(Doppler { client, secret_url, token, timeout: settings.timeout })
    }

    fn headers(&self) -> Result<HeaderMap, Error> {
        let bearer = Zeroizing::new(format!("Bearer {}", self.token.expose_secret()));
        let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| Error::InvalidValue("is not a header value"))?;
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, bearer);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        Ok(headers)
    }

    async fn ask(&self, locator: &str) -> Result<Secret, Error> {
        let url = format!("{}{locator}", self.secret_url);
        let url: Uri = url.parse().map_err(|_| unavailable("the secret's name makes no URL".to_owned()))?;
        let answer = self
            .client
            .get(url, self.headers()?, self.timeout, MAX_ANSWER)
            .await
            .map_err(|error| unavailable(error.to_string()))?;
        match answer.status {
            StatusCode::OK => self.read(&answer.body),
            _ => Err(self.refusal(&answer)),
        }
    }

    /// The value in the body of a success.
    pub(crate) fn read(&self, body: &[u8]) -> Result<Secret, Error> {
        match reply::parse(body) {
            Ok(value) => Secret::new(value.expose_secret().to_owned()),
            Err(reply::Error::Failed(message)) => {
                Err(unavailable(format!("it reports a failure: {}", self.quotable(&message))))
            }
            Err(error) => Err(unavailable(error.to_string())),
        }
    }

    /// What any other answer means.
    pub(crate) fn refusal(&self, answer: &Answer) -> Error {
        let message = self.quotable(&reply::complaint(&answer.body));
        let status = answer.status.as_u16();
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                Error::Rejected { store: STORE, status, message }
            }
            _ => Error::Unavailable {
                store: STORE,
                reason: format!("status {status}{}", super::said(&message)),
                retry_after: reply::retry_after(&answer.headers, time::OffsetDateTime::now_utc()),
            },
        }
    }

    /// The store's words made fit for a log: short, one line, and without our token should it send that back.
    fn quotable(&self, words: &str) -> String {
        let words = words.replace(self.token.expose_secret(), "***");
        words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS).collect()
    }
}

impl SecretStore for Doppler {
    fn fetch<'a>(&'a self, locator: &'a str) -> BoxFuture<'a, Result<Secret, Error>> {
        Box::pin(self.ask(locator))
    }
}

fn unavailable(reason: String) -> Error {
    Error::Unavailable { store: STORE, reason, retry_after: None }
}

#[cfg(test)]
pub(super) mod tests;
