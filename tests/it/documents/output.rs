//! Whether a command printed what a document says.

use serde_json::{Value, json};

/// What stands in a document for any text on one line.
const ANYTHING: char = '…';

/// Whether two texts say the same, but for what differs from run to run: times, ids, curl's version and what its length
/// changes, and whatever the document leaves open with `…`. A line of `…` alone stands for any number of lines.
pub fn agrees(printed: &str, documented: &str) -> bool {
    let (printed, documented) = (normal(printed), normal(documented));
    lines_agree(&printed, &documented)
}

fn lines_agree(printed: &[String], documented: &[String]) -> bool {
    match documented.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "…" => {
            (0..=printed.len()).any(|skipped| lines_agree(&printed[skipped..], rest))
        }
        Some((first, rest)) => {
            printed.split_first().is_some_and(|(line, after)| line_agrees(line, first) && lines_agree(after, rest))
        }
    }
}

fn line_agrees(printed: &str, documented: &str) -> bool {
    let mut parts = documented.split(ANYTHING);
    let Some(mut rest) = printed.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, inner)) = parts.split_last() else { return rest.is_empty() };
    for part in inner {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

fn normal(text: &str) -> Vec<String> {
    text.trim_end().lines().map(|line| normal_line(line.trim_end())).collect()
}

fn normal_line(line: &str) -> String {
    if let Ok(Value::Object(mut record)) = serde_json::from_str(line) {
        for volatile in ["timestamp", "request_id", "latency_ms", "response_bytes"] {
            if let Some(value) = record.get_mut(volatile) {
                *value = json!("differs");
            }
        }
        return Value::Object(record).to_string();
    }
    match line.split_once("curl/") {
        Some((before, after)) => {
            format!("{before}curl/{}", after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.'))
        }
        None => line.to_owned(),
    }
}
