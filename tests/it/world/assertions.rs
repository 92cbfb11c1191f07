//! What calls to a world have in common, refused and not.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::raw::{self, Answer};
use super::{Started, within};

impl Started {
    /// REJ: refused with 400 (or the status given), nothing reached an upstream, the connection is closed, and
    /// the next good request on a new one works.
    pub async fn assert_rejected(&self, bytes: impl AsRef<[u8]>, statuses: &[u16], what: &str) {
        let before = (self.a.bytes(), self.b.bytes());
        let mut stream = self.connect().await;
        let _ = stream.write_all(bytes.as_ref()).await;
        let answer = raw::read_answer(&mut stream).await;
        assert!(answer.status == 0 || statuses.contains(&answer.status), "{what}: {answer:?}");
        if answer.status != 0 {
            let code = answer.json()["error"].as_str().map(str::to_owned);
            assert_eq!(answer.header("x-veilwarden-error"), code.as_deref(), "{what}: {answer:?}");
            assert!(answer.header("x-request-id").is_some(), "{what}: {answer:?}");
        }
        assert_eq!((self.a.bytes(), self.b.bytes()), before, "{what}: bytes reached an upstream");
        self.assert_works(what).await;
    }

    /// As above, and the connection is closed by the proxy.
    pub async fn assert_rejected_and_closed(&self, bytes: impl AsRef<[u8]>, statuses: &[u16], what: &str) {
        let mut stream = self.connect().await;
        let _ = stream.write_all(bytes.as_ref()).await;
        let mut rest = Vec::new();
        // A reset is a close, too.
        let _ = within(what, stream.read_to_end(&mut rest)).await;
        let answers = raw::parse_answers(&rest);
        assert!(answers.len() <= 1, "{what}: {answers:?}");
        self.assert_rejected(bytes, statuses, what).await;
    }

    /// The next good request on a new connection works.
    pub async fn assert_works(&self, what: &str) {
        let answer = self.send(self.ok("")).await;
        assert_eq!(answer.status, 200, "{what}: then a good request: {answer:?}");
    }

    /// Asserts what every refusal has in common: its status and code, in the body and in `X-Veilwarden-Error`, a
    /// request id, and an audit record that says the same. Returns the record.
    pub async fn assert_refused(&self, answer: &Answer, status: u16, code: &str, what: &str) -> Value {
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what}: {answer:?}");
        assert_eq!(answer.headers("x-veilwarden-error"), [code], "{what}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{what}: {answer:?}");
        assert!(answer.complete, "{what}: {answer:?}");
        let challenge = (status == 401).then_some("Bearer realm=\"veilwarden\"");
        assert_eq!(answer.header("www-authenticate"), challenge, "{what}: {answer:?}");
        let challenge = (status == 407).then_some("Basic realm=\"veilwarden\", Bearer realm=\"veilwarden\"");
        assert_eq!(answer.header("proxy-authenticate"), challenge, "{what}: {answer:?}");
        let record = self.record(answer).await;
        assert_eq!(answer.json()["request_id"], record["request_id"], "{what}: {answer:?}");
        assert_eq!((&record["status"], &record["error"]), (&status.into(), &code.into()), "{what}: {record}");
        record
    }

    /// Nothing ever reached an upstream.
    pub fn assert_nothing_sent(&self, what: &str) {
        assert_eq!((self.a.bytes(), self.b.bytes()), (0, 0), "{what}: bytes reached an upstream");
    }
}
