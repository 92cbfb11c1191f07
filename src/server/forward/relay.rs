//! A tunnel whose bytes pass as they are, to a host that policy has allowed.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::hello::Hello;
use super::{Bytes, UNRECOGNIZED_NAME};
use crate::audit::Record;
use crate::authn::Source;
use crate::error::{Error, Fault};
use crate::pipeline::Pipeline;
use crate::server::connection::Http;
use crate::stages::{Relay, Tunnel};

/// Moved at once, in bytes.
const PIECE: usize = 16 << 10;

/// What has passed, and the record that says so, whatever ends the relay.
struct Ledger {
    record: Box<Record>,
    up: AtomicU64,
    down: AtomicU64,
    last: Mutex<Instant>,
}

/// Why a relay ended before both sides had.
enum End {
    Idle,
    Refused(Error),
    Broken(io::Error),
}

/// Looks at the ClientHello, dials, and copies both ways.
pub async fn run(http: &Http, mut caller: Bytes, relay: Relay, record: Box<Record>, peer: Source) {
    let mut ledger =
        Ledger { record, up: AtomicU64::new(0), down: AtomicU64::new(0), last: Mutex::new(Instant::now()) };
    let hello = tokio::time::timeout(http.limits.header_timeout, Hello::read(&mut caller)).await;
    let hello = match hello.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(hello) => hello,
        Err(error) => return ledger.refuse(&http.pipeline, Error::NoTls(error.to_string())),
    };
    let name = hello.server_name();
    if name.is_none() || !relay.tunnel().is_named(name.as_deref()) {
        let _ = caller.write_all(&UNRECOGNIZED_NAME).await;
        let _ = caller.shutdown().await;
        return ledger.refuse(&http.pipeline, Error::Request(crate::request::Error::Misdirected));
    }
    let mut upstream = match http.pipeline.upstreams.relay(&relay).await {
        Ok(upstream) => upstream,
        Err(error) => return ledger.refuse(&http.pipeline, error),
    };
    if let Err(error) = upstream.write_all(&hello.bytes).await {
        return ledger.refuse(&http.pipeline, Fault::Unreachable(error.to_string()).into());
    }
    ledger.passed(&ledger.up, hello.bytes.len());
    drop(hello);
    let idle = relay.tunnel().route().timeouts.idle;
    let ended = tokio::select! {
        ended = both_ways(caller, upstream, &ledger) => ended.map_err(End::Broken),
        () = ledger.falls_idle(idle) => Err(End::Idle),
        error = refusal(&http.pipeline, relay.tunnel(), peer) => Err(End::Refused(error)),
    };
    match ended {
        Ok(()) => ledger.record.complete = true,
        Err(End::Idle) => ledger.record.reason = "nothing came within the idle limit".to_owned(),
        Err(End::Broken(error)) => ledger.record.reason = format!("broken off: {}", error.kind()),
        Err(End::Refused(error)) => ledger.refuse(&http.pipeline, error),
    }
}

async fn both_ways(
    caller: impl AsyncRead + AsyncWrite + Unpin,
    upstream: impl AsyncRead + AsyncWrite + Unpin,
    ledger: &Ledger,
) -> io::Result<()> {
    let (from_caller, to_caller) = tokio::io::split(caller);
    let (from_upstream, to_upstream) = tokio::io::split(upstream);
    let up = one_way(from_caller, to_upstream, ledger, &ledger.up);
    let down = one_way(from_upstream, to_caller, ledger, &ledger.down);
    tokio::try_join!(up, down).map(drop)
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    ledger: &Ledger,
    count: &AtomicU64,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let n = from.read(&mut piece).await?;
        if n == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..n]).await?;
        to.flush().await?;
        ledger.passed(count, n);
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

impl Ledger {
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

    fn refuse(&mut self, pipeline: &Pipeline, error: Error) {
        pipeline.note(&error, &mut self.record);
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.record.request_bytes = Some(self.up.load(Ordering::Relaxed));
        self.record.response_bytes = self.down.load(Ordering::Relaxed);
    }
}
