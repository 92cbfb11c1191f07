//! One body, or one message, as it passes.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::needles::Needles;
use super::seen::Seen;
use super::{Reflected, Watch};

/// What takes the place of each byte of a secret.
const MASK: u8 = b'*';

/// Text that comes in pieces. Whatever may still turn out to be a secret is held back, and nothing else.
#[derive(Debug)]
pub struct Stream {
    watch: Watch,
    held: BytesMut,
    /// In what is held.
    seen: Seen,
    found: bool,
}

impl Stream {
    pub fn new(watch: Watch) -> Stream {
        Stream { watch, held: BytesMut::new(), seen: Seen::default(), found: false }
    }

    /// Takes a piece and returns what may go on: as it came when nothing is found and nothing is held.
    ///
    /// What is held is not looked at again: each byte costs the same, in however small pieces it comes.
    pub fn push(&mut self, piece: Bytes) -> Result<Bytes, Reflected> {
        let before = self.held.len();
        let known = self.seen.places.len();
        let text = if before == 0 {
            &piece
        } else {
            self.held.extend_from_slice(&piece);
            &self.held[..]
        };
        self.watch.needles.go_on(text, &mut self.seen);
        self.watch.needles.search(text, before, &mut self.seen);
        let live = self.seen.live(text.len());
        if self.seen.places.len() > known {
            self.found = true;
            self.watch.allow()?;
        }
        let decided = self.take(piece, live);
        let decided = mask(decided, &self.seen.places);
        self.seen.leave(live);
        Ok(decided)
    }

    /// The text up to `live`; what is behind it is held.
    fn take(&mut self, mut piece: Bytes, live: usize) -> Bytes {
        if self.held.is_empty() {
            let decided = piece.split_to(live);
            self.held.extend_from_slice(&piece);
            return decided;
        }
        let decided = self.held.split_to(live);
        if self.held.is_empty() {
            self.held = BytesMut::new();
        }
        decided.freeze()
    }

    /// Nothing more comes: what was only begun is no secret, since its end is missing. A secret may still stand whole in what
    /// was held, where it could have been the beginning of another spelling.
    pub fn end(&mut self) -> Bytes {
        let seen = std::mem::take(&mut self.seen);
        mask(std::mem::take(&mut self.held).freeze(), &seen.places)
    }

    /// How many bytes are held back.
    pub fn holds(&self) -> usize {
        self.held.len()
    }

    /// Whether a secret has been seen.
    pub fn found(&self) -> bool {
        self.found
    }
}

/// The text with these places masked; places may reach beyond its end.
fn mask(text: Bytes, places: &[Range<usize>]) -> Bytes {
    if places.iter().all(|place| place.start >= text.len()) {
        return text;
    }
    let mut text = BytesMut::from(text);
    let length = text.len();
    for place in places {
        text[place.start.min(length)..place.end.min(length)].fill(MASK);
    }
    text.freeze()
}

/// A text that is there whole, masked; `None` when there is nothing to mask.
pub(super) fn mask_whole(needles: &Arc<Needles>, text: &[u8]) -> Option<Bytes> {
    let mut seen = Seen::default();
    needles.search(text, 0, &mut seen);
    (!seen.places.is_empty()).then(|| mask(Bytes::copy_from_slice(text), &seen.places))
}

#[cfg(test)]
mod tests;
