//! HTTP/2 on a connection of a workload's (RFC 9113).

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::HttpService;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::Drain;
use super::connection::Wire;
use crate::gate::frames::Frames;
use crate::gate::pace::Pace;
use crate::gate::{Handle, Limits};
use crate::metrics::Metrics;
use crate::pipeline::{Answer, caught};

/// Streams of one connection at a time. Common clients open as many before they have seen a setting, and fail when it is less.
const MAX_STREAMS: u32 = 100;
/// What a caller may send ahead of what an upstream takes: per stream, and for all of them together. Callers are near.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// What is held of one answer that its caller does not take.
const SEND_BUFFER: usize = 16 << 10;
/// Requests that were reset before anyone looked at them; then the connection ends. A caller that gives up all its calls while
/// they wait for its credential does no harm.
const MAX_GIVEN_UP: usize = MAX_STREAMS as usize;
/// Streams that we had to reset; then the connection ends.
const MAX_RESETS: usize = 20;

/// Serves a connection until its peer leaves, has no call open for `idle_timeout`, or the program ends.
pub async fn serve<S>(
    io: Frames<Wire>,
    service: S,
    handle: &Handle,
    limits: Limits,
    metrics: &Arc<Metrics>,
    mut drain: Drain,
) -> hyper::Result<()>
where
    S: HttpService<Incoming, ResBody = Answer>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
{
    let mut builder = http2::Builder::new(Streams { idle: limits.idle_timeout, metrics: Arc::clone(metrics) });
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(header_list(&limits))
        .max_pending_accept_reset_streams(MAX_GIVEN_UP)
        .max_local_error_reset_streams(MAX_RESETS);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = drain.ask_to_leave() => {}
        () = handle.quiet(limits.idle_timeout) => {}
        () = handle.left() => {}
    }
    // A GOAWAY; calls that are open go on, and a peer that does not go is left.
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = handle.quiet(limits.header_timeout) => Ok(()),
    }
}

/// The library's own limit counts otherwise than ours (RFC 9113 section 6.5.2), and its refusal has no record: it is
/// only there for what goes beyond ours by far.
fn header_list(limits: &Limits) -> u32 {
    const OVERHEAD: usize = 32;
    let ours = limits.max_header_bytes + limits.max_target_bytes + OVERHEAD * limits.max_headers;
    u32::try_from(2 * ours).unwrap_or(u32::MAX)
}

/// Runs each stream as a task that ends when its caller takes nothing any more.
#[derive(Debug, Clone)]
struct Streams {
    idle: Duration,
    metrics: Arc<Metrics>,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (idle, metrics) = (self.idle, Arc::clone(&self.metrics));
        tokio::spawn(async move {
            let serving = pin!(Pace::serve(idle, stream));
            if caught(serving).await.is_err() {
                metrics.panicked();
            }
        });
    }
}
