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
use crate::gate::deadline;
use crate::pipeline::Pipeline;
use crate::redact::Frames;
use crate::stages::Tunnel;

/// Moved at once, in bytes.
const PIECE: usize = 16 << 10;

/// What has passed, and the record that says so, whatever ends it.
pub struct Passage {
    record: Box<Record>,
    up: AtomicU64,
    down: AtomicU64,
    last: Mutex<Instant>,
    /// How long a side may be silent when the other one has ended; without, no less than before.
    patience: Option<Duration>,
    /// What searches the upstream's bytes.
    search: Option<Frames>,
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

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Broken(error)
    }
}

impl From<Error> for End {
    fn from(error: Error) -> End {
        End::Refused(error)
    }
}

impl Passage {
    pub fn new(record: Box<Record>) -> Passage {
        let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
        let last = Mutex::new(Instant::now());
        Passage { record, up, down, last, patience: None, search: None, parting: Notify::new() }
    }

    /// The same for a WebSocket: `search` sees the upstream's bytes before the caller does.
    pub fn of_websocket(record: Box<Record>, search: Option<Frames>, patience: Duration) -> Passage {
        let mut passage = Passage::new(record);
        passage.patience = Some(patience);
        passage.search = search;
        passage
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
    /// limit, or the tunnel's credential is no longer good.
    pub async fn run(
        mut self,
        pipeline: &Pipeline,
        caller: impl AsyncRead + AsyncWrite + Unpin,
        upstream: impl AsyncRead + AsyncWrite + Unpin,
        tunnel: &Tunnel,
        peer: Source,
    ) {
        let search = self.search.take();
        let ended = tokio::select! {
            // What has come counts before any limit.
            biased;
            ended = self.both_ways(caller, upstream, search) => ended,
            () = self.falls_idle(tunnel.route().timeouts.idle) => Err(End::Idle),
            () = self.parts(self.patience) => Err(End::Parted),
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
        search: Option<Frames>,
    ) -> Result<(), End> {
        let (from_caller, to_caller) = tokio::io::split(caller);
        let (from_upstream, to_upstream) = tokio::io::split(upstream);
        let up = self.one_way(from_caller, to_upstream, &self.up, None);
        let down = self.one_way(from_upstream, to_caller, &self.down, search);
        tokio::try_join!(up, down).map(drop)
    }

    async fn one_way(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        count: &AtomicU64,
        mut search: Option<Frames>,
    ) -> Result<(), End> {
        let (mut piece, mut searched) = (vec![0; PIECE], Vec::new());
        loop {
            let n = from.read(&mut piece).await?;
            self.passed(count, 0);
            if n == 0 {
                self.parting.notify_one();
                return Ok(to.shutdown().await?);
            }
            let bytes = match &mut search {
                None => &piece[..n],
                Some(search) => {
                    self.look(search, &piece[..n], &mut searched)?;
                    &searched[..]
                }
            };
            to.write_all(bytes).await?;
            to.flush().await?;
            self.passed(count, bytes.len());
        }
    }

    fn look(&self, search: &mut Frames, bytes: &[u8], searched: &mut Vec<u8>) -> Result<(), Error> {
        searched.clear();
        let looked = search.push(bytes, searched);
        if search.found() {
            self.record.reflected();
        }
        Ok(looked?)
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
            deadline::passed(due).await;
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
