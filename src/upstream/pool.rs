//! The connections to one host that wait for their next call.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::POOL_IDLE;
use super::line::Line;

/// So often connections that wait are looked at: those that their upstream has closed, and those that have waited for too
/// long, go.
const LOOK: Duration = Duration::from_secs(1);
/// So many wait at most, for all hosts of an entry of `routes` together; a call that finds none dials.
const MAX_IDLE: usize = 1024;

/// Connections after a clean end. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Mutex<Idle>>);

/// The places to wait in. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Seats(Arc<AtomicUsize>);

/// One of them, taken for as long as this is there.
#[derive(Debug)]
struct Seat(Seats);

#[derive(Debug)]
struct Idle {
    /// The last one is the newest.
    lines: Vec<Waiting>,
    seats: Seats,
    /// Whether somebody looks at them.
    watched: bool,
}

#[derive(Debug)]
struct Waiting {
    line: Box<Line>,
    since: Instant,
    _seat: Seat,
}

impl Pool {
    pub fn new(seats: Seats) -> Pool {
        Pool(Arc::new(Mutex::new(Idle { lines: Vec::new(), seats, watched: false })))
    }

    /// The connection that was used last, if it is still good as far as that can be told without a call.
    pub fn take(&self) -> Option<Box<Line>> {
        loop {
            // Taken first: the lock is not held while it is looked at.
            let mut waiting = lock(&self.0).lines.pop()?;
            if waiting.is_good() {
                return Some(waiting.line);
            }
        }
    }

    /// Keeps a connection whose last answer has ended for the next call.
    pub fn put(&self, line: Box<Line>) {
        let mut idle = lock(&self.0);
        if let Some(seat) = idle.seats.take() {
            idle.lines.push(Waiting { line, since: Instant::now(), _seat: seat });
        }
        if !idle.watched {
            idle.watched = true;
            tokio::spawn(watch(Arc::downgrade(&self.0)));
        }
    }
}

fn lock(idle: &Mutex<Idle>) -> MutexGuard<'_, Idle> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Waiting {
    fn is_good(&mut self) -> bool {
        self.since.elapsed() < POOL_IDLE && self.line.is_idle()
    }
}

impl Seats {
    fn take(&self) -> Option<Seat> {
        let taken = self.0.fetch_add(1, Ordering::Relaxed);
        // One too many is given back as it goes out of scope.
        Some(Seat(self.clone())).filter(|_| taken < MAX_IDLE)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Looks at the connections as long as there are any.
async fn watch(pool: Weak<Mutex<Idle>>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut idle = lock(&pool);
        idle.lines.retain_mut(Waiting::is_good);
        if idle.lines.is_empty() {
            idle.lines = Vec::new();
            // The next one that comes is watched anew.
            idle.watched = false;
            return;
        }
    }
}
