//! Section F of the hostile cases: what an upstream does wrong, and what the caller sees of it.

mod framing;
mod heads;
mod silence;
mod streams;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::world::recorder::{OK, Step};
use crate::world::way::ALL;
use crate::world::{Started, within};

/// Stands in what upstreams send where a caller must see none of it.
const MARK: &str = "upstream-mark-7e1d";

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("{head}\r\n\r\n{body}").into_bytes()
}

/// Plays the bytes once in each way in, for which the world has to have a CA: our own 502, nothing of the upstream's in it,
/// one request sent, and the next call works.
async fn assert_fault(world: &Started, bytes: impl Into<Vec<u8>>, what: &str) {
    let bytes = bytes.into();
    for way in ALL {
        let (bytes, before, what) = (bytes.clone(), world.a.seen().len(), format!("{way:?}: {what}"));
        world.a.script(move |_| vec![Step::Send(bytes.clone()), Step::Close]);
        let mut answer = world.go(way, world.ok("").as_bytes()).await;
        answer.fields.iter_mut().for_each(|(_, value)| value.truncate(500));
        let record = world.assert_refused(&answer, 502, "UPSTREAM_ERROR", &what).await;
        assert_eq!((&record["decision"], &record["secret_id"]), (&"allow".into(), &"KEY_A".into()), "{what}: {record}");
        assert!(!format!("{answer:?}").contains(MARK), "{what}: {answer:?}");
        assert_eq!(world.a.seen().len(), before + 1, "{what}: sent more than once");
        world.a.answer(OK);
        world.assert_works(&what).await;
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("a head", stream.read_u8()).await.unwrap());
    }
    String::from_utf8_lossy(&head).into_owned()
}
