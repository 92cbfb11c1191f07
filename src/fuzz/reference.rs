//! A second reader of HTTP/1 requests, slow and strict, that shares nothing with the gate: what the gate lets through has to
//! mean the same to both.

use memchr::memmem;

/// One request as it stands in the bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// From the request line to the empty line.
    pub head: &'a [u8],
    pub method: &'a str,
    pub target: &'a str,
    pub body: Vec<u8>,
    /// The body ends within the bytes.
    pub whole: bool,
    /// The connection may end behind it.
    pub last: bool,
}

/// The requests in bytes that the gate approved.
///
/// # Panics
/// When something in them could be read in another way: the gate must not have let it through.
pub fn messages(mut bytes: &[u8]) -> Vec<Message<'_>> {
    let mut found = Vec::new();
    loop {
        let mut empty = 0;
        while let Some(rest) = bytes.strip_prefix(b"\r\n") {
            bytes = rest;
            empty += 1;
        }
        assert!(empty <= 2, "{empty} empty lines before a request line");
        if bytes.is_empty() {
            return found;
        }
        let (message, rest) = message(bytes);
        let whole = message.whole;
        found.push(message);
        if !whole {
            return found;
        }
        bytes = rest;
    }
}

fn message(bytes: &[u8]) -> (Message<'_>, &[u8]) {
    let end = memmem::find(bytes, b"\r\n\r\n").expect("a head passed that has no end") + 4;
    let (head, rest) = bytes.split_at(end);
    let text = head[..end - 4].split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines: Vec<&[u8]> = text.collect();
    assert_eq!(lines.len(), memmem::find_iter(&head[..end - 4], b"\r\n").count() + 1, "a bare line feed passed");
    let words: Vec<&str> =
        lines[0].split(|b| *b == b' ').map(|word| std::str::from_utf8(word).expect("ASCII")).collect();
    let [method, target, version] = words[..] else { panic!("a request line of {} words passed", words.len()) };
    assert!(["HTTP/1.1", "HTTP/1.0"].contains(&version), "{version}");
    let fields: Vec<(String, &[u8])> = lines[1..].iter().map(|line| field(line)).collect();
    let all =
        |name: &str| fields.iter().filter(|(other, _)| other == name).map(|(_, value)| *value).collect::<Vec<_>>();
    let last = version == "HTTP/1.0"
        || all("connection").iter().any(|value| value.to_ascii_lowercase().windows(5).any(|word| word == b"close"));
    let mut message = Message { head, method, target, body: Vec::new(), whole: true, last };
    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    let rest = match (&lengths[..], &codings[..]) {
        ([], []) => rest,
        ([length], []) => sized(number(length, 10), rest, &mut message),
        ([], [coding]) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked") && version == "HTTP/1.1", "{}", coding.escape_ascii());
            chunked(rest, &mut message)
        }
        _ => panic!("{} lengths and {} codings passed", lengths.len(), codings.len()),
    };
    (message, rest)
}

fn field(line: &[u8]) -> (String, &[u8]) {
    let colon = line.iter().position(|b| *b == b':').expect("a field line without a colon passed");
    let name = http::HeaderName::from_bytes(&line[..colon]).expect("a name that is no token passed");
    let value = &line[colon + 1..];
    assert!(value.iter().all(|b| *b == b'\t' || !b.is_ascii_control()), "a control character passed");
    (name.as_str().to_owned(), value.trim_ascii())
}

fn number(digits: &[u8], radix: u32) -> u64 {
    let text = std::str::from_utf8(digits).expect("digits");
    assert!(!text.starts_with('+'), "{text}");
    u64::from_str_radix(text, radix).unwrap_or_else(|error| panic!("{text:?} passed for a number: {error}"))
}

fn sized<'a>(length: u64, rest: &'a [u8], message: &mut Message) -> &'a [u8] {
    let n = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
    message.whole = n as u64 == length;
    message.body.extend_from_slice(&rest[..n]);
    &rest[n..]
}

/// Reads chunks as long as there are whole lines; what is cut off in the middle ends the message unfinished.
fn chunked<'a>(mut rest: &'a [u8], message: &mut Message) -> &'a [u8] {
    let mut unfinished = |_: &[u8]| {
        message.whole = false;
        &b""[..]
    };
    loop {
        let Some((line, after)) = line(rest) else { return unfinished(rest) };
        let digits = line.split(|b| *b == b';').next().unwrap_or_default();
        let size = number(digits, 16);
        rest = after;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if rest.len() < size {
            message.body.extend_from_slice(rest);
            return unfinished(rest);
        }
        message.body.extend_from_slice(&rest[..size]);
        rest = &rest[size..];
        match rest {
            [] | [b'\r'] => return unfinished(rest),
            [b'\r', b'\n', after @ ..] => rest = after,
            _ => panic!("a chunk passed that is longer than it says"),
        }
    }
    loop {
        let Some((line, after)) = line(rest) else { return unfinished(rest) };
        rest = after;
        if line.is_empty() {
            return rest;
        }
        field(line);
    }
}

/// The line up to its CRLF, if that is there.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let lf = bytes.iter().position(|b| *b == b'\n')?;
    let line = bytes[..lf].strip_suffix(b"\r").expect("a bare line feed passed in a body");
    assert!(!line.contains(&b'\r'), "a bare carriage return passed in a body");
    Some((line, &bytes[lf + 1..]))
}
