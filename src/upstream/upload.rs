//! The caller's body on its way up.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Instant;

use crate::gate::deadline::Deadline;
use crate::gate::pace::Pace;
use crate::gate::transit::Transit;
use crate::request::Trailers;
use crate::request::trailers::TooMany;
use crate::route::Route;

/// The caller's body did not arrive whole; the call ends, and the upstream sees it broken off.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Broken {
    #[error(transparent)]
    Trailers(#[from] TooMany),
    #[error("nothing came within {0:?}")]
    Idle(Duration),
    #[error("{0}")]
    Framing(String),
}

/// Streams the caller's body with its length kept and its trailers looked at.
#[derive(Debug)]
pub struct Upload {
    body: Incoming,
    idle: Duration,
    timer: Option<Deadline>,
    progress: Progress,
    /// What an HTTP/2 caller has sent ahead of the upstream; over HTTP/1 the caller's socket waits with the upstream's.
    transit: Option<Transit>,
    trailers: Trailers,
    route: Arc<Route>,
}

/// How far the body is; nothing for a call without one.
#[derive(Debug, Clone, Default)]
pub struct Progress(Option<Arc<Mutex<State>>>);

#[derive(Debug, Clone, Copy)]
enum State {
    /// More is to come; the body's own limit sees to it that this ends. Since when a piece lies here that the upstream
    /// does not take: in HTTP/2, a socket that takes everything says nothing about one stream.
    Moving(Option<Instant>),
    EndedAt(Instant),
}

impl Progress {
    /// When the last byte went up; `None` while more is to come. A call without a body had none to wait for.
    pub fn ended_before(&self, now: Instant) -> Option<Instant> {
        match self.0.as_ref().map(|state| *state.lock().unwrap_or_else(PoisonError::into_inner)) {
            None => Some(now),
            Some(State::EndedAt(at)) => Some(at),
            Some(State::Moving(_)) => None,
        }
    }

    /// Whether the upstream has taken nothing since so long before `now`.
    pub fn stalled(&self, now: Instant, limit: Duration) -> bool {
        let state = self.0.as_ref().map(|state| *state.lock().unwrap_or_else(PoisonError::into_inner));
        matches!(state, Some(State::Moving(Some(since))) if now.saturating_duration_since(since) >= limit)
    }

    fn end(&self) {
        self.set(State::EndedAt(Instant::now()));
    }

    fn set(&self, new: State) {
        if let Some(state) = &self.0 {
            *state.lock().unwrap_or_else(PoisonError::into_inner) = new;
        }
    }
}

impl Upload {
    /// Boxed: the library keeps room for many requests on each connection, as they are.
    pub fn new(body: Incoming, trailers: Trailers, route: Arc<Route>) -> (Box<Upload>, Progress) {
        let progress = Progress((!body.is_end_stream()).then(|| Arc::new(Mutex::new(State::Moving(None)))));
        let idle = route.timeouts.idle;
        let transit = Pace::of_this_task().map(|_| Transit::default());
        let upload = Upload { body, idle, timer: None, progress: progress.clone(), transit, trailers, route };
        (Box::new(upload), progress)
    }

    fn clean(&self, frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, TooMany> {
        let Ok(mut trailers) = frame.into_trailers() else { return Ok(None) };
        self.trailers.clean(&mut trailers, self.route.injection.as_ref().map(|injection| &injection.header))?;
        Ok((!trailers.is_empty()).then(|| Frame::trailers(trailers)))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let upload = self.get_mut();
        if let Some(transit) = &upload.transit {
            ready!(transit.poll_room(cx));
        }
        loop {
            match Pin::new(&mut upload.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => {
                    upload.progress.end();
                    if let Some(trailers) = upload.clean(frame)? {
                        return Poll::Ready(Some(Ok(trailers)));
                    }
                }
                Poll::Ready(Some(Ok(frame))) => {
                    upload.timer = None;
                    // Whoever sends by length may not ask again.
                    if upload.body.is_end_stream() {
                        upload.progress.end();
                    } else {
                        upload.progress.set(State::Moving(Some(Instant::now())));
                    }
                    let Some(transit) = &upload.transit else { return Poll::Ready(Some(Ok(frame))) };
                    return Poll::Ready(Some(Ok(frame.map_data(|bytes| transit.carry(bytes)))));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(Broken::Framing(error.to_string())))),
                // The library takes a reset for an end when its reason is `NO_ERROR`.
                Poll::Ready(None) if upload.transit.is_some() && !upload.body.is_end_stream() => {
                    return Poll::Ready(Some(Err(Broken::Framing("the stream was reset".to_owned()))));
                }
                Poll::Ready(None) => {
                    upload.progress.end();
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    let idle = upload.idle;
                    if upload.timer.is_none() {
                        upload.progress.set(State::Moving(None));
                    }
                    let timer = upload.timer.get_or_insert_with(|| Deadline::after(idle));
                    return Pin::new(timer).poll(cx).map(|()| Some(Err(Broken::Idle(idle))));
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
