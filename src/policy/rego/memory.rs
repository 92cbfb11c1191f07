//! Decisions made before. A policy that asks neither clock nor chance says the same of the same document, so it need
//! not be asked again: evaluating costs some twenty times as much as remembering.

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use crate::policy::Decision;
use crate::policy::input::Node;

/// How many decisions are remembered at most. Each has one place, and gives it up to the next that falls on it.
const PLACES: usize = 1024;
/// A decision with a longer reason is not remembered, so that all of them stay below 1 MB.
const MAX_REASON: usize = 512;

/// What a policy said of the documents it saw last. It lives and ends with its policy.
pub(super) struct Memory {
    places: Box<[Mutex<Option<Box<Remembered>>>]>,
}

struct Remembered {
    of: Fingerprint,
    decision: Decision,
}

/// SHA-256 of everything that the policy reads of a call. What a document says is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; SHA256_OUTPUT_LEN]);

impl Fingerprint {
    /// Of a document's values in the order of its fields; `None` stands for a name that is absent.
    pub fn of(values: &[Option<Node<'_>>]) -> Fingerprint {
        let mut text = Vec::with_capacity(512);
        for value in values {
            match value {
                Some(value) => value.write(&mut text),
                None => text.push(b'-'),
            }
        }
        let mut fingerprint = Fingerprint([0; SHA256_OUTPUT_LEN]);
        fingerprint.0.copy_from_slice(digest(&SHA256, &text).as_ref());
        fingerprint
    }

    fn place(self) -> usize {
        usize::from(u16::from_le_bytes([self.0[0], self.0[1]])) % PLACES
    }
}

impl Memory {
    pub fn new() -> Memory {
        Memory { places: (0..PLACES).map(|_| Mutex::default()).collect() }
    }

    /// The decision for a document, if it is remembered.
    pub fn recall(&self, fingerprint: Fingerprint) -> Option<Decision> {
        let place = self.places[fingerprint.place()].lock().unwrap_or_else(PoisonError::into_inner);
        place.as_ref().filter(|remembered| remembered.of == fingerprint).map(|remembered| remembered.decision.clone())
    }

    pub fn note(&self, fingerprint: Fingerprint, decision: &Decision) {
        if decision.reason.len() <= MAX_REASON {
            let remembered = Box::new(Remembered { of: fingerprint, decision: decision.clone() });
            *self.places[fingerprint.place()].lock().unwrap_or_else(PoisonError::into_inner) = Some(remembered);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn i14_documents_that_differ_anywhere_have_different_fingerprints() {
        let object = |name: &'static str, value| Node::Object(vec![(Cow::Borrowed(name), value)]);
        let documents = [
            vec![],
            vec![None],
            vec![Some(Node::text(""))],
            vec![Some(Node::text("-"))],
            vec![Some(Node::text("ab")), Some(Node::text("c"))],
            vec![Some(Node::text("a")), Some(Node::text("bc"))],
            vec![Some(Node::text("abc"))],
            vec![Some(Node::text("abc")), None],
            vec![None, Some(Node::text("abc"))],
            vec![Some(Node::List(vec![Node::text("a"), Node::text("b")]))],
            vec![Some(Node::List(vec![Node::text("a")])), Some(Node::text("b"))],
            vec![Some(Node::List(vec![])), Some(Node::List(vec![]))],
            vec![Some(Node::List(vec![Node::List(vec![])]))],
            vec![Some(object("a", Node::text("b")))],
            vec![Some(object("ab", Node::text("")))],
            vec![Some(Node::Number(1))],
            vec![Some(Node::text("1"))],
            vec![Some(Node::Flag(true))],
            vec![Some(Node::Flag(false))],
        ];
        for (at, one) in documents.iter().enumerate() {
            for (beside, other) in documents.iter().enumerate() {
                let same = Fingerprint::of(one) == Fingerprint::of(other);
                assert_eq!(same, at == beside, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_decision_gives_its_place_to_the_next_and_is_never_taken_for_it() {
        let memory = Memory::new();
        let decision = |reason: &str| Decision { allowed: true, reason: reason.to_owned() };
        let mut other = Fingerprint([7; SHA256_OUTPUT_LEN]);
        let first = other;
        other.0[31] = 8;
        memory.note(first, &decision("first"));
        assert_eq!(memory.recall(first), Some(decision("first")));
        assert_eq!(memory.recall(other), None);
        memory.note(other, &decision("other"));
        assert_eq!((memory.recall(first), memory.recall(other)), (None, Some(decision("other"))));
        memory.note(first, &decision(&"long".repeat(MAX_REASON)));
        assert_eq!(memory.recall(first), None);
    }
}
