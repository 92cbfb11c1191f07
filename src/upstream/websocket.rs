//! A call for a WebSocket on its way: a connection of its own, which no other call ever uses.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::{Body, MAX_BUFFER, Searched, Upstreams, answer};
use crate::error::{Error, Fault};
use crate::gate::deadline::timeout;
use crate::metrics::Metrics;
use crate::redact::{self, Frames};
use crate::request::websocket;
use crate::stages::{Prepared, WebSocket};

/// What an upstream says to a call for a WebSocket.
pub enum Reply {
    /// It opens it: the head for the caller, and the upstream's end.
    Opened(Response<()>, Box<Opened>),
    /// An ordinary answer to an ordinary request.
    Answered(Response<Searched>),
}

/// A WebSocket that the upstream has opened.
#[derive(Debug)]
pub struct Opened {
    pub socket: Box<WebSocket>,
    /// The upstream's end.
    pub upstream: Upgraded,
    /// What searches the upstream's frames.
    pub search: Option<Frames>,
    /// The secret stood in the answer's head.
    pub reflected: bool,
}

impl Upstreams {
    /// Sends the call over HTTP/1.1, and nothing behind it. Status 101 is good only as the answer to this very call.
    pub async fn open(&self, call: Prepared<Incoming>, metrics: &Metrics) -> Result<Reply, Error> {
        let to = self.of(call.route())?;
        let outgoing = call.into_outgoing()?;
        let socket = outgoing.websocket.ok_or(Error::Internal("no call for a WebSocket"))?;
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = Uri::from(outgoing.target);
        *request.headers_mut() = outgoing.headers;
        let stream = to.dialer.connect_for_http1().await.map_err(|error| error.fault())?;
        let mut client = http1::Builder::new();
        let opened = client.max_buf_size(MAX_BUFFER).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = opened.map_err(broken)?;
        let route = Arc::clone(&outgoing.route);
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(host = route.name(), %error, "connection to an upstream ended");
            }
        });
        let sent = Instant::now();
        let answer = timeout(outgoing.route.timeouts.first_byte, sender.send_request(request)).await;
        let mut answer = answer.map_err(|_| Fault::FirstByteTimeout)?.map_err(broken)?;
        metrics.upstream_answered(outgoing.route.label(), sent.elapsed());
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            answer::check(&answer)?;
            answer::strip(&mut answer);
            let mut answer = redact::Body::search(Body::of(answer), outgoing.watch)?;
            answer.body_mut().look_ahead().await?;
            return Ok(Reply::Answered(answer));
        }
        socket.handshake().check(answer.headers()).map_err(|error| Fault::BadAnswer(error.to_string()))?;
        let upstream = hyper::upgrade::on(&mut answer).await.map_err(broken)?;
        answer::strip(&mut answer);
        answer.headers_mut().remove(CONTENT_LENGTH);
        let watch = outgoing.watch;
        let reflected = watch.as_ref().map_or(Ok(false), |watch| redact::head::mask(answer.headers_mut(), watch))?;
        websocket::switch(answer.headers_mut());
        let opened = Opened { socket, upstream, search: watch.map(Frames::new), reflected };
        Ok(Reply::Opened(answer.map(drop), Box::new(opened)))
    }
}

fn broken(error: hyper::Error) -> Fault {
    Fault::BadAnswer(error.to_string())
}
