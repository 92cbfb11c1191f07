//! The part of the played API server that lists and watches pods and namespaces.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::kubernetes::http;
use super::recorder::{Seen, Step};

/// The head of a watch's answer, whose body is a line in each chunk.
const WATCH: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Objects, and everything that ever happened to them.
#[derive(Clone)]
pub struct Pods {
    state: Arc<Mutex<State>>,
    /// The number of events; whoever watches waits for the next.
    version: watch::Sender<usize>,
    cut: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    /// By path and key.
    objects: BTreeMap<(String, String), Value>,
    /// What the watches of a path are told; the version of each is its place, counted from one.
    events: Vec<(String, Vec<u8>)>,
    lists: VecDeque<Vec<Step>>,
    watches: VecDeque<Vec<Step>>,
    /// Targets that were asked for.
    asked: Vec<String>,
}

impl Default for Pods {
    fn default() -> Self {
        Pods { state: Arc::default(), version: watch::channel(0).0, cut: watch::channel(0).0 }
    }
}

/// `prod/api-1`, the pod of the workload that the API server knows.
pub fn pod(address: &str, labels: Value) -> Value {
    json!({"metadata": {"name": "api-1", "namespace": "prod", "uid": "pod-uid-1", "labels": labels},
        "spec": {"nodeName": "n1"}, "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}})
}

pub fn namespace(labels: Value) -> Value {
    json!({"metadata": {"name": "prod", "uid": "ns-uid-1", "labels": labels}})
}

fn path(object: &Value) -> &'static str {
    if object["metadata"]["namespace"].is_null() { "/api/v1/namespaces" } else { "/api/v1/pods" }
}

/// A chunk of a watch's body.
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

impl Pods {
    /// Adds or changes an object.
    pub fn put(&self, object: Value) {
        let key = (path(&object).to_owned(), object["metadata"]["uid"].to_string());
        let known = self.state.lock().unwrap().objects.insert(key, object.clone()).is_some();
        self.tell(if known { "MODIFIED" } else { "ADDED" }, object);
    }

    pub fn delete(&self, object: Value) {
        let key = (path(&object).to_owned(), object["metadata"]["uid"].to_string());
        self.state.lock().unwrap().objects.remove(&key);
        self.tell("DELETED", object);
    }

    fn tell(&self, kind: &str, mut object: Value) {
        let mut state = self.state.lock().unwrap();
        let version = state.events.len() + 1;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let line = format!("{}\n", json!({"type": kind, "object": object}));
        state.events.push((path(&object).to_owned(), line.into_bytes()));
        drop(state);
        self.version.send_replace(version);
    }

    /// The next lists are answered like this, one by one; those after them as they should be.
    pub fn next_lists(&self, answers: impl IntoIterator<Item = Vec<Step>>) {
        self.state.lock().unwrap().lists.extend(answers);
    }

    pub fn next_watches(&self, answers: impl IntoIterator<Item = Vec<Step>>) {
        self.state.lock().unwrap().watches.extend(answers);
    }

    /// Ends every watch that is under way, between two events.
    pub fn cut(&self) {
        self.cut.send_modify(|times| *times += 1);
    }

    /// Whether every answer that was given to be played has been.
    pub fn all_played(&self) -> bool {
        let state = self.state.lock().unwrap();
        state.lists.is_empty() && state.watches.is_empty()
    }

    /// The targets asked for that have `part` in them.
    pub fn asked(&self, part: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.asked.iter().filter(|target| target.contains(part)).cloned().collect()
    }

    /// The answer to a list or a watch.
    pub fn play(&self, seen: &Seen) -> Vec<Step> {
        let target = seen.target();
        let path = target.split('?').next().unwrap_or_default();
        let mut state = self.state.lock().unwrap();
        state.asked.push(target.to_owned());
        if !target.contains("watch=true") {
            if let Some(played) = state.lists.pop_front() {
                return played;
            }
            let items: Vec<_> =
                state.objects.iter().filter(|((of, _), _)| of == path).map(|(_, object)| object).collect();
            let version = state.events.len().to_string();
            let list =
                json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items});
            return vec![Step::Send(http(200, &list.to_string()))];
        }
        if let Some(played) = state.watches.pop_front() {
            return played;
        }
        let from =
            target.rsplit_once("resourceVersion=").and_then(|(_, version)| version.parse().ok()).unwrap_or_default();
        vec![
            Step::Send(WATCH.to_vec()),
            Step::Feed(self.follow(path.to_owned(), from)),
            Step::Send(b"0\r\n\r\n".to_vec()),
        ]
    }

    /// Everything that happens from a version on, chunk by chunk, until nobody takes it any more.
    fn follow(&self, path: String, mut from: usize) -> Arc<tokio::sync::Mutex<mpsc::Receiver<Vec<u8>>>> {
        let (chunks, feed) = mpsc::channel(16);
        let (source, mut version, mut cut) = (self.clone(), self.version.subscribe(), self.cut.subscribe());
        tokio::spawn(async move {
            loop {
                let news = source.state.lock().unwrap().events[from..].to_vec();
                from += news.len();
                for (_, line) in news.into_iter().filter(|(of, _)| *of == path) {
                    if chunks.send(chunk(&line)).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    changed = version.changed() => if changed.is_err() { return },
                    _ = cut.changed() => return,
                    () = chunks.closed() => return,
                }
            }
        });
        Arc::new(tokio::sync::Mutex::new(feed))
    }

    /// A watch's answer that is played from these pieces of its body.
    pub fn watched(pieces: &[&[u8]]) -> Vec<Step> {
        [WATCH].into_iter().map(<[u8]>::to_vec).chain(pieces.iter().map(|piece| chunk(piece))).map(Step::Send).collect()
    }
}
