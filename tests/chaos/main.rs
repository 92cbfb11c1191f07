//! Chaos: the real program between callers of every kind and peers that fail in every way, and I1 to I9 of
//! docs/hostile-cases.md held for each single request. `make chaos`, `make soak`; a short form runs with all tests.
//!
//! What happens to a request follows from the seed and its number ([`plan`]), so a run can be repeated: the same requests
//! meet the same faults, though not at the same moments.

mod caller;
#[path = "../it/world/canary.rs"]
mod canary;
mod cast;
mod ledger;
mod plan;
mod program;
mod relays;
mod run;
mod services;
mod site;
mod slope;
mod stage;
mod upstream;
mod verdict;
mod wire;

use std::time::{SystemTime, UNIX_EPOCH};

use plan::Script;
use run::{Run, play};

/// `SEED`, or one that nobody has chosen.
fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 % 1_000_000_007;
    std::env::var("SEED").map_or_else(|_| now(), |seed| seed.parse().expect("SEED is a number"))
}

fn short(seed: u64) {
    play(Run { script: Script { seed, span: 200 }, requests: 2_000, minutes: None, load: 100, log: "trace" });
}

#[test]
fn two_thousand_requests_by_a_fixed_seed() {
    short(20_261_126);
}

#[test]
fn two_thousand_requests_by_a_random_seed() {
    short(seed());
}

#[test]
#[ignore = "minutes: make chaos"]
fn a_hundred_thousand_requests() {
    play(Run {
        script: Script { seed: seed(), span: 5_000 },
        requests: 100_000,
        minutes: None,
        load: 100,
        log: "info",
    });
}

/// K24: as many minutes as `MINUTES` says, at 30 % of what the machine can.
#[test]
#[ignore = "as long as MINUTES says: make soak"]
fn k24_a_soak() {
    let minutes = std::env::var("MINUTES").map_or(10.0, |minutes| minutes.parse().expect("MINUTES is a number"));
    let script = Script { seed: seed(), span: 2_000 };
    play(Run { script, requests: u64::MAX, minutes: Some(minutes), load: 30, log: "info" });
}
