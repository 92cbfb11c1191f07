//! From files to a prepared engine, or everything that is wrong with them.

use std::time::{Duration, Instant};

use regorus::{Engine, Value};

use super::evaluation::{Plan, attempt, noun};
use super::value::Document;
use super::{built_ins, report, syntax};
use crate::policy::input::sample::Call;
use crate::policy::loader::names::Mentioned;
use crate::policy::loader::program::{Program, dotted};
use crate::policy::loader::rules::DecisionPath;
use crate::policy::loader::{Bundle, Problem, Problems, calls, names, recursion, rules};

/// The budget while loading, when it is larger than that of a decision: a cold start must not fail a good policy.
const TRIAL_BUDGET: Duration = Duration::from_secs(1);

/// An engine ready to be cloned for each decision.
pub(super) struct Loaded {
    pub engine: Engine,
    pub document: Document,
    pub plan: Plan,
    pub metadata: Option<Problem>,
    /// How long the last trial took.
    pub took: Duration,
    /// Whether it says the same of the same document, and there are documents that are the same.
    pub repeats: bool,
}

/// Parses, checks and tries a policy.
pub(super) fn load(bundle: &Bundle, decision_path: &str, budget: Duration) -> Result<Loaded, Problems> {
    let path = DecisionPath::parse(decision_path).map_err(|message| Problem::whole(&bundle.origin, message))?;
    let mut problems = Vec::new();
    let mut engine = engine(bundle)?;
    let program = parse(&mut engine, bundle, &mut problems);
    let mentioned = check(&program, &path, bundle, &mut problems);
    Problems::none_in(problems)?;

    let has_reason = program.rules().any(|(module, rule)| module.path(rule) == path.reason);
    let reason = has_reason.then(|| dotted(&path.reason));
    let plan = Plan { decision: dotted(&path.decision), reason, budget };
    let document = Document::of(mentioned.fields());
    let took = try_out(&mut engine, &plan, &document, &bundle.origin)?;
    let repeats = calls::are_repeatable(&program) && !mentioned.differ_each_time();
    Ok(Loaded { engine, document, plan, metadata: mentioned.metadata, took, repeats })
}

fn engine(bundle: &Bundle) -> Result<Engine, Problems> {
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(true);
    engine.set_gather_prints(true);
    built_ins::add(&mut engine)
        .and_then(|()| engine.add_data(Value::from(bundle.data.clone())))
        .map_err(|error| report::problem(&bundle.origin, &error))?;
    Ok(engine)
}

fn parse(engine: &mut Engine, bundle: &Bundle, problems: &mut Vec<Problem>) -> Program {
    for source in &bundle.sources {
        let added = engine.add_policy(source.file.clone(), source.text.clone());
        problems.extend(added.err().map(|error| report::problem(&source.file, &error)));
    }
    let parsed = engine.get_modules().iter();
    Program::new(parsed.map(|parsed| syntax::module(parsed.package.span.source.get_path(), parsed)).collect())
}

/// Functions and the decision may stand in a file that could not be parsed; then nothing is said about them.
fn check(program: &Program, path: &DecisionPath, bundle: &Bundle, problems: &mut Vec<Problem>) -> Mentioned {
    let is_whole = problems.is_empty();
    let mentioned = names::check(program, problems);
    rules::check(program, path, &bundle.data, problems);
    if is_whole {
        calls::check(program, &built_ins::known(), problems);
        recursion::check(program, problems);
        problems.extend(rules::decision_exists(program, path, &bundle.origin).err());
    }
    mentioned
}

/// Evaluates the policy for a workload and for a user. What the interpreter finds only now, such as a variable that
/// nothing gives a value, is a problem of the policy too.
fn try_out(engine: &mut Engine, plan: &Plan, document: &Document, origin: &str) -> Result<Duration, Problems> {
    let mut problems = Vec::new();
    let mut took = Duration::ZERO;
    let budget = plan.budget.max(TRIAL_BUDGET);
    for call in [Call::kubernetes(), Call::user()] {
        let values = document.read(&call.input()).map_err(|error| Problem::whole(origin, error.to_string()))?;
        engine.set_input(document.build(values));
        let start = Instant::now();
        problems.extend(wrong(
            engine,
            &plan.decision,
            budget,
            origin,
            |value| matches!(value, Value::Bool(_)),
            "a boolean",
        ));
        took = start.elapsed();
        if let Some(reason) = &plan.reason {
            problems.extend(wrong(
                engine,
                reason,
                budget,
                origin,
                |value| matches!(value, Value::String(_)),
                "a string",
            ));
        }
    }
    Problems::none_in(problems)?;
    // Else every decision would begin with what the trials printed.
    drop(engine.take_prints());
    Ok(took)
}

fn wrong(
    engine: &mut Engine,
    rule: &str,
    budget: Duration,
    origin: &str,
    fits: fn(&Value) -> bool,
    wanted: &str,
) -> Option<Problem> {
    match attempt(engine, rule, budget) {
        Ok(value) if fits(&value) || value == Value::Undefined => None,
        Ok(value) => Some(Problem::whole(origin, format!("`{rule}` must be {wanted}, and is {}", noun(&value)))),
        Err(error) => Some(report::problem(origin, &error)),
    }
}
