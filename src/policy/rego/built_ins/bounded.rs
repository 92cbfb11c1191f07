//! The interpreter's functions that can make much of little. How much it will be is looked at before they are called,
//! since nothing stops them afterwards.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, bail, ensure};
use regorus::Value;
use regorus::unstable::{BUILTINS, Expr, Ref, Source, Span};

use crate::policy::rego::report;

/// What a call may come to, in bytes of its result, or in steps where these are dearer.
const MOST: usize = 1 << 20;
/// What an element of a list counts for, in bytes.
const ELEMENT: usize = 16;
/// Up to here a floating-point number tells each whole number from the next.
const EXACT: u64 = 1 << 53;

/// What a call comes to at most. What cannot be measured is of another type than the function takes.
pub(super) type Measure = fn(&[Value]) -> Result<usize>;

pub(super) const MEASURED: &[(&str, Measure)] = &[
    ("concat", concat),
    ("glob.match", glob_match),
    ("numbers.range", range),
    ("numbers.range_step", range),
    ("regex.find_all_string_submatch_n", submatches),
    ("regex.replace", regex_replace),
    ("replace", replace),
    ("sprintf", sprintf),
];

/// Calls the interpreter's own function, unless that would come to too much.
pub(super) fn call(name: &str, measure: Measure, arguments: &[Value]) -> Result<Value> {
    if measure(arguments).is_ok_and(|much| much > MOST) {
        bail!("`{name}` would make too much of what it is given");
    }
    let (function, _) = BUILTINS.get(name).with_context(|| format!("there is no function `{name}`"))?;
    // It wants expressions, to say where an error is; the interpreter puts the place of the call around that.
    let source = Source::from_contents(String::new(), name.to_owned())?;
    let span = Span { source, line: 1, col: 1, start: 0, end: 0 };
    let expression = Ref::new(Expr::Null { span: span.clone(), value: Value::Null, eidx: 0 });
    let expressions = vec![expression; arguments.len()];
    function(&span, &expressions, arguments, true).map_err(|error| anyhow!(report::words(&error)))
}

/// How many arguments the interpreter's own function takes.
pub(super) fn takes(name: &str) -> u8 {
    BUILTINS.get(name).map_or(0, |(_, takes)| *takes)
}

fn text(arguments: &[Value], at: usize) -> Result<&str> {
    Ok(arguments.get(at).context("an argument is missing")?.as_string()?)
}

/// `concat(between, texts)`
fn concat(arguments: &[Value]) -> Result<usize> {
    let between = text(arguments, 0)?.len();
    let length = |text: &Value| between + text.as_string().map_or(0, |text| text.len());
    Ok(match arguments {
        [_, Value::Array(texts)] => texts.iter().map(length).sum(),
        [_, Value::Set(texts)] => texts.iter().map(length).sum(),
        _ => bail!("no texts"),
    })
}

/// `replace(text, old, new)`
fn replace(arguments: &[Value]) -> Result<usize> {
    let (text, old, new) = (text(arguments, 0)?, text(arguments, 1)?, text(arguments, 2)?);
    Ok(text.len() + text.matches(old).count() * new.len())
}

/// `regex.replace(text, pattern, new)`: at most one match at each place, and all matches again for each `$`.
fn regex_replace(arguments: &[Value]) -> Result<usize> {
    let (text, new) = (text(arguments, 0)?, text(arguments, 2)?);
    let places = text.len() + 1;
    Ok(text.len() + places * new.len() + new.matches('$').count() * text.len())
}

/// `regex.find_all_string_submatch_n(pattern, text, n)`: a text for each group at each place. Most have none.
fn submatches(arguments: &[Value]) -> Result<usize> {
    let (pattern, text) = (text(arguments, 0)?, text(arguments, 1)?);
    Ok((pattern.matches('(').count() + 1) * (text.len() + 1) * 4)
}

/// `glob.match(pattern, delimiters, text)`: each place of the text against each of the pattern, four of which are a
/// step; to read the pattern is as much as a text of 4 KiB. A delimiter that stands there twice is doubled twice.
fn glob_match(arguments: &[Value]) -> Result<usize> {
    let (pattern, text) = (text(arguments, 0)?, text(arguments, 2)?);
    match arguments.get(1) {
        Some(Value::Array(delimiters)) if delimiters.iter().collect::<BTreeSet<_>>().len() < delimiters.len() => {
            Ok(usize::MAX)
        }
        _ => Ok(pattern.len() * text.len().max(4 << 10) / 4),
    }
}

/// `numbers.range(from, to)` and `numbers.range_step(from, to, step)`, the step taken for 1. From [`EXACT`] on, one more may
/// be the same number, and the function would never come to its end.
fn range(arguments: &[Value]) -> Result<usize> {
    let end = |at: usize| {
        let end = arguments.get(at).context("an argument is missing")?.as_number()?;
        ensure!(end.is_integer(), "no whole number");
        Ok(end.as_i64().filter(|end| end.unsigned_abs() <= EXACT))
    };
    Ok(match (end(0)?, end(1)?) {
        (Some(from), Some(to)) => usize::try_from(from.abs_diff(to))?.saturating_add(1).saturating_mul(ELEMENT),
        _ => usize::MAX,
    })
}

/// `sprintf(format, arguments)`: what the format asks for by numbers, `%1000d` and `%.1000f`. What the arguments come to
/// is no more than they are. Of digits that are not ASCII the interpreter's own function makes a panic.
fn sprintf(arguments: &[Value]) -> Result<usize> {
    let digits = |part: &str| {
        let part = part.strip_prefix('.').unwrap_or(part);
        if part.chars().find(|c| !c.is_ascii_digit()).is_some_and(char::is_numeric) {
            return usize::MAX;
        }
        part.chars().map_while(|c| c.to_digit(10)).fold(0_usize, |width, digit| {
            width.saturating_mul(10).saturating_add(usize::try_from(digit).unwrap_or(usize::MAX))
        })
    };
    let widths = text(arguments, 0)?.split('%').skip(1).map(digits);
    Ok(widths.fold(0, usize::saturating_add))
}
