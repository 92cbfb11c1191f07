//! Chunked bodies that two parsers could read differently.

use super::heads::row;
use super::{Expected, Row};

/// Bodies that break the chunked coding, each followed by what a laxer parser would take for a request.
const BROKEN: &[(&str, &[&[u8]])] = &[
    (
        "a21 an odd chunk size",
        &[
            b"0x2\r\nhi\r\n0\r\n\r\n",
            b"+2\r\nhi\r\n0\r\n\r\n",
            b"-2\r\nhi\r\n0\r\n\r\n",
            b" 2\r\nhi\r\n0\r\n\r\n",
            b"2 \r\nhi\r\n0\r\n\r\n",
            b"2_\r\nhi\r\n0\r\n\r\n",
            b"\r\nhi\r\n0\r\n\r\n",
            b"ffffffffffffffff1\r\nhi\r\n0\r\n\r\n",
            b"fffffffffffffffff\r\nhi\r\n0\r\n\r\n",
            b"10000000000000002\r\nhi\r\n0\r\n\r\n",
            b"2\r\nhi\r\n0x0\r\n\r\n",
        ],
    ),
    (
        "a22 a bare line feed in a chunk",
        &[
            b"2\nhi\r\n0\r\n\r\n",
            b"2;a\nhi\r\n0\r\n\r\n",
            b"2\r\nhi\n0\r\n\r\n",
            b"2\r\nhi\r\n0\n\r\n",
            b"2\r\nhi\r\n0\n\n",
            b"2\r\nhi\r\n0\r\n\n",
            b"2\r\nhi\r\n0;a\n\r\n",
        ],
    ),
    (
        "a23 a bare carriage return in an extension",
        &[b"2\r\r;a\r\nhi\r\n0\r\n\r\n", b"2;a\rb\r\nhi\r\n0\r\n\r\n", b"2;a\x00\r\nhi\r\n0\r\n\r\n"],
    ),
    (
        "a24 more data than the chunk's size",
        &[b"2\r\nhi!!\r\n0\r\n\r\n", b"2\r\nhi0\r\n\r\n", b"2\r\nhi!\r\n0\r\n\r\n"],
    ),
    (
        "a28 a trailer that is no field",
        &[
            b"2\r\nhi\r\n0\r\nX : y\r\n\r\n",
            b"2\r\nhi\r\n0\r\n X: y\r\n\r\n",
            b"2\r\nhi\r\n0\r\nX: y\n\r\n",
            b"2\r\nhi\r\n0\r\nX: \x00\r\n\r\n",
            b"2\r\nhi\r\n0\r\nGET /smug HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
    ),
];

/// Bodies that mean `hi`.
const FINE: &[(&str, &[&[u8]])] = &[
    ("a12 plain chunks", &[b"2\r\nhi\r\n0\r\n\r\n", b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", b"0002\r\nhi\r\n000\r\n\r\n"]),
    ("a26 a small extension", &[b"2;a=b;c=\"d\"\r\nhi\r\n0;e\r\n\r\n"]),
    (
        "a28 trailers, which are dropped",
        &[
            b"2\r\nhi\r\n0\r\nAuthorization: Bearer evil\r\nHost: b\r\nContent-Length: 9\r\n\r\n",
            b"2\r\nhi\r\n0\r\nTransfer-Encoding: chunked\r\nX-Upstream-Host: b.test\r\n\r\n",
        ],
    ),
];

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, bodies) in BROKEN {
        rows.extend(bodies.iter().map(|body| chunked(name, "chunked", body, Expected::BrokenOff)));
    }
    for (name, bodies) in FINE {
        rows.extend(bodies.iter().map(|body| chunked(name, "chunked", body, Expected::Forwarded("hi"))));
    }
    rows.push(chunked("a12 mixed case", "ChUnKeD", b"2\r\nhi\r\n0\r\n\r\n", Expected::Forwarded("hi")));
    rows
}

fn chunked(name: &str, coding: &str, body: &[u8], expected: Expected) -> Row {
    let head = format!("POST /x HTTP/1.1\r\n$OKTransfer-Encoding: {coding}\r\n\r\n");
    row(name, [head.as_bytes(), body].concat(), expected)
}
