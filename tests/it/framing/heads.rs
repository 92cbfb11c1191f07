//! Heads that two parsers could read differently.

use super::{Expected, Row};

/// Field lines of a POST, each of which leaves open where its body ends. What follows ends a chunked body and goes
/// on with a request that must never be taken for one.
const DOUBTFUL_FRAMING: &[(&str, &[&[u8]])] = &[
    ("a01 Content-Length, then Transfer-Encoding", &[b"Content-Length: 5\r\nTransfer-Encoding: chunked"]),
    ("a02 Transfer-Encoding, then Content-Length", &[b"Transfer-Encoding: chunked\r\nContent-Length: 5"]),
    ("a03 two lines of Transfer-Encoding", &[b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"]),
    ("a04 chunked twice", &[b"Transfer-Encoding: chunked, chunked"]),
    (
        "a06 another coding",
        &[b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: gzip", b"Transfer-Encoding: identity"],
    ),
    ("a07 an empty list member", &[b"Transfer-Encoding: ,chunked", b"Transfer-Encoding: chunked,"]),
    ("a08 a parameter", &[b"Transfer-Encoding: chunked;ext=1"]),
    (
        "a09 nearly chunked",
        &[
            b"Transfer-Encoding: xchunked",
            b"Transfer-Encoding: \x0bchunked",
            b"Transfer-Encoding: chunked\x00",
            b"Transfer-Encoding: \"chunked\"",
            b"Transfer-Encoding: chunkedchunked",
            b"Transfer-Encoding: chunked chunked",
            b"Transfer-Encoding:",
        ],
    ),
    ("a10 a space before the colon", &[b"Transfer-Encoding : chunked", b"Content-Length : 5"]),
    ("a11 a folded line", &[b"Transfer-Encoding:\r\n chunked", b"X: y\r\n\tTransfer-Encoding: chunked"]),
    ("a16 one length twice", &[b"Content-Length: 2\r\nContent-Length: 2"]),
    ("a17 two lengths", &[b"Content-Length: 2\r\nContent-Length: 3"]),
    (
        "a18 a length that is no plain number",
        &[
            b"Content-Length: 2, 2",
            b"Content-Length: +2",
            b"Content-Length: -2",
            b"Content-Length: 0x2",
            b"Content-Length: 2_0",
            b"Content-Length: 010",
            b"Content-Length: 00",
            b"Content-Length: 2 \x0b",
            b"Content-Length: 2 0",
            b"Content-Length: 2.0",
            b"Content-Length: \xb2",
            b"Content-Length:",
        ],
    ),
    (
        "a20 a length past every machine's numbers",
        &[
            b"Content-Length: 18446744073709551618",
            b"Content-Length: 18446744073709551615",
            b"Content-Length: 9223372036854775808",
            b"Content-Length: 99999999999999999999999999999999999999999",
        ],
    ),
];

/// Whole heads.
const MALFORMED: &[(&str, &[&[u8]])] = &[
    (
        "a13 HTTP/1.0 with chunks",
        &[b"POST /x HTTP/1.0\r\n$OKTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"],
    ),
    (
        "a30 bare line feeds",
        &[
            b"GET /x HTTP/1.1\nHost: p\nX-Upstream-Host: a.test\n\n",
            b"GET /x HTTP/1.1\n$OK\r\n",
            b"GET /x HTTP/1.1\r\n$OKX: y\n\r\n",
            b"GET /x HTTP/1.1\r\n$OK\n",
            b"\nGET /x HTTP/1.1\r\n$OK\r\n",
        ],
    ),
    (
        "a31 a bare carriage return",
        &[
            b"GET /x HTTP/1.1\r\n$OKX: a\rSmuggled: b\r\n\r\n",
            b"GET /x HTTP/1.1\r\n$OKX: a\r\r\n\r\n",
            b"GET /x\r HTTP/1.1\r\n$OK\r\n",
        ],
    ),
    (
        "a32 a line that is no field",
        &[
            b"GET /x HTTP/1.1\r\n$OKX: a\x00b\r\n\r\n",
            b"GET /x HTTP/1.1\r\n$OKX: a\x7fb\r\n\r\n",
            b"GET /x HTTP/1.1\r\n$OKX\xef: v\r\n\r\n",
            b"GET /x HTTP/1.1\r\n$OK: v\r\n\r\n",
            b"GET /x HTTP/1.1\r\n$OKno colon\r\n\r\n",
            b"GET /x HTTP/1.1\r\n$OKX y: v\r\n\r\n",
            b"GET /x HTTP/1.1\r\n X: v\r\n$OK\r\n",
            b"GET /x HTTP/1.1\r\n\tX: v\r\n$OK\r\n",
            b"GET /x HTTP/1.1\r\n$OKX: v\r\n w\r\n\r\n",
        ],
    ),
    (
        "a34 a request line with other white space",
        &[
            b"GET  /x HTTP/1.1\r\n$OK\r\n",
            b"GET /x  HTTP/1.1\r\n$OK\r\n",
            b"GET\t/x HTTP/1.1\r\n$OK\r\n",
            b"GET /x\tHTTP/1.1\r\n$OK\r\n",
            b"GET /a b HTTP/1.1\r\n$OK\r\n",
            b" GET /x HTTP/1.1\r\n$OK\r\n",
            b"GET /x HTTP/1.1 \r\n$OK\r\n",
        ],
    ),
    (
        "a35 another version",
        &[
            b"GET /x HTTP/1.2\r\n$OK\r\n",
            b"GET /x HTTP/2.0\r\n$OK\r\n",
            b"GET /x HTTP/1.10\r\n$OK\r\n",
            b"GET /x HTTP/01.1\r\n$OK\r\n",
            b"GET /x http/1.1\r\n$OK\r\n",
            b"GET /x HTTP/1\r\n$OK\r\n",
            b"GET /x XHTTP/1.1\r\n$OK\r\n",
            b"GET /x\r\n$OK\r\n",
            b"GET /x\r\n\r\n",
        ],
    ),
];

/// Unusual, and read by everyone in one way.
const FINE: &[(&str, &[u8], &str)] = &[
    ("a33 obs-text in a value", b"GET /x HTTP/1.1\r\n$OKX: \xff\x85z\r\n\r\n", ""),
    ("a36 two empty lines before the request", b"\r\n\r\nGET /x HTTP/1.1\r\n$OK\r\n", ""),
    (
        "a37 a request as the body of a GET",
        b"GET /x HTTP/1.1\r\n$OKContent-Length: 31\r\n\r\nGET /smug HTTP/1.1\r\nHost: a\r\n\r\n",
        SMUGGLED,
    ),
    (
        "a38 a request as the body of a HEAD",
        b"HEAD /x HTTP/1.1\r\n$OKContent-Length: 31\r\n\r\nGET /smug HTTP/1.1\r\nHost: a\r\n\r\n",
        SMUGGLED,
    ),
    (
        "a38 a request as the body of an OPTIONS",
        b"OPTIONS /x HTTP/1.1\r\n$OKContent-Length: 31\r\n\r\nGET /smug HTTP/1.1\r\nHost: a\r\n\r\n",
        SMUGGLED,
    ),
    (
        "a38 a request as the body of a DELETE",
        b"DELETE /x HTTP/1.1\r\n$OKTransfer-Encoding: chunked\r\n\r\n1f\r\nGET /smug HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n",
        SMUGGLED,
    ),
    ("a38 a plain body", b"POST /x HTTP/1.1\r\n$OKContent-Length: 2\r\n\r\nhi", "hi"),
    ("a38 an empty body", b"POST /x HTTP/1.1\r\n$OKContent-Length: 0\r\n\r\n", ""),
    (
        "a39 a caller that does not wait for its 100",
        b"POST /x HTTP/1.1\r\n$OKExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        "hi",
    ),
    ("a39 an odd expectation", b"POST /x HTTP/1.1\r\n$OKExpect: y 100-continue\r\nContent-Length: 2\r\n\r\nhi", "hi"),
    ("a39 another expectation", b"POST /x HTTP/1.1\r\n$OKExpect: 42\r\nContent-Length: 2\r\n\r\nhi", "hi"),
];

const SMUGGLED: &str = "GET /smug HTTP/1.1\r\nHost: a\r\n\r\n";

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, spellings) in DOUBTFUL_FRAMING {
        for fields in *spellings {
            let parts = [b"POST /x HTTP/1.1\r\n$OK", *fields, b"\r\n\r\n0\r\n\r\n", SMUGGLED.as_bytes()];
            rows.push(row(name, parts.concat(), Expected::Refused(400)));
        }
    }
    for (name, spellings) in MALFORMED {
        for head in *spellings {
            rows.push(row(name, head.to_vec(), Expected::Refused(400)));
        }
    }
    for (name, head, body) in FINE {
        rows.push(row(name, head.to_vec(), Expected::Forwarded(body)));
    }
    rows
}

/// A row under its name and, for spellings that look alike, its bytes.
pub fn row(name: &str, bytes: Vec<u8>, expected: Expected) -> Row {
    Row { name: format!("{name} ({})", bytes.escape_ascii()), bytes, expected }
}
