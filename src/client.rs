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
mod tests {
    use super::played::{Played, Reply};
    use super::*;

    const LONG: Duration = Duration::from_secs(5);
    const SHORT: Duration = Duration::from_millis(150);

    async fn get(played: &Played, deadline: Duration, max_bytes: usize) -> Result<Answer, Error> {
        let ca_file = played.url.starts_with("https").then(|| played.ca_file());
        let client = Client::new(ca_file.as_deref()).unwrap();
        client.get(format!("{}/x", played.url).parse().unwrap(), HeaderMap::new(), deadline, max_bytes).await
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for (url, allowed) in [
            ("https://api.doppler.com", true),
            ("http://127.0.0.1:8080", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:80/base", true),
            ("http://localhost", true),
            ("http://store.LOCALHOST:1", true),
            ("http://api.doppler.com", false),
            ("http://10.0.0.1", false),
            ("http://localhost.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://127.0.0.1@example.com", false),
            ("https://user:pass@example.com", false),
            ("ftp://localhost", false),
            ("/v3/configs", false),
        ] {
            assert_eq!(check_url(&url.parse().unwrap()).is_ok(), allowed, "{url}");
        }
    }

    #[tokio::test]
    async fn an_answer_comes_with_status_fields_and_body() {
        let played = Played::http(|_| Reply::status("200 OK", "x-a: b\r\n", "hello")).await;
        let answer = get(&played, LONG, 5).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, b"hello".as_slice()));
        assert_eq!(answer.headers["x-a"], "b");
        assert!(played.heads()[0].contains("user-agent: veilwarden/"));
        assert!(!format!("{answer:?}").contains("hello"));
    }

    #[tokio::test]
    async fn tls_is_checked_against_the_ca_file_and_the_name() {
        let good = Played::https("127.0.0.1", |_| Reply::status("200 OK", "", "under TLS")).await;
        assert_eq!(get(&good, LONG, 100).await.unwrap().body.as_slice(), b"under TLS");
        let stranger = Client::new(None).unwrap();
        let refused = stranger.get(good.url.parse().unwrap(), HeaderMap::new(), LONG, 100).await;
        assert!(matches!(refused, Err(Error::Tls(_))), "{refused:?}");

        let wrong_name = Played::https("other.test", |_| Reply::status("200 OK", "", "")).await;
        let refused = get(&wrong_name, LONG, 100).await;
        assert!(matches!(refused, Err(Error::Tls(_))), "{refused:?}");
        assert_eq!(wrong_name.calls(), 0);
    }

    #[tokio::test]
    async fn every_way_of_answering_badly_is_a_typed_error_in_time() {
        let over = "x".repeat(11);
        let hanging = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab".to_vec();
        for (name, reply, expected) in [
            ("silence", Reply::Hang(Vec::new()), "Timeout"),
            ("a body that stops", Reply::Hang(hanging.clone()), "Timeout"),
            ("half a body", Reply::Raw(hanging), "Protocol"),
            ("no HTTP", Reply::Raw(b"SSH-2.0-OpenSSH_9\r\n\r\n".to_vec()), "Protocol"),
            ("nothing", Reply::Raw(Vec::new()), "Protocol"),
            ("too long", Reply::status("200 OK", "", &over), "TooLarge"),
            ("a long head", Reply::status("200 OK", &format!("x: {}\r\n", "y".repeat(4 * MAX_HEAD)), ""), "Protocol"),
        ] {
            let reply = std::sync::Mutex::new(Some(reply));
            let played = Played::http(move |_| reply.lock().unwrap().take().unwrap_or(Reply::Raw(Vec::new()))).await;
            let before = Instant::now();
            let error = get(&played, SHORT, 10).await.expect_err(name);
            assert!(format!("{error:?}").starts_with(expected), "{name}: {error:?}");
            assert!(before.elapsed() < Duration::from_secs(3), "{name} took {:?}", before.elapsed());
        }
    }

    #[tokio::test]
    async fn nobody_listening_is_a_connect_error() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = Client::new(None).unwrap();
        let refused = client.get(format!("http://{free}/").parse().unwrap(), HeaderMap::new(), LONG, 10).await;
        assert!(matches!(refused, Err(Error::Connect(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn a_refusal_stands_whatever_becomes_of_its_body() {
        let hanging = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 99\r\n\r\nno".to_vec();
        let played = Played::http(move |_| Reply::Hang(hanging.clone())).await;
        let answer = get(&played, SHORT, 100).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::FORBIDDEN, b"no".as_slice()));

        let endless = "x".repeat(10 * MAX_COMPLAINT);
        let played = Played::http(move |_| Reply::status("404 Not Found", "", &endless)).await;
        assert_eq!(get(&played, LONG, 1 << 20).await.unwrap().body.len(), MAX_COMPLAINT);
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_like_any_other() {
        let other = Played::http(|_| Reply::status("200 OK", "", "elsewhere")).await;
        let location = format!("location: {}\r\n", other.url);
        let played = Played::http(move |_| Reply::status("302 Found", &location, "")).await;
        assert_eq!(get(&played, LONG, 100).await.unwrap().status, StatusCode::FOUND);
        assert_eq!(other.calls(), 0);
    }
}
