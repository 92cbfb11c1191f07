//! References, as the steps that they take.

use regorus::Value;
use regorus::unstable::{Expr, Span};

use crate::policy::loader::Place;
use crate::policy::loader::program::Step;

/// The parts of `a.b["c"][d]`; `None` when it does not begin with a name.
pub(super) fn chain(mut expr: &Expr) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    loop {
        match expr {
            Expr::Var { span, .. } => {
                steps.push(Step::Name(span.text().to_owned(), place(span)));
                steps.reverse();
                return Some(steps);
            }
            Expr::RefDot { refr, field: (span, name), .. } => {
                steps.push(named(name, span));
                expr = refr;
            }
            Expr::RefBrack { refr, index, .. } => {
                steps.push(step(index));
                expr = refr;
            }
            _ => return None,
        }
    }
}

pub(super) fn root(mut expr: &Expr) -> &Expr {
    while let Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } = expr {
        expr = refr;
    }
    expr
}

fn step(index: &Expr) -> Step {
    match index {
        Expr::String { span, value, .. } | Expr::RawString { span, value, .. } => named(value, span),
        Expr::Number { span, .. } | Expr::Bool { span, .. } | Expr::Null { span, .. } => Step::Constant(place(span)),
        _ => Step::Open,
    }
}

fn named(name: &Value, span: &Span) -> Step {
    match name {
        Value::String(name) => Step::Name(name.to_string(), place(span)),
        _ => Step::Constant(place(span)),
    }
}

/// A string, or an array of constants, as the steps it stands for in `object.get`.
pub(super) fn constant_path(key: &Expr) -> Option<Vec<Step>> {
    let steps = match key {
        Expr::Array { items, .. } => items.iter().map(|item| step(item)).collect(),
        other => vec![step(other)],
    };
    steps.iter().all(|step| !matches!(step, Step::Open)).then_some(steps)
}

pub(super) fn place(span: &Span) -> Place {
    Place { line: span.line, column: span.col }
}
