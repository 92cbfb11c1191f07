use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::redact::spelling::{Progress, Reading, Spelling};

const SECRET: &str = "sk-live_4f\"9/a\\b+c%d";

fn watch(secret: &str, rendered: &str, block: bool) -> Watch {
    Watch { needles: Arc::new(Needles::new(secret.as_bytes(), rendered.as_bytes()).unwrap()), block }
}

/// What goes on for each piece, and then at the end.
fn pass(watch: Watch, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut stream = Stream::new(watch);
    let mut out: Vec<Vec<u8>> =
        pieces.iter().map(|piece| stream.push(Bytes::copy_from_slice(piece)).unwrap().to_vec()).collect();
    out.push(stream.end().to_vec());
    out
}

/// A secret in every spelling, with the text and where in it each byte belongs to the secret.
fn spellings(secret: &str) -> Vec<(String, Range<usize>)> {
    let each = |form: fn(u8) -> String| secret.bytes().map(form).collect::<String>();
    let json = serde_json::to_string(secret).unwrap();
    let texts = vec![
        secret.to_owned(),
        each(|b| format!("%{b:02X}")),
        each(|b| format!("%{b:02x}")),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        secret.replace('%', "%25").replace('/', "%2f"),
        json[1..json.len() - 1].to_owned(),
        each(|b| format!("\\u{b:04x}")),
        each(|b| format!("\\u{b:04X}")),
        each(|b| format!("{b:02x}")),
        each(|b| format!("{b:02X}")),
    ];
    let mut all: Vec<_> = texts.into_iter().map(|text| (text.clone(), 0..text.len())).collect();
    for (before, after) in [("", ""), ("x", "y"), ("xy", "yz"), ("xyz", "abc"), ("user:", "")] {
        let whole = format!("{before}{secret}{after}");
        let (first, last) = ((before.len() * 8).div_ceil(6), (8 * (before.len() + secret.len())).div_ceil(6));
        all.extend([STANDARD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)].map(|text| (text, first..last)));
    }
    all
}

#[test]
fn f27_every_spelling_is_masked_and_nothing_around_it() {
    for (text, place) in spellings(SECRET) {
        let whole = format!("before, {text}; after");
        let mut expected = whole.clone().into_bytes();
        expected[8 + place.start..8 + place.end].fill(b'*');
        let out = pass(watch(SECRET, SECRET, false), &[whole.as_bytes()]).concat();
        assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(expected).unwrap(), "{text}");
        let mut stream = Stream::new(watch(SECRET, SECRET, true));
        assert_eq!(stream.push(Bytes::from(whole)), Err(Reflected), "{text}");
    }
}

#[test]
fn f27_the_rendered_value_is_masked_with_what_stands_around_the_secret() {
    let watch = watch(SECRET, &format!("token {SECRET}"), false);
    for (text, expected) in [
        (format!("a token {SECRET}."), format!("a {}.", "*".repeat(SECRET.len() + 6))),
        (format!("a taken {SECRET}."), format!("a taken {}.", "*".repeat(SECRET.len()))),
        (format!("a token+{}.", SECRET.replace('%', "%25")), format!("a {}.", "*".repeat(SECRET.len() + 8))),
    ] {
        assert_eq!(String::from_utf8(pass(watch.clone(), &[text.as_bytes()]).concat()).unwrap(), expected);
    }
}

#[test]
fn only_what_may_become_a_secret_is_held_back() {
    let clean = "data: {\"delta\": \"token\"}\n\n".as_bytes();
    let rendered = format!("token {SECRET}");
    for (pieces, expected) in [
        (vec![clean, clean], vec![clean, clean, b""]),
        (vec![b"a sk-li" as &[u8], b"mb!"], vec![b"a ", b"sk-limb!", b""]),
        (vec![b"sk-live", b"_4f\"9/a\\b+c%", b"d!"], vec![b"", b"", b"********************!", b""]),
        (vec![b"token", b"s are fine."], vec![b"", b"tokens are fine.", b""]),
        (vec![b"x%73", b"%6bi."], vec![b"x", b"%73%6bi.", b""]),
        (vec![b"sk-live_4f"], vec![b"", b"sk-live_4f"]),
        (vec![b"", b"s", b"", b"k"], vec![b"", b"", b"", b"", b"sk"]),
    ] {
        assert_eq!(pass(watch(SECRET, &rendered, false), &pieces), expected, "{pieces:?}");
    }
}

#[test]
fn clean_text_is_passed_on_as_the_very_bytes_that_came() {
    let text = Bytes::from(vec![b'.'; 100_000]);
    let out = Stream::new(watch(SECRET, SECRET, false)).push(text.clone()).unwrap();
    assert_eq!((out.as_ptr(), out.len()), (text.as_ptr(), text.len()));
}

#[test]
fn secrets_that_overlap_are_masked_together() {
    let secret = "abcabcabcab";
    for (text, expected) in [("abcabcabcabcab.", "**************."), ("xabcabcabcabcabca", "x**************ca")] {
        for cut in 0..text.len() {
            let (first, second) = text.as_bytes().split_at(cut);
            let out = pass(watch(secret, secret, false), &[first, second]).concat();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{cut}");
        }
    }
}

#[test]
fn a_secret_that_could_have_been_the_beginning_of_more_is_masked_at_the_end() {
    for (secret, rendered) in
        [("secret-0", "secret-0-and-more"), ("secret-%", "secret-%"), ("aaaaaaaaa", "aaaaaaaaaaaa")]
    {
        for cut in 0..=secret.len() {
            let (first, second) = secret.as_bytes().split_at(cut);
            let out = pass(watch(secret, rendered, false), &[first, second]).concat();
            assert_eq!(out, vec![b'*'; secret.len()], "{secret} {cut}");
        }
    }
}

#[test]
fn values_under_eight_bytes_are_not_looked_for() {
    assert!(Needles::new(b"1234567", b"1234567").is_none());
    let rendered = Needles::new(b"1234567", b"Bearer 1234567").unwrap();
    let watch = Watch { needles: Arc::new(rendered), block: false };
    assert_eq!(pass(watch, &[b"1234567, Bearer 1234567"]).concat(), b"1234567, **************");
    assert!(Needles::new(b" 1234567\t", b" 1234567\t").is_none(), "white space does not make it longer");
}

#[test]
fn f27_a_secret_is_found_without_the_white_space_that_http_takes_off_around_it() {
    for (secret, rendered) in [
        ("secret-value-1 ", "Bearer secret-value-1 "),
        ("\tsecret-value-1\t ", "Bearer \tsecret-value-1\t "),
        (" secret-value-1", " secret-value-1"),
        ("secret-value-1", "secret-value-1 "),
    ] {
        let came_back = rendered.trim();
        for (text, place) in spellings(came_back) {
            let mut expected = text.clone().into_bytes();
            expected[place].fill(b'*');
            let out = pass(watch(secret, rendered, false), &[text.as_bytes()]).concat();
            assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(expected).unwrap(), "{text}");
        }
        let masked = rendered.replace(came_back, &"*".repeat(came_back.len()));
        assert_eq!(pass(watch(secret, rendered, false), &[rendered.as_bytes()]).concat(), masked.as_bytes());
        let (secret, rendered) = (secret.as_bytes(), rendered.as_bytes());
        let needles = Needles::new(secret, rendered).unwrap();
        assert!(needles.are_of(secret, rendered) && !needles.are_of(b"another-value", rendered));
    }
}

/// The places of all values by the plainest search there is.
fn places(values: &[&str], text: &[u8]) -> Vec<bool> {
    let mut masked = vec![false; text.len()];
    for start in 0..text.len() {
        for value in values {
            for spelling in Spelling::ALL {
                if let Reading::Whole(length) =
                    spelling.read(value.as_bytes(), &text[start..], &mut Progress::default())
                {
                    masked[start..start + length].fill(true);
                }
            }
        }
    }
    masked
}

/// From where on a text may be the beginning of a value, by the same.
fn live(values: &[&str], text: &[u8]) -> usize {
    let begins = |start: &usize| {
        let begun = |value: &&str| {
            Spelling::ALL
                .iter()
                .any(|s| s.read(value.as_bytes(), &text[*start..], &mut Progress::default()) == Reading::Begun)
        };
        values.iter().any(begun)
    };
    (0..text.len()).find(begins).unwrap_or(text.len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn f27_in_whatever_pieces_a_secret_comes_it_is_masked_at_equal_length(
        secret in "[!-~][ -~]{6,68}[!-~]",
        prefix in "([!-~][ -~]{0,8})?",
        parts in vec(("[ -~\n]{0,90}", any::<prop::sample::Index>(), any::<bool>(), any::<u8>()), 1..6),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let rendered = format!("{prefix}{secret}");
        let (mut text, mut secrets) = (Vec::new(), Vec::new());
        for (noise, which, whole, cut) in &parts {
            text.extend_from_slice(noise.as_bytes());
            let all = spellings(&secret);
            let (spelled, place) = which.get(&all);
            if *whole {
                secrets.push(text.len() + place.start..text.len() + place.end);
                text.extend_from_slice(spelled.as_bytes());
            } else {
                // A secret that is not there whole.
                text.extend_from_slice(&spelled.as_bytes()[..usize::from(*cut) % spelled.len()]);
            }
        }
        let mut expected = text.clone();
        for (byte, masked) in expected.iter_mut().zip(places(&[&secret, &rendered], &text)) {
            if masked { *byte = b'*' }
        }
        for place in secrets {
            prop_assert!(expected[place].iter().all(|byte| *byte == b'*'));
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &text[ends[0]..ends[1]]).collect();
        let watch = watch(&secret, &rendered, false);
        let mut passed = 0;
        let mut out = Vec::new();
        let mut stream = Stream::new(watch.clone());
        for piece in pieces {
            out.extend_from_slice(&stream.push(Bytes::copy_from_slice(piece)).unwrap());
            passed += piece.len();
            // What is held back is a live beginning, and nothing else.
            prop_assert_eq!(out.len(), live(&[&secret, &rendered], &text[..passed]));
        }
        out.extend_from_slice(&stream.end());
        prop_assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}
