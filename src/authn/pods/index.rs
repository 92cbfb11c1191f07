//! What is known about the objects of one kind.

use std::collections::HashMap;
use std::sync::Arc;

use super::object::{Kind, Object};

/// The memory that all objects of an index may hold, about, in bytes. A node has some hundred pods of a few KiB.
const MAX_WEIGHT: usize = 32 * 1024 * 1024;

/// Whether the index can be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// A list or a watch is being begun; what is missing may be known in a moment.
    Starting,
    /// Listed, and followed since.
    Live,
    /// Not followed at the moment, or never listed; the text says why.
    Failing(Arc<str>),
}

/// Objects by key, as of the last word from the API server.
#[derive(Debug)]
pub struct Index<T> {
    objects: HashMap<String, Arc<T>>,
    weight: usize,
    metadata: bool,
    pub health: Health,
}

/// What an index says about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    Known(Arc<T>),
    /// There is no such object.
    Absent,
    /// It is not among those known, and those are not all.
    Unsure(Arc<str>),
}

impl<T: Kind> Index<T> {
    /// Empty. `metadata`: whether labels and annotations of pods are kept.
    pub fn new(metadata: bool) -> Self {
        Index { objects: HashMap::new(), weight: 0, metadata, health: Health::Starting }
    }

    /// An empty one of the same kind, to be filled by a list.
    pub fn emptied(&self) -> Self {
        Index { health: self.health.clone(), ..Index::new(self.metadata) }
    }

    /// What is known of this key. A known object counts while the watch is interrupted.
    pub fn find(&self, key: &str) -> Answer<T> {
        match (self.objects.get(key), &self.health) {
            (Some(object), _) => Answer::Known(object.clone()),
            (None, Health::Live) => Answer::Absent,
            (None, Health::Failing(cause)) => Answer::Unsure(cause.clone()),
            (None, Health::Starting) => Answer::Unsure("the watch is only being begun".into()),
        }
    }

    /// Whether a word about this key may come any moment.
    pub fn is_about_to_tell(&self, key: &str) -> bool {
        !self.objects.contains_key(key) && !self.is_failing()
    }

    pub fn is_failing(&self) -> bool {
        matches!(self.health, Health::Failing(_))
    }

    /// Takes what was added or has changed. `false`: it does not fit and is not known from now on.
    pub fn put(&mut self, object: Object) -> bool {
        let key = T::key(&object.metadata).to_owned();
        self.remove(&key);
        let Some(kept) = T::of(object, self.metadata) else { return true };
        let weight = kept.weight();
        if self.weight + weight > MAX_WEIGHT {
            return false;
        }
        self.weight += weight;
        self.objects.insert(key, Arc::new(kept));
        true
    }

    pub fn remove(&mut self, key: &str) {
        if let Some(gone) = self.objects.remove(key) {
            self.weight -= gone.weight();
        }
    }

    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Forgets everything, because it has not been confirmed for too long.
    pub fn forget(&mut self) {
        self.objects = HashMap::new();
        self.weight = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::pods::Pod;
    use serde_json::json;

    fn pod(uid: &str, annotation: usize) -> Object {
        let metadata = json!({"name": uid, "uid": uid, "annotations": {"a": "x".repeat(annotation)}});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    #[test]
    fn an_unknown_key_is_absent_only_while_the_index_is_live() {
        let mut index = Index::<Pod>::new(false);
        assert!(index.put(pod("a", 1)));
        let failing = Health::Failing("RBAC".into());
        for (health, unknown, about_to_tell) in [
            (Health::Starting, Answer::Unsure("the watch is only being begun".into()), true),
            (Health::Live, Answer::Absent, true),
            (failing, Answer::Unsure("RBAC".into()), false),
        ] {
            index.health = health;
            assert!(matches!(index.find("a"), Answer::Known(_)), "{:?}", index.health);
            assert_eq!(index.find("b"), unknown);
            assert_eq!(index.is_about_to_tell("b"), about_to_tell, "{:?}", index.health);
            assert!(!index.is_about_to_tell("a"));
        }
        index.forget();
        assert_eq!((index.len(), index.weight), (0, 0));
    }

    #[test]
    fn memory_is_bounded_and_given_back() {
        let mut index = Index::<Pod>::new(true);
        let fitting = (0..).find(|n| !index.put(pod(&n.to_string(), 30_000))).unwrap();
        assert!((500..2000).contains(&fitting), "{fitting}");
        assert!(index.weight <= MAX_WEIGHT);
        assert!(index.put(pod("0", 30_000)), "one that is known already is replaced");
        index.remove("1");
        assert!(index.put(pod("another", 30_000)));
        assert!(!index.put(pod("one more", 30_000)));
        for n in 0..fitting {
            index.remove(&n.to_string());
        }
        index.remove("another");
        assert_eq!((index.len(), index.weight), (0, 0));
    }
}
