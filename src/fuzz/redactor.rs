//! Nothing comes back of an answer that is the secret, and whatever is not comes back as it came.

mod codings;
mod frames;
mod spelled;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use crate::redact::{Needles, Reflected, Stream, Watch, head};
use spelled::Spelled;

/// Bits of the first byte; its lowest two choose the road.
const BLOCK: u8 = 4;
const PREFIX: u8 = 8;
/// What follows goes the road as it is: no secret is put in, and it is coded or framed already, or not at all.
const AS_IT_IS: u8 = 16;

/// Longer ones say no more, and cost time.
const LONGEST_SECRET: usize = 100;
/// Fewer bytes than it takes to fill what may wait between frames.
const LONGEST_FRAMED: usize = 1024;

/// The first byte says what is done with the text, the second in which spelling the secret is put into it, the third where;
/// two more cut it into pieces. Then come a line with the secret, and the text.
pub fn redactor(data: &[u8]) {
    let Some((&[how, spelling, place, cuts @ ..], rest)) = data.split_first_chunk::<5>() else { return };
    let mut lines = rest.splitn(2, |byte| *byte == b'\n');
    let [secret, text] = [(); 2].map(|()| lines.next().unwrap_or_default());
    let secret = &secret[..secret.len().min(LONGEST_SECRET)];
    // No other one is taken from a store.
    if !secret.iter().all(|byte| *byte == b'\t' || (b' '..=b'~').contains(byte)) {
        return;
    }
    let prefix: &[u8] = if how & PREFIX == 0 { b"" } else { b"Bearer " };
    let rendered = [prefix, secret].concat();
    let Some(needles) = Needles::new(secret, &rendered) else {
        return assert!(rendered.trim_ascii().len() < 8, "not looked for");
    };
    // As HTTP gives them back.
    let [secret, rendered] = [secret, &rendered].map(<[u8]>::trim_ascii);
    let watch = Watch { needles: Arc::new(needles), block: how & BLOCK != 0 };
    let case = Case { spelled: Spelled::of(&[secret, rendered]), watch, cuts: cuts.map(usize::from) };
    let as_it_is = how & AS_IT_IS != 0;
    let mut text = text.to_vec();
    if !as_it_is {
        let value = if secret.len() < 8 { rendered } else { secret };
        case.put_in(&mut text, spelled::write(spelling, value), usize::from(place));
    }
    match how & 3 {
        0 => case.text(&text),
        1 => {
            text.truncate(LONGEST_FRAMED);
            let framed = if as_it_is { text } else { frames::pack(&text, case.pieces(&text)) };
            frames::pass(&case, &framed);
        }
        2 => codings::pass(&case, codings::Coding::Gzip, &text, as_it_is),
        _ => codings::pass(&case, codings::Coding::Deflate, &text, as_it_is),
    }
}

struct Case {
    spelled: Spelled,
    watch: Watch,
    cuts: [usize; 2],
}

/// What has been let through, and whether a secret was seen. `Err`: it ended at a secret.
struct Passed {
    out: Vec<u8>,
    outcome: Result<bool, Reflected>,
}

impl Case {
    /// The secret into the text, somewhere between the beginning (0) and the end (255).
    fn put_in(&self, text: &mut Vec<u8>, (spelled, own): (Vec<u8>, std::ops::Range<usize>), place: usize) {
        let at = text.len() * place / 255;
        text.splice(at..at, spelled);
        let places = self.spelled.places(text);
        assert!(places[at + own.start..at + own.end].iter().all(|place| *place), "the reference does not see it");
    }

    /// Two sizes in turn, one of which may be none.
    fn pieces<'a>(&self, text: &'a [u8]) -> Vec<&'a [u8]> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        let mut sizes = [self.cuts[0] + 1, self.cuts[1]].into_iter().cycle();
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
            pieces.push(piece);
            rest = later;
        }
        pieces
    }

    fn text(&self, text: &[u8]) {
        self.judge(text, &self.streamed(text));
        codings::pass(self, codings::Coding::None, text, true);
        if let Ok(value) = HeaderValue::from_bytes(text) {
            let mut fields = HeaderMap::from_iter([(http::header::SERVER, value)]);
            let outcome = head::mask(&mut fields, &self.watch);
            let out = if outcome.is_ok() { fields[http::header::SERVER].as_bytes().to_vec() } else { Vec::new() };
            self.judge(text, &Passed { out, outcome });
        }
    }

    fn streamed(&self, text: &[u8]) -> Passed {
        let (mut stream, mut out, mut passed) = (Stream::new(self.watch.clone()), Vec::new(), 0);
        for piece in self.pieces(text) {
            match stream.push(Bytes::copy_from_slice(piece)) {
                Ok(more) => out.extend_from_slice(&more),
                Err(reflected) => return Passed { out, outcome: Err(reflected) },
            }
            passed += piece.len();
            let held = &text[out.len()..passed];
            assert_eq!(stream.holds(), held.len());
            assert!(held.is_empty() || self.spelled.begun(held), "held back: {}", held.escape_ascii());
        }
        out.extend_from_slice(&stream.end());
        Passed { out, outcome: Ok(stream.found()) }
    }

    /// What came out of a text that has come whole.
    fn judge(&self, text: &[u8], passed: &Passed) {
        let places = self.spelled.places(text);
        if passed.outcome.is_ok() {
            assert_eq!(passed.out.len(), text.len(), "the length");
        }
        self.judge_bytes(text, &places, passed);
        self.has_none(&passed.out);
    }

    /// What came out of bytes whose secrets are at these places.
    fn judge_bytes(&self, bytes: &[u8], places: &[bool], passed: &Passed) {
        let there = places.contains(&true);
        let expected = if there && self.watch.block { Err(Reflected) } else { Ok(there) };
        assert_eq!(passed.outcome, expected, "{}", bytes.escape_ascii());
        let out = &passed.out;
        let ends_before = passed.outcome.is_ok() || !places[..out.len()].contains(&true);
        assert!(ends_before, "a part of it came out: {}", out.escape_ascii());
        let masked: Vec<u8> = bytes.iter().zip(places).map(|(byte, place)| if *place { b'*' } else { *byte }).collect();
        assert!(masked.starts_with(out), "{} became {}", bytes.escape_ascii(), out.escape_ascii());
    }

    fn has_none(&self, out: &[u8]) {
        self.are_none(&self.spelled.places(out), out);
    }

    /// Asterisks can make a secret that has some.
    fn are_none(&self, places: &[bool], out: &[u8]) {
        assert!(self.spelled.has_asterisk() || !places.contains(&true), "there is one in {}", out.escape_ascii());
    }
}
