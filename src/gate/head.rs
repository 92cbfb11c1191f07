//! The head of an HTTP/1 request, byte by byte (RFC 9112 sections 2 to 6).

mod framing;

use memchr::memchr;

use super::{Limits, Refusal, target};
use framing::Framing;

pub use framing::Body;
pub(super) use framing::parse_length;

/// A single field line may weigh so much.
pub(super) const MAX_FIELD_LINE: usize = 16 << 10;
const MAX_METHOD: usize = 32;
/// Empty lines allowed before a request line (RFC 9112 section 2.2 asks for at least one).
const MAX_LEADING_EMPTY_LINES: usize = 2;
/// Fields that carry a caller's credential: stray white space in them means a broken or a lying client.
const CREDENTIAL_FIELDS: [&str; 4] = ["authorization", "proxy-authorization", "x-session-secret", "x-veilwarden-token"];

/// The length of the head that starts `bytes`, its last empty line included; `None` while it is incomplete.
/// `searched` carries over how much of an incomplete head was looked at before.
pub fn find_end(bytes: &[u8], searched: &mut usize, limits: &Limits) -> Result<Option<usize>, Refusal> {
    let mut line_start = *searched;
    let skip = leading_empty_lines(bytes)?;
    line_start = line_start.max(skip);
    while let Some(offset) = memchr(b'\n', &bytes[line_start.min(bytes.len())..]) {
        let lf = line_start + offset;
        if lf == 0 || bytes[lf - 1] != b'\r' {
            return Err(Refusal::Malformed("a line ends with a bare line feed"));
        }
        if lf == line_start + 1 {
            return check_size(bytes, skip, lf + 1, limits).map(|()| Some(lf + 1));
        }
        line_start = lf + 1;
        *searched = line_start;
    }
    check_size(bytes, skip, bytes.len(), limits)?;
    Ok(None)
}

/// Counts empty lines before the request line.
fn leading_empty_lines(bytes: &[u8]) -> Result<usize, Refusal> {
    let count = bytes.chunks_exact(2).take_while(|pair| pair == b"\r\n").count();
    if count > MAX_LEADING_EMPTY_LINES {
        return Err(Refusal::Malformed("too many empty lines before the request"));
    }
    Ok(count * 2)
}

/// Sizes are judged while a head is still incomplete, so that nobody can make us hold an endless one.
fn check_size(bytes: &[u8], skip: usize, end: usize, limits: &Limits) -> Result<(), Refusal> {
    let head = &bytes[skip.min(end)..end];
    let max_request_line = MAX_METHOD + limits.max_target_bytes + " HTTP/1.1".len() + 1;
    let request_line = memchr(b'\r', head).unwrap_or(head.len());
    if request_line > max_request_line {
        return Err(Refusal::TargetTooLong);
    }
    if head.len().saturating_sub(request_line) > limits.max_header_bytes + 4 {
        return Err(Refusal::HeadersTooLarge("the header fields are larger together than limits.max_header_bytes"));
    }
    Ok(())
}

/// Checks a whole head and says what follows it. `forward`: whether CONNECT and absolute-form are taken.
pub fn check(head: &[u8], limits: &Limits, forward: bool) -> Result<Body, Refusal> {
    let mut lines = Lines(&head[leading_empty_lines(head)?..]);
    let line = check_request_line(lines.next().unwrap_or_default(), limits, forward)?;
    let mut framing = Framing::default();
    let mut count = 0;
    for line in lines {
        if line.is_empty() {
            break;
        }
        count += 1;
        if count > limits.max_headers {
            return Err(Refusal::HeadersTooLarge("there are more header fields than limits.max_headers"));
        }
        let (name, value) = check_field_line(line)?;
        framing.note(name, value)?;
    }
    framing.body(&line)
}

/// The lines of a head whose line ends were checked by [`find_end`], without their CRLF.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let lf = memchr(b'\n', self.0)?;
        let line = &self.0[..lf.saturating_sub(1)];
        self.0 = &self.0[lf + 1..];
        Some(line)
    }
}

/// What of the request line decides about the body.
struct RequestLine<'a> {
    method: &'a [u8],
    minor: u8,
}

/// `method SP request-target SP HTTP/1.minor`.
fn check_request_line<'a>(line: &'a [u8], limits: &Limits, forward: bool) -> Result<RequestLine<'a>, Refusal> {
    let method_end = memchr(b' ', line).ok_or(Refusal::Malformed("the request line has no target"))?;
    let (method, rest) = (&line[..method_end], &line[method_end + 1..]);
    check_method(method)?;
    let target_end = memchr(b' ', rest).ok_or(Refusal::Malformed("the request line has no version"))?;
    let (target, version) = (&rest[..target_end], &rest[target_end + 1..]);
    if target.len() > limits.max_target_bytes {
        return Err(Refusal::TargetTooLong);
    }
    let minor = match version {
        b"HTTP/1.1" => 1,
        b"HTTP/1.0" => 0,
        _ => return Err(Refusal::Malformed("the version is neither HTTP/1.1 nor HTTP/1.0")),
    };
    target::check(method, target, forward)?;
    Ok(RequestLine { method, minor })
}

/// Letters, digits, hyphen and underscore, and not too many of them.
pub(super) fn check_method(method: &[u8]) -> Result<(), Refusal> {
    let fine = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'_';
    if method.is_empty() || method.len() > MAX_METHOD || !method.iter().all(fine) {
        return Err(Refusal::Malformed("the method is not one"));
    }
    Ok(())
}

/// `name ":" OWS value OWS`, the name a token that stands at the line's very start and touches its colon.
fn check_field_line(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if line.len() > MAX_FIELD_LINE {
        return Err(Refusal::HeadersTooLarge("a header field is larger than 16384 bytes"));
    }
    let colon = memchr(b':', line).ok_or(Refusal::Malformed("a header line has no colon"))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|b| is_tchar(*b)) {
        return Err(Refusal::Malformed("a header name is not a token"));
    }
    if has_control(value) {
        return Err(Refusal::Malformed("a header value has a control character"));
    }
    if CREDENTIAL_FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes())) {
        let bare = value.strip_prefix(b" ").unwrap_or(value);
        if bare != bare.trim_ascii() {
            return Err(Refusal::Malformed("a credential field has stray white space"));
        }
    }
    Ok((name, value))
}

/// Anything that RFC 9110 section 5.5 lets no value hold. No early exit: without one the compiler looks at many bytes
/// at once, and a token has a thousand.
fn has_control(value: &[u8]) -> bool {
    value.iter().fold(false, |found, &b| found | (b.is_ascii_control() & (b != b'\t')))
}

/// tchar of RFC 9110 section 5.6.2.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
