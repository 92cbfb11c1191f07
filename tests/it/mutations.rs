//! Whatever arrives on a connection, no request leaves that did not bring its own credential.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::framing::fill;
use crate::world::exchange::is_refusal;
use crate::world::raw::{Answer, parse_answers};
use crate::world::recorder::Seen;
use crate::world::{PATIENCE, Started, World, within};

const GOOD: [&str; 3] = [
    "POST /x HTTP/1.1\r\n$OKContent-Length: 33\r\n\r\nGET /in HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "POST /x HTTP/1.1\r\n$OKTransfer-Encoding: chunked\r\n\r\n5;e=f\r\nhello\r\n1c\r\nGET /in HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\nT: t\r\n\r\n",
    "GET /x HTTP/1.1\r\n$OKConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n",
];

/// What smugglers put between bytes.
const PIECES: [&str; 18] = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    ";",
    "0\r\n\r\n",
    "\r\n\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 5\r\n",
    "Connection: close\r\n",
    "X-Upstream-Host: b.test\r\n",
    "GET /smug HTTP/1.1\r\nHost: a\r\nX-Upstream-Host: a.test\r\n\r\n",
    "HTTP/1.0",
];

#[derive(Debug, Clone)]
enum Mutation {
    Replace(Index, u8),
    Insert(Index, &'static str),
    Remove(Index, usize),
    /// Repeats some bytes behind themselves.
    Repeat(Index, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (any::<Index>(), select(&PIECES[..])).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        (any::<Index>(), 1usize..20).prop_map(|(at, length)| Mutation::Remove(at, length)),
        (any::<Index>(), 1usize..60).prop_map(|(at, length)| Mutation::Repeat(at, length)),
    ]
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let slice = |at: usize, length: usize| at..(at + length).min(bytes.len());
    match mutation {
        _ if bytes.is_empty() => {}
        Mutation::Replace(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Mutation::Insert(at, piece) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, piece.bytes());
        }
        Mutation::Remove(at, length) => drop(bytes.drain(slice(at.index(bytes.len()), *length))),
        Mutation::Repeat(at, length) => {
            let again = bytes[slice(at.index(bytes.len()), *length)].to_vec();
            let at = at.index(bytes.len());
            bytes.splice(at..at, again);
        }
    }
}

/// Sends the bytes, reads what comes back, hangs up once nothing more does. Only upper bounds are asserted, so that
/// hanging up early can hide a fault from one run but never invent one.
async fn send(world: &Started, bytes: &[u8]) -> Vec<u8> {
    const QUIET: std::time::Duration = std::time::Duration::from_millis(20);
    let mut stream = world.connect().await;
    let _ = stream.write_all(bytes).await;
    let (mut chunk, mut back) = ([0; 4096], Vec::new());
    while let Ok(Ok(n @ 1..)) = tokio::time::timeout(QUIET, stream.read(&mut chunk)).await {
        back.extend_from_slice(&chunk[..n]);
    }
    back
}

/// Every answer is the pipeline's: none is the HTTP parser's own, which would have no id and leave no record.
fn is_ours(answer: &Answer) -> bool {
    answer.headers("x-request-id").len() == 1 && (answer.status == 200 || is_refusal(answer, answer.status).is_ok())
}

/// What has reached either upstream so far.
fn requests(world: &Started) -> Vec<Seen> {
    [world.a.seen(), world.b.seen()].concat()
}

fn count(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).filter(|window| *window == needle).count()
}

#[test]
fn at_most_one_request_leaves_for_each_credential_that_arrives() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut world = runtime.block_on(async { World::new().await.start().await });
    let config = Config {
        cases: 200,
        failure_persistence: None,
        max_shrink_time: PATIENCE.as_millis() as u32,
        ..Config::default()
    };
    let strategy = (select(&GOOD[..]), vec(mutation(), 1..4));
    let (number, brought) = (Cell::new(0), Cell::new(0));
    let judged = TestRunner::new(config).run(&strategy, |(good, mutations)| {
        number.set(number.get() + 1);
        let mark = format!("case-{}", number.get());
        let mut bytes = fill(&world, good.replace("$OK", &format!("$OKX-Mark: {mark}\r\n")).as_bytes());
        mutations.iter().for_each(|mutation| apply(&mut bytes, mutation));
        let credentials = count(&bytes, world.session_secret().as_bytes());
        brought.set(brought.get() + credentials);
        let back = runtime.block_on(send(&world, &bytes));
        // A request of an earlier case may arrive late; its mark tells.
        let left = requests(&world).iter().filter(|seen| seen.header("x-mark") == Some(&mark)).count();
        prop_assert!(left <= credentials, "{} left for {}: {}", left, credentials, bytes.escape_ascii());
        for answer in parse_answers(&back) {
            prop_assert!(is_ours(&answer), "{:?} to {}", answer, bytes.escape_ascii());
        }
        Ok(())
    });
    judged.unwrap_or_else(|failure| panic!("{failure}"));
    runtime.block_on(async {
        world.assert_works("after all of it").await;
        assert!(requests(&world).len() <= brought.get() + 1);
        for seen in requests(&world) {
            assert_ne!(seen.target(), "/in", "a body became a request: {}", seen.head);
        }
        let records = within("the stop", world.stop()).await;
        assert!(records.len() >= requests(&world).len(), "a request left without a record");
    });
}
