//! A WebSocket that the upstream has opened: its frames pass as the bytes they are.

use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::passage::Passage;
use crate::audit::Record;
use crate::authn::Source;
use crate::pipeline::Pipeline;
use crate::stages::WebSocket;

/// RFC 6455 section 7.1.1: a side that has closed its half has nothing more to hear than what is on its way.
const PATIENCE: Duration = Duration::from_secs(4);

/// The caller's end is what follows its last answer, the upstream's what follows 101.
pub async fn run(
    pipeline: &Pipeline,
    caller: Upgraded,
    upstream: Upgraded,
    socket: &WebSocket,
    record: Box<Record>,
    peer: Source,
) {
    let (caller, upstream) = (TokioIo::new(caller), TokioIo::new(upstream));
    Passage::new(record).run(pipeline, caller, upstream, socket.tunnel(), peer, Some(PATIENCE)).await;
}
