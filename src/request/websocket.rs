//! The opening handshake of a WebSocket (RFC 6455 section 4) over HTTP/1.1: the call for one, and the answer that opens it.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Version};

use super::Error;

/// What an upstream appends to the key before it hashes it, to show that it knows what it was asked for.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A key is so many bytes at random.
const KEY: usize = 16;

/// A call for a WebSocket, its form beyond doubt.
#[derive(Debug, Clone)]
pub struct Handshake {
    key: HeaderValue,
    protocols: Vec<String>,
    extended: bool,
}

/// Why an answer opens no WebSocket. The text is ours alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotOpened(&'static str);

impl Handshake {
    /// Reads a head before anything is stripped of it. `None`: it asks for no WebSocket, or not rightly, and is an
    /// ordinary request. One that asks for it with a body is refused: what follows it would have two meanings.
    pub fn of(method: &Method, version: Version, headers: &HeaderMap) -> Result<Option<Handshake>, Error> {
        let asked = *method == Method::GET
            && version == Version::HTTP_11
            && lists(headers, &CONNECTION, "upgrade")
            && lists(headers, &UPGRADE, "websocket");
        if !asked {
            return Ok(None);
        }
        if headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0") {
            return Err(Error::Malformed("a call for a WebSocket has no body"));
        }
        let key = only(headers, &SEC_WEBSOCKET_KEY).filter(|key| is_key(key));
        let plain = only(headers, &UPGRADE)
            .is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
            && only(headers, &SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
        Ok(key.filter(|_| plain).map(|key| Handshake {
            key: key.clone(),
            protocols: tokens(headers, &SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect(),
            extended: headers.contains_key(SEC_WEBSOCKET_EXTENSIONS),
        }))
    }

    /// Puts into a stripped head what is between one connection and the next.
    pub fn ask(&self, headers: &mut HeaderMap) {
        switch(headers);
        // Zero, if it is there.
        headers.remove(CONTENT_LENGTH);
        headers.insert(SEC_WEBSOCKET_KEY, self.key.clone());
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }

    /// The extensions that the caller offers are not offered to the upstream, which then may not choose one.
    pub fn forgo_extensions(&mut self) {
        self.extended = false;
    }

    /// Whether an answer with status 101 is one to this call (RFC 6455 section 4.1).
    pub fn check(&self, answer: &HeaderMap) -> Result<(), NotOpened> {
        if !only(answer, &UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket")) {
            return Err(NotOpened("101 to something that is no WebSocket"));
        }
        if !lists(answer, &CONNECTION, "upgrade") {
            return Err(NotOpened("101 without Connection: upgrade"));
        }
        if only(answer, &SEC_WEBSOCKET_ACCEPT).is_none_or(|accept| accept.as_bytes() != self.accept().as_bytes()) {
            return Err(NotOpened("101 with a wrong Sec-WebSocket-Accept"));
        }
        if answer.contains_key(SEC_WEBSOCKET_EXTENSIONS) && !self.extended {
            return Err(NotOpened("101 with an extension that was not offered"));
        }
        let offered = |chosen: &HeaderValue| self.protocols.iter().any(|protocol| chosen == protocol.as_str());
        if answer.contains_key(SEC_WEBSOCKET_PROTOCOL) && !only(answer, &SEC_WEBSOCKET_PROTOCOL).is_some_and(offered) {
            return Err(NotOpened("101 with a subprotocol that was not offered"));
        }
        Ok(())
    }

    fn accept(&self) -> String {
        let text = [self.key.as_bytes(), GUID].concat();
        STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text))
    }
}

/// Says in a stripped head, a call's or an answer's, that this connection becomes a WebSocket.
pub fn switch(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

fn is_key(value: &HeaderValue) -> bool {
    STANDARD.decode(value.as_bytes()).is_ok_and(|key| key.len() == KEY)
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',').map(str::trim))
}

fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|listed| listed.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 section 1.3.
    const ASKED: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];
    const OPENED: [(&str, &str); 3] =
        [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")];

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut map = HeaderMap::new();
        for (name, value) in fields.iter().map(field) {
            map.append(name, value);
        }
        map
    }

    /// The fields with one in place of its namesake, or without it.
    fn with<'a>(fields: &[(&'a str, &'a str)], name: &'a str, value: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
        let others = fields.iter().copied().filter(|field| field.0 != name);
        others.chain(value.map(|value| (name, value))).collect()
    }

    fn of(fields: &[(&str, &str)]) -> Result<Option<Handshake>, Error> {
        Handshake::of(&Method::GET, Version::HTTP_11, &headers(fields))
    }

    #[test]
    fn d34_only_a_whole_handshake_asks_for_a_websocket() {
        assert!(of(&ASKED).unwrap().is_some());
        assert!(of(&with(&ASKED, "content-length", Some("0"))).unwrap().is_some());
        for (name, value) in [
            ("connection", None),
            ("connection", Some("keep-alive")),
            ("upgrade", None),
            ("upgrade", Some("h2c")),
            ("upgrade", Some("websocket, h2c")),
            ("sec-websocket-version", None),
            ("sec-websocket-version", Some("12")),
            ("sec-websocket-key", None),
            ("sec-websocket-key", Some("")),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25j")),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ")),
        ] {
            assert!(of(&with(&ASKED, name, value)).unwrap().is_none(), "{name}: {value:?}");
        }
        for twice in [1, 2, 3] {
            let fields = [&ASKED[..], &ASKED[twice..=twice]].concat();
            assert!(of(&fields).unwrap().is_none(), "{:?} twice", ASKED[twice]);
        }
        for (method, version) in
            [(Method::POST, Version::HTTP_11), (Method::GET, Version::HTTP_10), (Method::GET, Version::HTTP_2)]
        {
            assert!(Handshake::of(&method, version, &headers(&ASKED)).unwrap().is_none(), "{method} {version:?}");
        }
    }

    #[test]
    fn d33_a_call_for_a_websocket_has_no_body() {
        for (name, value) in [("content-length", "5"), ("transfer-encoding", "chunked")] {
            assert!(of(&with(&ASKED, name, Some(value))).is_err(), "{name}");
        }
    }

    #[test]
    fn only_the_right_answer_opens_it() {
        let asked = of(&with(&ASKED, "sec-websocket-protocol", Some("chat, superchat"))).unwrap().unwrap();
        let check = |fields: &[(&str, &str)]| asked.check(&headers(fields));
        assert_eq!(check(&OPENED), Ok(()));
        assert_eq!(check(&with(&OPENED, "sec-websocket-protocol", Some("superchat"))), Ok(()));
        for (name, value) in [
            ("connection", None),
            ("upgrade", None),
            ("upgrade", Some("h2c")),
            ("sec-websocket-accept", None),
            ("sec-websocket-accept", Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOO=")),
            ("sec-websocket-protocol", Some("other")),
            ("sec-websocket-protocol", Some("chat, superchat")),
            ("sec-websocket-extensions", Some("permessage-deflate")),
        ] {
            assert!(check(&with(&OPENED, name, value)).is_err(), "{name}: {value:?}");
        }
        let mut extended = of(&with(&ASKED, "sec-websocket-extensions", Some("x"))).unwrap().unwrap();
        let answer = headers(&with(&OPENED, "sec-websocket-extensions", Some("x")));
        assert_eq!(extended.check(&answer), Ok(()));
        extended.forgo_extensions();
        assert!(extended.check(&answer).is_err());
        for twice in [1, 2] {
            assert!(check(&[&OPENED[..], &OPENED[twice..=twice]].concat()).is_err(), "{:?} twice", OPENED[twice]);
        }
    }

    #[test]
    fn an_upstream_is_asked_with_the_callers_key_and_nothing_of_its_connection() {
        let asked = of(&with(&ASKED, "content-length", Some("0"))).unwrap().unwrap();
        let mut head = headers(&[("content-length", "0"), ("accept", "*/*"), ("sec-websocket-version", "8")]);
        asked.ask(&mut head);
        let expected = [
            ("accept", "*/*"),
            ("sec-websocket-version", "13"),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        assert_eq!(head, headers(&expected));
    }
}
