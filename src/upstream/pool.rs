//! The connections to one host that wait for their next call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::POOL_IDLE;
use super::line::Line;

/// So often connections that wait are looked at: those that their upstream has closed, and those that have waited for too
/// long, go.
const LOOK: Duration = Duration::from_secs(1);
/// So many wait at most; a call that finds none dials.
const MAX_IDLE: usize = 1024;

/// Connections after a clean end. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Pool(Arc<Mutex<Idle>>);

#[derive(Debug, Default)]
struct Idle {
    /// Since when each waits; the last one is the newest.
    lines: Vec<(Box<Line>, Instant)>,
    /// Whether somebody looks at them.
    watched: bool,
}

impl Pool {
    /// The connection that was used last, if it is still good as far as that can be told without a call.
    pub fn take(&self) -> Option<Box<Line>> {
        loop {
            // Taken first: the lock is not held while it is looked at.
            let (mut line, since) = lock(&self.0).lines.pop()?;
            if is_good(&mut line, since) {
                return Some(line);
            }
        }
    }

    /// Keeps a connection whose last answer has ended for the next call.
    pub fn put(&self, line: Box<Line>) {
        let mut idle = lock(&self.0);
        if idle.lines.len() < MAX_IDLE {
            idle.lines.push((line, Instant::now()));
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

fn is_good(line: &mut Line, since: Instant) -> bool {
    since.elapsed() < POOL_IDLE && line.is_idle()
}

/// Looks at the connections as long as there are any.
async fn watch(pool: Weak<Mutex<Idle>>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut idle = lock(&pool);
        idle.lines.retain_mut(|(line, since)| is_good(line, *since));
        if idle.lines.is_empty() {
            // The next one that comes is watched anew.
            *idle = Idle::default();
            return;
        }
    }
}
