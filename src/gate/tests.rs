//! The gate over a connection whose other end is played, with a clock that stands still until it is moved.

mod ends;
mod refusals;
mod silence;
mod undecided;
pub(super) mod writing;

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, DuplexStream};

use super::{Gate, Limits};

const GOOD: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const CONNECT: &[u8] = b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n";

fn limits() -> Limits {
    Limits { header_timeout: Duration::from_secs(11), idle_timeout: Duration::from_secs(60), ..Limits::default() }
}

fn gate() -> (DuplexStream, Gate<DuplexStream>) {
    let (peer, io) = tokio::io::duplex(64 << 10);
    (peer, Gate::new(io, limits(), true))
}

/// What one read gives.
async fn read(gate: &mut Gate<DuplexStream>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 4096];
    let n = gate.read(&mut buffer).await?;
    buffer.truncate(n);
    Ok(buffer)
}

/// That nothing comes for as long as the paused clock is told to run.
async fn silent(gate: &mut Gate<DuplexStream>) -> bool {
    tokio::time::timeout(Duration::from_secs(5), read(gate)).await.is_err()
}
