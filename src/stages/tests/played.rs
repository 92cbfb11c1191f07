//! A policy and a store that answer as they are told and pass on what they were asked.

use std::future::ready;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde_json::Value;

use super::*;
use crate::BoxFuture;
use crate::policy::{self, Decision, Input, PolicyEngine};
use crate::secrets::{self, Secret, SecretStore};

/// More than a test asks.
const QUESTIONS: usize = 64;

pub type Answer = Result<Decision, policy::Error>;

/// Answers every call the same.
struct Policy {
    answer: Answer,
    /// Its input as the document that engines see.
    asked: SyncSender<Value>,
}

impl PolicyEngine for Policy {
    fn decide<'a>(&'a self, input: Input<'a>) -> BoxFuture<'a, Answer> {
        self.asked.send(policy::input::document(&input).unwrap()).unwrap();
        Box::pin(ready(self.answer.clone()))
    }

    fn name(&self) -> &'static str {
        "played"
    }
}

pub fn allowed() -> Answer {
    Ok(Decision { allowed: true, reason: "why not".to_owned() })
}

pub fn denied() -> Answer {
    Ok(Decision { allowed: false, reason: "not today".to_owned() })
}

/// Routes as in [`compile`], and what the policy will have been asked.
pub fn rules(routes: &str, answer: Answer) -> (Rules, Receiver<Value>) {
    let (asked, receiver) = sync_channel(QUESTIONS);
    (Rules { routes: compile(routes), policy: Box::new(Policy { answer, asked }) }, receiver)
}

/// Has one secret for every id, or none for any.
pub struct Store {
    answer: Result<Secret, secrets::Error>,
    asked: SyncSender<String>,
}

impl Store {
    /// And the ids that it will have been asked for.
    pub fn new(answer: Result<&str, secrets::Error>) -> (Store, Receiver<String>) {
        let (asked, receiver) = sync_channel(QUESTIONS);
        (Store { answer: answer.map(|value| Secret::new(value.to_owned()).unwrap()), asked }, receiver)
    }
}

impl SecretStore for Store {
    fn fetch<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Secret, secrets::Error>> {
        self.asked.send(id.to_owned()).unwrap();
        Box::pin(ready(self.answer.clone()))
    }
}

/// A call on its own connection, by whoever the text says.
pub async fn authenticate(rules: &Rules, text: &str) -> (Authenticated<&'static str>, Record) {
    authenticate_in(&connection(None), rules, text).await
}

pub async fn authenticate_in(
    connection: &Connection,
    rules: &Rules,
    text: &str,
) -> (Authenticated<&'static str>, Record) {
    let (received, mut record) = parse_in(connection, &rules.routes, text);
    let authenticated = received.unwrap().authenticate(&authn(), &Metrics::default(), &mut record).await;
    (authenticated.unwrap(), record)
}

/// A call of alice's, with these further fields.
pub fn by_alice(line: &str, fields: &str) -> String {
    format!("{line}\nX-Session-Secret: {SECRET}\n{fields}")
}
