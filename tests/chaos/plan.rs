//! What happens to each request. All of it follows from the seed and the request's number, so that callers and upstreams
//! know it without telling each other, and a run can be repeated.

pub mod caller;
pub mod peer;

use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::cast::{Kind, Way, Who};

pub use caller::{Flaw, Reading, Upload};
pub use peer::{Answer, Ending, Fault, Framing, ServiceFault};

/// Where a run's randomness comes from.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    pub seed: u64,
    /// How many requests a phase lasts.
    pub span: u64,
}

/// Whose faults are played for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    All,
    ApiServer,
    Store,
    Upstreams,
    /// Nobody's; callers stay as they are.
    Calm,
}

/// One request, from its caller to its upstream.
#[derive(Debug, Clone)]
pub struct Plan {
    pub number: u64,
    pub who: Who,
    pub way: Way,
    pub kind: Kind,
    /// Why it must be refused.
    pub flaw: Option<Flaw>,
    pub method: &'static str,
    pub upload: Option<Upload>,
    pub reading: Reading,
    /// On a new connection, whatever is open.
    pub fresh: bool,
    /// The credential comes in `X-Veilwarden-Token`.
    pub own_slot: bool,
    pub answer: Answer,
    pub fault: Option<Fault>,
}

impl Script {
    fn dice(self, domain: u8, number: u64) -> TestRng {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&number.to_le_bytes());
        seed[16] = domain;
        TestRng::from_seed(RngAlgorithm::ChaCha, &seed)
    }

    pub fn phase(self, number: u64) -> Phase {
        use Phase::{All, ApiServer, Calm, Store, Upstreams};
        [All, ApiServer, Store, Upstreams, Calm][(number / self.span % 5) as usize]
    }

    /// The fault that a service may play for its call of this number. `domain` tells services apart.
    pub fn service_fault(self, domain: u8, call: u64) -> Option<ServiceFault> {
        ServiceFault::throw(&mut self.dice(domain, call))
    }

    pub fn plan(self, number: u64) -> Plan {
        let dice = &mut self.dice(b'r', number);
        let who = pick(dice, &[(1, Who::Red), (1, Who::Green), (1, Who::Alice)]);
        let way = Way::throw(dice);
        let kind = pick(dice, way.kinds());
        let flaw = if dice.random_ratio(1, 5) { Some(Flaw::throw(dice, way)) } else { None };
        let method = pick(dice, &[(12, "GET"), (6, "POST"), (1, "PUT"), (1, "HEAD"), (1, "REPORT")]);
        let upload = matches!(method, "POST" | "PUT" | "REPORT").then(|| Upload::throw(dice));
        let reading = pick(dice, &[(88, Reading::Whole), (6, Reading::Slow), (3, Reading::Never), (3, Reading::Half)]);
        let (fresh, own_slot) = (dice.random_ratio(1, 5), dice.random_ratio(1, 4));
        let answer = Answer::throw(dice);
        let faulty = matches!(self.phase(number), Phase::All | Phase::Upstreams);
        let fault = Fault::throw(dice).filter(|_| faulty);
        let mut plan = Plan { number, who, way, kind, flaw, method, upload, reading, fresh, own_slot, answer, fault };
        plan.make_sense();
        plan
    }
}

/// One of several, each with its weight.
pub fn pick<T: Copy>(dice: &mut TestRng, among: &[(u32, T)]) -> T {
    let mut at = dice.random_range(0..among.iter().map(|(weight, _)| weight).sum());
    for (weight, item) in among {
        match at.checked_sub(*weight) {
            None => return *item,
            Some(rest) => at = rest,
        }
    }
    unreachable!("the weights are summed up above")
}

fn length(dice: &mut TestRng) -> usize {
    let most = pick(dice, &[(10, 1), (60, 2_000), (25, 40_000), (4, 300_000), (1, 1_000_000)]);
    dice.random_range(0..most)
}

impl Plan {
    /// Takes back what would be no fault: a plan must say how its request ends.
    fn make_sense(&mut self) {
        // What was announced has passed, whole, before more of it can be seen to come; in HTTP/1 it is another message.
        if self.kind == Kind::H2 && self.fault == Some(Fault::Longer) {
            self.fault = Some(Fault::Contradiction);
        }
        let half = matches!(self.fault, Some(Fault::HalfBody | Fault::HalfBodyReset | Fault::HangInBody));
        let lengthy = self.fault == Some(Fault::Contradiction) && self.kind == Kind::H2;
        if (half || lengthy) && (self.method == "HEAD" || self.answer.length < 2) {
            self.fault = None;
        }
        // Where the end of the connection is the end of the body, nobody can tell half of it from the whole.
        if self.answer.framing == Framing::Close && self.kind == Kind::Clear && self.fault == Some(Fault::HalfBody) {
            self.fault = Some(Fault::HalfBodyReset);
        }
        if self.answer.framing == Framing::Close && self.fault == Some(Fault::Longer) {
            self.fault = None;
        }
        if self.flaw.is_some() {
            self.fault = None;
            self.reading = Reading::Whole;
            self.upload = self.upload.filter(|_| !matches!(self.flaw, Some(Flaw::TwoFramings | Flaw::EchoingMethod)));
        }
        if let Some(upload) = &mut self.upload {
            upload.half &= upload.length > 1 && self.flaw.is_none();
            upload.pieces = upload.pieces.min(upload.length.max(1));
        }
    }

    pub fn ending(&self) -> Ending {
        use Fault::*;
        match (self.fault, self.kind) {
            (None | Some(CloseAfter | Early | Longer), _) => Ending::Whole,
            (Some(Close | Reset | Garbage | HalfHead | Hang), _) => Ending::Refused,
            (Some(Contradiction), Kind::Clear | Kind::Tls) => Ending::Refused,
            (Some(HalfBody | HalfBodyReset | HangInBody | Contradiction), _) => Ending::Broken,
            (Some(Restart), _) => Ending::Any,
        }
    }

    /// The request target as upstream and policy see it.
    pub fn target(&self) -> String {
        let number = self.number;
        match self.flaw {
            Some(Flaw::DeniedPath) => format!("/no/{number}?q=a%20b"),
            Some(Flaw::DotPath) => format!("/ok/../no/{number}?q=a%20b"),
            _ => format!("/ok/{number}?q=a%20b"),
        }
    }

    pub fn host(&self) -> String {
        match self.flaw {
            Some(Flaw::OthersHost) => self.kind.host(self.who.other()),
            Some(Flaw::UnknownHost) => "nobody.test".to_owned(),
            _ => self.kind.host(self.who),
        }
    }

    /// The caller leaves before everything is said.
    pub fn hangs_up(&self) -> bool {
        self.flaw == Some(Flaw::HalfHead)
            || matches!(self.reading, Reading::Never | Reading::Half)
            || self.upload.is_some_and(|upload| upload.half)
    }

    /// The answer's body.
    pub fn body(&self) -> Vec<u8> {
        if self.method == "HEAD" { Vec::new() } else { bytes(self.number, self.answer.length) }
    }
}

/// A body that says in each of its parts whose it is.
pub fn bytes(number: u64, length: usize) -> Vec<u8> {
    let tag = format!("{number:08}|");
    let mut body = tag.repeat(length / tag.len() + 1).into_bytes();
    body.truncate(length);
    body
}
