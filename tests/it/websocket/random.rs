//! A fuzzing client and server: frames of every kind, whole, broken and none at all. Where nothing is searched, whatever they
//! send arrives unchanged.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::upstream::{Upstream, asking, head, switching};
use super::{closed, every_way};
use crate::world::{World, within};

/// Pseudo-random numbers (xorshift64), the same for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// One frame of RFC 6455 section 5.2.
struct Frame {
    first: u8,
    masked: bool,
    payload: Vec<u8>,
}

impl Frame {
    /// Any opcode, the reserved ones too; a message's first, middle or last fragment; with or without the compression bit.
    fn random(random: &mut Random) -> Frame {
        let opcode = [0, 1, 2, 8, 9, 10, 3, 15][random.below(8)];
        let flags = [0x80, 0x00, 0xc0, 0x40, 0xf0][random.below(5)];
        let length = [0, 1, 125, 126, 127, 4096, 65535, 65536, 200_000][random.below(9)];
        let length = if random.below(2) == 0 { length } else { random.below(300) };
        Frame { first: flags | opcode, masked: random.below(4) > 0, payload: random.bytes(length) }
    }

    fn encoded(&self, random: &mut Random) -> Vec<u8> {
        let (mask, length) = (if self.masked { 0x80 } else { 0 }, self.payload.len());
        let mut bytes = vec![self.first];
        match length {
            0..126 => bytes.push(mask | length as u8),
            126..65536 => {
                bytes.push(mask | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        if self.masked {
            let key = random.bytes(4);
            bytes.extend_from_slice(&key);
            bytes.extend(self.payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
        } else {
            bytes.extend_from_slice(&self.payload);
        }
        bytes
    }
}

/// What one side says: frames, a claim of 2^63 bytes, half a frame, HTTP, noise.
fn speech(seed: u64) -> Vec<u8> {
    let (mut random, mut bytes) = (Random(seed), Vec::new());
    for _ in 0..60 {
        let part = match random.below(12) {
            0 => [&[0x82, 0xff][..], &(1_u64 << 63).to_be_bytes(), b"mask"].concat(),
            1 => {
                let whole = Frame::random(&mut random).encoded(&mut random);
                whole[..random.below(whole.len())].to_vec()
            }
            2 => b"GET /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n".to_vec(),
            3 => b"\n\n! / HTTP/1.1\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            4 => {
                let length = random.below(3000);
                random.bytes(length)
            }
            _ => Frame::random(&mut random).encoded(&mut random),
        };
        bytes.extend(part);
    }
    bytes
}

/// Writes in pieces of any size, some of them with a rest behind.
async fn say(mut to: impl AsyncWrite + Unpin, bytes: &[u8], seed: u64) {
    let (mut random, mut rest) = (Random(seed), bytes);
    while !rest.is_empty() {
        let most = [1, 2, 14, 1500, 70_000][random.below(5)];
        let (piece, more) = rest.split_at(rest.len().min(1 + random.below(most)));
        to.write_all(piece).await.unwrap();
        to.flush().await.unwrap();
        rest = more;
        if random.below(8) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

async fn hear(mut from: impl AsyncRead + Unpin, bytes: &[u8], what: &str) {
    let mut heard = vec![0; bytes.len()];
    within(what, from.read_exact(&mut heard)).await.unwrap();
    let differs = heard.iter().zip(bytes).position(|(heard, said)| heard != said);
    assert_eq!(differs, None, "{what}: the first byte that differs");
}

#[tokio::test]
async fn whatever_is_said_arrives_byte_for_byte() {
    let mut upstream = Upstream::start().await;
    let world = upstream.route(World::new().await.forward(), "").start().await;
    let fields = format!("{}Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n", asking());
    for round in 1..=3_u64 {
        for (way, mut caller, call) in every_way(&world, &fields).await {
            let (up, down) = (speech(round * 0x9e37_79b9), speech(round * 0x85eb_ca6b + 1));
            // The first bytes come with the head, before anybody has agreed to anything.
            let (early, late) = up.split_at(up.len().min(1000 * (round as usize - 1)));
            caller.write_all(&[call.as_bytes(), early].concat()).await.unwrap();
            let (_, mut theirs) = upstream.next().await;
            let answer = switching("Sec-WebSocket-Extensions: permessage-deflate\r\n");
            theirs.write_all(answer.as_bytes()).await.unwrap();
            assert!(head(&mut caller).await.starts_with("HTTP/1.1 101 "), "{way}");
            let (from_proxy, to_proxy) = tokio::io::split(&mut *caller);
            let (from_other, to_other) = theirs.split();
            tokio::join!(
                say(to_proxy, late, round + 7),
                say(to_other, &down, round + 11),
                hear(from_other, &up, "what the caller said"),
                hear(from_proxy, &down, "what the upstream said"),
            );
            drop(theirs);
            closed(&mut *caller).await;
        }
    }
}
