//! The head of an HTTP/1 request, byte by byte (RFC 9112 sections 2 to 6).

use memchr::memchr;

use super::{Limits, Refusal, target};

/// A single field line may weigh so much.
pub(super) const MAX_FIELD_LINE: usize = 16 << 10;
const MAX_METHOD: usize = 32;
/// Empty lines allowed before a request line (RFC 9112 section 2.2 asks for at least one).
const MAX_LEADING_EMPTY_LINES: usize = 2;
/// Fields that carry a caller's credential: stray white space in them means a broken or a lying client.
const CREDENTIAL_FIELDS: [&str; 4] = ["authorization", "proxy-authorization", "x-session-secret", "x-veilwarden-token"];

/// What follows the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    None,
    Length(u64),
    Chunked,
    /// The message ends here, and so may HTTP: the service decides what the bytes behind it are.
    Undecided,
}

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
        return Err(Refusal::HeadersTooLarge("the header fields are too large together"));
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
            return Err(Refusal::HeadersTooLarge("too many header fields"));
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
        return Err(Refusal::HeadersTooLarge("a header field is too large"));
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

/// The framing fields seen so far (RFC 9112 section 6); anything doubtful is an error, never a guess.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    /// `Connection: upgrade`.
    upgrade: bool,
    /// `Upgrade: websocket`.
    websocket: bool,
}

impl Framing {
    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return Err(Refusal::Malformed("Content-Length appears twice"));
            }
            self.length = Some(parse_length(value)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked {
                return Err(Refusal::Malformed("Transfer-Encoding appears twice"));
            }
            if !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::Malformed("the only Transfer-Encoding accepted is \"chunked\""));
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.upgrade |= lists(value, b"upgrade");
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.websocket |= lists(value, b"websocket");
        }
        Ok(())
    }

    fn body(self, line: &RequestLine) -> Result<Body, Refusal> {
        if line.method == b"CONNECT" {
            let bare = !self.chunked && self.length.is_none();
            return if bare { Ok(Body::Undecided) } else { Err(Refusal::Malformed("CONNECT has no body")) };
        }
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Refusal::Malformed("Content-Length and Transfer-Encoding together")),
            (true, None) if line.minor == 0 => Err(Refusal::Malformed("Transfer-Encoding with HTTP/1.0")),
            (true, None) => Ok(Body::Chunked),
            (false, None | Some(0)) if self.asks_for_websocket(line) => Ok(Body::Undecided),
            (false, Some(length)) => Ok(Body::Length(length)),
            (false, None) => Ok(Body::None),
        }
    }

    /// RFC 6455 section 4.1, as far as it decides what may follow; the rest is looked at by whoever answers the call.
    fn asks_for_websocket(&self, line: &RequestLine) -> bool {
        self.upgrade && self.websocket && line.method == b"GET" && line.minor == 1
    }
}

/// Whether a comma-separated list has the token, in any case.
fn lists(value: &[u8], token: &[u8]) -> bool {
    value.split(|b| *b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

/// 1*DIGIT within 63 bits; signs, lists and white space inside are refused, and zeros in front, which some servers
/// take for octal.
pub(super) fn parse_length(value: &[u8]) -> Result<u64, Refusal> {
    const WRONG: Refusal = Refusal::Malformed("Content-Length is not a plain number");
    let digits = value.trim_ascii();
    let octal = digits.len() > 1 && digits[0] == b'0';
    if digits.is_empty() || octal || !digits.iter().all(u8::is_ascii_digit) {
        return Err(WRONG);
    }
    let text = std::str::from_utf8(digits).map_err(|_| WRONG)?;
    text.parse::<u64>().ok().filter(|n| *n <= i64::MAX as u64).ok_or(Refusal::Malformed("Content-Length is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(head: &str) -> Result<Body, Refusal> {
        judge_bytes(head.as_bytes())
    }

    fn judge_bytes(head: &[u8]) -> Result<Body, Refusal> {
        let limits = Limits::default();
        let end = find_end(head, &mut 0, &limits)?.expect("a whole head");
        check(&head[..end], &limits, false)
    }

    fn judge_forward(head: &str) -> Result<Body, Refusal> {
        check(head.as_bytes(), &Limits::default(), true)
    }

    #[test]
    fn framing_is_read_in_exactly_one_way() {
        let good = [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Body::None),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", Body::None),
            ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Body::Length(0)),
            ("POST / HTTP/1.1\r\ncontent-length:\t7 \r\n\r\n", Body::Length(7)),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: ChUnKeD\r\n\r\n", Body::Chunked),
            ("POST / HTTP/1.0\r\n\r\n", Body::None),
        ];
        for (head, body) in good {
            assert_eq!(judge(head), Ok(body), "{head:?}");
        }
    }

    #[test]
    fn doubtful_framing_is_refused() {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: ,chunked",
            "Transfer-Encoding: \"chunked\"",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding:\r\n chunked",
            "Content-Length: 2\r\nContent-Length: 2",
            "Content-Length: 2, 2",
            "Content-Length: +2",
            "Content-Length: 0x2",
            "Content-Length: 010",
            "Content-Length: 00",
            "Content-Length: ",
            "Content-Length: 18446744073709551615",
            "Content-Length: 18446744073709551618",
        ] {
            assert!(judge(&format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n")).is_err(), "{fields:?}");
        }
        assert!(judge("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn odd_request_lines_are_refused() {
        for line in [
            "GET  / HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "GET /a b HTTP/1.1",
            "GET / HTTP/1.2",
            "GET / HTTP/1.10",
            "GET / HTTP/01.1",
            "GET / http/1.1",
            "GET /",
            "GET /#f HTTP/1.1",
            "GET /\u{e9} HTTP/1.1",
            " GET / HTTP/1.1",
            "G!T / HTTP/1.1",
            "! / HTTP/1.1",
            "PRI * HTTP/2.0",
            "OPTIONS * HTTP/1.1",
            "GET a/b HTTP/1.1",
            "GET @evil/x HTTP/1.1",
            "GET http://b.test/x HTTP/1.1",
            "CONNECT b.test:443 HTTP/1.1",
            "GET /\"q\" HTTP/1.1",
            "GET /`x HTTP/1.1",
        ] {
            assert!(judge(&format!("{line}\r\nHost: a\r\n\r\n")).is_err(), "{line:?}");
        }
    }

    #[test]
    fn after_connect_and_a_call_for_a_websocket_nothing_is_decided() {
        let socket = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";
        for head in [
            "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n".to_owned(),
            "CONNECT a.test:443 HTTP/1.0\r\n\r\n".to_owned(),
            format!("GET / HTTP/1.1\r\n{socket}\r\n"),
            format!("GET / HTTP/1.1\r\n{socket}Content-Length: 0\r\n\r\n"),
        ] {
            assert_eq!(judge_forward(&head), Ok(Body::Undecided), "{head:?}");
        }
        for (head, body) in [
            (format!("GET / HTTP/1.0\r\n{socket}\r\n"), Body::None),
            (format!("POST / HTTP/1.1\r\n{socket}\r\n"), Body::None),
            (format!("GET / HTTP/1.1\r\n{socket}Content-Length: 5\r\n\r\n"), Body::Length(5)),
            ("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n".to_owned(), Body::None),
            ("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n".to_owned(), Body::None),
        ] {
            assert_eq!(judge_forward(&head), Ok(body), "{head:?}");
        }
    }

    #[test]
    fn g05_connect_has_no_body() {
        for field in ["Content-Length: 5", "Content-Length: 0", "Transfer-Encoding: chunked"] {
            let head = format!("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n{field}\r\n\r\n");
            assert_eq!(judge_forward(&head), Err(Refusal::Malformed("CONNECT has no body")), "{field}");
        }
    }

    #[test]
    fn odd_field_lines_are_refused_and_obs_text_is_not() {
        for field in [
            ": v",
            "X",
            "X : v",
            " X: v",
            "X: a\0b",
            "X: a\rY: b",
            "X\u{ef}: v",
            "X: \u{7f}",
            "Authorization:  Bearer t",
            "X-Session-Secret: s ",
        ] {
            assert!(judge(&format!("GET / HTTP/1.1\r\n{field}\r\n\r\n")).is_err(), "{field:?}");
        }
        assert_eq!(judge_bytes(b"GET / HTTP/1.1\r\nX: \xff\x85z\r\n\r\n"), Ok(Body::None));
    }

    #[test]
    fn k15_limits_hold_to_the_byte() {
        let target = |n: usize| judge(&format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(n - 1)));
        assert_eq!(target(8192), Ok(Body::None));
        assert_eq!(target(8193), Err(Refusal::TargetTooLong));
        let fields = |n: usize| judge(&format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(n)));
        assert_eq!(fields(100), Ok(Body::None));
        assert!(matches!(fields(101), Err(Refusal::HeadersTooLarge(_))));
        let field = |n: usize| judge(&format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(n - 3)));
        assert_eq!(field(16384), Ok(Body::None));
        assert!(matches!(field(16385), Err(Refusal::HeadersTooLarge(_))));
    }

    #[test]
    fn k15_limits_of_a_head_hold_to_the_byte_before_it_has_ended() {
        let find = |bytes: &str| find_end(bytes.as_bytes(), &mut 0, &Limits::default());
        let skipped = ["", "\r\n", "\r\n\r\n"];
        for skip in skipped {
            let request_line = |n: usize| format!("{skip}{}", "a".repeat(n));
            // The longest method, the longest target and what is between and behind them.
            assert_eq!(find(&request_line(32 + 1 + 8192 + 9)), Ok(None));
            assert_eq!(find(&request_line(32 + 1 + 8192 + 10)), Err(Refusal::TargetTooLong));
            let line = format!("X: {}\r\n", "y".repeat((16 << 10) - 5));
            let fields = format!("{skip}GET / HTTP/1.1\r\n{}", line.repeat(4));
            assert_eq!(find(&fields), Ok(None));
            let whole = format!("{fields}\r\n");
            assert_eq!(find(&format!("{whole}GET")), Ok(Some(whole.len())));
            assert!(matches!(find(&format!("{fields}X: y")), Err(Refusal::HeadersTooLarge(_))));
            assert!(matches!(find(&whole.replacen("y", "yy", 1)), Err(Refusal::HeadersTooLarge(_))));
        }
        let head = "GET / HTTP/1.1\r\n\r\n";
        assert_eq!(judge(&format!("\r\n\r\n{head}")), Ok(Body::None));
        assert!(find(&format!("\r\n\r\n\r\n{head}")).is_err());
        assert!(find("\n").is_err());
    }

    #[test]
    fn every_character_of_a_method_and_a_name_is_one_of_a_token() {
        let method = |text: &str| check_method(text.as_bytes());
        for good in ["GET", "VERSION-CONTROL", "M_SEARCH", "x9", &"A".repeat(32)] {
            assert_eq!(method(good), Ok(()), "{good}");
        }
        for bad in ["", "G T", "G!", "G.", "G+", &"A".repeat(33)] {
            assert!(method(bad).is_err(), "{bad}");
        }
        for byte in 0..=255_u8 {
            let name = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(check_field_line(&[byte, b'x', b':']).is_ok(), name, "{byte}");
            let value = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            assert_eq!(check_field_line(&[b'x', b':', byte, b'y']).is_ok(), value, "{byte}");
        }
        assert!(check_field_line(b"x: \0\0").is_err());
    }

    #[test]
    fn a_list_over_several_lines_is_one() {
        let socket = "Connection: upgrade\r\nUpgrade: websocket\r\n";
        for more in ["Connection: close", "Connection: upgrade", "Upgrade: h2c", "Upgrade: websocket"] {
            let head = format!("GET / HTTP/1.1\r\n{socket}{more}\r\n\r\n");
            assert_eq!(judge(&head), Ok(Body::Undecided), "{more}");
        }
    }

    #[test]
    fn a_length_has_at_most_63_bits() {
        assert_eq!(parse_length(b"9223372036854775807"), Ok(i64::MAX as u64));
        assert!(parse_length(b"9223372036854775808").is_err());
    }
}
