//! The caller's body on its way up.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

/// The caller's body did not arrive whole; the call ends, and the upstream sees it broken off.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Broken {
    #[error("nothing came within {0:?}")]
    Idle(Duration),
    #[error("{0}")]
    Framing(String),
}

/// Streams the caller's body with its length kept and its trailers dropped.
#[derive(Debug)]
pub struct Upload {
    body: Incoming,
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    progress: Progress,
}

/// How far the body is; nothing for a call without one.
#[derive(Debug, Clone, Default)]
pub struct Progress(Option<Arc<Mutex<State>>>);

#[derive(Debug, Clone, Copy)]
enum State {
    /// More is to come. The body's own limit, and that on writing, see to it that this ends.
    Moving,
    EndedAt(Instant),
}

impl Progress {
    /// When the last byte went up; `None` while more is to come. A call without a body had none to wait for.
    pub fn ended_before(&self, now: Instant) -> Option<Instant> {
        match self.0.as_ref().map(|state| *state.lock().unwrap_or_else(PoisonError::into_inner)) {
            None => Some(now),
            Some(State::EndedAt(at)) => Some(at),
            Some(State::Moving) => None,
        }
    }

    fn end(&self) {
        if let Some(state) = &self.0 {
            *state.lock().unwrap_or_else(PoisonError::into_inner) = State::EndedAt(Instant::now());
        }
    }
}

impl Upload {
    pub fn new(body: Incoming, idle: Duration) -> (Upload, Progress) {
        let progress = Progress((!body.is_end_stream()).then(|| Arc::new(Mutex::new(State::Moving))));
        (Upload { body, idle, timer: None, progress: progress.clone() }, progress)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let upload = self.get_mut();
        loop {
            match Pin::new(&mut upload.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => {}
                Poll::Ready(Some(Ok(frame))) => {
                    upload.timer = None;
                    // Whoever sends by length may not ask again.
                    if upload.body.is_end_stream() {
                        upload.progress.end();
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(Broken::Framing(error.to_string())))),
                Poll::Ready(None) => {
                    upload.progress.end();
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    let idle = upload.idle;
                    let timer = upload.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
                    return timer.as_mut().poll(cx).map(|()| Some(Err(Broken::Idle(idle))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
