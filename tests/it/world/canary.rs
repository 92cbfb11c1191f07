//! Looking for a secret in whatever was written, in every form in which it may have got there.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// A secret that must not occur, by a name that may.
#[derive(Debug, Clone)]
pub struct Canary {
    pub name: String,
    forms: Vec<(&'static str, String)>,
}

impl Canary {
    pub fn new(name: &str, secret: &str) -> Canary {
        assert!(secret.len() >= 12, "{name}: too short to be found only where it is");
        let mut forms = vec![
            ("as it is", secret.to_owned()),
            ("reversed", secret.chars().rev().collect()),
            ("in hex", each_byte(secret, |byte| format!("{byte:02x}"))),
            ("in upper-case hex", each_byte(secret, |byte| format!("{byte:02X}"))),
            ("percent-encoded", each_byte(secret, |byte| format!("%{byte:02X}"))),
            ("percent-encoded where needed", utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string()),
            ("escaped as JSON", serde_json::to_string(secret).unwrap().trim_matches('"').to_owned()),
            ("escaped as JSON throughout", each_byte(secret, |byte| format!("\\u{byte:04x}"))),
            ("as Rust's Debug has it", format!("{secret:?}").trim_matches('"').to_owned()),
            ("as a list of bytes", format!("{:?}", secret.as_bytes()).trim_matches(['[', ']']).to_owned()),
        ];
        for (what, offset) in [("base64", 0), ("base64, one byte in", 1), ("base64, two bytes in", 2)] {
            forms.push((what, aligned(&STANDARD_NO_PAD, secret, offset)));
            forms.push((what, aligned(&URL_SAFE_NO_PAD, secret, offset)));
        }
        Canary { name: name.to_owned(), forms }
    }

    /// In which form it occurs in the bytes, if it does.
    pub fn found_in(&self, bytes: &[u8]) -> Option<&'static str> {
        let finds = |form: &str| memchr::memmem::find(bytes, form.as_bytes()).is_some();
        self.forms.iter().find(|(_, form)| finds(form)).map(|(what, _)| *what)
    }
}

/// Panics if one of the canaries is in the bytes, and says where, but not what.
pub fn assert_absent(canaries: &[Canary], bytes: impl AsRef<[u8]>, place: &str) {
    let bytes = bytes.as_ref();
    for canary in canaries {
        if let Some(form) = canary.found_in(bytes) {
            let text = String::from_utf8_lossy(bytes);
            let lines: Vec<&str> =
                text.lines().filter(|line| canary.found_in(line.as_bytes()).is_some()).take(3).collect();
            panic!("{} is in {place} {form}:\n{}", canary.name, lines.join("\n"));
        }
    }
}

fn each_byte(secret: &str, form: impl Fn(u8) -> String) -> String {
    secret.bytes().map(form).collect()
}

/// The characters of a base64 text that the secret alone decides when `offset` bytes stand before it.
fn aligned(engine: &impl base64::Engine, secret: &str, offset: usize) -> String {
    let encoded = engine.encode([&b"\0\0"[..offset], secret.as_bytes()].concat());
    let (first, last) = ((offset * 8).div_ceil(6), (offset + secret.len()) * 8 / 6);
    encoded[first..last].to_owned()
}

#[test]
fn a_canary_is_found_in_every_form() {
    let secret = "s3cr3t \"canary\"/+\\=?";
    let canary = Canary::new("c", secret);
    for offset in 0..3 {
        let around = [&b"xyz"[..offset], secret.as_bytes(), b"tail"].concat();
        for text in [STANDARD_NO_PAD.encode(&around), URL_SAFE_NO_PAD.encode(&around)] {
            assert!(canary.found_in(text.as_bytes()).unwrap().starts_with("base64"), "{offset}");
        }
    }
    for text in [
        format!("{:?}", format!("a{secret}")),
        serde_json::json!({"a": format!("b{secret}c")}).to_string(),
        secret.chars().rev().collect(),
        format!("a={}", utf8_percent_encode(secret, NON_ALPHANUMERIC)),
    ] {
        assert!(canary.found_in(text.as_bytes()).is_some(), "{text}");
    }
    assert_eq!(canary.found_in(b"s3cr3t canary"), None);
}
