//! What a caller knows about its call's record.

use serde_json::Value;

use crate::caller::Answer;
use crate::plan::Plan;

/// How the record of a WebSocket that broke off says so, if it has no code.
const ENDS: [&str; 3] = ["broken off: ", "nothing came within", "one side ended"];

#[derive(Debug, Clone)]
pub enum Claim {
    Exact {
        status: u16,
        /// Whether the caller got all of it, where both must know.
        complete: Option<bool>,
        allowed: Option<Allowed>,
    },
    /// The caller left: there is one if this request reached an upstream.
    Left(u64),
}

/// What is known of a call whose answer came from its upstream.
#[derive(Debug, Clone)]
pub struct Allowed {
    who: &'static str,
    host: String,
    secret_id: String,
    /// The secret came back, where both must know.
    reflected: Option<bool>,
    passed: Option<Passed>,
}

/// Bytes of a WebSocket; of one that was broken off, at most so many.
#[derive(Debug, Clone, Copy)]
struct Passed {
    up: u64,
    down: u64,
    whole: bool,
}

impl Claim {
    /// A good answer to CONNECT.
    pub fn tunnel() -> Claim {
        Claim::Exact { status: 200, complete: Some(true), allowed: None }
    }

    pub fn of(plan: &Plan, answer: &Answer) -> Claim {
        let allowed = (!answer.is_error()).then(|| Allowed::of(plan, answer));
        // One half of a WebSocket may end well although the other says that it does not.
        let complete = Some(answer.complete).filter(|complete| *complete || answer.status != 101);
        Claim::Exact { status: answer.status, complete, allowed }
    }

    pub fn agrees_with(&self, record: &Value) -> bool {
        let Claim::Exact { status, complete, allowed } = self else { return true };
        record["status"] == *status
            && complete.is_none_or(|complete| record["complete"] == complete)
            && allowed.as_ref().is_none_or(|allowed| allowed.agrees_with(record))
    }
}

impl Allowed {
    fn of(plan: &Plan, answer: &Answer) -> Allowed {
        let surely = !plan.reflects() || answer.complete || answer.status != 101;
        let socket = plan.socket.filter(|_| answer.status == 101);
        let passed = socket.map(|socket| Passed {
            up: socket.up(plan.number).concat().len() as u64,
            down: plan.heard().len() as u64,
            whole: answer.complete,
        });
        Allowed {
            who: plan.who.name(),
            host: plan.host(),
            secret_id: plan.kind.secret_id(plan.who),
            reflected: surely.then(|| plan.reflects()),
            passed,
        }
    }

    fn agrees_with(&self, record: &Value) -> bool {
        let identity = &record["identity"];
        let name = identity["service_account"].as_str().or(identity["user_id"].as_str());
        let reflected = record["secret_reflected"] == true;
        name == Some(self.who)
            && record["decision"] == "allow"
            && record["upstream_host"] == self.host.as_str()
            && record["secret_id"] == self.secret_id.as_str()
            && self.reflected.is_none_or(|expected| expected == reflected)
            && self.passed.is_none_or(|passed| passed.agrees_with(record))
    }
}

impl Passed {
    fn agrees_with(self, record: &Value) -> bool {
        let (Some(up), Some(down)) = (record["request_bytes"].as_u64(), record["response_bytes"].as_u64()) else {
            return false;
        };
        let reason = record["reason"].as_str().unwrap_or_default();
        let said =
            record["complete"] == true || record["error"].is_string() || ENDS.iter().any(|end| reason.starts_with(end));
        said && if self.whole { (up, down) == (self.up, self.down) } else { up <= self.up && down <= self.down }
    }
}
