//! What a search has come upon.

use std::ops::Range;

use super::spelling::Progress;

/// Places in a text, in bytes from its beginning.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Where a value stands whole.
    pub(super) places: Vec<Range<usize>>,
    /// What may be the beginning of one: the text ended too early.
    pub(super) open: Vec<Open>,
}

/// A value that has begun.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) start: usize,
    /// Which one, and in which spelling, by its number.
    pub(super) form: usize,
    pub(super) progress: Progress,
}

impl Seen {
    /// From where on the text may be the beginning of a value; its length when nowhere.
    pub(super) fn live(&self, length: usize) -> usize {
        self.open.iter().map(|open| open.start).min().unwrap_or(length)
    }

    /// So much of the text is gone; nothing that is open begins in it.
    pub(super) fn leave(&mut self, gone: usize) {
        self.places.retain_mut(|place| {
            *place = place.start.saturating_sub(gone)..place.end.saturating_sub(gone);
            place.start < place.end
        });
        self.open.iter_mut().for_each(|open| open.start -= gone);
    }
}
