//! Durations as Go and Kubernetes write them: `30s`, `5m`, `1h30m`, `1.5s`, `50ms`.

use std::time::Duration;

/// The longest that can be configured. A deadline further away can overflow the clock that it is counted on.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Reads a duration. Units: `h`, `m`, `s`, `ms`, `us` (or `µs`), `ns`; each a number, a fraction allowed; `0` needs none.
/// The error is the text for a person.
pub fn parse(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.starts_with('-') {
        return Err("a duration cannot be negative".to_owned());
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("a duration needs a unit; did you mean \"{text}s\"?"));
    }
    let (mut rest, mut total) = (text, Some(Duration::ZERO));
    while !rest.is_empty() {
        let (part, after) = step(rest).ok_or_else(wrong)?;
        total = total.zip(part).and_then(|(total, part)| total.checked_add(part));
        rest = after;
    }
    match total {
        _ if text.is_empty() => Err(wrong()),
        Some(total) if total <= LONGEST => Ok(total),
        _ => Err("longer than a year (8760h)".to_owned()),
    }
}

fn wrong() -> String {
    "not a duration such as 30s, 5m or 1h30m".to_owned()
}

/// The first number and unit of `text`, and what follows. The inner `None`: too large to count.
fn step(text: &str) -> Option<(Option<Duration>, &str)> {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (whole, mut rest) = text.split_at(digits(text));
    let mut fraction = "";
    if let Some(after) = rest.strip_prefix('.') {
        (fraction, rest) = after.split_at(digits(after));
    }
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (nanos, rest) = unit(rest)?;
    let whole: Option<u64> = if whole.is_empty() { Some(0) } else { whole.parse().ok() };
    // Digits after the fifteenth are below a nanosecond, even of an hour.
    let kept = &fraction[..fraction.len().min(15)];
    let part = kept.parse::<u128>().map_or(0, |part| part * u128::from(nanos) / 10u128.pow(kept.len() as u32));
    let total = whole.and_then(|whole| u64::try_from(u128::from(whole) * u128::from(nanos) + part).ok());
    Some((total.map(Duration::from_nanos), rest))
}

/// The unit at the start of `text` in nanoseconds, and what follows. Two-letter units stand before their first letters.
fn unit(text: &str) -> Option<(u64, &str)> {
    const UNITS: [(&str, u64); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    UNITS.iter().find_map(|(name, nanos)| text.strip_prefix(name).map(|rest| (*nanos, rest)))
}

/// The shortest spelling that `parse` reads back as the same duration.
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (hours, minutes) = (nanos / 3_600_000_000_000, nanos / 60_000_000_000 % 60);
    let below = nanos % 60_000_000_000;
    let mut text = String::new();
    if hours > 0 {
        text += &format!("{hours}h");
    }
    if minutes > 0 {
        text += &format!("{minutes}m");
    }
    for (unit, name) in [(1_000_000_000_u128, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")] {
        if below > 0 && below.is_multiple_of(unit) {
            return text + &format!("{}{name}", below / unit);
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r8_durations_are_read_as_go_reads_them() {
        for (text, millis) in [
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1_500),
            (".5h", 1_800_000),
            ("50ms", 50),
            ("2000us", 2),
            ("0", 0),
            ("0s", 0),
            ("1m0.001s", 60_001),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_a_hint() {
        assert_eq!(parse("30").unwrap_err(), "a duration needs a unit; did you mean \"30s\"?");
        assert_eq!(parse("-1s").unwrap_err(), "a duration cannot be negative");
        for text in ["", "s", ".s", "1d", "1 s", "5min", "one", "1s ", "1.2.3s", "1e3s"] {
            assert_eq!(parse(text).unwrap_err(), wrong(), "{text}");
        }
        for text in ["8761h", "99999999999999999999h", "18446744073709551615h"] {
            assert_eq!(parse(text).unwrap_err(), "longer than a year (8760h)", "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_duration_reads_back(nanos in 0..LONGEST.as_nanos() as u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
