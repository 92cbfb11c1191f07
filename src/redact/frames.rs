//! An upstream's half of a WebSocket (RFC 6455 section 5), searched while it passes.
//!
//! Frames go on as they came, with the same borders; only payload is read and masked.

use std::collections::VecDeque;

use bytes::Bytes;

use super::stream::mask_whole;
use super::{Reflected, Stream, Watch};

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
/// The longest payload of a control frame (section 5.5).
const MAX_CONTROL: u64 = 125;
/// So much may wait behind payload that is held back, in bytes: small frames without an end would fill memory.
const MAX_WAITING: usize = 64 << 10;
pub(crate) const TOO_MUCH_WAITS: &str = "too many small frames inside of what may be a secret";

/// Why a WebSocket ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error(transparent)]
    Reflected(#[from] Reflected),
    /// What follows cannot be read, and so not be searched.
    #[error("WebSocket: {0}")]
    Unreadable(&'static str),
}

/// Takes bytes of frames and gives back those that may go on.
#[derive(Debug)]
pub struct Frames {
    watch: Watch,
    message: Stream,
    /// What there is of a frame's header.
    header: Vec<u8>,
    frame: Option<Frame>,
    waiting: VecDeque<Part>,
    weight: usize,
    found: bool,
}

/// The frame whose payload is coming.
#[derive(Debug)]
struct Frame {
    rest: u64,
    last: bool,
    /// What there is of a control frame, which may come between the fragments of a message.
    control: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Part {
    Bytes(Vec<u8>),
    /// So much of the message, when it has been searched.
    Payload(usize),
}

impl Frames {
    pub fn new(watch: Watch) -> Frames {
        Frames {
            message: Stream::new(watch.clone()),
            watch,
            header: Vec::new(),
            frame: None,
            waiting: VecDeque::new(),
            weight: 0,
            found: false,
        }
    }

    /// Takes what came and adds to `out` what may go on: all of it, as long as nothing may be the beginning of a secret.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        while !bytes.is_empty() {
            if self.frame.is_none() {
                let (byte, rest) = bytes.split_at(1);
                self.header.extend_from_slice(byte);
                bytes = rest;
                self.begin()?;
            }
            let Some(frame) = &mut self.frame else { continue };
            let (payload, rest) = bytes.split_at(bytes.len().min(usize::try_from(frame.rest).unwrap_or(usize::MAX)));
            frame.rest -= payload.len() as u64;
            bytes = rest;
            self.take(payload, out)?;
            if self.weight > MAX_WAITING {
                return Err(Broken::Unreadable(TOO_MUCH_WAITS));
            }
        }
        Ok(())
    }

    /// Whether a secret has been seen so far.
    pub fn found(&self) -> bool {
        self.found || self.message.found()
    }

    /// Reads the header once it is there.
    fn begin(&mut self) -> Result<(), Broken> {
        let [first, second, extended @ ..] = &self.header[..] else { return Ok(()) };
        if first & RESERVED != 0 {
            return Err(Broken::Unreadable("a frame of an extension that was not asked for"));
        }
        if second & MASKED != 0 {
            return Err(Broken::Unreadable("a masked frame from a server"));
        }
        let (short, last) = (u64::from(second & !MASKED), first & FINAL != 0);
        let more = [0, 2, 8][usize::from(short > 125) + usize::from(short > 126)];
        if extended.len() < more {
            return Ok(());
        }
        let long = extended.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        let rest = if more == 0 { short } else { long };
        let header = std::mem::take(&mut self.header);
        let control = match header[0] & 15 {
            0..=2 => {
                self.wait(Part::Bytes(header));
                None
            }
            8..=10 if last && rest <= MAX_CONTROL => Some(header),
            8..=10 => return Err(Broken::Unreadable("a control frame that is too long or not whole")),
            _ => return Err(Broken::Unreadable("a frame of a kind that there is not")),
        };
        self.frame = Some(Frame { rest, last, control });
        Ok(())
    }

    fn take(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let Some(frame) = &mut self.frame else { return Ok(()) };
        let (ended, last) = (frame.rest == 0, frame.last);
        let mut text = Bytes::new();
        match &mut frame.control {
            Some(control) => {
                control.extend_from_slice(payload);
                if ended {
                    let control = std::mem::take(control);
                    let control = self.search_control(control)?;
                    self.wait(Part::Bytes(control));
                }
            }
            None => {
                text = self.message.push(Bytes::copy_from_slice(payload))?;
                self.wait(Part::Payload(payload.len()));
            }
        }
        let data = self.frame.as_ref().is_some_and(|frame| frame.control.is_none());
        self.release(&text, out);
        if ended && last && data {
            // The receiver may wait for the message's end before it says anything.
            let rest = self.message.end();
            self.release(&rest, out);
        }
        if ended {
            self.frame = None;
        }
        Ok(())
    }

    fn search_control(&mut self, mut frame: Vec<u8>) -> Result<Vec<u8>, Broken> {
        // Its header has two bytes.
        if let Some(masked) = mask_whole(&self.watch.needles, &frame[2..]) {
            self.found = true;
            self.watch.allow()?;
            frame[2..].copy_from_slice(&masked);
        }
        Ok(frame)
    }

    fn wait(&mut self, part: Part) {
        match (self.waiting.back_mut(), part) {
            (Some(Part::Payload(before)), Part::Payload(more)) => *before += more,
            (_, part) => {
                self.weight += part.weight();
                self.waiting.push_back(part);
            }
        }
    }

    /// So much of the message has been searched; whatever stands before what is still held goes on.
    fn release(&mut self, mut text: &[u8], out: &mut Vec<u8>) {
        while let Some(part) = self.waiting.front_mut() {
            match part {
                Part::Bytes(bytes) => out.extend_from_slice(bytes),
                Part::Payload(length) => {
                    let (now, later) = text.split_at(text.len().min(*length));
                    out.extend_from_slice(now);
                    text = later;
                    *length -= now.len();
                    if *length > 0 {
                        return;
                    }
                }
            }
            self.weight -= part.weight();
            self.waiting.pop_front();
        }
    }
}

impl Part {
    /// What it takes to wait, roughly.
    fn weight(&self) -> usize {
        match self {
            Part::Bytes(bytes) => size_of::<Part>() + bytes.len(),
            Part::Payload(_) => size_of::<Part>(),
        }
    }
}

#[cfg(test)]
mod tests;
