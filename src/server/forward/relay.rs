//! A tunnel whose bytes pass as they are, to a host that policy has allowed.

use std::io;

use tokio::io::AsyncWriteExt;

use super::hello::Hello;
use super::{Bytes, UNRECOGNIZED_NAME};
use crate::audit::Record;
use crate::authn::Source;
use crate::error::{Error, Fault};
use crate::gate::deadline::timeout;
use crate::server::connection::Http;
use crate::server::passage::Passage;
use crate::stages::Relay;

/// Looks at the ClientHello, dials, and copies both ways.
pub async fn run(http: &Http, mut caller: Bytes, relay: Relay, record: Box<Record>, peer: Source) {
    let mut passage = Passage::new(record);
    let hello = timeout(http.limits.header_timeout, Hello::read(&mut caller)).await;
    let hello = match hello.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(hello) => hello,
        Err(error) => return passage.refuse(&http.pipeline, Error::NoTls(error.to_string())),
    };
    let name = hello.server_name();
    if name.is_none() || !relay.tunnel().is_named(name.as_deref()) {
        let _ = caller.write_all(&UNRECOGNIZED_NAME).await;
        let _ = caller.shutdown().await;
        return passage.refuse(&http.pipeline, Error::Request(crate::request::Error::Misdirected));
    }
    let mut upstream = match http.pipeline.upstreams.relay(&relay).await {
        Ok(upstream) => upstream,
        Err(error) => return passage.refuse(&http.pipeline, error),
    };
    if let Err(error) = upstream.write_all(&hello.bytes).await {
        return passage.refuse(&http.pipeline, Fault::Unreachable(error.to_string()).into());
    }
    passage.sent_up(hello.bytes.len());
    drop(hello);
    passage.run(&http.pipeline, caller, upstream, relay.tunnel(), peer).await;
}
