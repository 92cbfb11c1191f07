//! The interpreter's errors: drawings of source lines with a caret, turned into a place and one line of text.

use crate::policy::loader::{Place, Problem};

/// A problem at the place that the error names, or about `origin` as a whole when it names none.
pub(super) fn problem(origin: &str, error: &anyhow::Error) -> Problem {
    let text = error.to_string();
    match located(&text) {
        Some((file, place)) => Problem::at(file, place, message(&text)),
        None => Problem::whole(origin, message(&text)),
    }
}

/// The error in one line, for records.
pub(super) fn line(error: &anyhow::Error) -> String {
    let text = error.to_string();
    match located(&text) {
        Some((file, Place { line, column })) => format!("{file}:{line}:{column}: {}", message(&text)),
        None => message(&text),
    }
}

/// The error in one line, without its place.
pub(super) fn words(error: &anyhow::Error) -> String {
    message(&error.to_string())
}

/// From `--> FILE:LINE:COLUMN`.
fn located(text: &str) -> Option<(&str, Place)> {
    let mut parts = text.lines().find_map(|line| line.strip_prefix("--> "))?.rsplitn(3, ':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    Some((parts.next()?, Place { line, column }))
}

/// What stands behind the first `error: `, else everything, without line breaks.
fn message(text: &str) -> String {
    let message = text.split_once("\nerror: ").map_or(text, |(_, message)| message);
    let message = message.split("\n--> ").next().unwrap_or_default();
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
