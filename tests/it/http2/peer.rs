//! A well-behaved client, by hyper.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Frame;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::world::{Started, within};

pub type Body = BoxBody<Bytes, Infallible>;

/// One connection to the proxy.
#[derive(Clone)]
pub struct Peer(SendRequest<Body>);

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

pub fn empty() -> Body {
    Empty::new().boxed()
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

/// A body that is sent piece by piece.
struct Pieces(mpsc::Receiver<Frame<Bytes>>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

pub fn channel() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (sender, receiver) = mpsc::channel(8);
    (sender, Pieces(receiver).boxed())
}

impl Peer {
    pub async fn connect(world: &Started) -> Peer {
        Peer::over(world.connect().await).await
    }

    /// The same over any stream, a session in a tunnel for instance.
    pub async fn over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Peer {
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        Peer(sender)
    }

    /// Sends a request and waits for the head of its answer.
    pub async fn begin(&self, request: Request<Body>) -> hyper::Result<Response<hyper::body::Incoming>> {
        let mut sender = self.0.clone();
        within("an answer over HTTP/2", async move {
            sender.ready().await?;
            sender.send_request(request).await
        })
        .await
    }

    /// Sends a request and reads its answer.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.begin(request).await.expect("an answer").into_parts();
        let body = within("the answer's body", body.collect()).await.expect("a whole body");
        let trailers = body.trailers().cloned();
        Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes().to_vec(), trailers }
    }

    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl Answer {
    pub fn code(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        json["error"].as_str().unwrap_or_default().to_owned()
    }
}

/// A good request to a route.
pub fn request(world: &Started, method: &str, path: &str, host: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(format!("http://proxy.test{path}"))
        .header("x-upstream-host", host)
        .header("x-session-secret", world.session_secret())
}
