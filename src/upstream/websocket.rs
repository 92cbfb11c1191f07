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
use tokio::time::{Instant, timeout};

use super::{MAX_BUFFER, Upstreams, answer};
use crate::error::{Error, Fault};
use crate::metrics::Metrics;
use crate::request::{fields, websocket};
use crate::stages::{Prepared, WebSocket};

/// What an upstream says to a call for a WebSocket.
pub enum Reply {
    /// It opens it: the head for the caller, and the upstream's end.
    Opened(Response<()>, Box<WebSocket>, Upgraded),
    /// An ordinary answer to an ordinary request.
    Answered(Response<Incoming>),
}

impl Upstreams {
    /// Sends the call over HTTP/1.1, and nothing behind it. Status 101 is good only as the answer to this very call.
    pub async fn open(&self, call: Prepared<Incoming>, metrics: &Metrics) -> Result<Reply, Error> {
        let upstream = self.0.get(call.route().index).ok_or(Error::Internal("a route without an upstream"))?;
        let outgoing = call.into_outgoing()?;
        let socket = outgoing.websocket.ok_or(Error::Internal("no call for a WebSocket"))?;
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = Uri::from(outgoing.target);
        *request.headers_mut() = outgoing.headers;
        let stream = upstream.dialer.connect_for_http1().await.map_err(|error| error.fault())?;
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
        metrics.upstream_answered(outgoing.route.name(), sent.elapsed());
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            answer::check(&answer)?;
            fields::strip_response(answer.headers_mut());
            return Ok(Reply::Answered(answer));
        }
        socket.handshake().check(answer.headers()).map_err(|error| Fault::BadAnswer(error.to_string()))?;
        let bytes = hyper::upgrade::on(&mut answer).await.map_err(broken)?;
        fields::strip_response(answer.headers_mut());
        answer.headers_mut().remove(CONTENT_LENGTH);
        websocket::switch(answer.headers_mut());
        Ok(Reply::Opened(answer.map(drop), socket, bytes))
    }
}

fn broken(error: hyper::Error) -> Fault {
    Fault::BadAnswer(error.to_string())
}
