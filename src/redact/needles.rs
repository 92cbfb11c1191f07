//! What is looked for in an answer, and a search that passes over clean text quickly.

use std::ops::Range;

use zeroize::Zeroizing;

use super::filter::{Filter, RUN};
use super::seen::{Open, Seen};
use super::spelling::{Progress, Reading, Spelling};
use crate::secrets::told_apart;

/// So much of a value's beginning decides where a closer look is taken, in bytes. More would make the filter fuller and
/// gain little.
const BEGINNING: usize = 64;
/// Two tables of 8 KiB: with the text, and with what the kernel does between two pieces of it, the first one has to fit into a
/// core's nearest cache.
const INSIDE: usize = 1024;
const BEGINNINGS: usize = 128;
/// So many chunks are passed over at once.
const GROUP: usize = 4;
/// There is a bit for each form of the two values.
const _: () = assert!(2 * Spelling::ALL.len() <= u16::BITS as usize);

/// The values that must not come back, in all spellings.
///
/// Four bytes of text are looked up at every n-th place only, where n is such that no value can lie between two of
/// them: a value that is there has four bytes of its own under one, whatever its spelling. Only where the filter knows
/// these, starts are tried.
pub struct Needles {
    values: Vec<Zeroizing<Vec<u8>>>,
    /// The first value in lower case, as names of fields are.
    lower: Zeroizing<Vec<u8>>,
    /// All runs of four bytes that begin in the first `stride` bytes of some spelling.
    inside: Filter<INSIDE>,
    stride: usize,
    /// Those that some spelling begins with.
    beginnings: Filter<BEGINNINGS>,
    /// Which forms each byte begins: a bit for each of them.
    first: Zeroizing<[u16; 256]>,
}

impl std::fmt::Debug for Needles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Needles(***)")
    }
}

impl Needles {
    /// Everything that is long enough among the secret and its rendered value. `None`: nothing is.
    pub fn new(secret: &[u8], rendered: &[u8]) -> Option<Needles> {
        let values = searched(secret, rendered);
        let least = values.iter().map(|value| value.len()).min()?;
        let mut needles = Needles {
            lower: Zeroizing::new(values[0].to_ascii_lowercase()),
            values: values.into_iter().map(|value| Zeroizing::new(value.to_vec())).collect(),
            inside: Filter::new(),
            stride: least.min(BEGINNING) + 1 - RUN,
            beginnings: Filter::new(),
            first: Zeroizing::new([0; 256]),
        };
        for (n, value) in needles.values.clone().iter().enumerate() {
            for (m, spelling) in Spelling::ALL.into_iter().enumerate() {
                needles.learn(n * Spelling::ALL.len() + m, spelling, value);
            }
        }
        Some(needles)
    }

    /// Whether they were made of these.
    pub fn are_of(&self, secret: &[u8], rendered: &[u8]) -> bool {
        self.values.iter().map(|value| value.as_slice()).eq(searched(secret, rendered))
    }

    /// Looks for values that begin at `from` or behind it.
    pub(super) fn search(&self, text: &[u8], from: usize, seen: &mut Seen) {
        let mut look = |start: usize| self.begin(text, from + start, seen);
        let text = &text[from..];
        let begins = |start: &usize| text[*start..].first_chunk().is_some_and(|run| self.beginnings.may_have(*run));
        let (stride, mut n) = (self.stride, 0);
        while n < text.len() / stride {
            n += self.pass(&text[n * stride..]);
            for chunk in text[n * stride..].chunks_exact(stride).take(GROUP) {
                if self.is_known(chunk) {
                    starts(n * stride, (n + 1) * stride).filter(begins).for_each(&mut look);
                }
                n += 1;
            }
        }
        // What is shorter than a chunk, up to where a run begins; behind that there is no run to be looked up.
        if self.is_known(text) {
            starts(n * stride, text.len()).filter(begins).for_each(&mut look);
        }
        let last = text.len().saturating_sub(RUN - 1)..text.len();
        last.for_each(look);
    }

    /// Goes on with what had begun in the text before there was more of it.
    pub(super) fn go_on(&self, text: &[u8], seen: &mut Seen) {
        seen.open.retain_mut(|open| self.read(text, open, &mut seen.places));
    }

    /// How many chunks of a stride come before the first group of them that has to be looked at. All of a clean answer goes
    /// through here: apart from its caller, what it needs stays in registers, and in groups there is less to count.
    #[inline(never)]
    fn pass(&self, text: &[u8]) -> usize {
        let stride = self.stride;
        let mut groups = text.chunks_exact(GROUP * stride);
        let all = groups.len();
        let looked = groups.position(|group| {
            let (front, back) = group.split_at(2 * stride);
            let ((a, b), (c, d)) = (front.split_at(stride), back.split_at(stride));
            self.is_known(a) || self.is_known(b) || self.is_known(c) || self.is_known(d)
        });
        GROUP * looked.unwrap_or(all)
    }

    /// Whether the last run of a chunk may be one of a value.
    fn is_known(&self, chunk: &[u8]) -> bool {
        chunk.last_chunk().is_some_and(|run| self.inside.may_have(*run))
    }

    /// Whether a field's name, which has no upper case, has a value in it.
    pub fn stand_in_name(&self, name: &str) -> bool {
        let mut seen = Seen::default();
        self.search(name.as_bytes(), 0, &mut seen);
        !seen.places.is_empty() || memchr::memmem::find(name.as_bytes(), &self.lower).is_some()
    }

    /// Reads every form that the text at `start` may be the beginning of.
    fn begin(&self, text: &[u8], start: usize, seen: &mut Seen) {
        let mut forms = self.first[usize::from(text[start])];
        while forms != 0 {
            let mut open = Open { start, form: forms.trailing_zeros() as usize, progress: Progress::default() };
            if self.read(text, &mut open, &mut seen.places) {
                seen.open.push(open);
            }
            forms &= forms - 1;
        }
    }

    /// Whether it is still open. A value that is there whole becomes one of `places`.
    fn read(&self, text: &[u8], open: &mut Open, places: &mut Vec<Range<usize>>) -> bool {
        let (value, spelling) =
            (&self.values[open.form / Spelling::ALL.len()], Spelling::ALL[open.form % Spelling::ALL.len()]);
        match spelling.read(value, &text[open.start..], &mut open.progress) {
            Reading::Other => false,
            Reading::Begun => true,
            Reading::Whole(length) => {
                places.push(open.start..open.start + length);
                false
            }
        }
    }

    /// A form is a value in a spelling; its number counts the spellings of one value and then those of the next.
    fn learn(&mut self, form: usize, spelling: Spelling, value: &[u8]) {
        let units = spelling.units(value).min(self.stride + RUN);
        let texts: Vec<_> = (0..units).map(|unit| spelling.texts(value, unit)).collect();
        for text in &texts[0] {
            self.first[usize::from(text[0].to_ascii_lowercase())] |= 1 << form;
            self.first[usize::from(text[0].to_ascii_uppercase())] |= 1 << form;
        }
        for (unit, own) in texts.iter().enumerate() {
            for text in own {
                let reach = self.stride.saturating_sub(unit * spelling.least());
                for at in 0..text.len().min(reach) {
                    each_run(&text[at..], &texts[unit + 1..], &mut |run| {
                        self.inside.add(run);
                        if (unit, at) == (0, 0) {
                            self.beginnings.add(run);
                        }
                    });
                }
            }
        }
    }
}

/// The starts that are decided by the last run of a chunk of text.
fn starts(begin: usize, end: usize) -> Range<usize> {
    begin.saturating_sub(RUN - 1)..end + 1 - RUN
}

/// What can be told apart of them, each once.
fn searched<'a>(secret: &'a [u8], rendered: &'a [u8]) -> Vec<&'a [u8]> {
    let (secret, rendered) = (told_apart(secret), told_apart(rendered));
    secret.into_iter().chain(rendered.filter(|_| rendered != secret)).collect()
}

/// Every four bytes that `text` and what can follow it begin with.
fn each_run(text: &[u8], rest: &[Vec<Vec<u8>>], found: &mut impl FnMut([u8; RUN])) {
    if let Some(run) = text.first_chunk() {
        found(*run);
    } else if let Some((next, rest)) = rest.split_first() {
        for more in next {
            each_run(&[text, more].concat(), rest, found);
        }
    }
}
