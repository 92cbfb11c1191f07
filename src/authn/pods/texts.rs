//! Labels and annotations in bounded memory.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// Names and values together, in bytes. The API server itself allows 256 KiB of annotations.
const MAX_BYTES: usize = 32 * 1024;
/// A copy of the whole object that `kubectl apply` leaves; no policy asks for it.
const COPY_OF_THE_OBJECT: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// `metadata.labels` or `metadata.annotations` of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Texts {
    Whole(BTreeMap<String, String>),
    /// More than is kept. Never cut: a part that is missing could be the one that a policy denies by.
    TooLarge,
}

impl Default for Texts {
    fn default() -> Self {
        Texts::Whole(BTreeMap::new())
    }
}

impl Texts {
    /// The bytes kept, for the index's bound.
    pub fn bytes(&self) -> usize {
        match self {
            Texts::Whole(texts) => texts.iter().map(|(name, value)| name.len() + value.len()).sum(),
            Texts::TooLarge => 0,
        }
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Bounded)
    }
}

struct Bounded;

impl<'de> Visitor<'de> for Bounded {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
        let (mut texts, mut bytes) = (BTreeMap::new(), 0);
        while let Some(name) = map.next_key::<String>()? {
            if name == COPY_OF_THE_OBJECT {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: String = map.next_value()?;
            bytes += name.len() + value.len();
            if bytes > MAX_BYTES {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(Texts::TooLarge);
            }
            texts.insert(name, value);
        }
        Ok(Texts::Whole(texts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(texts: &Value) -> Texts {
        serde_json::from_value(texts.clone()).unwrap()
    }

    #[test]
    fn labels_are_kept_whole_or_not_at_all() {
        let whole = |texts: &[(&str, &str)]| {
            Texts::Whole(texts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        let (fits, over) = ("a".repeat(MAX_BYTES - 1), "a".repeat(MAX_BYTES));
        for (texts, expected) in [
            (json!({}), whole(&[])),
            (json!({"app": "x", "App": "y", "e": ""}), whole(&[("app", "x"), ("App", "y"), ("e", "")])),
            (json!({"k": fits}), whole(&[("k", &fits)])),
            (json!({"k": over}), Texts::TooLarge),
            (json!({"a": "1", "k": over, "z": "2"}), Texts::TooLarge),
            (json!({COPY_OF_THE_OBJECT: over, "z": "2"}), whole(&[("z", "2")])),
        ] {
            assert_eq!(read(&texts), expected, "{:.60}", texts.to_string());
        }
        assert!(read(&json!({"k": fits})).bytes() == MAX_BYTES);
    }

    #[test]
    fn what_is_no_map_of_strings_is_an_error() {
        for texts in ["[]", "1", "{\"a\": 1}", "{\"a\": null}", "{\"a\": {}}"] {
            assert!(serde_json::from_str::<Texts>(texts).is_err(), "{texts}");
        }
    }
}
