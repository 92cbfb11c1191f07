//! What was asked for of late.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So much is kept; what was not asked for the longest time goes first.
const MAX: usize = 256;
/// What was not asked for so long goes when something else comes; its connections have been closed before.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// Things with connections of their own, each found by a key. Keys come from callers, so there is room for a few hundred. One
/// that goes takes its waiting connections with it; calls under way keep theirs.
#[derive(Debug)]
pub struct Recent<K, V>(Mutex<HashMap<K, Kept<V>>>);

#[derive(Debug)]
struct Kept<V> {
    thing: Arc<V>,
    asked: Instant,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Recent(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone, V> Recent<K, V> {
    /// What there is for the key, which is made unless it was asked for of late.
    pub fn of<Q>(&self, key: &Q, make: impl FnOnce() -> V) -> Arc<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let asked = Instant::now();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.get_mut(key) {
            found.asked = asked;
            return Arc::clone(&found.thing);
        }
        let gone = make_room(&mut kept, asked);
        let thing = Arc::new(make());
        kept.insert(key.to_owned(), Kept { thing: Arc::clone(&thing), asked });
        drop(kept);
        // Closing connections takes a while: others need not wait for it.
        drop(gone);
        thing
    }
}

/// Takes out what has been idle for too long and, if it is still full, what has been for the longest.
fn make_room<K: Eq + Hash + Clone, V>(kept: &mut HashMap<K, Kept<V>>, now: Instant) -> Vec<Kept<V>> {
    let mut gone: Vec<_> = kept.extract_if(|_, kept| now - kept.asked >= IDLE).map(|(_, kept)| kept).collect();
    if kept.len() >= MAX {
        let oldest = kept.iter().min_by_key(|(_, kept)| kept.asked).map(|(key, _)| key.clone());
        gone.extend(oldest.and_then(|key| kept.remove(&key)));
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(recent: &Recent<String, ()>, key: &str) -> Arc<()> {
        recent.of(key, || ())
    }

    #[tokio::test(start_paused = true)]
    async fn each_key_has_what_is_its_own_for_as_long_as_it_is_asked_for() {
        let recent = Recent::default();
        let one = of(&recent, "one");
        assert!(Arc::ptr_eq(&one, &of(&recent, "one")));
        let two = of(&recent, "two");
        assert!(!Arc::ptr_eq(&one, &two));
        tokio::time::advance(IDLE / 2).await;
        let _ = of(&recent, "two");
        tokio::time::advance(IDLE / 2).await;
        let _ = of(&recent, "three");
        assert!(!Arc::ptr_eq(&one, &of(&recent, "one")), "idle for too long");
        assert!(Arc::ptr_eq(&two, &of(&recent, "two")));
        assert_eq!(Arc::strong_count(&one), 1, "kept by nobody else");
    }

    #[tokio::test(start_paused = true)]
    async fn g24_of_ten_thousand_the_last_few_hundred_are_kept() {
        let recent = Recent::default();
        let often = of(&recent, "often");
        let mut made = Vec::new();
        for n in 0..10_000 {
            tokio::time::advance(Duration::from_millis(1)).await;
            made.push(Arc::downgrade(&of(&recent, &n.to_string())));
            assert!(Arc::ptr_eq(&often, &of(&recent, "often")), "{n}");
        }
        assert_eq!(recent.0.lock().unwrap().len(), MAX);
        let alive: Vec<_> = made.iter().map(|thing| thing.strong_count() > 0).collect();
        let (gone, kept) = alive.split_at(10_000 - MAX + 1);
        assert!(gone.iter().all(|alive| !alive) && kept.iter().all(|alive| *alive), "not the last ones");
    }
}
