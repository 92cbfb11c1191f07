//! A played API server for tests: real TLS and HTTP on loopback, and every lie and fault we can think of.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

mod body;
mod certificate;
mod pod;
mod token;

use super::Source;
use body::{Played, Script};
pub use certificate::Certificate;
use certificate::tls;
pub use pod::{Pod, settings};
pub use token::{in_an_hour, mint, mint_for};

/// What the server does with a request.
#[derive(Clone)]
pub enum Play {
    /// 201 and this `status` (none if `null`).
    Status(Value),
    /// A real API server's yes: the `sub` of the token is the user, for the audience asked about.
    Honest,
    /// This HTTP status, header and body.
    Http(u16, &'static str, String, Bytes),
    Hang,
    /// A good answer, a byte each 20 ms.
    Trickle,
    /// Half of a good answer, then the connection is closed.
    CutOff,
    /// This many bytes.
    Flood(usize),
    /// Each time the next; the last one stays.
    Then(Vec<Play>),
}

pub fn refused(error: &str) -> Play {
    Play::Status(json!({"user": {}, "error": error}))
}

/// One request as the server saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub uri: String,
    pub authorization: Option<String>,
    pub accept_encoding: Option<String>,
    pub review: Value,
}

pub struct PlayedApiServer {
    pub address: SocketAddr,
    /// What a client should trust, in PEM.
    pub ca: String,
    shared: Arc<Shared>,
    acceptor: TlsAcceptor,
    listening: tokio::task::JoinHandle<()>,
}

struct Shared {
    play: Mutex<Play>,
    seen: Mutex<Vec<Seen>>,
    /// Bytes of bodies that were handed to the connection.
    sent: AtomicUsize,
    connections: AtomicUsize,
}

impl PlayedApiServer {
    pub async fn start(play: Play) -> Self {
        Self::with_certificate(play, Certificate::Good).await
    }

    pub async fn with_certificate(play: Play, certificate: Certificate) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (acceptor, ca) = tls(certificate);
        let shared = Arc::new(Shared {
            play: Mutex::new(play),
            seen: Mutex::default(),
            sent: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        });
        let listening = tokio::spawn(listen(listener, acceptor.clone(), shared.clone()));
        Self { address, ca, shared, acceptor, listening }
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// From now on.
    pub fn play(&self, play: Play) {
        *self.shared.play.lock().unwrap() = play;
    }

    pub fn calls(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    pub fn last(&self) -> Seen {
        self.shared.seen.lock().unwrap().last().cloned().expect("no call was made")
    }

    pub fn bytes_sent(&self) -> usize {
        self.shared.sent.load(Ordering::Relaxed)
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Closes the listener and every connection.
    pub async fn stop(&mut self) {
        self.listening.abort();
        let _ = (&mut self.listening).await;
    }

    /// Listens again, on the same address and with the same certificate.
    pub async fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.listening = tokio::spawn(listen(listener, self.acceptor.clone(), self.shared.clone()));
    }
}

impl Drop for PlayedApiServer {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

pub const PEER: Source = Source::Ip(IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3)));

async fn listen(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    // Dropped with this task, and every connection with it.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        connections.spawn(async move {
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            shared.connections.fetch_add(1, Ordering::Relaxed);
            let service = service_fn(|request| answer(request, shared.clone()));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Played>, Infallible> {
    let header = |name: &str| request.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into());
    let (uri, authorization, accept_encoding) =
        (request.uri().to_string(), header("authorization"), header("accept-encoding"));
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    shared.seen.lock().unwrap().push(Seen { uri, authorization, accept_encoding, review: review.clone() });

    let play = {
        let mut play = shared.play.lock().unwrap();
        match &mut *play {
            Play::Then(plays) if plays.len() > 1 => plays.remove(0),
            Play::Then(plays) => plays[0].clone(),
            play => play.clone(),
        }
    };
    let whole = |status: Value| {
        let mut answer = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}});
        answer["spec"] = review["spec"].clone();
        if !status.is_null() {
            answer["status"] = status;
        }
        Bytes::from(answer.to_string())
    };
    let (status, body) = match play {
        Play::Status(status) => (201, Script::Whole(whole(status))),
        Play::Honest => (201, Script::Whole(whole(honest(&review)))),
        Play::Trickle => (201, Script::Trickle(whole(honest(&review)))),
        Play::CutOff => (201, Script::CutOff(whole(honest(&review)))),
        Play::Flood(bytes) => (201, Script::Flood(bytes)),
        Play::Hang => std::future::pending().await,
        Play::Http(status, name, value, body) => {
            let body = Played { script: Script::Whole(body), shared, pause: None };
            let mut response = Response::new(body);
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert(name, value.parse().unwrap());
            return Ok(response);
        }
        Play::Then(_) => unreachable!("no play within a play"),
    };
    let mut response = Response::new(Played { script: body, shared, pause: None });
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(response)
}

/// What a real API server would say if every signature were good.
pub fn honest(review: &Value) -> Value {
    let token = review["spec"]["token"].as_str().unwrap_or_default();
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
    let claims: Value = serde_json::from_slice(&payload).unwrap_or_default();
    let audiences = match &review["spec"]["audiences"] {
        Value::Null => json!(["https://kubernetes.default.svc"]),
        asked => asked.clone(),
    };
    json!({
        "authenticated": true,
        "audiences": audiences,
        "user": {
            "username": claims["sub"],
            "uid": "sa-uid",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/pod-name": ["test-pod"],
                "authentication.kubernetes.io/pod-uid": ["pod-uid"],
                "authentication.kubernetes.io/node-name": ["node-1"],
                "authentication.kubernetes.io/credential-id": ["JTI=x"],
            },
        },
    })
}
