//! The body of an answer, the upstream's or our own, and the record that ends with it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, PROXY_AUTHENTICATE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;

use crate::audit::Record;
use crate::error::{Code, Error, WaysIn};
use crate::gate::deadline::Deadline;
use crate::gate::transit::Transit;
use crate::gate::{Busy, Held};
use crate::redact::body::Broken;
use crate::request::trailers::TooMany;
use crate::request::{fields, trailers};
use crate::upstream;

/// What the caller reads.
#[derive(Debug)]
pub struct Answer {
    body: Source,
    /// How the body broke off, until what came before that has been sent.
    broken: Option<BrokenOff>,
    /// Written when the answer has ended or the caller has hung up.
    record: Option<Box<Record>>,
    /// Keeps the connection from being taken for idle.
    busy: Option<Busy>,
    /// Counts the request's head among those of its connection.
    head: Option<Held>,
}

#[derive(Debug)]
enum Source {
    Own(Option<Bytes>),
    Upstream { body: upstream::Searched, idle: Duration, timer: Option<Deadline> },
}

/// The upstream's body broke off; the caller's connection does too, so that nobody takes a part for the whole.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BrokenOff {
    #[error("the upstream's answer broke off: {0}")]
    Upstream(#[from] Broken),
    #[error("the upstream's answer broke off: {0}")]
    Trailers(#[from] TooMany),
    #[error("the upstream's answer broke off: nothing came within {0:?}")]
    Idle(Duration),
}

impl Answer {
    pub fn upstream(body: upstream::Searched, idle: Duration) -> Answer {
        Answer {
            body: Source::Upstream { body, idle, timer: None },
            broken: None,
            record: None,
            busy: None,
            head: None,
        }
    }

    /// An answer of our own.
    pub fn own(body: Vec<u8>) -> Answer {
        let body = (!body.is_empty()).then(|| body.into());
        Answer { body: Source::Own(body), broken: None, record: None, busy: None, head: None }
    }

    /// Gives the record to the body, which ends it.
    pub fn recorded(mut self, mut record: Box<Record>) -> Answer {
        // An answer to HEAD ends with its head.
        record.complete = self.is_empty() || record.method == "HEAD";
        if self.body.reflected() {
            record.reflected();
        }
        self.record = Some(record);
        self
    }

    /// Gives the body what it has to keep until it has ended.
    pub fn keeping(mut self, busy: Busy) -> Answer {
        if let Source::Own(bytes) = &mut self.body {
            *bytes = bytes.take().map(|bytes| busy.carry(bytes));
        }
        self.busy = Some(busy);
        self
    }

    /// The same for the place of the request's head.
    pub fn holding(mut self, head: Held) -> Answer {
        self.head = Some(head);
        self
    }

    fn transit(&self) -> Option<&Transit> {
        self.busy.as_ref().and_then(Busy::transit)
    }

    /// Whether the caller has all of it. Nobody asks what follows the last byte of a length either, if the caller has HTTP/1.
    fn is_empty(&self) -> bool {
        self.is_end_stream() || self.broken.is_none() && self.size_hint().exact() == Some(0)
    }

    fn note(&mut self, frame: &Option<Result<Frame<Bytes>, BrokenOff>>) {
        // Nothing follows trailers, and nobody asks whether it does.
        let trailers = matches!(frame, Some(Ok(frame)) if frame.is_trailers());
        let ended = frame.is_none() || trailers || self.is_empty();
        let Some(record) = &mut self.record else { return };
        if self.body.reflected() {
            record.reflected();
        }
        match frame {
            Some(Ok(frame)) => record.response_bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(error)) => {
                if let BrokenOff::Upstream(Broken::Reflected(_)) = error {
                    record.code = Some(Code::SecretReflected);
                }
                record.complete = false;
                tracing::warn!(request_id = record.request_id().as_str(), host = record.upstream_host, cause = %error, "answer broken off");
                return;
            }
            None => {}
        }
        record.complete |= ended;
    }
}

impl Source {
    /// Whether the upstream has sent the secret back so far.
    fn reflected(&self) -> bool {
        match self {
            Source::Own(_) => false,
            Source::Upstream { body, .. } => body.found(),
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self {
            Source::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Upstream { body, idle, timer } => loop {
                match Pin::new(&mut *body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => match clean(frame) {
                        Ok(Some(trailers)) => return Poll::Ready(Some(Ok(trailers))),
                        Ok(None) => {}
                        Err(error) => return Poll::Ready(Some(Err(error.into()))),
                    },
                    Poll::Ready(frame) => {
                        *timer = None;
                        return Poll::Ready(frame.map(|frame| frame.map_err(BrokenOff::from)));
                    }
                    Poll::Pending => {
                        let idle = *idle;
                        let timer = timer.get_or_insert_with(|| Deadline::after(idle));
                        return Pin::new(timer).poll(cx).map(|()| Some(Err(BrokenOff::Idle(idle))));
                    }
                }
            },
        }
    }
}

/// Trailers as they may pass, unless nothing is left of them.
fn clean(frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, TooMany> {
    let Ok(mut trailers) = frame.into_trailers() else { return Ok(None) };
    trailers::clean(&mut trailers)?;
    Ok((!trailers.is_empty()).then(|| Frame::trailers(trailers)))
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let answer = self.get_mut();
        if let Some(broken) = answer.broken.take() {
            let frame = Some(Err(broken));
            answer.note(&frame);
            return Poll::Ready(frame);
        }
        if let Some(transit) = answer.transit() {
            ready!(transit.poll_room(cx));
        }
        let mut polled = answer.body.poll_frame(cx);
        if let Poll::Ready(Some(Err(broken))) = polled {
            // hyper drops what it has not sent yet when a body fails, the answer's head for one; it sends when it has to wait.
            answer.broken = Some(broken);
            cx.waker().wake_by_ref();
            polled = Poll::Pending;
        }
        let frame = ready!(polled);
        answer.note(&frame);
        let Some(transit) = answer.transit() else { return Poll::Ready(frame) };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|bytes| transit.carry(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            _ if self.broken.is_some() => false,
            Source::Own(bytes) => bytes.is_none(),
            Source::Upstream { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Source::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Source::Upstream { body, .. } => body.size_hint(),
        }
    }
}

/// The answer to HEAD (RFC 9110 section 9.3.2): its fields are those that GET would have had. hyper sees to that in
/// HTTP/1 only.
pub fn without_body(mut answer: Response<Answer>) -> Response<Answer> {
    if let Some(length) = answer.body().size_hint().exact().filter(|length| *length > 0) {
        answer.headers_mut().entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
    answer.map(|answer| Answer { body: Source::Own(None), ..answer })
}

/// The error body of spec section 7, as JSON.
pub fn error_body(code: Code, request_id: &str, hint: Option<&str>) -> Vec<u8> {
    let body = Refusal { error: code.as_str(), message: code.message(), request_id, hint };
    serde_json::to_vec(&body).unwrap_or_default()
}

#[derive(Serialize)]
struct Refusal<'a> {
    error: &'static str,
    message: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

/// Our own answer for a failure: fixed texts, an id, a hint, and the fields that go with its status. `ways.forward`: the
/// caller takes us for a proxy and not for the upstream, so the credential that it lacks is one for a proxy.
pub fn refusal(error: &Error, request_id: &str, ways: WaysIn) -> Response<Answer> {
    let code = error.code();
    let mut answer = Response::new(Answer::own(error_body(code, request_id, error.hint(ways).as_deref())));
    *answer.status_mut() = code.status();
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(fields::ERROR, HeaderValue::from_static(code.as_str()));
    let challenged = code.status() == StatusCode::UNAUTHORIZED;
    if challenged && ways.forward {
        let challenges = "Basic realm=\"veilwarden\", Bearer realm=\"veilwarden\"";
        headers.insert(PROXY_AUTHENTICATE, HeaderValue::from_static(challenges));
    } else if challenged {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"veilwarden\""));
    }
    if code.status() == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    if let Some(wait) = error.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    if error.poisons_connection() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if challenged && ways.forward {
        *answer.status_mut() = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
    }
    answer
}

/// An answer of our own as it is written in HTTP/1, for where nothing was asked.
pub fn written(answer: Response<Answer>) -> Vec<u8> {
    let (head, body) = answer.into_parts();
    let Source::Own(body) = body.body else { return Vec::new() };
    let body = body.unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {}\r\n{CONTENT_LENGTH}: {}\r\n", head.status, body.len()).into_bytes();
    for (name, value) in &head.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    bytes
}
