//! What was sent, what arrived, what was recorded; and whether the three agree.

mod claim;

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use serde_json::Value;

use crate::caller::Got;
use crate::plan::Plan;

pub use claim::Claim;

/// So many are kept to be shown.
const SHOWN: usize = 30;

#[derive(Default)]
pub struct Ledger(Mutex<State>);

#[derive(Default)]
struct State {
    /// For each request how often it arrived at an upstream, and [`FINISHED`].
    seen: Vec<u8>,
    claims: HashMap<String, Claim>,
    records: HashMap<String, Value>,
    /// Exchanges without an answer to tell the id of.
    silent: u64,
    /// Requests behind an answer that ended their connection.
    unasked: Vec<u64>,
    violations: Vec<String>,
    violated: u64,
    tally: BTreeMap<String, u64>,
    recorded: u64,
}

const FINISHED: u8 = 0x80;

impl Ledger {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn violation(&self, what: String) {
        let mut state = self.state();
        state.violated += 1;
        if state.violations.len() < SHOWN {
            eprintln!("chaos: VIOLATION {what}");
            state.violations.push(what);
        }
    }

    pub fn violations(&self) -> u64 {
        self.state().violated
    }

    /// Counts how an exchange ended.
    pub fn count(&self, how: &str) {
        let mut state = self.state();
        match state.tally.get_mut(how) {
            Some(count) => *count += 1,
            None => drop(state.tally.insert(how.to_owned(), 1)),
        }
    }

    pub fn counted(&self, how: &str) -> u64 {
        self.state().tally.get(how).copied().unwrap_or(0)
    }

    pub fn tally(&self) -> BTreeMap<String, u64> {
        self.state().tally.clone()
    }

    /// A request is at an upstream. Returns how often it has been before.
    pub fn arrives(&self, number: u64) -> u8 {
        let mut state = self.state();
        let at = number as usize;
        if state.seen.len() <= at {
            state.seen.resize(at + 1024, 0);
        }
        let before = state.seen[at] & !FINISHED;
        state.seen[at] = (before + 1).min(100);
        before
    }

    /// The upstream has said all that it was to say, and the connection is as it should be.
    pub fn finishes(&self, number: u64) {
        self.state().seen[number as usize] |= FINISHED;
    }

    pub fn arrived(&self, number: u64) -> bool {
        self.state().seen.get(number as usize).is_some_and(|seen| *seen != 0)
    }

    pub fn finished(&self, number: u64) -> bool {
        self.state().seen.get(number as usize).is_some_and(|seen| seen & FINISHED != 0)
    }

    /// The caller is through with a request: what the record must say.
    pub fn settle(&self, plan: &Plan, got: &Got) {
        let (number, own) = (plan.number, format!("c-{}", plan.number));
        match got {
            Got::Unasked => self.state().unasked.push(number),
            Got::Left | Got::Silence(_) => {
                self.silent();
                self.claim(&own, Claim::Left(number));
            }
            Got::Answer(answer) if plan.way.is_relayed() && answer.may_be_a_relays() => {
                self.claim(&own, Claim::Left(number));
            }
            Got::Answer(answer) => self.claim(answer.one("x-request-id").unwrap_or(&own), Claim::of(plan, answer)),
        }
    }

    /// An exchange that may have left a record with an id that nobody was told.
    fn silent(&self) {
        self.state().silent += 1;
    }

    /// The caller is through with a call.
    pub fn claim(&self, id: &str, claim: Claim) {
        let mut state = self.state();
        match state.records.remove(id) {
            Some(record) => {
                drop(state);
                self.compare(id, &claim, &record);
            }
            None => {
                if state.claims.insert(id.to_owned(), claim).is_some() {
                    drop(state);
                    self.violation(format!("two answers with the id {id}"));
                }
            }
        }
    }

    /// A line of the audit trail.
    pub fn record(&self, line: &str) {
        let Ok(record) = serde_json::from_str::<Value>(line) else {
            return self.violation(format!("no record: {line}"));
        };
        let id = record["request_id"].as_str().unwrap_or_default().to_owned();
        let mut state = self.state();
        state.recorded += 1;
        match state.claims.remove(&id) {
            Some(claim) => {
                drop(state);
                self.compare(&id, &claim, &record);
            }
            None => {
                if let Some(other) = state.records.insert(id, record.clone()) {
                    drop(state);
                    self.violation(format!("I6: two records of one call: {other} and {record}"));
                }
            }
        }
    }

    fn compare(&self, id: &str, claim: &Claim, record: &Value) {
        if !claim.agrees_with(record) {
            self.violation(format!("the record of {id} does not say what its caller saw, {claim:?}: {record}"));
        }
    }

    /// Records so far.
    pub fn recorded(&self) -> u64 {
        self.state().recorded
    }

    /// Nothing more will come: what has no counterpart now never had one.
    pub fn close(&self) {
        let (claims, records, unasked, silent) = {
            let mut state = self.state();
            let state = &mut *state;
            let (claims, records) = (std::mem::take(&mut state.claims), std::mem::take(&mut state.records));
            (claims, records, std::mem::take(&mut state.unasked), state.silent)
        };
        for number in unasked.into_iter().filter(|number| self.arrived(*number)) {
            self.violation(format!("I6: {number} went on although its connection had ended with an answer before"));
        }
        for (id, claim) in claims {
            match claim {
                Claim::Left(number) if !self.arrived(number) => {}
                claim => self.violation(format!("no record of {id}: {claim:?}")),
            }
        }
        // An id of the proxy's own that no answer told: the caller had left, or sent something without form.
        let (generated, named): (Vec<_>, Vec<_>) = records.into_iter().partition(|(id, _)| !id.contains('-'));
        for (_, record) in named {
            self.violation(format!("a record of a call that nobody made, or a second one: {record}"));
        }
        if generated.len() as u64 > silent {
            let shown = &generated[..generated.len().min(3)];
            self.violation(format!("{} records for {silent} silent calls: {shown:?}", generated.len()));
        }
    }
}
