//! One decision: the decision rule, and after a denial the reason for it, within one budget of time.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, LimitError, Value};

use super::report;
use crate::policy::{Decision, Error};

/// Steps of the interpreter between two looks at the clock.
const CLOCK_INTERVAL: NonZeroU32 = NonZeroU32::new(32).unwrap();
/// The most lines of `print` that one decision leaves in the log.
const MAX_PRINTS: usize = 20;

/// What is evaluated, the same for every call.
#[derive(Debug)]
pub(super) struct Plan {
    /// The decision rule as a reference, `data.veilwarden.authz.allow`.
    pub decision: String,
    /// `deny_reason` beside it, when there is such a rule.
    pub reason: Option<String>,
    pub budget: Duration,
}

/// A decision, and whether all that was evaluated for it could be.
#[derive(Debug)]
pub(super) struct Judged {
    pub decision: Decision,
    /// No after a denial whose reason could not be given: the next one may have it.
    pub whole: bool,
}

/// An engine of its own, with the input already in it.
pub(super) struct Evaluation {
    pub engine: Engine,
}

impl Evaluation {
    /// Decides, and tells how long that took. A panic of the interpreter is an error like any other.
    pub fn run(mut self, plan: &Plan) -> (Result<Judged, Error>, Duration) {
        let start = Instant::now();
        let decided = catch_unwind(AssertUnwindSafe(|| {
            let decided = self.decide(plan, start);
            self.log_prints();
            decided
        }));
        let decided = decided.unwrap_or_else(|_| Err(Error::Evaluation("the interpreter panicked".to_owned())));
        (decided, start.elapsed())
    }

    fn decide(&mut self, plan: &Plan, start: Instant) -> Result<Judged, Error> {
        let denied = match self.rule(&plan.decision, plan.budget, start)? {
            Value::Bool(true) => {
                let decision = Decision { allowed: true, reason: "allowed by OPA policy".to_owned() };
                return Ok(Judged { decision, whole: true });
            }
            Value::Bool(false) => "denied by OPA policy",
            Value::Undefined => "denied by OPA policy (no results)",
            other => return Err(Error::Evaluation(format!("{} is {}, not a boolean", plan.decision, noun(&other)))),
        };
        let reason = self.reason(plan, start);
        let whole = reason.is_ok();
        let reason = reason.ok().flatten().unwrap_or_else(|| denied.to_owned());
        Ok(Judged { decision: Decision { allowed: false, reason }, whole })
    }

    /// The policy's own reason, if it has one for this. That it cannot be given does not change the denial.
    fn reason(&mut self, plan: &Plan, start: Instant) -> Result<Option<String>, Error> {
        let Some(rule) = &plan.reason else { return Ok(None) };
        match self.rule(rule, plan.budget, start) {
            Ok(Value::String(reason)) => Ok(Some(reason.to_string())),
            Ok(Value::Undefined) => Ok(None),
            Ok(other) => {
                tracing::warn!(found = noun(&other), "deny_reason is not a string");
                Ok(None)
            }
            Err(error) => {
                tracing::warn!(%error, "deny_reason could not be evaluated");
                Err(error)
            }
        }
    }

    fn rule(&mut self, rule: &str, budget: Duration, start: Instant) -> Result<Value, Error> {
        let left = budget.checked_sub(start.elapsed()).filter(|left| !left.is_zero()).ok_or(Error::Timeout)?;
        self.engine.set_execution_timer_config(ExecutionTimerConfig { limit: left, check_interval: CLOCK_INTERVAL });
        let value = self.engine.eval_rule(rule.to_owned());
        // The interpreter looks at the clock between steps only, and loses the kind of an error inside functions.
        if start.elapsed() > budget {
            return Err(Error::Timeout);
        }
        value.map_err(|error| match error.downcast_ref() {
            Some(LimitError::TimeLimitExceeded { .. }) => Error::Timeout,
            _ => Error::Evaluation(report::line(&error)),
        })
    }

    fn log_prints(&mut self) {
        for line in self.engine.take_prints().unwrap_or_default().iter().take(MAX_PRINTS) {
            tracing::debug!(line, "policy print");
        }
    }
}

/// Evaluates a rule with nothing around it: what loading tries a policy on.
pub(super) fn attempt(engine: &mut Engine, rule: &str, budget: Duration) -> anyhow::Result<Value> {
    engine.set_execution_timer_config(ExecutionTimerConfig { limit: budget, check_interval: CLOCK_INTERVAL });
    engine.eval_rule(rule.to_owned())
}

pub(super) fn noun(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Set(_) => "a set",
        Value::Object(_) => "an object",
        Value::Undefined => "undefined",
    }
}
