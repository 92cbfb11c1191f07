//! The HTTPS client for our own calls to secret stores.
//!
//! It follows no redirect, reads no proxy variable, speaks plain http to loopback only, and every call has one
//! deadline and one bound on what it keeps of the answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;
use zeroize::Zeroizing;

mod connector;
#[cfg(test)]
pub(crate) mod played;
mod tls;

use crate::gate::deadline::timeout_at;
use connector::Connector;
pub use tls::tls_config;

/// How long an unused connection to a store stays open.
const IDLE: Duration = Duration::from_secs(60);
/// Unused connections kept for each store.
const IDLE_PER_HOST: usize = 8;
/// All header lines of an answer together, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// How much of an answer that is not a success is kept, in bytes: enough for its message.
const MAX_COMPLAINT: usize = 8 * 1024;
const USER_AGENT: &str = concat!("veilwarden/", env!("CARGO_PKG_VERSION"));

/// A pooled HTTP/1.1 client. Cloning shares the pool.
#[derive(Debug, Clone)]
pub struct Client {
    http: legacy::Client<Connector, Empty<Bytes>>,
}

/// What a store answered, body read to its end.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Zeroised on drop, since it may hold a secret.
    pub body: Zeroizing<Vec<u8>>,
}

/// Why there is no answer. The words are for the log: they may name hosts and addresses, never a header or a body.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("the URL is not allowed: {0}")]
    Url(&'static str),
    #[error("{path}: {reason}")]
    CaFile { path: String, reason: String },
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("TLS failed: {0}")]
    Tls(String),
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
    #[error("the answer is broken: {0}")]
    Protocol(String),
}

impl Client {
    /// A client that trusts Mozilla's roots, the system's, and those of `ca_file` (PEM) where one is given.
    pub fn new(ca_file: Option<&Path>) -> Result<Client, Error> {
        Ok(Client::with_tls(tls_config(ca_file)?))
    }

    /// A client with trust of the caller's choosing.
    pub fn with_tls(tls: Arc<rustls::ClientConfig>) -> Client {
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http1_max_buf_size(MAX_HEAD)
            .build(Connector::new(tls));
        Client { http }
    }

    /// One GET. `deadline` covers name resolution, connecting, TLS and the whole body.
    ///
    /// A success whose body is longer than `max_bytes`, breaks off or comes too late is an error. With any other
    /// status the status is the answer, so it is returned with whatever part of its body came, 8 KiB at most.
    pub async fn get(
        &self,
        url: Uri,
        headers: HeaderMap,
        deadline: Duration,
        max_bytes: usize,
    ) -> Result<Answer, Error> {
        check_url(&url)?;
        let end = Instant::now() + deadline;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = url;
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT));

        let response = timeout_at(end, self.http.request(request))
            .await
            .map_err(|_| Error::Timeout(deadline))?
            .map_err(Error::from_call)?;
        let (head, incoming) = response.into_parts();
        let success = head.status.is_success();
        let mut body = Zeroizing::new(Vec::new());
        let limit = if success { max_bytes } else { max_bytes.min(MAX_COMPLAINT) };
        let read = timeout_at(end, read_body(incoming, &mut body, limit)).await;
        if success {
            read.map_err(|_| Error::Timeout(deadline))??;
        }
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

/// Whether our own clients may call this URL: https, or http to loopback; a host; no user name in it.
pub fn check_url(url: &Uri) -> Result<(), Error> {
    let authority = url.authority().ok_or(Error::Url("it names no host"))?;
    if authority.as_str().contains('@') {
        return Err(Error::Url("it holds a user name or password"));
    }
    match url.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_loopback(authority.host()) => Ok(()),
        Some("http") => Err(Error::Url("plain http is for loopback only, use https")),
        _ => Err(Error::Url("its scheme is not https")),
    }
}

/// A loopback address or a name that RFC 6761 reserves for one. The connector checks the address behind the name.
fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => {
            let name = host.to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// Reads a body into `kept`. A body over `limit` leaves its first `limit` bytes there and is an error.
async fn read_body(mut incoming: Incoming, kept: &mut Zeroizing<Vec<u8>>, limit: usize) -> Result<(), Error> {
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| Error::Protocol(chain(&error)))?;
        let Some(data) = frame.data_ref() else { continue };
        let room = limit - kept.len();
        append(kept, &data[..data.len().min(room)]);
        if data.len() > room {
            return Err(Error::TooLarge(limit));
        }
    }
    Ok(())
}

/// Appends without leaving copies behind: a `Vec` that grows by itself frees its old memory unwiped.
fn append(kept: &mut Zeroizing<Vec<u8>>, data: &[u8]) {
    if kept.capacity() - kept.len() < data.len() {
        let mut grown = Zeroizing::new(Vec::with_capacity((kept.len() + data.len()).next_power_of_two()));
        grown.extend_from_slice(kept);
        *kept = grown;
    }
    kept.extend_from_slice(data);
}

impl Error {
    /// The connector's own error where it is the cause, else what hyper says.
    fn from_call(error: legacy::Error) -> Error {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(here) = cause {
            if let Some(ours) = here.downcast_ref::<Error>() {
                return ours.clone();
            }
            cause = here.source();
        }
        if error.is_connect() { Error::Connect(chain(&error)) } else { Error::Protocol(chain(&error)) }
    }
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(here) = cause {
        words = format!("{words}: {here}");
        cause = here.source();
    }
    words
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("body_bytes", &self.body.len()).finish()
    }
}

#[cfg(test)]
mod tests;
