//! The five calls, and what should become of each.

use std::fmt;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use serde_json::Value;

use super::call::{self, Answer};
use super::scene::Scene;
use crate::cli::echo::Echo;
use crate::error::Code;

/// A call and its expected end.
pub struct Case {
    pub title: &'static str,
    credential: Option<String>,
    method: &'static str,
    host: &'static str,
    /// The code of the refusal; `None` when the call is to arrive.
    expected: Option<Code>,
}

/// What was seen of a call, as a person wants to read it.
pub struct Outcome {
    lines: Vec<(&'static str, String)>,
    pub mistakes: Vec<String>,
}

impl Case {
    pub fn all(scene: &Scene) -> Vec<Case> {
        let good = || Some(scene.way.credential.clone());
        let case = |title, credential, method, host, expected| Case { title, credential, method, host, expected };
        let wrong = if scene.way.field.0 == "Authorization" { Code::InvalidToken } else { Code::Unauthorized };
        vec![
            case("Allowed: the policy lets agents read", good(), "GET", "api.demo.test", None),
            case("Denied by policy, with its reason", good(), "DELETE", "api.demo.test", Some(Code::PolicyDenied)),
            case("No credential", None, "GET", "api.demo.test", Some(Code::Unauthorized)),
            case("A wrong credential", Some(scene.way.forged.clone()), "GET", "api.demo.test", Some(wrong)),
            case("A host without a route", good(), "GET", "api.other.test", Some(Code::HostNotAllowed)),
        ]
    }

    /// Makes the call and compares what happened with what should.
    pub async fn play(&self, scene: &Scene) -> Result<Outcome> {
        let answer = call::send(scene, self.request(scene)?).await?;
        let id = answer.headers.get("x-request-id").and_then(|id| id.to_str().ok()).context("no request id")?;
        let record = call::record(&scene.audit_file(), id).await?;
        let mut outcome = Outcome { lines: Vec::new(), mistakes: Vec::new() };
        outcome.line("who asks", self.who(scene));
        outcome.line("asks for", format!("{} /v1/models at {}", self.method, self.host));
        outcome.line("decision", decision(&record));
        match self.expected {
            None => outcome.arrived(scene, &answer)?,
            Some(code) => outcome.refused(code, &answer),
        }
        outcome.check(record["status"] == answer.status.as_u16(), "the audit record has another status");
        outcome.check(!answer.body.to_string().contains(&scene.way.credential), "the caller's credential came back");
        Ok(outcome)
    }

    fn request(&self, scene: &Scene) -> Result<Request<Empty<Bytes>>> {
        let (field, before) = scene.way.field;
        let mut request = Request::builder().method(self.method).uri("/v1/models");
        request = request.header("Host", scene.proxy.to_string()).header("X-Upstream-Host", self.host);
        if let Some(credential) = &self.credential {
            request = request.header(field, format!("{before}{credential}"));
        }
        Ok(request.body(Empty::new())?)
    }

    fn who(&self, scene: &Scene) -> String {
        match &self.credential {
            None => "nobody says".to_owned(),
            Some(credential) if *credential == scene.way.credential => scene.caller().to_owned(),
            Some(_) => "somebody with a credential that is not good".to_owned(),
        }
    }
}

fn decision(record: &Value) -> String {
    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    match text("decision").as_str() {
        "none" => format!("refused before the policy was asked: {}", text("reason")),
        decision => format!("{decision}: {}", text("reason")),
    }
}

impl Outcome {
    fn line(&mut self, label: &'static str, text: String) {
        self.lines.push((label, text));
    }

    fn check(&mut self, good: bool, mistake: &str) {
        if !good {
            self.mistakes.push(mistake.to_owned());
        }
    }

    /// The echo upstream's answer says what it saw.
    fn arrived(&mut self, scene: &Scene, answer: &Answer) -> Result<()> {
        self.check(answer.status == StatusCode::OK, "the call was not answered with 200");
        let seen: Echo = serde_json::from_value(answer.body.clone()).context("the upstream's answer is no echo")?;
        let authorization = seen.headers.get("authorization").cloned().unwrap_or_default();
        self.check(authorization == format!("Bearer {}", scene.key), "the upstream did not see the injected key");
        let leaked = seen.headers.values().any(|value| value.contains(&scene.way.credential));
        self.check(!leaked, "the caller's credential reached the upstream");
        self.line(
            "upstream saw",
            format!("authorization: {}, nothing of the caller's credential", masked(&authorization)),
        );
        self.line("caller got", format!("{}, the upstream's answer", answer.status));
        Ok(())
    }

    fn refused(&mut self, code: Code, answer: &Answer) {
        let told = |name: &str| answer.body[name].as_str().unwrap_or_default().to_owned();
        self.check(
            answer.status == code.status() && told("error") == code.as_str(),
            "the call was not refused as it should be",
        );
        self.line("upstream saw", "nothing".to_owned());
        self.line("caller got", format!("{} {}: {}", answer.status, told("error"), told("message")));
        self.line("", format!("hint: {}", told("hint")));
    }
}

/// The scheme and the key's first characters; enough to recognise it, not to use it.
fn masked(value: &str) -> String {
    let shown: String = value.chars().take("Bearer demo-".len()).collect();
    format!("{shown}{}", "*".repeat(8))
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (label, text) in &self.lines {
            writeln!(f, "   {label:<13} {text}")?;
        }
        for mistake in &self.mistakes {
            writeln!(f, "   NOT AS IT SHOULD BE: {mistake}")?;
        }
        Ok(())
    }
}
