//! What is refused about a policy's text before it is parsed: each of these the interpreter would refuse without a
//! line, take for the end of the file, take exponentially long to parse, or lose its stack over.

use super::{Place, Problem};

/// The most columns a line may have, the interpreter's own limit.
const MAX_COLUMNS: usize = 1024;
/// The most lines a file may have, the interpreter's own limit.
const MAX_LINES: usize = 20_000;
/// Brackets and braces inside one another. The interpreter's parser tries each as several things: time doubles with
/// every level, and at 16 it needs seconds.
const MAX_NESTING: usize = 10;
/// Operators in a row, `a + b + c …`: each is a level of the syntax tree, which is walked recursively.
const MAX_OPERATORS: usize = 100;

/// The text of a module, when it is one that can safely be parsed.
pub(super) fn check(file: &str, bytes: Vec<u8>) -> Result<String, Problem> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        let place = Place { line: 1, column: 1 };
        return Err(Problem::at(file, place, "the file begins with a byte order mark").hint(Some("remove it".into())));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        Problem::at(file, end_of(&valid), "the file is not UTF-8")
    })?;
    characters(file, &text)?;
    lines(file, &text)?;
    expressions(&text).map_err(|(place, message)| Problem::at(file, place, message))?;
    Ok(text)
}

/// Of control characters only tabs and line ends. The interpreter reads no further than a NUL, so that the rules behind
/// it would be gone; behind a CR alone, or another that looks like a line end, a rule is still part of a comment.
fn characters(file: &str, text: &str) -> Result<(), Problem> {
    let is_fine = |at: usize, char| char == '\t' || char == '\n' || text[at..].starts_with("\r\n");
    match text.char_indices().find(|(at, char)| char.is_control() && !is_fine(*at, *char)) {
        Some((at, char)) => {
            let message = format!("the control character U+{:04X} stands in the file", u32::from(char));
            Err(Problem::at(file, end_of(&text[..at]), message).hint(Some("remove it".into())))
        }
        None => Ok(()),
    }
}

fn lines(file: &str, text: &str) -> Result<(), Problem> {
    for (line, content) in (1..).zip(text.lines()) {
        if line as usize > MAX_LINES {
            let message = format!("the file has more than {MAX_LINES} lines");
            return Err(Problem::at(file, Place { line, column: 1 }, message));
        }
        if content.chars().nth(MAX_COLUMNS).is_some() {
            let place = Place { line, column: MAX_COLUMNS as u32 + 1 };
            return Err(Problem::at(file, place, format!("the line is longer than {MAX_COLUMNS} characters")));
        }
    }
    Ok(())
}

fn end_of(text: &str) -> Place {
    let last = text.rsplit('\n').next().unwrap_or_default();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Place { line: count(text.matches('\n').count() + 1), column: count(last.chars().count() + 1) }
}

/// The state of one pair of brackets.
#[derive(Default)]
struct Level {
    /// Operators since the expression began.
    operators: usize,
    /// Whether a value stood last: another one begins a new expression.
    after_value: bool,
}

fn expressions(text: &str) -> Result<(), (Place, String)> {
    let mut levels = vec![Level::default()];
    let mut rest = text;
    let refuse = |rest: &str, message: String| Err((end_of(&text[..text.len() - rest.len()]), message));
    while let Some(first) = rest.chars().next() {
        let after = past(rest, first);
        let (depth, level) = (levels.len(), levels.last_mut());
        let Some(level) = level else { return Ok(()) };
        match first {
            '[' | '{' | '(' if depth > MAX_NESTING => {
                return refuse(rest, format!("brackets are nested deeper than {MAX_NESTING}"));
            }
            '[' | '{' | '(' => levels.push(Level::default()),
            ']' | '}' | ')' => {
                levels.truncate(depth.max(2) - 1);
                levels.iter_mut().for_each(|level| level.after_value = true);
            }
            ',' | ';' => *level = Level::default(),
            '.' => level.after_value = false,
            '#' => {}
            first if first.is_whitespace() => {}
            first if is_operator(first) || is_word_operator(&rest[..rest.len() - after.len()]) => {
                level.operators += 1;
                level.after_value = false;
                if level.operators > MAX_OPERATORS {
                    return refuse(rest, format!("more than {MAX_OPERATORS} operators in one expression"));
                }
            }
            _ => {
                if level.after_value {
                    level.operators = 0;
                }
                level.after_value = true;
            }
        }
        rest = after;
    }
    Ok(())
}

/// The text behind the token that begins with `first`.
fn past(text: &str, first: char) -> &str {
    let length = match first {
        '"' => quoted(text),
        '`' => text[1..].find('`').map_or(text.len(), |end| end + 2),
        '#' => text.find('\n').unwrap_or(text.len()),
        first if is_word(first) => text.find(|other| !is_word(other)).unwrap_or(text.len()),
        first if is_operator(first) => text.find(|other| !is_operator(other)).unwrap_or(text.len()),
        first => first.len_utf8(),
    };
    &text[length..]
}

/// The length of a string with its quotes; a backslash takes the next byte with it.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' | b'\n' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn is_operator(char: char) -> bool {
    matches!(char, '+' | '-' | '*' | '/' | '%' | '&' | '|' | '=' | '<' | '>' | '!' | ':')
}

fn is_word_operator(word: &str) -> bool {
    matches!(word, "in" | "not")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problem(text: &str) -> Option<String> {
        check("p.rego", text.as_bytes().to_vec()).err().map(|problem| problem.to_string())
    }

    #[test]
    fn what_the_parser_cannot_stand_is_refused_with_its_place() {
        let cases = [
            (format!("x := {}1{}", "[".repeat(11), "]".repeat(11)), "p.rego:1:16: brackets are nested deeper than 10"),
            (format!("x := 1{}", "\n+ 1".repeat(200)), "p.rego:101:1: more than 100 operators in one expression"),
            (format!("x := {}1", "- ".repeat(200)), "p.rego:1:204: more than 100 operators in one expression"),
            (format!("x := 1{}", " in y".repeat(200)), "p.rego:1:503: more than 100 operators in one expression"),
        ];
        for (text, expected) in cases {
            assert_eq!(problem(&text).as_deref(), Some(expected));
        }
        let invalid = check("p.rego", b"package a\nx := \"\xff\"".to_vec()).expect_err("not UTF-8");
        assert_eq!(invalid.to_string(), "p.rego:2:7: the file is not UTF-8");
    }

    #[test]
    fn nothing_ends_a_policy_or_a_line_where_nobody_sees_it() {
        for (text, expected) in [
            ("package a\nx := 1\n\0\ny := 2", "p.rego:3:1: the control character U+0000 stands in the file"),
            ("package a\nx := \"é\0\"", "p.rego:2:8: the control character U+0000 stands in the file"),
            ("package a # é\0\ny := 2", "p.rego:1:14: the control character U+0000 stands in the file"),
            ("# a comment\ry := 2", "p.rego:1:12: the control character U+000D stands in the file"),
            ("x := 1\u{b}", "p.rego:1:7: the control character U+000B stands in the file"),
            ("# \u{1b}[8m", "p.rego:1:3: the control character U+001B stands in the file"),
            ("# \u{7f}", "p.rego:1:3: the control character U+007F stands in the file"),
            ("# \u{85}y := 2", "p.rego:1:3: the control character U+0085 stands in the file"),
        ] {
            assert_eq!(problem(text).as_deref(), Some(&*format!("{expected} (remove it)")), "{text:?}");
        }
        assert_eq!(problem("package a\r\n\r\n\tx := \"\\u0000\" # é\r\n"), None);
    }

    #[test]
    fn many_short_expressions_brackets_in_strings_and_comments_are_no_nesting() {
        let many = "allow if {\n".to_owned() + &"\tinput.a == \"b\"\n\tnot x + 1 in y\n".repeat(1000) + "}\n";
        let strings = "x := \"[[[[[[[[[[[[[[[[\\\"[[[[[\" # [[[[[[[[[[[[[[[[[\ny := `[[[[[[[[[[[[[[[[[[`\n".to_owned();
        for text in [many, strings, "x := [1]\n".repeat(500), "x[1] := f(1)(2)\n".repeat(100)] {
            assert_eq!(problem(&text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}()\"`#\\\\\n a-z0-9+=:.,;é]{0,200}") {
            let _ = problem(&text);
        }
    }
}
