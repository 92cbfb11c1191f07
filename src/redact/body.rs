//! An upstream's body, searched while it passes.

use std::collections::VecDeque;
use std::fmt::Display;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, timeout_at};

use super::coding::{Coding, Decoder, Unreadable, describe_decoded};
use super::{Reflected, Stream, Watch, head};

/// Where a secret ends the answer, so much of a body is looked at before its head leaves, in bytes, and so long.
const LOOK_AHEAD: usize = 16 << 10;
const LOOK_AHEAD_TIME: Duration = Duration::from_millis(100);
/// So much of a piece is put behind what is held, to see what that is, in bytes. In a piece of random bytes the last ones are
/// often the first of some spelling, and the whole of the next piece would be copied for them.
const BORDER: usize = 512;

/// A body as it came, or one that is searched.
#[derive(Debug)]
pub enum Body<B> {
    Plain(B),
    Searched(Box<Searched<B>>),
}

/// A body whose secrets are masked, or which ends at the first of them.
#[derive(Debug)]
pub struct Searched<B> {
    inner: B,
    watch: Watch,
    stream: Stream,
    decoder: Option<Decoder>,
    /// Its length is known from the start, and stays what it is.
    sized: bool,
    /// The upstream's body has ended, with these trailers.
    ended: bool,
    trailers: Option<HeaderMap>,
    /// What may go on. When nothing more comes, `over`.
    ready: VecDeque<Result<Frame<Bytes>, Broken>>,
    over: bool,
    /// A secret stood in the head or in trailers.
    found: bool,
}

/// Why a body ends early.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Broken {
    #[error("{0}")]
    Upstream(String),
    #[error("its coding cannot be read: {0}")]
    Coding(String),
    #[error(transparent)]
    Reflected(#[from] Reflected),
}

/// Why an answer is refused whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Reflected(#[from] Reflected),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl<B> Body<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Display,
{
    /// Masks the answer's head, makes it that of the body that the caller will get, and puts the search around the body.
    /// Without a watch all stays as it is.
    pub fn search(answer: Response<B>, watch: Option<Watch>) -> Result<Response<Body<B>>, Refused> {
        let Some(watch) = watch else { return Ok(answer.map(Body::Plain)) };
        let (mut parts, inner) = answer.into_parts();
        let found = head::mask(&mut parts.headers, &watch)?;
        let over = inner.is_end_stream();
        let coding = match Coding::of(&parts.headers) {
            // There is nothing to be read.
            Err(_) if over => None,
            coding => coding?,
        };
        let part = parts.status == StatusCode::PARTIAL_CONTENT && coding.is_some();
        let message = head::coding_of_messages(&parts.headers).filter(|_| !over);
        if let Some(what) = message.or(part.then_some("a part in a coding")) {
            return Err(Unreadable::new(what).into());
        }
        if coding.is_some() {
            describe_decoded(&mut parts.headers);
        }
        let searched = Searched {
            sized: coding.is_none() && inner.size_hint().exact().is_some(),
            inner,
            stream: Stream::new(watch.clone()),
            watch,
            decoder: coding.map(Decoder::new),
            ended: over,
            trailers: None,
            ready: VecDeque::new(),
            over,
            found,
        };
        Ok(Response::from_parts(parts, Body::Searched(Box::new(searched))))
    }

    /// Before the head of an answer that a secret would end leaves: looks at what there is of its body, for a moment.
    pub async fn look_ahead(&mut self) -> Result<(), Reflected> {
        match self {
            Body::Searched(searched) if searched.watch.block => searched.look_ahead().await,
            Body::Plain(_) | Body::Searched(_) => Ok(()),
        }
    }

    /// Whether a secret has been seen so far.
    pub fn found(&self) -> bool {
        match self {
            Body::Plain(_) => false,
            Body::Searched(searched) => searched.found || searched.stream.found(),
        }
    }
}

impl<B> Searched<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Display,
{
    /// What it has seen waits as one frame: pieces may have one byte each, and all that waits is counted for each that leaves.
    async fn look_ahead(&mut self) -> Result<(), Reflected> {
        let (mut seen, mut last) = (BytesMut::new(), None);
        let until = Instant::now() + LOOK_AHEAD_TIME;
        while seen.len() < LOOK_AHEAD {
            match timeout_at(until, poll_fn(|cx| self.poll(cx))).await {
                Err(_) | Ok(None) => break,
                Ok(Some(Err(Broken::Reflected(reflected)))) => return Err(reflected),
                Ok(Some(frame)) => match frame.map(Frame::into_data) {
                    Ok(Ok(data)) => seen.extend_from_slice(&data),
                    // Nothing follows trailers or an error.
                    Ok(Err(trailers)) => last = Some(Ok(trailers)),
                    Err(broken) => last = Some(Err(broken)),
                },
            }
        }
        let seen = (!seen.is_empty()).then(|| Ok(Frame::data(seen.freeze())));
        self.ready = seen.into_iter().chain(last).chain(self.ready.drain(..)).collect();
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Poll::Ready(Some(frame));
            }
            if self.over {
                return Poll::Ready(None);
            }
            let Err(broken) = ready!(self.go_on(cx)) else { continue };
            self.over = true;
            return Poll::Ready(Some(Err(broken)));
        }
    }

    /// One step: decodes what is there, or ends, or takes the next frame of the upstream.
    fn go_on(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if let Some(piece) = ready!(self.poll_decode(cx))? {
            return Poll::Ready(self.pass(piece));
        }
        if self.ended {
            return Poll::Ready(self.end());
        }
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Err(Broken::Upstream(error.to_string()))),
            None => {
                self.ended = true;
                return Poll::Ready(Ok(()));
            }
        };
        Poll::Ready(match frame.into_data() {
            Ok(data) => self.take(data),
            Err(frame) => {
                self.ended = true;
                self.trailers = frame.into_trailers().ok();
                Ok(())
            }
        })
    }

    fn poll_decode(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Broken>> {
        let Some(decoder) = &mut self.decoder else { return Poll::Ready(Ok(None)) };
        decoder.poll_decode(cx).map_err(|error| Broken::Coding(error.to_string()))
    }

    fn take(&mut self, data: Bytes) -> Result<(), Broken> {
        // The last piece goes out whole: nobody may ask for another one.
        self.ended = self.inner.is_end_stream();
        match &mut self.decoder {
            Some(decoder) => {
                decoder.feed(data);
                Ok(())
            }
            None => self.pass(data),
        }
    }

    fn pass(&mut self, mut text: Bytes) -> Result<(), Broken> {
        if self.stream.holds() > 0 && text.len() > BORDER {
            let decided = self.stream.push(text.split_to(BORDER))?;
            self.queue(decided);
        }
        let mut text = self.stream.push(text)?;
        if self.ended && self.decoder.is_none() {
            let rest = self.stream.end();
            if !rest.is_empty() {
                text = [text, rest].concat().into();
            }
            self.over = true;
        }
        self.queue(text);
        Ok(())
    }

    fn queue(&mut self, text: Bytes) {
        if !text.is_empty() {
            self.ready.push_back(Ok(Frame::data(text)));
        }
    }

    fn end(&mut self) -> Result<(), Broken> {
        if let Some(decoder) = &mut self.decoder {
            decoder.finish().map_err(|error| Broken::Coding(error.to_string()))?;
        }
        let mut trailers = self.trailers.take();
        if let Some(trailers) = &mut trailers {
            self.found |= head::mask(trailers, &self.watch)?;
        }
        let rest = Some(self.stream.end()).filter(|rest| !rest.is_empty());
        self.ready.extend(rest.map(|rest| Ok(Frame::data(rest))));
        self.ready.extend(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        self.over = true;
        Ok(())
    }

    /// So many bytes may go on or are held back.
    fn waiting(&self) -> u64 {
        let ready = self.ready.iter().flatten().filter_map(Frame::data_ref).map(Bytes::len).sum::<usize>();
        (ready + self.stream.holds()) as u64
    }
}

impl<B> HttpBody for Body<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Display,
{
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Body::Plain(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(|error| Broken::Upstream(error.to_string()))))
            }
            Body::Searched(searched) => searched.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Plain(body) => body.is_end_stream(),
            Body::Searched(searched) => searched.over && searched.ready.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let searched = match self {
            Body::Plain(body) => return body.size_hint(),
            Body::Searched(searched) => searched,
        };
        let mut hint = SizeHint::new();
        // What breaks off has no length, and what has trailers none that its head could be given.
        let counts = |frame: &Frame<Bytes>| searched.sized || frame.is_data();
        if searched.over && searched.ready.iter().all(|frame| frame.as_ref().is_ok_and(counts)) {
            hint.set_exact(searched.waiting());
        } else if !searched.over && searched.decoder.is_none() {
            let inner = searched.inner.size_hint();
            hint.set_lower(inner.lower() + searched.waiting());
            if let Some(upper) = inner.upper() {
                hint.set_upper(upper + searched.waiting());
            }
        }
        hint
    }
}

#[cfg(test)]
mod tests;
