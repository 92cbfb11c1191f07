//! What Doppler's answers mean. Everything here is untrusted text, and no error repeats any of it but messages.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use http::{HeaderMap, header};
use secrecy::SecretString;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// Why a 200 holds no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// `success: false`, with its first message.
    #[error("it reports a failure")]
    Failed(String),
    #[error("its answer holds no value")]
    NoValue,
    /// serde's own words would quote the value it stumbled over.
    #[error("its answer is not the JSON of a secret (line {line}, column {column})")]
    Shape { line: usize, column: usize },
}

#[derive(serde::Deserialize)]
struct Reply {
    #[serde(default = "yes")]
    success: bool,
    value: Option<Object<Value>>,
    messages: Option<Vec<String>>,
}

#[derive(serde::Deserialize)]
struct Value {
    computed: Option<SecretString>,
}

#[derive(serde::Deserialize)]
struct Complaint {
    messages: Vec<String>,
}

/// A struct written as a JSON object. Left to itself serde also reads it from an array.
struct Object<T>(T);

fn yes() -> bool {
    true
}

/// `value.computed` of a successful answer.
pub(super) fn parse(body: &[u8]) -> Result<SecretString, Error> {
    let Object(reply) = serde_json::from_slice::<Object<Reply>>(body)
        .map_err(|error| Error::Shape { line: error.line(), column: error.column() })?;
    if !reply.success {
        return Err(Error::Failed(first(reply.messages.unwrap_or_default())));
    }
    reply.value.and_then(|Object(value)| value.computed).ok_or(Error::NoValue)
}

/// What an answer that is no success says: its first message, or its text where it is not JSON at all. Other JSON
/// is passed over in silence, for it might hold a value.
pub(super) fn complaint(body: &[u8]) -> String {
    if let Ok(Object(complaint)) = serde_json::from_slice::<Object<Complaint>>(body) {
        return first(complaint.messages);
    }
    let text = String::from_utf8_lossy(body);
    if text.trim_start().starts_with(['{', '[', '"']) { String::new() } else { text.trim().to_owned() }
}

/// `Retry-After` in either form (RFC 9110, section 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let form =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    let at = PrimitiveDateTime::parse(value, form).ok()?.assume_utc();
    Some(Duration::try_from(at - now).unwrap_or_default())
}

fn first(messages: Vec<String>) -> String {
    messages.into_iter().next().unwrap_or_default()
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Object)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn r103_the_value_is_value_computed() {
        for body in [
            r#"{"name":"A","value":{"raw":"${B}","computed":"canary","note":""},"success":true}"#,
            r#"{"value":{"computed":"canary"}}"#,
            r#"{"value":{"computed":"canary"},"messages":[],"more":{"x":[1]}}"#,
            r#"{"value":{"computed":"canary"},"messages":null}"#,
        ] {
            assert_eq!(parse(body.as_bytes()).unwrap().expose_secret(), "canary", "{body}");
        }
    }

    #[test]
    fn j12_an_answer_of_another_shape_is_refused_and_not_quoted() {
        for body in [
            r#"{"value":null}"#,
            r#"{}"#,
            r#"null"#,
            r#""canary""#,
            r#"["canary"]"#,
            r#"[true,["canary"]]"#,
            r#"{"value":"canary"}"#,
            r#"{"value":["canary"]}"#,
            r#"{"value":{"raw":"canary"}}"#,
            r#"{"value":{"computed":null}}"#,
            r#"{"value":{"computed":17}}"#,
            r#"{"value":{"computed":["canary"]}}"#,
            r#"{"value":{"computed":{"canary":1}}}"#,
            r#"{"value":{"computed":"canary","computed":"canary"}}"#,
            r#"{"value":{"computed":"x"},"value":{"computed":"canary"}}"#,
            r#"{"value":{"computed":"canary"},"success":null}"#,
            r#"{"value":{"computed":"canary"},"success":"canary"}"#,
            r#"{"value":{"computed":"canary"},"success":true,"success":true}"#,
            r#"{"value":{"computed":"canary"},"success":false}"#,
            r#"{"value":{"computed":"canary"}} x"#,
            r#"{"value":{"computed":"canary"#,
            r#"<html>canary</html>"#,
            "",
        ] {
            let error = parse(body.as_bytes()).expect_err(body);
            assert!(!format!("{error} {error:?}").contains("canary"), "{body}: {error:?}");
        }
        assert!(parse(b"{\"value\":{\"computed\":\"\xff\"}}").is_err());
    }

    #[test]
    fn r103_a_reported_failure_gives_its_first_message() {
        let error = parse(br#"{"success":false,"messages":["no such secret","more"],"value":null}"#).unwrap_err();
        assert!(matches!(error, Error::Failed(message) if message == "no such secret"));
    }

    #[test]
    fn a_complaint_is_a_message_or_plain_text_but_never_other_json() {
        for (body, said) in [
            (r#"{"messages":["Invalid Auth token"],"success":false}"#, "Invalid Auth token"),
            (r#"{"messages":[]}"#, ""),
            ("  upstream connect error\n", "upstream connect error"),
            (r#"{"value":{"computed":"canary"}}"#, ""),
            (r#"{"value":{"computed":"canary"#, ""),
            (r#" ["canary"]"#, ""),
            ("", ""),
        ] {
            assert_eq!(complaint(body.as_bytes()), said);
        }
    }

    #[test]
    fn j05_retry_after_is_read_in_both_forms() {
        let now = time::macros::datetime!(2026-01-02 03:04:05 UTC);
        for (value, expected) in [
            ("0", Some(0)),
            (" 7 ", Some(7)),
            ("Fri, 02 Jan 2026 03:04:35 GMT", Some(30)),
            ("Fri, 02 Jan 2026 03:04:00 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("99999999999999999999999", None),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{value}");
        }
    }
}
