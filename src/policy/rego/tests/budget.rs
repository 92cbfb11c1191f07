//! What a decision may take, in time and in depth.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::*;

#[tokio::test]
async fn an_evaluation_over_the_budget_is_cut_off() {
    let endless = "count([1 | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); a == b]) > 0";
    for text in [
        format!("allow if {{ input.path == \"/x\"; {endless} }}"),
        format!("slow(x) if {{ x == \"/x\"; {endless} }}\nallow if slow(input.path)"),
    ] {
        let rego = policy(&text);
        let call = for_path("/x");
        let start = std::time::Instant::now();
        assert!(matches!(rego.decide(call.input()).await, Err(Error::Timeout)), "{text}");
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert!(rego.pace.is_slow());
        // The next one is off the reactor, with the same answer.
        assert!(matches!(rego.decide(call.input()).await, Err(Error::Timeout)), "{text}");
    }
}

#[tokio::test]
async fn k14_a_decision_that_may_take_long_does_not_stand_in_the_reactors_way() {
    let text = "package veilwarden.authz\nallow if { input.path == \"/x\"; count([1 | some a in numbers.range(1, 30000); some b in numbers.range(1, 30000); a == b]) > 0 }";
    let rego = Rego::prepare(&Bundle::of("p.rego", text).unwrap(), PATH, Duration::from_secs(1)).unwrap();
    assert!(!rego.pace.is_slow(), "so far, all were quick");
    let call = for_path("/x");
    tokio::select! {
        biased;
        decided = rego.decide(call.input()) => panic!("nothing else ran until {decided:?}"),
        () = tokio::time::sleep(Duration::from_millis(10)) => {}
    }
}

#[tokio::test]
async fn k14_another_identity_is_decided_about_while_one_uses_up_all_its_budgets() {
    const CALLS: usize = 256;
    let text = "package veilwarden.authz\nallow if input.path == \"/quick\"\nallow if { input.path == \"/x\"; count([1 | some a in numbers.range(1, 30000); some b in numbers.range(1, 30000); a == b]) > 0 }";
    let rego = Arc::new(Rego::prepare(&Bundle::of("p.rego", text).unwrap(), PATH, Duration::from_secs(1)).unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let mut slow = JoinSet::new();
    for _ in 0..CALLS {
        let (rego, asked) = (Arc::clone(&rego), Arc::clone(&asked));
        slow.spawn(async move {
            asked.fetch_add(1, Ordering::Relaxed);
            rego.decide(for_path("/x").input()).await
        });
    }
    while asked.load(Ordering::Relaxed) < CALLS {
        tokio::task::yield_now().await;
    }
    let other = Call { path: "/quick".to_owned(), ..Call::user() };
    assert!(rego.decide(other.input()).await.expect("a decision").allowed);
}

#[tokio::test]
async fn a_reason_that_cannot_be_given_in_time_does_not_undo_the_denial() {
    let text = "allow := false\ndeny_reason := \"never\" if { input.path == \"/x\"; count([1 | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); a == b]) > 0 }";
    let decision = decide(text, &for_path("/x")).await.expect("a denial");
    assert_eq!(decision, Decision { allowed: false, reason: "denied by OPA policy".to_owned() });
}

/// The deepest policies that load, on half the stack of a worker thread.
#[test]
fn the_deepest_policy_that_loads_fits_a_worker_threads_stack() {
    let chain = |links: usize, nesting: usize| {
        let link = |at: usize| format!("r{at}(x) if {{ {} }}\n", nested(nesting, &format!("r{}(x)", at + 1)));
        let links = (0..links).map(link).collect::<String>() + &format!("r{links}(x) if x != \"\"\n");
        format!("allow if r0(input.path)\n{links}")
    };
    let loops = |count: usize| {
        format!("allow if {{ {} }}\n", (0..count).map(|at| format!("some x{at} in [1]\n")).collect::<String>())
    };
    for (shallow, deep) in [(chain(97, 0), chain(260, 0)), (chain(35, 2), chain(62, 3)), (loops(390), loops(410))] {
        let found = problems(&deep);
        assert!(found.contains("goes too deep"), "{found}");
        let rego = policy(&shallow);
        let worker = std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
            let call = Call::kubernetes();
            let values = rego.document.read(&call.input()).expect("an input");
            let evaluation = rego.evaluation(values);
            let plan = Plan { decision: rego.plan.decision.clone(), reason: None, budget: Duration::from_secs(20) };
            Rego::run(evaluation, &plan, &rego.pace).expect("a decision").decision.allowed
        });
        assert!(worker.expect("a thread").join().expect("no overflow"));
    }
}

fn nested(levels: usize, call: &str) -> String {
    (0..levels).fold(call.to_owned(), |inner, _| format!("count([1 | {inner}]) == 1"))
}
