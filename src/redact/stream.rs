//! One body, or one message, as it passes.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::needles::Needles;
use super::{Reflected, Watch};

/// What takes the place of each byte of a secret.
const MASK: u8 = b'*';

/// Text that comes in pieces. Whatever may still turn out to be a secret is held back, and nothing else.
#[derive(Debug)]
pub struct Stream {
    watch: Watch,
    held: Bytes,
    /// So much at the beginning of what is held belongs to a secret that has been found.
    covered: usize,
    found: bool,
}

impl Stream {
    pub fn new(watch: Watch) -> Stream {
        Stream { watch, held: Bytes::new(), covered: 0, found: false }
    }

    /// Takes a piece and returns what may go on: as it came when nothing is found and nothing is held.
    pub fn push(&mut self, piece: Bytes) -> Result<Bytes, Reflected> {
        let text = match (self.held.is_empty(), piece.is_empty()) {
            (_, true) => return Ok(piece),
            (true, _) => piece,
            (false, _) => Bytes::from([&self.held[..], &piece].concat()),
        };
        let mut places = Vec::new();
        let live = self.watch.needles.search(&text, |place| places.push(place));
        if places.is_empty() && self.covered == 0 && live == text.len() {
            self.held = Bytes::new();
            return Ok(text);
        }
        if !places.is_empty() {
            self.found = true;
            self.watch.allow()?;
        }
        // A secret that begins in what is held is found again when more has come.
        places.retain(|place| place.start < live);
        let covered = places.iter().map(|place| place.end).fold(self.covered, usize::max);
        places.push(0..self.covered);
        let out = mask(text.slice(..live), places);
        self.held = text.slice(live..);
        self.covered = covered.saturating_sub(live);
        Ok(out)
    }

    /// Nothing more comes: what was only begun is no secret, since its end is missing. A secret may still stand whole in what
    /// was held, where it could have been the beginning of another spelling.
    pub fn end(&mut self) -> Bytes {
        let (held, covered) = (std::mem::take(&mut self.held), std::mem::take(&mut self.covered));
        let mut places = Vec::new();
        self.watch.needles.search(&held, |place| places.push(place));
        places.push(0..covered);
        mask(held, places)
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
fn mask(text: Bytes, places: Vec<Range<usize>>) -> Bytes {
    if places.iter().all(|place| place.is_empty()) {
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
    let mut places = Vec::new();
    needles.search(text, |place| places.push(place));
    (!places.is_empty()).then(|| mask(Bytes::copy_from_slice(text), places))
}

#[cfg(test)]
mod tests;
