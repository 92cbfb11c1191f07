//! The lines of a watch (`metav1.WatchEvent`, one JSON object a line).

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use kube::client::Body;
use serde::Deserialize;

use super::failure::Failure;
use super::object::Object;

/// The longest line. etcd takes objects of 1.5 MiB; as JSON they are longer.
const MAX_LINE: usize = 8 * 1024 * 1024;

/// One event.
#[derive(Debug)]
pub enum Event {
    /// `ADDED` or `MODIFIED`
    Put(Object),
    Deleted(Object),
    /// Nothing but a newer version to go on from.
    Bookmark(Object),
}

/// Cuts a body into lines.
pub struct Lines {
    body: Body,
    held: BytesMut,
}

impl Lines {
    pub fn of(body: Body) -> Self {
        Lines { body, held: BytesMut::new() }
    }

    /// The next line without its end; `None`: the API server has ended the watch between two lines. May be dropped and
    /// called again.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let mut searched = 0;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.held[searched..]) {
                let line = self.held.split_to(searched + end + 1);
                return Ok(Some(line.freeze().slice(..searched + end)));
            }
            searched = self.held.len();
            if searched > MAX_LINE {
                return Err(Failure::Unreadable(format!("a line of over {MAX_LINE} bytes")));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.held.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
                Some(Err(error)) => return Err(Failure::Broken(error.to_string())),
                None if self.held.is_empty() => return Ok(None),
                None => return Err(Failure::Broken("in the middle of an event".into())),
            }
        }
    }
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Whole<T> {
    object: T,
}

/// `metav1.Status`, the object of an `ERROR`.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Status {
    code: u16,
    message: String,
}

impl Event {
    /// Reads a line. An `ERROR` is the failure it tells of.
    pub fn read(line: &[u8]) -> Result<Event, Failure> {
        let Head { kind } = parse(line)?;
        let object = || parse::<Whole<Object>>(line).map(|whole| whole.object);
        match kind.as_str() {
            "ADDED" | "MODIFIED" => object().map(Event::Put),
            "DELETED" => object().map(Event::Deleted),
            "BOOKMARK" => object().map(Event::Bookmark),
            "ERROR" => match parse::<Whole<Status>>(line)?.object {
                Status { code: 410, .. } => Err(Failure::Gone),
                Status { code, message } => Err(Failure::Status { code, message: printable(&message) }),
            },
            _ => Err(Failure::Unreadable("an event of an unknown type".into())),
        }
    }

    /// The version to go on from once this event has been taken in.
    pub fn version(&self) -> &str {
        match self {
            Event::Put(object) | Event::Deleted(object) | Event::Bookmark(object) => &object.metadata.resource_version,
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(line).map_err(|error| Failure::Unreadable(format!("not an event: {:?}", error.classify())))
}

fn printable(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart() {
        let line =
            |kind: &str| format!(r#"{{"type":"{kind}","object":{{"metadata":{{"uid":"a","resourceVersion":"9"}}}}}}"#);
        for (kind, is_expected) in [
            ("ADDED", (|event| matches!(event, Event::Put(_))) as fn(&Event) -> bool),
            ("MODIFIED", |event| matches!(event, Event::Put(_))),
            ("DELETED", |event| matches!(event, Event::Deleted(_))),
            ("BOOKMARK", |event| matches!(event, Event::Bookmark(_))),
        ] {
            let event = Event::read(line(kind).as_bytes()).unwrap();
            assert!(is_expected(&event) && event.version() == "9", "{kind}: {event:?}");
        }
    }

    #[test]
    fn an_error_is_what_it_tells_of_and_garbage_is_unreadable() {
        let status = |code: u16| {
            let object =
                format!(r#"{{"kind":"Status","status":"Failure","message":"a\nb","reason":"Expired","code":{code}}}"#);
            format!(r#"{{"type":"ERROR","object":{object}}}"#)
        };
        assert!(matches!(Event::read(status(410).as_bytes()), Err(Failure::Gone)));
        let Err(Failure::Status { code: 500, message }) = Event::read(status(500).as_bytes()) else { panic!("500") };
        assert_eq!(message, "ab");
        for line in [
            "",
            "{",
            "[]",
            "null",
            "garbage",
            r#"{"type":"ADDED"}"#,
            r#"{"type":"OTHER","object":{}}"#,
            r#"{"object":{}}"#,
        ] {
            assert!(matches!(Event::read(line.as_bytes()), Err(Failure::Unreadable(_))), "{line}");
        }
    }

    #[tokio::test]
    async fn a_body_is_cut_into_lines_and_a_rest_is_an_error() {
        let mut lines = Lines::of(Body::from(b"a\n\nbc\nrest".to_vec()));
        for expected in ["a", "", "bc"] {
            assert_eq!(lines.next().await.unwrap().unwrap(), expected);
        }
        assert!(matches!(lines.next().await, Err(Failure::Broken(_))));
        assert!(Lines::of(Body::from(b"a\n".to_vec())).next().await.unwrap().is_some());
        assert!(Lines::of(Body::empty()).next().await.unwrap().is_none());
        let endless = vec![b'x'; MAX_LINE + 1];
        assert!(matches!(Lines::of(Body::from(endless)).next().await, Err(Failure::Unreadable(_))));
    }
}
