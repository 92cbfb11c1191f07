//! A list, read while it arrives: a list of pods may be many MiB, of which a few KiB are kept.

use std::fmt;
use std::io::{self, Read};

use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use tokio::sync::mpsc;

use super::failure::Failure;
use super::index::Index;
use super::object::{Kind, Object};

/// Some hundred pods of the largest size that etcd takes. Nothing of it is held but what the index keeps.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// A whole list.
pub struct Listed<T> {
    pub index: Index<T>,
    /// The version to watch from.
    pub version: String,
    /// How many objects did not fit.
    pub left_out: usize,
}

/// Fills an empty index from a body that is a `v1` list. A body that ends early is an error, never a short list.
pub async fn read<T: Kind>(body: Body, empty: Index<T>) -> Result<Listed<T>, Failure> {
    let (chunks, pieces) = mpsc::channel(4);
    let parsing = tokio::task::spawn_blocking(move || {
        let mut reader =
            serde_json::Deserializer::from_reader(io::BufReader::new(Pieces { pieces, now: Bytes::new() }));
        let listed = List(empty).deserialize(&mut reader)?;
        reader.end().map(|()| listed)
    });
    let broken = feed(body, chunks).await.err();
    match parsing.await {
        Ok(Ok(listed)) if !listed.version.is_empty() => Ok(listed),
        Ok(Ok(_)) => Err(Failure::Unreadable("a list without a resourceVersion".into())),
        Ok(Err(error)) => {
            Err(broken.unwrap_or_else(|| Failure::Unreadable(format!("not a list: {:?}", error.classify()))))
        }
        Err(_) => Err(Failure::Unreadable("the list could not be read".into())),
    }
}

async fn feed(body: Body, chunks: mpsc::Sender<Bytes>) -> Result<(), Failure> {
    let mut body = Limited::new(body, MAX_BYTES);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
            true => Failure::Unreadable(format!("longer than {MAX_BYTES} bytes")),
            false => Failure::Broken(error.to_string()),
        })?;
        // The parser has what it wanted, or has given up.
        let Ok(chunk) = frame.into_data() else { continue };
        if chunks.send(chunk).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// What arrives on a channel, as a blocking reader.
struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    now: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.now = piece,
                None => return Ok(0),
            }
        }
        let count = out.len().min(self.now.len());
        self.now.copy_to_slice(&mut out[..count]);
        Ok(count)
    }
}

/// `{"metadata": {"resourceVersion": …}, "items": [ … ]}`, in any order.
struct List<T>(Index<T>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Name {
    Metadata,
    Items,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMeta {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    more: String,
}

impl<'de, T: Kind> DeserializeSeed<'de> for List<T> {
    type Value = Listed<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Listed<T>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Kind> Visitor<'de> for List<T> {
    type Value = Listed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed<T>, A::Error> {
        let mut listed = Listed { index: self.0, version: String::new(), left_out: 0 };
        let mut has_items = false;
        while let Some(name) = map.next_key()? {
            match name {
                Name::Metadata => {
                    let meta: ListMeta = map.next_value()?;
                    if !meta.more.is_empty() {
                        return Err(serde::de::Error::custom("a part of a list, though the whole was asked for"));
                    }
                    listed.version = meta.resource_version;
                }
                Name::Items => {
                    map.next_value_seed(Items(&mut listed))?;
                    has_items = true;
                }
                Name::Other => drop(map.next_value::<serde::de::IgnoredAny>()?),
            }
        }
        if has_items { Ok(listed) } else { Err(serde::de::Error::missing_field("items")) }
    }
}

struct Items<'l, T>(&'l mut Listed<T>);

impl<'de, T: Kind> DeserializeSeed<'de> for Items<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Kind> Visitor<'de> for Items<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the items of a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(object) = items.next_element::<Object>()? {
            if !self.0.index.put(object) {
                self.0.left_out += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::pods::Pod;
    use crate::authn::pods::index::Answer;

    async fn listed(text: &str) -> Result<Listed<Pod>, Failure> {
        read(Body::from(text.as_bytes().to_vec()), Index::new(true)).await
    }

    #[tokio::test]
    async fn a_list_is_read_whatever_stands_beside_its_items() {
        let items =
            r#""items": [{"metadata": {"uid": "a"}}, {"metadata": {"uid": "b"}, "spec": {"containers": [{}]}}]"#;
        for text in [
            format!(r#"{{"kind": "PodList", "apiVersion": "v1", "metadata": {{"resourceVersion": "7"}}, {items}}}"#),
            format!(r#"{{{items}, "metadata": {{"remainingItemCount": 0, "resourceVersion": "7"}}}}"#),
        ] {
            let listed = listed(&text).await.unwrap_or_else(|failure| panic!("{failure:?}"));
            assert_eq!((listed.index.len(), listed.version.as_str(), listed.left_out), (2, "7", 0));
            assert!(matches!(listed.index.find("b"), Answer::Known(_)));
        }
    }

    #[tokio::test]
    async fn what_is_no_whole_list_is_an_error_and_never_a_short_list() {
        for text in [
            "",
            "garbage",
            "[]",
            "{}",
            r#"{"items": [{"metadata": {"uid": "a"}}"#,
            r#"{"items": [], "metadata": {"resourceVersion": "7"}"#,
            r#"{"items": [], "metadata": {"resourceVersion": "7"}} x"#,
            r#"{"items": [], "metadata": {}}"#,
            r#"{"items": null, "metadata": {"resourceVersion": "7"}}"#,
            r#"{"items": [3], "metadata": {"resourceVersion": "7"}}"#,
            r#"{"items": [{"metadata": {"labels": {"a": 1}}}], "metadata": {"resourceVersion": "7"}}"#,
            r#"{"metadata": {"resourceVersion": "7"}}"#,
            r#"{"items": [], "metadata": {"resourceVersion": "7", "continue": "token"}}"#,
        ] {
            assert!(matches!(listed(text).await.err(), Some(Failure::Unreadable(_))), "{text}");
        }
    }
}
