//! What a person probably meant: near misses, and the spellings of earlier designs.

use super::place::Place;

/// The known word that `word` is a slip of, if one is near enough.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let word = snake(word);
    // A word of n letters may have one slip for every three, and always one.
    let slips = (word.chars().count() / 3).max(1);
    let distance = |known: &str| match strsim::damerau_levenshtein(&word, &snake(known)) {
        // `scheme` for `upstream_scheme`, `secret_id_name` for `secret_id`.
        far if far > slips && word.len() >= 4 && (known.ends_with(&word) || word.starts_with(known)) => slips,
        distance => distance,
    };
    // A long word would cost its square to measure, and is no slip.
    if word.len() > 64 {
        return None;
    }
    known.map(|known| (distance(known), known)).filter(|(far, _)| *far <= slips).min().map(|(_, known)| known)
}

/// `upstreamHost` and `upstream-host` as `upstream_host`.
fn snake(word: &str) -> String {
    let mut snake = String::new();
    for (at, c) in word.char_indices() {
        if c.is_ascii_uppercase() && at > 0 && word[..at].ends_with(|before: char| before.is_ascii_lowercase()) {
            snake.push('_');
        }
        snake.push(if c == '-' { '_' } else { c.to_ascii_lowercase() });
    }
    snake
}

/// The boolean that other YAML readers take `text` for.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "true" | "y" => Some(true),
        "no" | "off" | "false" | "n" => Some(false),
        _ => None,
    }
}

/// What to say about a key of an earlier design.
pub(super) struct Hint {
    pub text: &'static str,
    /// The key beside it that takes its place.
    pub key: Option<&'static str>,
}

/// Keys that the design documents and the prototypes had in other places or under other names.
pub(super) fn known_elsewhere(place: &Place, key: &str) -> Option<Hint> {
    let section: String = place.to_string().chars().filter(|c| !matches!(c, '[' | ']' | '0'..='9')).collect();
    let hint = |text, key| Some(Hint { text, key });
    match (section.as_str(), key) {
        (_, "<<") => hint("merge keys are not supported; write the keys out", None),
        ("", "session_secret") => hint(
            "a secret does not stand in this file; use session_secret_file, or the variable VEILWARDEN_SESSION_SECRET",
            Some("session_secret_file"),
        ),
        ("", "doppler") => hint("moved; use secret_stores.doppler and secret_stores.cache_ttl", None),
        ("", "vault") => hint("moved; use secret_stores.vault", None),
        ("", "proxy") => hint("moved; use listen, and timeouts in each route", None),
        ("", "observability") => hint(
            "moved; use log and audit. Metrics are at /metrics on admin_listen; tracing is not supported yet",
            None,
        ),
        ("", "env_passthrough" | "sandbox") => hint("not supported yet", None),
        ("routes", "host") => hint("renamed; use upstream_host", Some("upstream_host")),
        ("routes", "inject_format") => hint("renamed; use header_value_template", Some("header_value_template")),
        ("routes", "header_name") => hint("renamed; use inject_header", Some("inject_header")),
        ("policy", "default_action") => hint("renamed; use default_allow: true or false", Some("default_allow")),
        ("kubernetes", "jwks_cache_ttl" | "jwks_refresh_interval") => {
            hint("not needed; keys are fetched every five minutes and kept for a day while that fails", None)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_word_that_was_meant() {
        const KEYS: [&str; 6] =
            ["upstream_host", "upstream_scheme", "secret_id", "secret_ids", "inject_header", "header_value_template"];
        for (word, meant) in [
            ("upstream_hots", Some("upstream_host")),
            ("upstreamHost", Some("upstream_host")),
            ("upstream-host", Some("upstream_host")),
            ("scheme", Some("upstream_scheme")),
            ("secret", None),
            ("secretid", Some("secret_id")),
            ("headervaluetemplate", Some("header_value_template")),
            ("value_template", Some("header_value_template")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, KEYS.into_iter()), meant, "{word}");
        }
        assert_eq!(nearest(&"upstream_host".repeat(1000), KEYS.into_iter()), None);
    }
}
