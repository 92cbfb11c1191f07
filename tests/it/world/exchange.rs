//! One connection's whole story: bytes in, answers out, and what left for the upstreams meanwhile.

use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::raw::{Answer, parse_answers};
use super::recorder::Seen;
use super::way::Way;
use super::{Started, until, within};

/// How bytes are put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pieces {
    Whole,
    /// One segment a byte. Only a runtime with `event_interval(1)` lets the proxy read each on its own.
    Bytes,
    /// One segment a byte and at least a millisecond between them.
    SlowBytes,
}

/// What the bytes on one connection led to.
#[derive(Debug)]
pub struct Outcome {
    pub answers: Vec<Answer>,
    /// The requests that reached upstream `a` whole.
    pub left: Vec<Seen>,
    /// What left for either upstream, whole requests or not.
    pub bytes: usize,
}

impl Started {
    /// Sends bytes of HTTP/1.1 on a new connection, or in a new tunnel to a.test, reads until the proxy closes it, and
    /// tells everything that happened.
    pub async fn exchange(&self, bytes: &[u8], pieces: Pieces) -> Outcome {
        match self.way {
            Way::Tunnel => self.exchange_over(self.tunnel("a.test:80").await, bytes, pieces).await,
            _ => self.exchange_over(self.connect().await, bytes, pieces).await,
        }
    }

    async fn exchange_over(&self, stream: impl AsyncRead + AsyncWrite, bytes: &[u8], pieces: Pieces) -> Outcome {
        let (seen, sent) = (self.a.seen().len(), self.a.bytes() + self.b.bytes());
        let (mut read, mut write) = tokio::io::split(stream);
        let mut back = Vec::new();
        let sending = async {
            match pieces {
                // The proxy may refuse and close before all is written.
                Pieces::Whole => {
                    let _ = write.write_all(bytes).await;
                    let _ = write.flush().await;
                }
                Pieces::Bytes | Pieces::SlowBytes => {
                    for byte in bytes {
                        if write.write_all(std::slice::from_ref(byte)).await.is_err() || write.flush().await.is_err() {
                            break;
                        }
                        match pieces {
                            Pieces::SlowBytes => tokio::time::sleep(Duration::from_millis(1)).await,
                            _ => tokio::task::yield_now().await,
                        }
                    }
                }
            }
        };
        // A reset is an end, too.
        let reading = async { drop(read.read_to_end(&mut back).await) };
        within("the end of the connection", async { tokio::join!(sending, reading) }).await;
        let bytes = self.a.bytes() + self.b.bytes() - sent;
        Outcome { answers: parse_answers(&back), left: self.a.seen().split_off(seen), bytes }
    }

    /// Sends a request that must be refused: with this status and code in our own JSON, under one request id in
    /// header, body and exactly one audit record, while no byte leaves; then a good request works.
    pub async fn refuses(&self, bytes: impl AsRef<[u8]>, (status, code): (u16, &str), what: &str) -> Answer {
        let sent = self.a.bytes() + self.b.bytes();
        let answer = self.send(bytes).await;
        assert_eq!(self.a.bytes() + self.b.bytes(), sent, "{what}: bytes reached an upstream");
        is_refusal(&answer, status).unwrap_or_else(|why| panic!("{what}: {why}"));
        assert_eq!(answer.code(), code, "{what}: {answer:?}");
        let id = answer.header("x-request-id").unwrap_or_default().to_owned();
        let records = || self.audit().into_iter().filter(|record| record["request_id"] == id.as_str()).count();
        until(&format!("{what}: the audit record"), || records() > 0).await;
        assert_eq!(records(), 1, "{what}: audit records");
        self.assert_works(what).await;
        answer
    }

    /// Where the audit records are.
    pub fn audit_file(&self) -> PathBuf {
        self.directory.path().join("audit.jsonl")
    }

    /// Sends a good request for `a.test` and returns what left for it.
    pub async fn forwards(&self, bytes: impl AsRef<[u8]>, what: &str) -> Seen {
        let seen = self.a.seen().len();
        let answer = self.send(bytes).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        let left = self.a.seen().split_off(seen);
        assert_eq!(left.len(), 1, "{what}: {left:?}");
        left.into_iter().next().unwrap()
    }
}

/// Our own refusal: the status, a code in header and body, one request id in both.
pub fn is_refusal(answer: &Answer, status: u16) -> Result<(), String> {
    let json = answer.json();
    let code = json["error"].as_str();
    let id = json["request_id"].as_str();
    let fine = answer.status == status
        && answer.complete
        && code.is_some()
        && answer.headers("x-veilwarden-error") == Vec::from_iter(code)
        && id.is_some()
        && answer.headers("x-request-id") == Vec::from_iter(id);
    if fine { Ok(()) } else { Err(format!("not a refusal with {status}: {answer:?} {}", answer.text())) }
}
