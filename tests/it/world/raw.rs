//! HTTP/1.1 answers read from a raw socket, without a client that would tidy anything up.

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

use super::within;

/// One answer; status 0 when the connection was closed without one.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The message ended where its framing says.
    pub complete: bool,
    /// Bytes that followed it.
    pub rest: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Our own refusal's code.
    pub fn code(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }
}

/// Reads until one final answer is complete or the peer closes. Interim (1xx) answers are skipped.
pub async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> Answer {
    within("an answer", async {
        let mut bytes = Vec::new();
        loop {
            if let Some(answer) = parse(&bytes, false) {
                return answer;
            }
            let mut chunk = [0; 16384];
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return parse(&bytes, true).unwrap_or_default(),
                Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            }
        }
    })
    .await
}

/// As `read_answer`, for one of several on a connection; `held` is what has already come of those that follow.
pub async fn read_next(stream: &mut (impl AsyncRead + Unpin), held: &mut Vec<u8>) -> Answer {
    within("an answer", async {
        loop {
            if let Some(answer) = parse(held, false) {
                held.clone_from(&answer.rest);
                return answer;
            }
            let mut chunk = [0; 16384];
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return parse(held, true).unwrap_or_default(),
                Ok(n) => held.extend_from_slice(&chunk[..n]),
            }
        }
    })
    .await
}

/// As `read_answer`, for the answer to HEAD: it has no body, whatever its fields say.
pub async fn read_answer_to_head(stream: &mut TcpStream) -> Answer {
    within("an answer to HEAD", async {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => bytes.push(byte),
                Err(_) => return Answer::default(),
            }
        }
        Answer { complete: true, ..parse(&bytes, true).unwrap_or_default() }
    })
    .await
}

/// As `read_answer`, for the answer to CONNECT: a good one ends with its head, and not a byte behind it is read.
pub async fn read_answer_to_connect(stream: &mut (impl AsyncRead + Unpin)) -> Answer {
    within("an answer to CONNECT", async {
        let mut bytes = Vec::new();
        loop {
            match stream.read_u8().await {
                Ok(byte) => bytes.push(byte),
                Err(_) => return parse(&bytes, true).unwrap_or_default(),
            }
            if bytes.ends_with(b"\r\n\r\n") && bytes.starts_with(b"HTTP/1.1 200") | bytes.starts_with(b"HTTP/1.0 200") {
                return Answer { complete: true, ..parse(&bytes, true).unwrap_or_default() };
            }
            if let Some(answer) = parse(&bytes, false) {
                return answer;
            }
        }
    })
    .await
}

/// All answers in what a closed connection brought.
pub fn parse_answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(answer) = parse(bytes, true) {
        bytes = &bytes[bytes.len() - answer.rest.len()..];
        answers.push(answer);
    }
    answers
}

/// Parses one answer; `closed`: no more bytes will come.
fn parse(bytes: &[u8], closed: bool) -> Option<Answer> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let body = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    if (100..200).contains(&status) {
        return parse(body, closed);
    }
    let fields = lines.filter_map(|line| line.split_once(':')).map(|(n, v)| (n.to_owned(), v.trim().to_owned()));
    let mut answer = Answer { status, fields: fields.collect(), ..Answer::default() };
    let (body, rest, complete) = match framing(&answer) {
        Framing::Length(n) if body.len() >= n => (body[..n].to_vec(), body[n..].to_vec(), true),
        Framing::Length(_) => (body.to_vec(), Vec::new(), false),
        Framing::Chunked => match dechunk(body) {
            Some((decoded, used)) => (decoded, body[used..].to_vec(), true),
            None => (body.to_vec(), Vec::new(), false),
        },
        Framing::Close => (body.to_vec(), Vec::new(), closed),
    };
    if !complete && !closed {
        return None;
    }
    answer.body = body;
    answer.rest = rest;
    answer.complete = complete;
    Some(answer)
}

enum Framing {
    Length(usize),
    Chunked,
    Close,
}

fn framing(answer: &Answer) -> Framing {
    if matches!(answer.status, 204 | 304) {
        return Framing::Length(0);
    }
    if answer.header("transfer-encoding").is_some_and(|te| te.eq_ignore_ascii_case("chunked")) {
        return Framing::Chunked;
    }
    answer.header("content-length").and_then(|n| n.parse().ok()).map_or(Framing::Close, Framing::Length)
}

/// The decoded body and how many bytes it took, if it has ended.
fn dechunk(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut at, mut out) = (0, Vec::new());
    loop {
        let line = at + bytes.get(at..)?.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[at..line]).ok()?.split(';').next()?, 16).ok()?;
        at = line + 2;
        if size == 0 {
            return bytes.get(at..at + 2).filter(|end| *end == b"\r\n").map(|_| (out, at + 2));
        }
        out.extend_from_slice(bytes.get(at..at + size)?);
        at += size + 2;
    }
}
