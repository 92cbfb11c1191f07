//! Lines in which everything can be seen.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The line (without its end) with `\uXXXX` for each character that a terminal or an editor would obey or hide:
/// controls, what turns the direction of text, what breaks lines, what has no width. In a line of JSON these stand
/// in strings only, where the escape is the same text.
pub fn visible(line: &str) -> Cow<'_, str> {
    if is_plain(line) || !line.chars().any(is_hidden) {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        if is_hidden(c) {
            // Writing to a string does not fail; all of these have four hex digits.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Nothing but printable ASCII, as most lines are. No early exit: without one the compiler looks at many bytes at once.
fn is_plain(line: &str) -> bool {
    line.bytes().fold(true, |plain, byte| plain & (b' '..=b'~').contains(&byte))
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n06_what_cannot_be_seen_is_escaped_and_json_stays_the_same_text() {
        for text in
            ["a\u{202e}b", "\u{2066}", "a\u{7f}\u{9b}31m", "\u{2028}", "\u{feff}x\u{200b}", "plain", "schön ✓ 漢字"]
        {
            let json = serde_json::to_string(text).unwrap();
            let seen = visible(&json);
            assert!(!seen.chars().any(is_hidden), "{seen}");
            assert_eq!(serde_json::from_str::<String>(&seen).unwrap(), text);
        }
        assert_eq!(visible("\u{1b}[31mred\r\n"), "\\u001b[31mred\\u000d\\u000a");
        assert!(matches!(visible("plain ✓"), Cow::Borrowed(_)));
    }
}
