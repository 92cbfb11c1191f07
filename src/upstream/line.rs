//! One HTTP/1.1 connection to an upstream. Whoever uses it drives it: it has no task of its own that would have to be
//! woken for each call, and to wake its user in turn.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::unconstrained;

use super::MAX_BUFFER;
use super::stream::Stream;
use super::upload::Upload;

/// A connection that carries one call at a time.
#[derive(Debug)]
pub struct Line {
    sender: SendRequest<Box<Upload>>,
    /// `None` once it has ended.
    connection: Option<Connection<TokioIo<Stream>, Box<Upload>>>,
}

impl Line {
    pub async fn over(stream: Stream) -> hyper::Result<Line> {
        let (sender, connection) = Builder::new().max_buf_size(MAX_BUFFER).handshake(TokioIo::new(stream)).await?;
        Ok(Line { sender, connection: Some(connection) })
    }

    /// Sends the request and waits for its answer's head. The error has the request in it as long as nothing of it was
    /// sent.
    pub async fn ask(
        &mut self,
        request: Request<Box<Upload>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Box<Upload>>>> {
        // It is ready only after the connection was driven, so nobody has to be woken for it; nor may the runtime's budget
        // make it wait for a wake-up that nobody would get.
        let mut answer = pin!(unconstrained(self.sender.try_send_request(request)));
        let connection = &mut self.connection;
        poll_fn(|cx| {
            drive(connection, cx);
            answer.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        })
        .await
    }

    /// Does what there is to do on the connection.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.connection, cx);
    }

    /// Whether the last answer has ended cleanly, nothing came behind it, and the upstream keeps the connection. Whoever
    /// drove it before is not woken for it any more.
    pub fn is_idle(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Drives the connection to its next call, or to its end; whether there can be a next one.
    pub async fn idle(&mut self) -> bool {
        let ready = poll_fn(|cx| {
            self.drive(cx);
            if self.connection.is_none() {
                return Poll::Ready(false);
            }
            Poll::Ready(ready!(self.sender.poll_ready(cx)).is_ok())
        });
        ready.await && self.is_idle()
    }
}

/// A connection that has ended is let go at once, which answers whoever still waits for something from it.
fn drive(connection: &mut Option<Connection<TokioIo<Stream>, Box<Upload>>>, cx: &mut Context<'_>) {
    let Some(running) = connection else { return };
    if let Poll::Ready(ended) = Pin::new(running).poll(cx) {
        if let Err(error) = ended {
            tracing::debug!(%error, "connection to an upstream ended");
        }
        *connection = None;
    }
}
