//! `veilwarden echo`: an upstream for trying things out. It answers with what it was sent, secrets included:
//! never point a real key at it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::signals::{STOP, Signals};
use super::{args, standard};

mod tls;

/// More than this is answered with 413.
const MAX_BODY: usize = 1 << 20;

/// What was sent.
#[derive(Debug, Serialize, Deserialize)]
pub struct Echo {
    pub method: String,
    /// With its query.
    pub path: String,
    /// A repeated field's values are joined with a comma.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// Where it listens when neither the flag nor `ECHO_ADDR` says.
const DEFAULT_LISTEN: &str = "127.0.0.1:9090";

/// Binds and says where, then answers until SIGTERM or SIGINT.
pub async fn run(settings: &args::Echo) -> anyhow::Result<()> {
    let variable = std::env::var("ECHO_ADDR").ok().filter(|address| !address.trim().is_empty());
    let address = settings.listen.clone().or(variable).unwrap_or_else(|| DEFAULT_LISTEN.to_owned());
    let acceptor = match (&settings.tls_cert_file, &settings.tls_key_file) {
        (Some(certificate), Some(key)) => Some(tls::acceptor(certificate, key)?),
        _ => None,
    };
    // The first process of a container is not ended by a signal that it does not handle.
    let mut signals = Signals::listen(STOP)?;
    let listener = TcpListener::bind(&address).await.with_context(|| cannot_listen(&address))?;
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    standard::note(format_args!("echo listens on {scheme}://{}", listener.local_addr()?));
    let mask = settings.mask.clone().into();
    tokio::select! {
        served = serve(listener, Manner { acceptor, mask }) => Ok(served?),
        _ = signals.next() => Ok(()),
    }
}

fn cannot_listen(address: &str) -> String {
    format!(
        "echo cannot listen on {address:?}; it takes an address and a port of this machine, such as {DEFAULT_LISTEN}"
    )
}

/// How it answers.
#[derive(Clone, Default)]
pub struct Manner {
    /// Over TLS, when there is one.
    pub acceptor: Option<TlsAcceptor>,
    /// Fields whose values are not shown; their SHA-256 is.
    pub mask: Arc<[HeaderName]>,
}

/// Answers until the task ends.
pub async fn serve(listener: TcpListener, manner: Manner) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let Manner { acceptor, mask } = manner.clone();
        tokio::spawn(async move {
            match acceptor {
                None => converse(stream, &mask).await,
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => converse(stream, &mask).await,
                    Err(error) => tracing::debug!(%error, "echo: no TLS"),
                },
            }
        });
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, mask: &[HeaderName]) {
    let service = service_fn(|request| answer(request, mask));
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "echo connection ended");
    }
}

async fn answer(request: Request<Incoming>, mask: &[HeaderName]) -> Result<Response<Full<Bytes>>, Infallible> {
    let (mut parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        let mut refusal = Response::new(Full::default());
        *refusal.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(refusal);
    };
    for (_, value) in parts.headers.iter_mut().filter(|(name, _)| mask.contains(name)) {
        *value = masked(value);
    }
    let echo = Echo {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        headers: joined(&parts.headers),
        body: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
    };
    let mut answer = Response::new(Full::from(serde_json::to_vec_pretty(&echo).unwrap_or_default()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(answer)
}

/// `sha256:` and the digest in lower-case hex: who knows the value can tell that it came, and nobody else learns it.
fn masked(value: &HeaderValue) -> HeaderValue {
    let digest = digest(&SHA256, value.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("sha256:{hex}")).unwrap_or_else(|_| HeaderValue::from_static("masked"))
}

fn joined(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        all.entry(name.to_string()).and_modify(|seen| *seen = format!("{seen}, {value}")).or_insert(value.into_owned());
    }
    all
}
