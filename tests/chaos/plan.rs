//! What happens to each request. All of it follows from the seed and the request's number, so that callers and upstreams
//! know it without telling each other, and a run can be repeated.

pub mod caller;
mod course;
pub mod peer;
pub mod pipeline;
mod sense;
pub mod socket;

use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::cast::{Kind, Way, Who};

pub use caller::{Flaw, Reading, Upload};
pub use peer::{Answer, Ending, Fault, Framing, ServiceFault};
pub use pipeline::{BLOCK, Pipeline};
pub use socket::Socket;

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

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Call,
    /// It asks for a WebSocket.
    Socket,
    /// It is written together with others.
    Pipeline,
}

/// How often a request that is in no [`Pipeline`] has each.
const FORMS: [(u32, Form); 2] = [(92, Form::Call), (8, Form::Socket)];

/// One request, from its caller to its upstream.
#[derive(Debug, Clone)]
pub struct Plan {
    pub number: u64,
    pub who: Who,
    pub way: Way,
    pub kind: Kind,
    pub socket: Option<Socket>,
    pub pipeline: Option<Pipeline>,
    /// Why it must be refused.
    pub flaw: Option<Flaw>,
    pub method: &'static str,
    pub upload: Option<Upload>,
    pub reading: Reading,
    /// On a new connection, whatever is open.
    pub fresh: bool,
    /// The credential comes in `X-Veilwarden-Token`.
    pub own_slot: bool,
    /// The caller takes trailers.
    pub takes_trailers: bool,
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

    /// The pipeline that a request is in.
    pub fn pipeline(self, number: u64) -> Option<Pipeline> {
        let first = number - number % BLOCK;
        Pipeline::throw(&mut self.dice(b'p', first), first).filter(|pipeline| pipeline.numbers().contains(&number))
    }

    /// A request, and those that are written together with it.
    pub fn plans(self, number: u64) -> Vec<Plan> {
        let numbers = self.pipeline(number).map_or(number..number + 1, Pipeline::numbers);
        numbers.map(|number| self.plan(number)).collect()
    }

    pub fn plan(self, number: u64) -> Plan {
        let dice = &mut self.dice(b'r', number);
        let pipeline = self.pipeline(number);
        let form = if pipeline.is_some() { Form::Pipeline } else { pick(dice, &FORMS) };
        let way = pipeline.map_or_else(|| Way::throw(dice, form), |pipeline| pipeline.way);
        let own = (pick(dice, &[(1, Who::Red), (1, Who::Green), (1, Who::Alice)]), pick(dice, way.kinds(form)));
        let (who, kind) = pipeline.and_then(|pipeline| pipeline.common).unwrap_or(own);
        let socket = (form == Form::Socket).then(|| Socket::throw(dice));
        let flaw = if dice.random_ratio(1, 5) { Flaw::throw(dice, way, form) } else { None };
        let method = pick(dice, &[(12, "GET"), (6, "POST"), (1, "PUT"), (1, "HEAD"), (1, "REPORT")]);
        let upload = matches!(method, "POST" | "PUT" | "REPORT").then(|| Upload::throw(dice));
        let reading = pick(dice, &[(88, Reading::Whole), (6, Reading::Slow), (3, Reading::Never), (3, Reading::Half)]);
        let (fresh, own_slot) = (dice.random_ratio(1, 5), dice.random_ratio(1, 4));
        let (takes_trailers, answer) = (dice.random_ratio(1, 2), Answer::throw(dice));
        let faulty = matches!(self.phase(number), Phase::All | Phase::Upstreams);
        let fault = Fault::throw(dice).filter(|_| faulty);
        let mut plan = Plan {
            number,
            who,
            way,
            kind,
            socket,
            pipeline,
            flaw,
            method,
            upload,
            reading,
            fresh,
            own_slot,
            takes_trailers,
            answer,
            fault,
        };
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

/// A body that says in each of its parts whose it is.
pub fn bytes(number: u64, length: usize) -> Vec<u8> {
    marked(&format!("{number:08}|"), length)
}

fn marked(mark: &str, length: usize) -> Vec<u8> {
    let mut body = mark.repeat(length / mark.len() + 1).into_bytes();
    body.truncate(length);
    body
}

/// What is left of a secret that comes back.
pub fn masked(secret: &str) -> String {
    "*".repeat(secret.len())
}
