//! Group A of hostile-cases.md: where a message ends, so that no two parsers find a different number of them.
//!
//! Every row is followed, on the same connection, by a good request that asks for the connection's end: there are
//! as many answers as requests, and a message whose framing is in doubt is the connection's last.

mod bodies;
mod heads;
mod streams;

use crate::world::exchange::{Outcome, Pieces, is_refusal};
use crate::world::recorder::{OK, Step};
use crate::world::way::{IN_HTTP1, Way};
use crate::world::{Started, World};

/// Stands for the fields of a good request to a.test: `Host`, in reverse mode `X-Upstream-Host`, the credential.
const FIELDS: &[u8] = b"$OK";

/// A message and what is to become of it.
pub struct Row {
    /// Starts with the row's id in hostile-cases.md.
    pub name: String,
    pub bytes: Vec<u8>,
    pub expected: Expected,
}

#[derive(Debug, Clone, Copy)]
pub enum Expected {
    /// Answered with this status; no byte leaves and the connection ends.
    Refused(u16),
    /// The head was good and may have left, but the rest never made a whole request.
    BrokenOff,
    /// Leaves as exactly one request, with this body.
    Forwarded(&'static str),
}

/// Every row of the tables.
fn rows() -> Vec<Row> {
    let mut rows = heads::rows();
    rows.extend(bodies::rows());
    rows
}

/// `text` with [`FIELDS`] filled in for this world and its way, and targets in the form of that.
pub fn fill(world: &Started, text: &[u8]) -> Vec<u8> {
    let credential = world.credential();
    let fields = match world.way {
        Way::Absolute => format!("Host: a.test\r\n{credential}"),
        Way::Tunnel => "Host: a.test:80\r\n".to_owned(),
        _ => format!("Host: proxy.test\r\nX-Upstream-Host: a.test\r\n{credential}"),
    };
    let text = replaced(text, FIELDS, fields.as_bytes());
    let targets: [&[u8]; 4] = [b" /x", b"\t/x", b" /a b", b" /probe"];
    targets.into_iter().filter(|_| world.way == Way::Absolute).fold(text, |text, target| {
        let (space, path) = target.split_at(1);
        replaced(&text, target, &[space, b"http://a.test", path].concat())
    })
}

fn replaced(text: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some(at) = memchr::memmem::find(rest, what) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(with);
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// A world whose upstream knows that an answer to HEAD has no body.
async fn world(way: Way) -> Started {
    let mut world = World::new().await.forward().start().await;
    world.way = way;
    world.a.script(|seen| match seen.line().starts_with("HEAD ") {
        true => vec![Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec())],
        false => vec![Step::Send(OK.to_vec())],
    });
    world
}

/// Plays the rows one by one; all that went wrong is told at once.
async fn play(rows: Vec<Row>, pieces: Pieces, way: Way) {
    let mut world = world(way).await;
    // That of a tunnel's CONNECT is one as well.
    let tunnels = if way == Way::Tunnel { 2 } else { 0 };
    let (mut wrong, mut calls, mut ids) = (Vec::new(), 0, Vec::new());
    for row in rows {
        let bytes = fill(&world, &[&row.bytes, &b"GET /probe HTTP/1.1\r\nConnection: close\r\n$OK\r\n"[..]].concat());
        let outcome = world.exchange(&bytes, pieces).await;
        calls += outcome.answers.len().max(1) + 1 + tunnels;
        ids.extend(outcome.answers.iter().filter_map(|answer| answer.header("x-request-id")).map(str::to_owned));
        if let Err(why) = check(row.expected, &outcome) {
            wrong.push(format!("{}: {why}\n    {outcome:?}", row.name));
        }
        world.assert_works(&row.name).await;
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    let records = world.stop().await;
    assert_eq!(records.len(), calls, "one audit record a call, refused, broken off or not");
    assert_eq!(records.iter().any(|record| record["intercepted"] == true), way == Way::Tunnel);
    for id in ids {
        assert_eq!(records.iter().filter(|record| record["request_id"] == id.as_str()).count(), 1, "{id}");
    }
}

fn check(expected: Expected, outcome: &Outcome) -> Result<(), String> {
    let (answers, left) = (&outcome.answers, &outcome.left);
    match expected {
        Expected::Refused(status) => match &answers[..] {
            [answer] if outcome.bytes == 0 => is_refusal(answer, status),
            [_] => Err("bytes left".to_owned()),
            _ => Err("not exactly one answer".to_owned()),
        },
        Expected::BrokenOff => match &answers[..] {
            _ if !left.is_empty() => Err("a whole request left".to_owned()),
            [] => Ok(()),
            [answer] => is_refusal(answer, 400),
            _ => Err("more than one answer".to_owned()),
        },
        Expected::Forwarded(body) => {
            let fine = |status: &dyn Fn(u16) -> bool| answers.len() == 2 && answers.iter().all(|a| status(a.status));
            match &left[..] {
                _ if !fine(&|status| status == 200) => Err("not two answers with 200".to_owned()),
                [row, probe] if probe.line() == "GET /probe HTTP/1.1" => forwarded(row, body),
                _ => Err("not this request and the probe left".to_owned()),
            }
        }
    }
}

/// The one request has one framing, our own, and the body that was sent.
fn forwarded(seen: &crate::world::recorder::Seen, body: &str) -> Result<(), String> {
    let (lengths, codings) = (seen.headers("content-length"), seen.headers("transfer-encoding"));
    let framed = match (&lengths[..], &codings[..]) {
        ([], ["chunked"]) => chunk_data(&seen.body) == body,
        ([length], []) => *length == body.len().to_string() && seen.body == body.as_bytes(),
        ([], []) => body.is_empty(),
        _ => false,
    };
    if !framed {
        return Err("another body or framing left".to_owned());
    }
    match seen.header("connection") {
        Some(value) => Err(format!("Connection: {value} left")),
        None => Ok(()),
    }
}

/// The data of a chunked body as our client writes it.
pub fn chunk_data(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let (mut rest, mut data) = (&*text, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        data.push_str(&after[..size]);
        rest = &after[(size + 2).min(after.len())..];
    }
    data
}

#[tokio::test]
async fn group_a_in_one_piece() {
    for way in IN_HTTP1 {
        play(rows(), Pieces::Whole, way).await;
    }
}

/// The runtime looks for input at every turn, so that each byte is read on its own.
#[test]
fn a43_group_a_in_single_bytes() {
    let runtime = tokio::runtime::Builder::new_current_thread().event_interval(1).enable_all().build().unwrap();
    for way in IN_HTTP1 {
        runtime.block_on(play(rows(), Pieces::Bytes, way));
    }
}

#[tokio::test]
async fn a43_with_time_between_the_bytes() {
    let first = |id: &str| rows().into_iter().filter(|row| row.name.starts_with(id)).take(1).collect();
    let slowly = |id| play(first(id), Pieces::SlowBytes, Way::Reverse);
    tokio::join!(slowly("a01 "), slowly("a12 "), slowly("a24 "));
}
