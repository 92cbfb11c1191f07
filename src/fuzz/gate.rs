//! The gate, the HTTP parser and a second reader agree on every byte that passes.

use std::convert::Infallible;
use std::io::Cursor;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::reference;
use crate::gate::Limits;
use crate::gate::framer::Framer;
use crate::request::{credential, fields};

/// A session secret that inputs may have in them.
const SECRET: &str = "canary-0123456789";

/// What the parser made of one request; `body` is `None` when it breaks off.
struct Seen {
    method: String,
    target: String,
    body: Option<Vec<u8>>,
    headers: HeaderMap,
}

/// The first byte says how the rest is cut into pieces, and whether forward mode is on.
pub fn gate(data: &[u8]) {
    let Some((&seed, bytes)) = data.split_first() else { return };
    let forward = seed & 1 == 1;
    let whole = Passed::of(bytes, bytes.len().max(1), forward);
    let pieces = Passed::of(bytes, usize::from(seed >> 1) + 1, forward);
    assert_eq!(whole, pieces, "the verdict depends on how the bytes come");
    // What follows a request that HTTP may end with is another matter.
    let approved = &bytes[..whole.undecided.unwrap_or(whole.count)];
    let expected = reference::messages(approved);
    let (seen, written) = served(approved);
    assert!(seen.len() <= expected.len(), "the parser saw {} requests, {} passed", seen.len(), expected.len());
    for (at, message) in expected.iter().enumerate() {
        let Some(seen) = seen.get(at) else {
            assert!(at > 0 && expected[at - 1].last, "the parser did not see request {at}");
            break;
        };
        assert_eq!((&*seen.method, spelled(&seen.target)), (message.method, spelled(message.target)));
        assert_eq!(seen.body.as_deref(), message.whole.then_some(&message.body[..]), "the body of request {at}");
        spend(seen.headers.clone(), message.head);
    }
    let answers = memmem::find_iter(&written, OURS).count();
    let all = memmem::find_iter(&written, b"HTTP/1.").count();
    let interim = memmem::find_iter(&written, b" 100 Continue").count();
    assert_eq!(
        (answers, interim + answers),
        (seen.len(), all),
        "the parser answered by itself: {}",
        written.escape_ascii()
    );
}

/// A target of absolute-form has its scheme in any case, and its last slash or none.
fn spelled(target: &str) -> String {
    if target.starts_with('/') { target.to_owned() } else { target.to_ascii_lowercase().replace('/', "") }
}

/// No request takes a credential that does not stand in its own head, and none keeps the one that it brought.
fn spend(mut headers: HeaderMap, head: &[u8]) {
    let Ok(Some(found)) = credential::take(&mut headers, false, &[]) else { return };
    if found.expose() != SECRET || fields::strip_request(&mut headers).is_err() {
        return;
    }
    let has = |text: &[u8]| memmem::find(text, SECRET.as_bytes()).is_some();
    let basic = memmem::find(&head.to_ascii_lowercase(), b"basic ").is_some();
    assert!(has(head) || basic, "a credential of another request");
    assert!(!headers.values().any(|value| has(value.as_bytes())), "the credential stays: {headers:?}");
}

/// What the gate does with a stream.
#[derive(Debug, PartialEq, Eq)]
struct Passed {
    count: usize,
    refused: bool,
    /// So much had passed when it first waited for a decision.
    undecided: Option<usize>,
}

impl Passed {
    /// Of `bytes` that come in pieces of `size`.
    fn of(bytes: &[u8], size: usize, forward: bool) -> Passed {
        // Small enough to be reached by small inputs.
        let limits = Limits { max_headers: 8, max_header_bytes: 512, max_target_bytes: 64, ..Limits::default() };
        let mut framer = Framer::new(limits, forward);
        let (mut passed, mut held) = (Passed { count: 0, refused: false, undecided: None }, Vec::new());
        for piece in bytes.chunks(size) {
            held.extend_from_slice(piece);
            while !held.is_empty() {
                if framer.held().is_some() {
                    passed.undecided.get_or_insert(passed.count);
                    framer.carry_on();
                }
                match framer.approve(&held) {
                    Ok(0) if framer.held().is_none() => break,
                    Ok(n) => {
                        held.drain(..n);
                        passed.count += n;
                    }
                    Err(_) => return Passed { refused: true, ..passed },
                }
            }
        }
        if framer.held().is_some() {
            passed.undecided.get_or_insert(passed.count);
        }
        passed
    }
}

/// The status line of this service's answers, by which they are told from the parser's own.
const OURS: &[u8] = b" 299 ";

/// What hyper makes of the bytes, set up as the server sets it up, and what it writes.
fn served(bytes: &[u8]) -> (Vec<Seen>, Vec<u8>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::new(Mutex::new(Vec::new()));
    let io = Script { input: Cursor::new(bytes.to_vec()), output: Arc::clone(&written) };
    let service = service_fn(|request: Request<Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.ok().map(|body| body.to_bytes().to_vec());
            let (method, target) = (parts.method.to_string(), parts.uri.to_string());
            lock(&seen).push(Seen { method, target, body, headers: parts.headers });
            Ok::<_, Infallible>(Response::builder().status(299).body(Empty::<Bytes>::new()).unwrap_or_default())
        }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(io), service);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    // Its outcome says no more than what was seen and written.
    let _ = runtime.block_on(serving);
    let seen = std::mem::take(&mut *lock(&seen));
    let written = std::mem::take(&mut *lock(&written));
    (seen, written)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection whose peer says its bytes and then no more.
struct Script {
    input: Cursor<Vec<u8>>,
    output: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.input).poll_read(cx, buf)
    }
}

impl AsyncWrite for Script {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        lock(&self.output).extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
