//! A WebSocket that the upstream has opened: its frames pass as the bytes they are, the upstream's searched where the route
//! says so.

use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::passage::Passage;
use crate::audit::Record;
use crate::authn::Source;
use crate::pipeline::Pipeline;
use crate::upstream::websocket::Opened;

/// RFC 6455 section 7.1.1: a side that has closed its half has nothing more to hear than what is on its way.
const PATIENCE: Duration = Duration::from_secs(4);

/// The caller's end is what follows its last answer, the upstream's what follows 101.
pub async fn run(pipeline: &Pipeline, caller: Upgraded, opened: Opened, record: Box<Record>, peer: Source) {
    let Opened { socket, upstream, search, .. } = opened;
    let passage = Passage::of_websocket(record, search, PATIENCE);
    passage.run(pipeline, TokioIo::new(caller), TokioIo::new(upstream), socket.tunnel(), peer).await;
}
