//! A played API server that answers TokenReview, for faults that a real one will not make on demand.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::pods::Pods;
use super::recorder::{Recorder, Seen, Step};

/// What it does with a review.
#[derive(Debug, Clone)]
pub enum Mode {
    /// Knows the workload's token; refuses every other one.
    Normal,
    /// This status and body, whatever is asked.
    Raw(u16, String),
    /// These steps, whatever is asked.
    Play(Vec<Step>),
    Hang,
    Close,
}

/// The API server, and the one workload that it knows: `prod/api`, pod `api-1`.
pub struct Kubernetes {
    pub token: String,
    /// What we show to the API server.
    pub own_token: String,
    pub recorder: Recorder,
    /// What it lists and watches.
    pub pods: Pods,
    mode: Arc<Mutex<Mode>>,
}

/// A token that looks like one of `prod/api`. `exp` is in seconds from now.
pub fn token(tag: &str, audience: &str, exp: i64) -> String {
    token_of("system:serviceaccount:prod:api", tag, audience, exp)
}

fn token_of(subject: &str, tag: &str, audience: &str, exp: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims =
        json!({"aud": [audience], "exp": now + exp, "iat": now - 10, "iss": "https://played.test", "sub": subject});
    let signature = URL_SAFE_NO_PAD.encode(format!("signature-{tag}"));
    format!("{}.{}.{signature}", part(json!({"alg": "RS256", "kid": "k"})), part(claims))
}

impl Kubernetes {
    pub async fn start(number: u64) -> Kubernetes {
        let token = token(&format!("good-{number}"), "veilwarden", 3600);
        let ourselves = "system:serviceaccount:veilwarden:veilwarden";
        let own_token = token_of(ourselves, &format!("own-{number}"), "https://kubernetes.default.svc", 3600);
        let recorder = Recorder::start().await;
        let mode = Arc::new(Mutex::new(Mode::Normal));
        let (known, current) = (token.clone(), mode.clone());
        let pods = Pods::default();
        let watched = pods.clone();
        recorder.script(move |seen| match seen.target().starts_with("/api/v1/") {
            true => watched.play(seen),
            false => play(&current.lock().unwrap(), &known, seen),
        });
        Kubernetes { token, own_token, recorder, pods, mode }
    }

    pub fn mode(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// Reviews that were asked for.
    pub fn reviews(&self) -> usize {
        self.recorder.seen().iter().filter(|seen| seen.target().ends_with("/tokenreviews")).count()
    }

    /// Writes a kubeconfig and returns the `kubernetes` section that uses it; `lines` are added to it.
    pub fn section(&self, directory: &Path, lines: &str) -> String {
        let kubeconfig = directory.join("kubeconfig");
        let (server, own_token) = (self.recorder.address, directory.join("own-token"));
        std::fs::write(&own_token, &self.own_token).unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: \"http://{server}\"}}}}]\n\
             users: [{{name: u, user: {{tokenFile: \"{}\"}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n",
            own_token.display()
        );
        std::fs::write(&kubeconfig, text).unwrap();
        // A busy machine keeps this one.
        let timeout = if lines.contains("timeout:") { "" } else { ", timeout: 15s" };
        format!("{{enabled: true, kubeconfig: {}{timeout}{lines}}}", kubeconfig.display())
    }
}

fn play(mode: &Mode, known: &str, seen: &Seen) -> Vec<Step> {
    match mode {
        Mode::Normal => vec![Step::Send(http(201, &review(known, seen).to_string()))],
        Mode::Raw(status, body) => vec![Step::Send(http(*status, body))],
        Mode::Play(steps) => steps.clone(),
        Mode::Hang => vec![Step::Hang],
        Mode::Close => vec![Step::Close],
    }
}

/// A TokenReview with this status.
pub fn review_with(status: Value) -> Value {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {}, "status": status})
}

/// A good answer for this user name, for the audience that is asked for.
pub fn accepted(username: &str) -> Value {
    json!({"authenticated": true, "audiences": ["veilwarden"], "user": {
        "username": username, "uid": "11111111-2222-3333-4444-555555555555",
        "groups": ["system:serviceaccounts", "system:serviceaccounts:prod"],
        "extra": {"authentication.kubernetes.io/pod-name": ["api-1"], "authentication.kubernetes.io/pod-uid": ["pod-uid-1"]}}})
}

fn review(known: &str, seen: &Seen) -> Value {
    let asked: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    review_with(match asked["spec"]["token"] == known {
        true => accepted("system:serviceaccount:prod:api"),
        false => json!({"authenticated": false, "error": "[invalid bearer token]"}),
    })
}

/// An answer of the API server.
pub fn http(status: u16, body: &str) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    format!("{head}{body}").into_bytes()
}

/// A token's `exp`.
pub fn expiry(token: &str) -> u64 {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["exp"].as_u64().unwrap()
}
