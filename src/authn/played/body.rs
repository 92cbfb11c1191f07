//! The bodies of answers, played.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;

use super::Shared;

pub struct Played {
    pub script: Script,
    pub shared: Arc<Shared>,
    pub pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

pub enum Script {
    Whole(Bytes),
    Trickle(Bytes),
    CutOff(Bytes),
    Flood(usize),
    Fail,
    End,
}

impl http_body::Body for Played {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        const CHUNK: usize = 64 * 1024;
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let (chunk, next) = match std::mem::replace(&mut self.script, Script::End) {
            Script::Whole(all) => (all, Script::End),
            Script::CutOff(mut all) => (all.split_to(all.len() / 2), Script::Fail),
            Script::Fail => return Poll::Ready(Some(Err(std::io::Error::other("cut off")))),
            Script::Trickle(mut rest) if !rest.is_empty() => {
                self.pause = Some(Box::pin(tokio::time::sleep(Duration::from_millis(20))));
                (rest.split_to(1), Script::Trickle(rest))
            }
            Script::Flood(left) if left > 0 => {
                let size = left.min(CHUNK);
                (Bytes::from(vec![b' '; size]), Script::Flood(left - size))
            }
            Script::Trickle(_) | Script::Flood(_) | Script::End => return Poll::Ready(None),
        };
        self.script = next;
        self.shared.sent.fetch_add(chunk.len(), Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}
