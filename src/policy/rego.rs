//! The `opa` engine: Rego v1, evaluated in this process. Only this module knows the interpreter.
//!
//! One prepared engine is cloned for each decision, which is cheap: it shares everything but the state of an
//! evaluation. No evaluation knows of another; what is remembered is the decision about a whole document.

use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use regorus::Engine;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use self::evaluation::{Evaluation, Judged, Plan};
use self::load::Loaded;
use self::memory::{Fingerprint, Memory};
use self::pace::Pace;
use self::places::Places;
use self::value::Document;
use super::input::Node;
use super::loader::{Bundle, Problem, Problems};
use super::{Decision, Error, Input, PolicyEngine};
use crate::BoxFuture;
use crate::authn::Identity;
use crate::limits::Who;

mod built_ins;
mod evaluation;
mod load;
mod memory;
mod pace;
mod places;
mod report;
mod syntax;
mod value;

/// With a longer budget a decision is never made on a thread that serves connections: nothing else is answered there meanwhile.
const LONGEST_ON_REACTOR: Duration = Duration::from_millis(100);

/// A loaded policy.
pub struct Rego {
    engine: Engine,
    document: Document,
    plan: Arc<Plan>,
    metadata: Option<Problem>,
    pace: Arc<Pace>,
    /// Where slow decisions are made; who finds none waits, for no longer than the budget.
    places: Places,
    /// Decisions made before; none where the same document may be decided differently, or never comes twice.
    memory: Option<Memory>,
}

impl Rego {
    /// Reads the policy at `path` (a directory or one file), checks it and tries it out.
    ///
    /// `decision_path` is the configured form, `veilwarden/authz/allow`; `budget` is the time one decision may take.
    /// The error is everything that is wrong with the policy.
    pub fn load(path: &Path, decision_path: &str, budget: Duration) -> Result<Self, Problems> {
        Self::prepare(&Bundle::read(path)?, decision_path, budget)
    }

    /// The same for a policy that was already read, or that lies in no file.
    pub fn prepare(bundle: &Bundle, decision_path: &str, budget: Duration) -> Result<Self, Problems> {
        let Loaded { engine, document, plan, metadata, took, repeats } =
            catch_unwind(|| load::load(bundle, decision_path, budget))
                .unwrap_or_else(|_| Err(Self::panicked(bundle)))?;
        Ok(Self {
            engine,
            document,
            plan: Arc::new(plan),
            metadata,
            pace: Arc::new(Pace::starting_at(took)),
            places: Places::new(),
            memory: repeats.then(Memory::new),
        })
    }

    /// What is wrong with this policy where workloads come without labels and annotations: it looks at them, so a rule of
    /// it would never fire.
    pub fn mistake_without_metadata(&self) -> Option<&Problem> {
        self.metadata.as_ref()
    }

    fn panicked(bundle: &Bundle) -> Problems {
        Problem::whole(&bundle.origin, "the interpreter panicked while loading this policy").into()
    }

    fn evaluation(&self, values: Vec<Option<Node<'_>>>) -> Evaluation {
        let mut engine = self.engine.clone();
        engine.set_input(self.document.build(values));
        Evaluation { engine }
    }

    /// Decides about a document without looking into the memory.
    async fn judge(&self, identity: &Identity, values: Vec<Option<Node<'_>>>) -> Result<Judged, Error> {
        let evaluation = self.evaluation(values);
        if self.pace.is_slow() || self.plan.budget > LONGEST_ON_REACTOR {
            return self.run_off_the_reactor(Who::of(identity), evaluation).await;
        }
        Self::run(evaluation, &self.plan, &self.pace)
    }

    fn run(evaluation: Evaluation, plan: &Plan, pace: &Pace) -> Result<Judged, Error> {
        let (decided, took) = evaluation.run(plan);
        pace.note(took);
        decided
    }

    async fn run_off_the_reactor(&self, who: Who, evaluation: Evaluation) -> Result<Judged, Error> {
        let waiting = timeout(self.plan.budget, self.places.take(who));
        let Ok(Ok(place)) = waiting.await else { return Err(Error::Timeout) };
        let (plan, pace) = (Arc::clone(&self.plan), Arc::clone(&self.pace));
        let decided = spawn_blocking(move || {
            let _held_to_the_end_even_if_nobody_waits = place;
            Self::run(evaluation, &plan, &pace)
        });
        // One step of the interpreter cannot be interrupted: the thread ends with it, but nobody waits for that.
        match timeout(self.plan.budget * 2, decided).await {
            Ok(decided) => decided.unwrap_or_else(|error| Err(Error::Evaluation(error.to_string()))),
            Err(_) => Err(Error::Timeout),
        }
    }
}

impl std::fmt::Debug for Rego {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Rego").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl PolicyEngine for Rego {
    fn decide<'a>(&'a self, input: Input<'a>) -> BoxFuture<'a, Result<Decision, Error>> {
        Box::pin(async move {
            let values = self.document.read(&input)?;
            let Some(memory) = &self.memory else { return Ok(self.judge(input.identity, values).await?.decision) };
            let fingerprint = Fingerprint::of(&values);
            if let Some(decision) = memory.recall(fingerprint) {
                return Ok(decision);
            }
            let judged = self.judge(input.identity, values).await?;
            if judged.whole {
                memory.note(fingerprint, &judged.decision);
            }
            Ok(judged.decision)
        })
    }

    fn name(&self) -> &'static str {
        "opa"
    }
}

#[cfg(test)]
mod tests;
