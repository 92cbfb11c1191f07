//! `veilwarden echo`: an upstream for trying things out. It answers with what it was sent, secrets included:
//! never point a real key at it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

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

/// Binds and says where, then answers until the process ends.
pub async fn run(flag: Option<&str>) -> anyhow::Result<()> {
    let variable = std::env::var("ECHO_ADDR").ok().filter(|address| !address.is_empty());
    let address = flag.map(str::to_owned).or(variable).unwrap_or_else(|| DEFAULT_LISTEN.to_owned());
    let listener = TcpListener::bind(&address).await.with_context(|| format!("echo cannot listen on {address}"))?;
    println!("echo listens on http://{}", listener.local_addr()?);
    Ok(serve(listener).await?)
}

/// Answers until the task ends.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            if let Err(error) = connection.await {
                tracing::debug!(%error, "echo connection ended");
            }
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        let mut refusal = Response::new(Full::default());
        *refusal.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(refusal);
    };
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

fn joined(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        all.entry(name.to_string()).and_modify(|seen| *seen = format!("{seen}, {value}")).or_insert(value.into_owned());
    }
    all
}
