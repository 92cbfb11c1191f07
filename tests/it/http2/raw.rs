//! Frames written by hand (RFC 9113 section 4) on a raw socket: no client library would send most of them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{Started, within};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;
pub const WITH_PRIORITY: u8 = 0x20;

/// A whole frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A head over as many frames as it needs, with the end of the stream.
pub fn whole(stream: u32, head: &[u8]) -> Vec<u8> {
    let mut pieces = head.chunks(16 << 10);
    let last = pieces.len() - 1;
    let first = frame(HEADERS, END_STREAM | if last == 0 { END_HEADERS } else { 0 }, stream, pieces.next().unwrap());
    let more = pieces
        .enumerate()
        .map(|(n, piece)| frame(CONTINUATION, if n + 1 == last { END_HEADERS } else { 0 }, stream, piece));
    std::iter::once(first).chain(more).flatten().collect()
}

/// Literal fields without indexing and without Huffman codes (RFC 7541 section 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        string(&mut bytes, name.as_bytes());
        string(&mut bytes, value.as_bytes());
    }
    bytes
}

fn string(bytes: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text.len();
    if rest < 127 {
        bytes.push(u8::try_from(rest).unwrap());
    } else {
        bytes.push(127);
        rest -= 127;
        while rest >= 128 {
            bytes.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        bytes.push(u8::try_from(rest).unwrap());
    }
    bytes.extend_from_slice(text);
}

/// A frame as it came.
#[derive(Debug, Clone)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The status of an answer's head, as far as the static table has it (RFC 7541 appendix A).
    pub fn status(&self) -> Option<u16> {
        let known = [200, 204, 206, 304, 400, 404, 500];
        // The encoder may announce its table's size first.
        let block = self.payload.iter().find(|byte| **byte & 0xe0 != 0x20)?;
        (self.kind == HEADERS)
            .then(|| usize::from(*block).checked_sub(0x88).and_then(|at| known.get(at).copied()))
            .flatten()
    }
}

/// One end of a connection on which HTTP/2 was begun.
pub struct Raw {
    pub stream: TcpStream,
    pub held: Vec<u8>,
}

impl Raw {
    /// Connects, and sends the preface and empty settings.
    pub async fn open(world: &Started) -> Raw {
        let mut raw = Raw { stream: world.connect().await, held: Vec::new() };
        raw.send(PREFACE).await;
        raw.send(frame(SETTINGS, 0, 0, &[])).await;
        raw
    }

    /// Sends; a peer that has hung up is no failure.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// The next frame; `None` when the peer has closed.
    pub async fn next(&mut self) -> Option<Frame> {
        within("a frame", async {
            loop {
                if let Some(frame) = self.take() {
                    return Some(frame);
                }
                let mut chunk = [0; 16384];
                match self.stream.read(&mut chunk).await {
                    Ok(0) | Err(_) => return None,
                    Ok(n) => self.held.extend_from_slice(&chunk[..n]),
                }
            }
        })
        .await
    }

    /// Reads so many bytes away.
    pub async fn skip(&mut self, n: usize) {
        let mut bytes = vec![0; n];
        within("bytes", self.stream.read_exact(&mut bytes)).await.unwrap();
    }

    /// The next frame of a kind, the others thrown away.
    pub async fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind && !(kind == SETTINGS && frame.flags & ACK != 0) {
                return Some(frame);
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let length = usize::from(*self.held.first()?) << 16
            | usize::from(*self.held.get(1)?) << 8
            | usize::from(*self.held.get(2)?);
        if self.held.len() < 9 + length {
            return None;
        }
        let rest = self.held.split_off(9 + length);
        let bytes = std::mem::replace(&mut self.held, rest);
        let stream = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
        Some(Frame { kind: bytes[3], flags: bytes[4], stream, payload: bytes[9..].to_vec() })
    }
}

/// What became of a connection or of its last stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Answered(u16),
    Reset,
    GoneAway,
    Closed,
}

impl Raw {
    /// Reads until one of these happens.
    pub async fn outcome(&mut self) -> Outcome {
        while let Some(frame) = self.next().await {
            match frame.kind {
                RESET => return Outcome::Reset,
                GOAWAY => return Outcome::GoneAway,
                HEADERS => return Outcome::Answered(frame.status().unwrap_or(0)),
                _ => {}
            }
        }
        Outcome::Closed
    }
}
