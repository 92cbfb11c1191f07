//! What was made of a route's secret, so that not every call makes it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use http::HeaderValue;

use super::needles::Needles;
use crate::secrets::{Mark, SHORTEST_TOLD_APART, Secret};

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
        if let Some(last) = self.last.load().as_deref().filter(|last| last.0.is_of(secret)) {
            return last.1.clone();
        }
        let value = secret.expose_secret();
        if value.len() < SHORTEST_TOLD_APART && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                secret_id = id,
                "a secret of fewer than {SHORTEST_TOLD_APART} bytes: answers are not searched for it"
            );
        }
        let needles = Needles::new(value.as_bytes(), rendered.as_bytes()).map(Arc::new);
        self.last.store(Some(Arc::new((secret.mark(), needles.clone()))));
        needles
    }
}
