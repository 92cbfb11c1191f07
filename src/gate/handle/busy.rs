//! An answer on its way.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::time::Instant;

use super::Handle;
use crate::gate::pace::Pace;
use crate::gate::transit::Transit;

/// An answer is on its way: as long as this lives, silence of the peer is no idleness.
#[derive(Debug)]
pub struct Busy {
    pub(super) handle: Handle,
    /// Only HTTP/2 needs it: what an HTTP/1 peer does not take, its socket does not either.
    pub(super) pace: Option<Pace>,
}

impl Busy {
    /// The same bytes, over HTTP/2 counted until whoever sends them lets go of them.
    pub fn carry(&self, bytes: Bytes) -> Bytes {
        if self.pace.is_none() {
            return bytes;
        }
        self.handle.0.carried.fetch_add(1, Ordering::SeqCst);
        Bytes::from_owner(Carried { bytes, handle: self.handle.clone() })
    }

    /// What the pieces of the answer are to be counted by, if by anything.
    pub fn transit(&self) -> Option<&Transit> {
        self.pace.as_ref().map(Pace::transit)
    }
}

/// A whole answer that somebody sends. It takes room, and keeps nobody busy: the library has it long after the task that
/// would give it up has gone, and only with an idle connection does it end for a caller that does not take it.
struct Carried {
    bytes: Bytes,
    handle: Handle,
}

impl AsRef<[u8]> for Carried {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.handle.0.carried.fetch_sub(1, Ordering::SeqCst);
        self.handle.wake();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.handle.rest().quiet_since = Some(Instant::now());
        self.handle.0.busy.fetch_sub(1, Ordering::SeqCst);
        self.handle.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn e19_a_whole_answer_over_http_2_takes_room_until_it_is_let_go() {
        let answer = Bytes::from_static(b"refused");
        let alone = Handle::default();
        assert_eq!(alone.busy().carry(answer.clone()), answer);
        assert!(alone.has_fewer(1), "over HTTP/1 nothing is counted");
        let stream = async {
            let handle = Handle::default();
            let carried = handle.busy().carry(answer.clone());
            assert_eq!(carried, answer);
            assert!(!handle.has_fewer(1));
            drop(carried);
            assert!(handle.has_fewer(1));
        };
        Pace::serve(Duration::from_secs(60), stream).await;
    }
}
