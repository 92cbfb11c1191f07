//! What was made of a route's secret, so that not every call makes it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use http::HeaderValue;

use super::needles::Needles;
use crate::secrets::{Mark, SHORTEST_TOLD_APART, Secret, told_apart};

/// The needles of the last secret of one route. It does not keep the secret itself, and holds what it made of it until
/// another one takes its place.
#[derive(Debug, Default)]
pub struct Memory {
    last: ArcSwapOption<(Mark, Option<Arc<Needles>>)>,
    warned: AtomicBool,
}

impl Memory {
    /// What to search answers for. `None`: secret and rendered value are too short to be searched for.
    pub fn needles(&self, id: &str, secret: &Secret, rendered: &HeaderValue) -> Option<Arc<Needles>> {
        let last = self.last.load();
        let last = last.as_deref();
        if let Some((_, needles)) = last.filter(|(mark, _)| mark.is_of(secret)) {
            return needles.clone();
        }
        let (value, rendered) = (secret.expose_secret().as_bytes(), rendered.as_bytes());
        if told_apart(value).is_none() && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                secret_id = id,
                "a secret of fewer than {SHORTEST_TOLD_APART} bytes: answers are not searched for it"
            );
        }
        // Mostly a store has been asked again and has said the same.
        let same = last.and_then(|(_, needles)| needles.clone()).filter(|needles| needles.are_of(value, rendered));
        let needles = same.or_else(|| Needles::new(value, rendered).map(Arc::new));
        self.last.store(Some(Arc::new((secret.mark(), needles.clone()))));
        needles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needles(memory: &Memory, secret: &Secret) -> Option<Arc<Needles>> {
        memory.needles("K", secret, &HeaderValue::from_str(secret.expose_secret()).unwrap())
    }

    #[test]
    fn white_space_around_a_short_secret_saves_it_from_no_warning() {
        for (value, warned) in [(" short77\t", true), (" longer888\t", false)] {
            let memory = Memory::default();
            let needles = needles(&memory, &Secret::new(value.to_owned()).unwrap());
            assert_eq!((needles.is_none(), memory.warned.into_inner()), (warned, warned), "{value:?}");
        }
    }

    #[test]
    fn needles_are_made_once_for_a_value_and_anew_for_another() {
        let memory = Memory::default();
        let secret = |value: &str| Secret::new(value.to_owned()).unwrap();
        let (one, again, other) = (secret("first-value"), secret("first-value"), secret("other-value"));
        let first = needles(&memory, &one).unwrap();
        for same in [&one, &one.clone(), &again, &one] {
            assert!(Arc::ptr_eq(&first, &needles(&memory, same).unwrap()));
        }
        let second = needles(&memory, &other).unwrap();
        assert!(second.are_of(b"other-value", b"other-value") && !second.are_of(b"first-value", b"first-value"));
        assert!(needles(&memory, &secret("short")).is_none());
        let watch = Arc::downgrade(&second);
        drop(second);
        assert!(watch.upgrade().is_none(), "what was made of a secret outlives the next one");
    }
}
