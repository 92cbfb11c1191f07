//! Rules: the decision exists and is a boolean, defaults are given once, one name means one thing.

use std::collections::BTreeMap;

use serde_json::Value;

use super::program::{Kind, Module, Program, Rule, dotted};
use super::{Problem, did_you_mean};

/// Where the decision and the reason for a denial are found, below `data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DecisionPath {
    pub decision: Vec<String>,
    /// `deny_reason` beside it.
    pub reason: Vec<String>,
}

impl DecisionPath {
    /// Reads the configured form, `veilwarden/authz/allow`; the error is what is wrong with it.
    pub fn parse(path: &str) -> Result<Self, String> {
        let decision: Vec<String> = path.strip_prefix('/').unwrap_or(path).split('/').map(str::to_owned).collect();
        if decision.len() < 2 || decision.iter().any(String::is_empty) {
            let example = "a package and a rule separated by `/`, such as veilwarden/authz/allow";
            return Err(format!("`{path}` is no decision path: it must be {example}"));
        }
        let mut reason = decision.clone();
        reason.splice(decision.len() - 1.., ["deny_reason".to_owned()]);
        Ok(Self { decision, reason })
    }
}

/// Checks what can be said about rules without evaluating them.
pub(crate) fn check(program: &Program, path: &DecisionPath, data: &Value, problems: &mut Vec<Problem>) {
    let mut named = BTreeMap::<Vec<String>, Vec<(&Module, &Rule)>>::new();
    for (module, rule) in program.rules() {
        named.entry(module.path(rule)).or_default().push((module, rule));
        problems.extend(overlap(data, module, rule));
    }
    for (path, rules) in &named {
        duplicate_defaults(path, rules, problems);
        mixed_kinds(path, rules, problems);
    }
    if let Some(rules) = named.get(&path.decision) {
        boolean(&path.decision, rules, problems);
    }
    for (module, rule) in named.get(&path.reason).into_iter().flatten() {
        if !matches!(rule.kind, Kind::Complete | Kind::Default) {
            let message = format!("`{}` must be a string, so it must be a plain rule", dotted(&path.reason));
            problems.push(Problem::at(&module.file, rule.place, message));
        }
    }
}

/// Whether the rule that decides exists. Asked only of a policy of which every file could be parsed.
pub(crate) fn decision_exists(program: &Program, path: &DecisionPath, origin: &str) -> Result<(), Problem> {
    let paths: Vec<_> = program.rules().map(|(module, rule)| module.path(rule)).collect();
    if paths.contains(&path.decision) {
        return Ok(());
    }
    let message = format!("the decision rule `{}` does not exist", dotted(&path.decision));
    let known: Vec<_> = paths.iter().map(|path| path.join("/")).collect();
    let hint = did_you_mean(&path.decision.join("/"), known.iter().map(String::as_str));
    Err(Problem::whole(origin, message).hint(hint))
}

fn duplicate_defaults(path: &[String], rules: &[(&Module, &Rule)], problems: &mut Vec<Problem>) {
    let mut defaults =
        rules.iter().filter(|(_, rule)| matches!(rule.kind, Kind::Default | Kind::DefaultFunction { .. }));
    let Some((first, first_rule)) = defaults.next() else { return };
    for (module, rule) in defaults {
        let message = format!("`{}` already has a default", dotted(path));
        let hint = format!("the first is at {}:{}", first.file, first_rule.place.line);
        problems.push(Problem::at(&module.file, rule.place, message).hint(Some(hint)));
    }
}

fn mixed_kinds(path: &[String], rules: &[(&Module, &Rule)], problems: &mut Vec<Problem>) {
    let Some((first, first_rule)) = rules.iter().find(|(_, rule)| rule.kind != Kind::Default) else { return };
    let is_default_allowed = matches!(first_rule.kind, Kind::Complete);
    for (module, rule) in rules {
        let fits = match (rule.kind, first_rule.kind) {
            (Kind::Default, _) => is_default_allowed,
            (this, other) => this.arguments() == other.arguments() && (this == other || this.arguments().is_some()),
        };
        if !fits {
            let message = format!("`{}` is defined as another kind of rule, or with other arguments", dotted(path));
            let hint = format!("at {}:{}", first.file, first_rule.place.line);
            problems.push(Problem::at(&module.file, rule.place, message).hint(Some(hint)));
        }
    }
}

fn boolean(path: &[String], rules: &[(&Module, &Rule)], problems: &mut Vec<Problem>) {
    let name = dotted(path);
    for (module, rule) in rules {
        if !matches!(rule.kind, Kind::Complete | Kind::Default) {
            let message = format!("the decision rule `{name}` must be a boolean, so it must be a plain rule");
            problems.push(Problem::at(&module.file, rule.place, message));
        }
        for (place, noun) in &rule.not_boolean {
            let hint = (*noun == "an object").then(|| "object decisions are not supported yet".to_owned());
            let message = format!("the decision rule `{name}` must be true or false, not {noun}");
            problems.push(Problem::at(&module.file, *place, message).hint(hint));
        }
    }
}

/// A data file must not stand where a rule stands: it would answer in the rule's place when the rule is undefined.
fn overlap(data: &Value, module: &Module, rule: &Rule) -> Option<Problem> {
    let path = module.path(rule);
    let mut value = data;
    for (depth, name) in path.iter().enumerate() {
        let Value::Object(members) = value else {
            return Some(overlapping(module, rule, &path[..depth]));
        };
        value = members.get(name)?;
    }
    Some(overlapping(module, rule, &path))
}

fn overlapping(module: &Module, rule: &Rule, path: &[String]) -> Problem {
    let message = format!("a data file already sets `{}`, where this rule stands", dotted(path));
    Problem::at(&module.file, rule.place, message)
}
