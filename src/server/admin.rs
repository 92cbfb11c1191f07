//! The listener for operators: health and metrics.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::Drain;
use crate::metrics::AuditCounts;
use crate::pipeline::Pipeline;

/// A caller of the admin listener gets so long for its head and between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// One connection in all: whoever takes nothing of its answer keeps a descriptor no longer.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What the admin listener reports on.
pub struct Admin {
    pub pipeline: Arc<Pipeline>,
    pub drain: Drain,
}

impl Admin {
    /// Serves one connection, one request.
    pub async fn serve(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(|request: Request<Incoming>| {
            let answer: Response<Full<Bytes>> = self.answer(&request).map(Full::from);
            std::future::ready(Ok::<_, Infallible>(answer))
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).keep_alive(false);
        let serving = builder.serve_connection(TokioIo::new(stream), service);
        match tokio::time::timeout(WHOLE_TIMEOUT, serving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "admin connection ended"),
            Err(_) => tracing::debug!("admin connection cut: it took too long"),
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Vec<u8>> {
        match request.uri().path() {
            "/healthz" | "/livez" => healthz(request.method()),
            "/readyz" if self.drain.announced() => {
                text(request.method(), StatusCode::SERVICE_UNAVAILABLE, b"draining\n".to_vec())
            }
            "/readyz" if !self.pipeline.authn.ready() => {
                let why = b"waiting for the keys that sign tokens\n".to_vec();
                text(request.method(), StatusCode::SERVICE_UNAVAILABLE, why)
            }
            "/readyz" => text(request.method(), StatusCode::OK, b"ok\n".to_vec()),
            "/metrics" => self.metrics(request.method()),
            _ => {
                text(request.method(), StatusCode::NOT_FOUND, b"there are /healthz /livez /readyz /metrics\n".to_vec())
            }
        }
    }

    fn metrics(&self, method: &Method) -> Response<Vec<u8>> {
        let trail = &self.pipeline.trail;
        let counts = AuditCounts { written: trail.written(), dropped: trail.dropped() };
        let Ok(exposition) = self.pipeline.metrics.render(counts) else {
            return text(method, StatusCode::INTERNAL_SERVER_ERROR, Vec::new());
        };
        let mut answer = text(method, StatusCode::OK, exposition.into_bytes());
        let format = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        answer.headers_mut().insert(CONTENT_TYPE, format);
        answer
    }
}

/// `{"status":"ok"}` as long as the process runs; needs no credential.
pub fn healthz(method: &Method) -> Response<Vec<u8>> {
    let mut answer = text(method, StatusCode::OK, br#"{"status":"ok"}"#.to_vec());
    if answer.status() == StatusCode::OK {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    answer
}

/// An answer for methods that only look; 405 for the others.
fn text(method: &Method, status: StatusCode, body: Vec<u8>) -> Response<Vec<u8>> {
    let looks = *method == Method::GET || *method == Method::HEAD;
    let mut answer = Response::new(if looks { body } else { Vec::new() });
    *answer.status_mut() = if looks { status } else { StatusCode::METHOD_NOT_ALLOWED };
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if !looks {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    answer
}
