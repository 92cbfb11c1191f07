use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use http::HeaderValue;
use http::header::HeaderName;
use http_body_util::BodyExt;

use super::*;
use crate::redact::Needles;
use crate::redact::coding::TURN;

const SECRET: &str = "sk-live_4f9a";

/// Frames that come one after the other, with or without a length that is known from the start.
#[derive(Debug)]
struct Played {
    frames: VecDeque<Result<Frame<Bytes>, String>>,
    length: bool,
    /// Nothing more comes, and no end either.
    hangs: bool,
}

impl HttpBody for Played {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        let played = self.get_mut();
        if played.frames.is_empty() && played.hangs {
            return Poll::Pending;
        }
        Poll::Ready(played.frames.pop_front())
    }

    fn is_end_stream(&self) -> bool {
        self.length && self.frames.is_empty() && !self.hangs
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.frames.iter().flatten().filter_map(Frame::data_ref).map(Bytes::len).sum::<usize>();
        if self.length { SizeHint::with_exact(rest as u64) } else { SizeHint::new() }
    }
}

fn data(text: &str) -> Result<Frame<Bytes>, String> {
    Ok(Frame::data(Bytes::copy_from_slice(text.as_bytes())))
}

fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
    let field =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    fields.iter().map(field).collect()
}

/// An answer whose length is known, or whose end is.
fn answer(frames: Vec<Result<Frame<Bytes>, String>>, length: bool) -> Response<Played> {
    Response::new(Played { frames: frames.into(), length, hangs: false })
}

fn search(answer: Response<Played>, block: bool) -> Result<Response<Body<Played>>, Refused> {
    let needles = Arc::new(Needles::new(SECRET.as_bytes(), format!("Bearer {SECRET}").as_bytes()).unwrap());
    Body::search(answer, Some(Watch { needles, block }))
}

fn gzipped(text: &[u8]) -> Bytes {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text).unwrap();
    gzip.finish().unwrap().into()
}

/// Whatever comes, up to the first failure.
async fn read(mut body: Body<Played>) -> (Vec<String>, Option<HeaderMap>, Result<(), Broken>) {
    let (mut pieces, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => pieces.push(String::from_utf8(data.to_vec()).unwrap()),
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
            Err(broken) => return (pieces, trailers, Err(broken)),
        }
    }
    assert!(body.is_end_stream());
    (pieces, trailers, Ok(()))
}

#[tokio::test]
async fn a_body_of_known_length_ends_with_its_last_piece() {
    let mut body = search(answer(vec![data("a sk-li"), data("ve_4f9a, sk-")], true), false).unwrap().into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(19), false));
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a ");
    assert_eq!(body.size_hint().exact(), Some(17));
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "************, sk-");
    assert!(body.is_end_stream() && body.found());
    let empty = search(answer(vec![], true), false).unwrap().into_body();
    assert_eq!((empty.size_hint().exact(), empty.is_end_stream()), (Some(0), true));
}

#[tokio::test]
async fn a_large_piece_is_not_copied_for_what_is_held_before_it() {
    let large = Bytes::from(vec![b'x'; 4096]);
    let mut body = search(answer(vec![data("a s"), Ok(Frame::data(large.clone()))], true), false).unwrap().into_body();
    let mut next = async || body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(next().await, "a ");
    assert_eq!(next().await, [b"s", &large[..BORDER]].concat());
    let rest = next().await;
    assert_eq!((rest.len(), rest.as_ptr()), (large.len() - BORDER, large[BORDER..].as_ptr()));
    assert!(body.is_end_stream() && !body.found());
}

#[tokio::test]
async fn f27_a_secret_is_masked_wherever_it_lies_on_the_border_of_a_large_piece() {
    for at in (BORDER - SECRET.len() - 1..=BORDER + 1).chain([0]) {
        let text = format!("s{}{SECRET}{}", "x".repeat(at), "y".repeat(BORDER));
        let body = search(answer(vec![data("a s"), data(&text)], true), false).unwrap().into_body();
        let (pieces, _, ended) = read(body).await;
        let masked = format!("a s{}", text.replace(SECRET, &"*".repeat(SECRET.len())));
        assert_eq!((pieces.concat(), ended.is_ok()), (masked, true), "{at}");
    }
}

#[tokio::test]
async fn a_body_of_known_length_has_all_of_it_before_its_trailers() {
    for (length, rest) in [(true, Some(0)), (false, None)] {
        let trailers = Ok(Frame::trailers(fields(&[("x-sum", "1")])));
        let mut body = search(answer(vec![data("a sk-"), trailers], length), false).unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a ");
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "sk-");
        assert_eq!(body.size_hint().exact(), rest, "who counts asks for no more");
        assert!(body.frame().await.unwrap().unwrap().is_trailers());
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_gives_back_what_it_held_and_then_its_trailers() {
    let trailers = Frame::trailers(fields(&[("grpc-status", "0"), ("x-echo", "Bearer sk-live_4f9a")]));
    let body = search(answer(vec![data("a sk-"), Ok(trailers)], false), false).unwrap().into_body();
    let (pieces, trailers, ended) = read(body).await;
    assert_eq!((pieces, ended.is_ok()), (vec!["a ".to_owned(), "sk-".to_owned()], true));
    assert_eq!(trailers.unwrap(), fields(&[("grpc-status", "0"), ("x-echo", "*******************")]));
}

#[tokio::test]
async fn a_body_that_breaks_off_never_ends_well() {
    let body = search(answer(vec![data("a sk-live"), Err("reset".into())], false), false).unwrap().into_body();
    let (pieces, _, ended) = read(body).await;
    assert!(matches!(ended, Err(Broken::Upstream(why)) if why == "reset"));
    assert_eq!(pieces, ["a "]);
}

#[tokio::test]
async fn f27_block_ends_the_answer_before_a_byte_of_the_secret_left() {
    let echo = Frame::trailers(fields(&[("x-echo", SECRET)]));
    for (frames, left) in [
        (vec![data("a sk-live_4f9a b")], ""),
        (vec![data("a sk-live"), data("_4f9a b")], "a "),
        (vec![data("a "), Ok(echo)], "a "),
    ] {
        let body = search(answer(frames, false), true).unwrap().into_body();
        let (pieces, trailers, ended) = read(body).await;
        assert!(matches!(ended, Err(Broken::Reflected(_))));
        assert_eq!((pieces.concat(), trailers), (left.to_owned(), None));
    }
    let mut head = answer(vec![], true);
    *head.headers_mut() = fields(&[("x-echo", SECRET)]);
    assert_eq!(search(head, true).unwrap_err(), Refused::Reflected(Reflected));
}

#[tokio::test(start_paused = true)]
async fn block_looks_at_what_there_is_before_the_head_leaves_and_loses_nothing_of_it() {
    let mut body = search(answer(vec![data("a sk-live"), data("_4f9a b")], false), true).unwrap().into_body();
    assert_eq!(body.look_ahead().await, Err(Reflected));
    let mut body =
        search(answer(vec![data("a sk-"), data("b"), Err("reset".into())], false), true).unwrap().into_body();
    assert_eq!(body.look_ahead().await, Ok(()));
    assert_eq!(read(body).await.0.concat(), "a sk-b");
    let mut body = search(answer(vec![data("whole")], true), true).unwrap().into_body();
    assert_eq!(body.look_ahead().await, Ok(()));
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(5), false));
    assert_eq!(read(body).await.0.concat(), "whole");
    // One that says nothing for the moment is not waited for.
    let mut silent = answer(vec![data("first")], false);
    silent.body_mut().hangs = true;
    let mut body = search(silent, true).unwrap().into_body();
    assert_eq!(body.look_ahead().await, Ok(()));
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut body).poll_frame(&mut context).is_pending());
    // A long one is not read to its end.
    let long = "x".repeat(LOOK_AHEAD);
    let mut body = search(answer(vec![data(&long), data(SECRET)], false), true).unwrap().into_body();
    assert_eq!(body.look_ahead().await, Ok(()));
    assert_eq!(read(body).await.0.concat(), long);
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_the_look_ahead_is_one_frame_however_many_pieces_came() {
    let trailers = || Ok(Frame::trailers(fields(&[("x-sum", "1")])));
    for (length, last) in
        [(5000, None), (5000, Some(trailers())), (5000, Some(Err("reset".into()))), (LOOK_AHEAD + 9, Some(trailers()))]
    {
        let text: String = ('a'..='z').cycle().take(length).collect();
        let pieces = text.as_bytes().chunks(1).map(|byte| Ok(Frame::data(Bytes::copy_from_slice(byte))));
        let (has_trailers, fails) = (matches!(last, Some(Ok(_))), matches!(last, Some(Err(_))));
        let mut body = search(answer(pieces.chain(last).collect(), false), true).unwrap().into_body();
        assert_eq!(body.look_ahead().await, Ok(()));
        let (pieces, trailers, ended) = read(body).await;
        assert_eq!((&pieces.concat(), trailers.is_some(), ended.is_err()), (&text, has_trailers, fails));
        assert_eq!(pieces[0].len(), length.min(LOOK_AHEAD));
    }
}

#[tokio::test]
async fn f28_d26_a_coded_answer_is_decoded_or_refused_and_never_passed_on_unread() {
    let coded = gzipped(format!("a {SECRET} b").as_bytes());
    for pieces in [1, 5, 1000] {
        let frames = coded.chunks(pieces).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let mut gzip = answer(frames, true);
        *gzip.headers_mut() = fields(&[("content-encoding", "gzip"), ("content-length", "45"), ("etag", "\"x\"")]);
        let answer = search(gzip, false).unwrap();
        assert_eq!(*answer.headers(), fields(&[("etag", "W/\"x\"")]));
        assert_eq!(answer.body().size_hint().exact(), None);
        let (text, _, ended) = read(answer.into_body()).await;
        assert_eq!((text.concat(), ended.is_ok()), ("a ************ b".to_owned(), true));
    }
    let cut = Ok(Frame::data(coded.slice(..coded.len() - 3)));
    let mut gzip = answer(vec![cut], true);
    *gzip.headers_mut() = fields(&[("content-encoding", "gzip")]);
    assert!(matches!(read(search(gzip, false).unwrap().into_body()).await.2, Err(Broken::Coding(_))));
    for (status, lines) in [
        (200, &[("content-encoding", "br")][..]),
        (200, &[("content-encoding", "gzip, gzip")]),
        (206, &[("content-encoding", "gzip")]),
        (200, &[("grpc-encoding", "gzip")]),
        (200, &[("connect-content-encoding", "gzip")]),
    ] {
        let mut unreadable = answer(vec![data("x")], true);
        *unreadable.status_mut() = StatusCode::from_u16(status).unwrap();
        *unreadable.headers_mut() = fields(lines);
        assert!(matches!(search(unreadable, false), Err(Refused::Unreadable(_))), "{lines:?}");
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn f28_what_is_decoded_lets_others_have_their_turn_whatever_becomes_of_it() {
    // Four empty blocks with fixed codes in five bytes, and a text behind very many of them.
    let empty: u64 = 0b010 | 0b010 << 10 | 0b010 << 20 | 0b010 << 30;
    let mut text = DeflateEncoder::new(Vec::new(), Compression::default());
    text.write_all(format!("a {SECRET} b").as_bytes()).unwrap();
    let coded = [empty.to_le_bytes()[..5].repeat(20_000), text.finish().unwrap()].concat();
    for size in [1, 1000, coded.len()] {
        let pieces = coded.chunks(size).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let mut deflate = answer(pieces, false);
        *deflate.headers_mut() = fields(&[("content-encoding", "deflate")]);
        let Body::Searched(mut body) = search(deflate, false).unwrap().into_body() else { panic!("not searched") };
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let (mut text, mut turns) = (Vec::new(), 0);
        loop {
            let before = body.inner.frames.len();
            let polled = body.poll(&mut Context::from_waker(&waker));
            let taken = (before - body.inner.frames.len()) * size;
            assert!(taken <= TURN.max(size) + size, "{taken} bytes of {size} each in one turn");
            match polled {
                Poll::Pending => turns += 1,
                Poll::Ready(Some(frame)) => text.extend_from_slice(&frame.unwrap().into_data().unwrap()),
                Poll::Ready(None) => break,
            }
            assert_eq!(woken.0.load(Ordering::Relaxed), turns, "it waits for nobody");
        }
        assert_eq!((text, turns), (b"a ************ b".to_vec(), coded.len() / TURN), "{size}");
    }
}

#[tokio::test]
async fn an_answer_without_a_body_keeps_a_coding_that_nobody_reads() {
    for (coding, left) in [("br", &[("content-encoding", "br")][..]), ("gzip", &[])] {
        let mut head = answer(vec![], true);
        *head.headers_mut() = fields(&[("content-encoding", coding)]);
        let head = search(head, false).unwrap();
        assert_eq!(*head.headers(), fields(left));
        assert!(head.body().is_end_stream());
    }
}
