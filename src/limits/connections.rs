//! Open connections, in all and of one peer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Limit;
use crate::authn::Source;

/// Counts what is open. Its copies count together.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    max_per_peer: usize,
    open: Mutex<Open>,
}

/// A peer is in the map as long as it has a connection, so the map is no larger than `max`.
#[derive(Debug, Default)]
struct Open {
    all: usize,
    of: HashMap<Source, usize>,
}

/// One connection's place, free again when this is dropped.
#[derive(Debug)]
pub struct Seat {
    shared: Arc<Shared>,
    peer: Source,
}

impl Connections {
    pub fn new(max: usize, max_per_peer: usize) -> Connections {
        Connections(Arc::new(Shared { max, max_per_peer, open: Mutex::default() }))
    }

    /// A place for a connection of this peer, or which limit it would be over.
    pub fn enter(&self, peer: Source) -> Result<Seat, Limit> {
        let Shared { max, max_per_peer, .. } = *self.0;
        let mut open = self.0.open();
        if open.all >= max {
            return Err(Limit::Connections);
        }
        match open.of.entry(peer) {
            Entry::Occupied(entry) if *entry.get() >= max_per_peer => return Err(Limit::ConnectionsPerPeer),
            Entry::Occupied(mut entry) => *entry.get_mut() += 1,
            Entry::Vacant(entry) => _ = entry.insert(1),
        }
        open.all += 1;
        Ok(Seat { shared: Arc::clone(&self.0), peer })
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.shared.open();
        open.all -= 1;
        if let Entry::Occupied(mut entry) = open.of.entry(self.peer) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u32) -> Source {
        std::net::IpAddr::from(n.to_be_bytes()).into()
    }

    #[test]
    fn k06_each_limit_holds_exactly_and_places_come_back() {
        let connections = Connections::new(3, 2);
        let (first, second) = (connections.enter(peer(1)).unwrap(), connections.enter(peer(1)).unwrap());
        assert_eq!(connections.enter(peer(1)).unwrap_err(), Limit::ConnectionsPerPeer);
        let unix = connections.clone().enter(Source::Unix { uid: 1 }).unwrap();
        assert_eq!(connections.enter(peer(2)).unwrap_err(), Limit::Connections);
        drop(first);
        let other = connections.enter(peer(2)).unwrap();
        assert_eq!(connections.enter(peer(1)).unwrap_err(), Limit::Connections);
        drop((second, unix, other));
        assert!(connections.0.open().of.is_empty(), "nobody is remembered without a connection");
        assert_eq!(connections.0.open().all, 0);
    }
}
