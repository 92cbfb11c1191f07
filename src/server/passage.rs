//! Bytes both ways between a caller and an upstream, as they are, until an end; and the record that says how many.

use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::audit::Record;
use crate::authn::Source;
use crate::error::Error;
use crate::pipeline::Pipeline;
use crate::stages::Tunnel;

/// Moved at once, in bytes.
const PIECE: usize = 16 << 10;

/// What has passed, and the record that says so, whatever ends it.
pub struct Passage {
    record: Box<Record>,
    up: AtomicU64,
    down: AtomicU64,
    last: Mutex<Instant>,
    /// One side has sent its last byte.
    parting: Notify,
}

/// Why a passage ended before both sides had.
enum End {
    Idle,
    Parted,
    Refused(Error),
    Broken(io::Error),
}

impl Passage {
    pub fn new(record: Box<Record>) -> Passage {
        let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
        Passage { record, up, down, last: Mutex::new(Instant::now()), parting: Notify::new() }
    }

    /// So many bytes went to the upstream beside those of `run`.
    pub fn sent_up(&self, n: usize) {
        self.passed(&self.up, n);
    }

    /// It ends with this failure.
    pub fn refuse(&mut self, pipeline: &Pipeline, error: Error) {
        pipeline.note(&error, &mut self.record);
    }

    /// Copies both ways until both sides have ended, or one breaks off, or neither sends anything within the route's idle
    /// limit, or the tunnel's credential is no longer good. `patience`: how long a side may be silent when the other one
    /// has ended; without one, no less than before.
    pub async fn run(
        mut self,
        pipeline: &Pipeline,
        caller: impl AsyncRead + AsyncWrite + Unpin,
        upstream: impl AsyncRead + AsyncWrite + Unpin,
        tunnel: &Tunnel,
        peer: Source,
        patience: Option<Duration>,
    ) {
        let ended = tokio::select! {
            ended = self.both_ways(caller, upstream) => ended.map_err(End::Broken),
            () = self.falls_idle(tunnel.route().timeouts.idle) => Err(End::Idle),
            () = self.parts(patience) => Err(End::Parted),
            error = refusal(pipeline, tunnel, peer) => Err(End::Refused(error)),
        };
        match ended {
            Ok(()) => self.record.complete = true,
            Err(End::Idle) => self.record.reason = "nothing came within the idle limit".to_owned(),
            Err(End::Parted) => self.record.reason = "one side ended and the other fell silent".to_owned(),
            Err(End::Broken(error)) => self.record.reason = format!("broken off: {}", error.kind()),
            Err(End::Refused(error)) => self.refuse(pipeline, error),
        }
    }

    async fn both_ways(
        &self,
        caller: impl AsyncRead + AsyncWrite + Unpin,
        upstream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let (from_caller, to_caller) = tokio::io::split(caller);
        let (from_upstream, to_upstream) = tokio::io::split(upstream);
        let up = self.one_way(from_caller, to_upstream, &self.up);
        let down = self.one_way(from_upstream, to_caller, &self.down);
        tokio::try_join!(up, down).map(drop)
    }

    async fn one_way(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        count: &AtomicU64,
    ) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            let n = from.read(&mut piece).await?;
            self.passed(count, 0);
            if n == 0 {
                self.parting.notify_one();
                return to.shutdown().await;
            }
            to.write_all(&piece[..n]).await?;
            to.flush().await?;
            self.passed(count, n);
        }
    }

    fn passed(&self, count: &AtomicU64, n: usize) {
        count.fetch_add(n as u64, Ordering::Relaxed);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    async fn falls_idle(&self, limit: Duration) {
        loop {
            let due = *self.last.lock().unwrap_or_else(PoisonError::into_inner) + limit;
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }

    async fn parts(&self, patience: Option<Duration>) {
        let Some(patience) = patience else { return pending().await };
        self.parting.notified().await;
        self.falls_idle(patience).await;
    }
}

/// Returns when the authenticator no longer takes the credential. That it cannot be asked is a refusal too.
async fn refusal(pipeline: &Pipeline, tunnel: &Tunnel, peer: Source) -> Error {
    loop {
        tokio::time::sleep(pipeline.recheck).await;
        if let Err(error) = pipeline.authenticate_again(tunnel, peer).await {
            return error;
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.record.request_bytes = Some(self.up.load(Ordering::Relaxed));
        self.record.response_bytes = self.down.load(Ordering::Relaxed);
    }
}
