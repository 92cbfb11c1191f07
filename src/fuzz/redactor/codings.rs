//! Bodies: what is decoded is searched, and what is let through whole is what another decoder makes of it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use flate2::{Compression, bufread, write};
use http::{HeaderValue, Response, header};
use hyper::body::{Body as HttpBody, Frame};

use super::{Case, Passed};
use crate::redact::Body;
use crate::redact::body::Broken;

/// The longest text that the plain search is asked about. A bomb makes megabytes.
const LONGEST: u64 = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    None,
    Gzip,
    Deflate,
}

/// A text that is coded here, or bytes that are said to be coded.
pub(super) fn pass(case: &Case, coding: Coding, bytes: &[u8], as_it_is: bool) {
    let coded = if as_it_is { Ok(bytes.to_vec()) } else { coding.write(bytes) };
    let coded = coded.unwrap_or_else(|error| panic!("{coding:?} cannot be written: {error}"));
    let (out, found, end) = sent(case, coding, &coded);
    assert!(out.len() <= coded.len() * 1032, "{} bytes of {}", out.len(), coded.len());
    let outcome = match end {
        Ok(()) => Ok(found),
        Err(Broken::Reflected(reflected)) => Err(reflected),
        Err(Broken::Coding(error)) => {
            assert!(as_it_is && coding != Coding::None, "{error}");
            if out.len() as u64 <= LONGEST {
                case.has_none(&out);
            }
            return;
        }
        Err(Broken::Upstream(error)) => panic!("the upstream did not fail: {error}"),
    };
    match (as_it_is, coding.read(&coded)) {
        (false, _) => case.judge(bytes, &Passed { out, outcome }),
        // One that has not been read to its end.
        (true, Err(_)) if outcome.is_err() => case.has_none(&out),
        (true, Ok(text)) if text.len() as u64 > LONGEST => {}
        (true, Ok(text)) => case.judge(&text, &Passed { out, outcome }),
        (true, Err(error)) => panic!("another decoder does not take it: {error}"),
    }
}

impl Coding {
    fn write(self, text: &[u8]) -> io::Result<Vec<u8>> {
        let level = Compression::fast();
        let mut gzip = write::GzEncoder::new(Vec::new(), level);
        let mut zlib = write::ZlibEncoder::new(Vec::new(), level);
        let mut deflate = write::DeflateEncoder::new(Vec::new(), level);
        match self {
            Coding::None => Ok(text.to_vec()),
            Coding::Gzip => gzip.write_all(text).and_then(|()| gzip.finish()),
            Coding::Deflate if text.len().is_multiple_of(2) => zlib.write_all(text).and_then(|()| zlib.finish()),
            Coding::Deflate => deflate.write_all(text).and_then(|()| deflate.finish()),
        }
    }

    /// By decoders that are read from, where ours are written to; a little more than the longest text at most.
    fn read(self, coded: &[u8]) -> io::Result<Vec<u8>> {
        let (mut text, mut rest) = (Vec::new(), coded);
        let reader: Box<dyn Read + '_> = match (self, coded.first()) {
            (Coding::None, _) | (_, None) => Box::new(&mut rest),
            (Coding::Gzip, _) => Box::new(bufread::MultiGzDecoder::new(&mut rest)),
            (Coding::Deflate, Some(first)) if first & 0x8f == 8 => Box::new(bufread::ZlibDecoder::new(&mut rest)),
            (Coding::Deflate, _) => Box::new(bufread::DeflateDecoder::new(&mut rest)),
        };
        let length = reader.take(LONGEST + 1).read_to_end(&mut text)?;
        if rest.is_empty() || length as u64 > LONGEST { Ok(text) } else { Err(io::Error::other("there is a tail")) }
    }
}

/// What reaches the caller of such a body, whether a secret was seen, and how it ends.
fn sent(case: &Case, coding: Coding, coded: &[u8]) -> (Vec<u8>, bool, Result<(), Broken>) {
    let pieces = case.pieces(coded).into_iter().map(Bytes::copy_from_slice).collect();
    let mut answer = Response::new(Played(pieces));
    let name = match coding {
        Coding::None => "identity",
        Coding::Gzip => "gzip",
        Coding::Deflate => "deflate",
    };
    answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    let searched = Body::search(answer, Some(case.watch.clone()));
    let mut body = searched.unwrap_or_else(|error| panic!("a head of no secret is refused: {error}")).into_body();
    let woken = Arc::new(Woken::default());
    let (mut out, waker) = (Vec::new(), Waker::from(Arc::clone(&woken)));
    loop {
        match Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker)) {
            Poll::Pending => assert!(woken.0.swap(false, Ordering::Relaxed), "it waits, although all has come"),
            Poll::Ready(None) => return (out, body.found(), Ok(())),
            Poll::Ready(Some(Err(broken))) => return (out, body.found(), Err(broken)),
            Poll::Ready(Some(Ok(frame))) => out.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..])),
        }
    }
}

/// Whether the body has asked to be polled again.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An upstream's body that is there at once.
struct Played(VecDeque<Bytes>);

impl HttpBody for Played {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|data| Ok(Frame::data(data))))
    }
}
