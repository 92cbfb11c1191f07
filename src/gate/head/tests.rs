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
    assert!(Refusal::TargetTooLong.to_string().contains("limits.max_target_bytes"));
    let fields = |n: usize| judge(&format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(n)));
    assert_eq!(fields(100), Ok(Body::None));
    assert!(matches!(fields(101), Err(Refusal::HeadersTooLarge(text)) if text.ends_with(" limits.max_headers")));
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
        assert!(
            matches!(find(&format!("{fields}X: y")), Err(Refusal::HeadersTooLarge(text)) if text.ends_with(" limits.max_header_bytes"))
        );
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
