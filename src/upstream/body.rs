//! The body of an upstream's answer.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::{Response, Version};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};

use super::line::Line;
use super::pool::Pool;

/// Streams an answer. When it has come to a clean end, its connection waits for the next call; when it is dropped before,
/// the connection is closed.
#[derive(Debug)]
pub struct Body {
    incoming: Incoming,
    over: Over,
}

/// What an answer comes over.
#[derive(Debug)]
enum Over {
    /// A connection that this body drives, and what becomes of it.
    Line(Box<Line>, Pool),
    /// HTTP/1 that somebody else drives, or nothing any more.
    Other,
    /// A stream of HTTP/2.
    Stream(Ending),
}

/// How an answer over HTTP/2 ends. Its length does not end it: a message is malformed when more follows than was announced
/// (RFC 9113 section 8.1.1), which an HTTP/1 caller with all that was announced would never learn.
#[derive(Debug, Default)]
struct Ending {
    /// The piece that makes the length full, until the stream has ended behind it.
    last: Option<Bytes>,
    /// The end, once it is there.
    trailers: Option<Option<Frame<Bytes>>>,
}

/// Why an answer broke off.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error(transparent)]
    Connection(#[from] hyper::Error),
    /// The library takes this for an end when the reason is `NO_ERROR`, which only a request's body may end by.
    #[error("the stream was reset")]
    Reset,
}

impl Body {
    /// The body of an answer over a connection that somebody else drives.
    pub fn of(answer: Response<Incoming>) -> Response<Body> {
        let over = match answer.version() {
            Version::HTTP_2 => Over::Stream(Ending::default()),
            _ => Over::Other,
        };
        answer.map(|incoming| Body { incoming, over })
    }

    /// The body that comes over `line`, which goes to `pool` at its end.
    pub fn over(line: Box<Line>, incoming: Incoming, pool: Pool) -> Body {
        let mut body = Body { incoming, over: Over::Line(line, pool) };
        if body.incoming.is_end_stream() {
            body.release();
        }
        body
    }

    fn release(&mut self) {
        if let Over::Line(mut line, pool) = std::mem::replace(&mut self.over, Over::Other)
            && line.is_idle()
        {
            pool.put(line);
        }
    }
}

impl Ending {
    fn poll_frame(
        &mut self,
        incoming: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        while self.trailers.is_none() {
            match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) if incoming.size_hint().exact() != Some(0) || incoming.is_end_stream() => {
                        let piece = self.last.take().filter(|_| piece.is_empty()).unwrap_or(piece);
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                    Ok(piece) if piece.is_empty() => {}
                    Ok(piece) => self.last = Some(piece),
                    Err(trailers) => self.trailers = Some(Some(trailers)),
                },
                Some(Err(error)) => {
                    self.last = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
                None if !incoming.is_end_stream() => {
                    self.last = None;
                    return Poll::Ready(Some(Err(Broken::Reset)));
                }
                None => self.trailers = Some(None),
            }
        }
        let frame = self.last.take().map(Frame::data).or_else(|| self.trailers.as_mut()?.take());
        Poll::Ready(frame.map(Ok))
    }

    fn is_over(&self) -> bool {
        self.last.is_none() && !matches!(self.trailers, Some(Some(_)))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let body = self.get_mut();
        let line = match &mut body.over {
            Over::Line(line, _) => line,
            Over::Other => return Pin::new(&mut body.incoming).poll_frame(cx).map_err(Broken::from),
            Over::Stream(ending) => return ending.poll_frame(&mut body.incoming, cx),
        };
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
            Poll::Ready(Some(Err(_))) => body.over = Over::Other,
        }
        polled.map_err(Broken::from)
    }

    fn is_end_stream(&self) -> bool {
        let over = match &self.over {
            Over::Stream(ending) => ending.is_over(),
            Over::Line(..) | Over::Other => true,
        };
        over && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.over, self.incoming.size_hint().exact()) {
            (Over::Stream(Ending { last: Some(last), .. }), Some(more)) => {
                SizeHint::with_exact(more + last.len() as u64)
            }
            _ => self.incoming.size_hint(),
        }
    }
}
