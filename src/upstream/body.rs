//! The body of an upstream's answer.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};

use super::line::Line;
use super::pool::Pool;

/// Streams an answer. When it has come to a clean end, its connection waits for the next call; when it is dropped before,
/// the connection is closed.
#[derive(Debug)]
pub struct Body {
    incoming: Incoming,
    /// The connection that the answer comes over, unless somebody else drives it.
    line: Option<(Box<Line>, Pool)>,
}

impl From<Incoming> for Body {
    fn from(incoming: Incoming) -> Body {
        Body { incoming, line: None }
    }
}

impl Body {
    /// The body that comes over `line`, which goes to `pool` at its end.
    pub fn over(line: Box<Line>, incoming: Incoming, pool: Pool) -> Body {
        let mut body = Body { incoming, line: Some((line, pool)) };
        if body.incoming.is_end_stream() {
            body.release();
        }
        body
    }

    fn release(&mut self) {
        if let Some((mut line, pool)) = self.line.take()
            && line.is_idle()
        {
            pool.put(line);
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let body = self.get_mut();
        let Some((line, _)) = &mut body.line else { return Pin::new(&mut body.incoming).poll_frame(cx) };
        // Frames come only of driving the connection, so nobody has to be woken for them.
        let quiet = &mut Context::from_waker(Waker::noop());
        let mut polled = Pin::new(&mut body.incoming).poll_frame(quiet);
        if polled.is_pending() {
            line.drive(cx);
            polled = Pin::new(&mut body.incoming).poll_frame(quiet);
        }
        match &polled {
            Poll::Pending => {}
            // Nothing follows trailers, and nobody asks whether it does.
            Poll::Ready(Some(Ok(frame))) if !frame.is_trailers() && !body.incoming.is_end_stream() => {}
            Poll::Ready(Some(Ok(_)) | None) => body.release(),
            Poll::Ready(Some(Err(_))) => body.line = None,
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
