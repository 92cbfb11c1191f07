//! One run: everybody comes, plays, leaves; and then it is looked at what is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::caller::{self, Shift};
use crate::canary::assert_absent;
use crate::cast::{Addresses, KINDS, configure};
use crate::plan::Script;
use crate::program::{Program, Sample, introduce};
use crate::relays::Relays;
use crate::slope::slope;
use crate::stage::Stage;

/// Callers at a time.
const CALLERS: usize = 48;
/// Resident memory that is never exceeded: of a build without optimisation, under faults from all sides.
const MOST_MEMORY: f64 = 256e6;
/// Descriptors that a program may hold at the end beyond those of its start.
const SPARE_DESCRIPTORS: f64 = 6.0;
/// So many samples, one a second, between two lines about how it is going.
const PROGRESS: usize = 60;
/// With fewer than that a line through them says nothing.
const ENOUGH: usize = 30;
/// How long what was opened may take to be closed after everybody has left.
const SETTLING: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub script: Script,
    pub requests: u64,
    pub minutes: Option<f64>,
    pub load: u32,
    pub log: &'static str,
}

/// Plays it and panics at the end if anything was not as it must be.
pub fn play(run: Run) {
    let Script { seed, span } = run.script;
    eprintln!("chaos: SEED={seed} repeats this; the faults change each {span} requests");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let stage = Stage::new(run.script);
    let directory = TempDir::new().unwrap();
    let addresses = Addresses {
        api_server: stage.api_server.site.address,
        store: stage.store.site.address,
        upstreams: KINDS.map(|kind| stage.upstream(kind).address),
    };
    let configuration = configure(directory.path(), &addresses, &stage.authority.pem, run.log);
    let begun = Instant::now();
    let (program, relays) = runtime.block_on(async {
        stage.begin();
        let program = Program::start(&configuration, &stage);
        let relays = Relays::start(&program, directory.path(), &stage);
        introduce(&program, &relays, directory.path(), &stage);
        let first = program.sample().await;
        let samples = go(run, &program, &stage).await;
        report(&samples, begun.elapsed(), &stage);
        stage.end();
        settle(first, &program, &stage).await;
        (program, relays)
    });
    relays.stop();
    let status = program.stop();
    stage.ledger.close();
    assert!(status.success(), "SEED={seed}: it ended with {status}");
    assert_eq!(stage.ledger.violations(), 0, "SEED={seed}: see above");
    assert!(stage.ledger.recorded() > 0, "SEED={seed}: nothing was recorded");
}

/// Lets the callers work and looks at the program meanwhile: seconds and what it held then.
async fn go(run: Run, program: &Program, stage: &Arc<Stage>) -> Vec<(f64, Sample)> {
    let begun = Instant::now();
    let until = run.minutes.map(|minutes| begun + Duration::from_secs_f64(minutes * 60.0));
    let shift = Shift { requests: run.requests, until, load: run.load };
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(caller::work(Arc::clone(stage), shift));
    }
    let (mut samples, mut tick) = (Vec::new(), tokio::time::interval(Duration::from_secs(1)));
    loop {
        tokio::select! {
            joined = callers.join_next() => match joined {
                Some(ended) => ended.expect("a caller"),
                None => break,
            },
            _ = tick.tick() => {
                let sample = program.sample().await;
                samples.push((begun.elapsed().as_secs_f64(), sample));
                if samples.len() % PROGRESS == 0 {
                    let (requests, memory) = (stage.ledger.tally().values().sum::<u64>(), sample.memory / 1e6);
                    eprintln!("chaos: {requests} requests; {memory:.1} MB, {} descriptors", sample.descriptors);
                }
            }
        }
    }
    stage.shared.lock().unwrap().clear();
    samples
}

/// I8: with nobody there any more, nothing is held for anybody.
async fn settle(first: Sample, program: &Program, stage: &Stage) {
    let begun = Instant::now();
    let closed = |now: &Sample| now.connections == 0.0 && now.descriptors <= first.descriptors + SPARE_DESCRIPTORS;
    let mut now = program.sample().await;
    while !closed(&now) && begun.elapsed() < SETTLING {
        tokio::time::sleep(Duration::from_millis(200)).await;
        now = program.sample().await;
    }
    if !closed(&now) {
        stage.ledger.violation(format!("I8: held with nobody there: {now:?}, at the start {first:?}"));
    }
    let canaries = [&stage.secrets, &stage.credentials, &stage.own].map(Clone::clone);
    assert_absent(&canaries, program.metrics().await, "the metrics");
    eprintln!(
        "chaos: at the start {:.1} MB and {} descriptors, at the end {:.1} MB and {}",
        first.memory / 1e6,
        first.descriptors,
        now.memory / 1e6,
        now.descriptors
    );
}

fn report(samples: &[(f64, Sample)], took: Duration, stage: &Stage) {
    let tally = stage.ledger.tally();
    let all: u64 = tally.values().sum();
    let rate = all as f64 / took.as_secs_f64();
    eprintln!("chaos: {all} requests in {:.0} s, {rate:.0} in a second", took.as_secs_f64());
    for (how, count) in &tally {
        eprintln!("chaos: {count:>8}  {how}");
    }
    let (reviews, fetches) = (stage.api_server.calls(), stage.store.calls());
    eprintln!("chaos: {reviews} reviews, {fetches} fetches of secrets, {} records", stage.ledger.recorded());
    let most = samples.iter().map(|(_, sample)| sample.memory).fold(0.0, f64::max);
    eprintln!("chaos: at most {:.1} MB", most / 1e6);
    // Pools, caches and the allocator fill in the first half.
    let warm = &samples[samples.len() / 2..];
    if warm.len() >= ENOUGH {
        let hourly = |of: fn(&Sample) -> f64| {
            slope(&warm.iter().map(|(at, sample)| (at / 3600.0, of(sample))).collect::<Vec<_>>())
        };
        let (memory, descriptors) = (hourly(|sample| sample.memory / 1e6), hourly(|sample| sample.descriptors));
        let over = warm.len();
        eprintln!("chaos: memory {memory:+.2} MB an hour, descriptors {descriptors:+.2} an hour, by {over} samples");
    }
    if most > MOST_MEMORY {
        stage.ledger.violation(format!("I8: {:.1} MB", most / 1e6));
    }
    let expected = [
        "101 from upstream",
        "200 from upstream",
        "broken",
        "left",
        "unasked",
        "UNAUTHORIZED",
        "POLICY_DENIED",
        "UPSTREAM_ERROR",
        "BAD_REQUEST",
    ];
    let missing: Vec<_> = expected.iter().filter(|how| stage.ledger.counted(how) == 0).collect();
    if !missing.is_empty() {
        stage.ledger.violation(format!("a run that shows nothing: no {missing:?}"));
    }
}
