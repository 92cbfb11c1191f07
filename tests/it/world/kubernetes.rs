//! A played API server that answers TokenReview, for faults that a real one will not make on demand.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::recorder::{Recorder, Seen, Step};

/// What it does with a review.
#[derive(Debug, Clone)]
pub enum Mode {
    /// Knows the workload's token; refuses every other one.
    Normal,
    /// This status and body, whatever is asked.
    Raw(u16, String),
    Hang,
    Close,
}

/// The API server, and the one workload that it knows: `prod/api`, pod `api-1`.
pub struct Kubernetes {
    pub token: String,
    recorder: Recorder,
    mode: Arc<Mutex<Mode>>,
}

/// A token that looks like a ServiceAccount's. `exp` is in seconds from now.
pub fn token(tag: &str, audience: &str, exp: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"aud": [audience], "exp": now + exp, "iat": now - 10, "iss": "https://played.test", "sub": "system:serviceaccount:prod:api"});
    let signature = URL_SAFE_NO_PAD.encode(format!("signature-{tag}"));
    format!("{}.{}.{signature}", part(json!({"alg": "RS256", "kid": "k"})), part(claims))
}

impl Kubernetes {
    pub async fn start(number: u64) -> Kubernetes {
        let token = token(&format!("good-{number}"), "veilwarden", 3600);
        let recorder = Recorder::start().await;
        let mode = Arc::new(Mutex::new(Mode::Normal));
        let (known, current) = (token.clone(), mode.clone());
        recorder.script(move |seen| play(&current.lock().unwrap(), &known, seen));
        Kubernetes { token, recorder, mode }
    }

    pub fn mode(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// Reviews that were asked for.
    pub fn reviews(&self) -> usize {
        self.recorder.seen().len()
    }

    /// Writes a kubeconfig and returns the `kubernetes` section that uses it; `lines` are added to it.
    pub fn section(&self, directory: &Path, lines: &str) -> String {
        let kubeconfig = directory.join("kubeconfig");
        let server = self.recorder.address;
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: \"http://{server}\"}}}}]\n\
             users: [{{name: u, user: {{token: our-own-token}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
        );
        std::fs::write(&kubeconfig, text).unwrap();
        format!("{{enabled: true, kubeconfig: {}{lines}}}", kubeconfig.display())
    }
}

fn play(mode: &Mode, known: &str, seen: &Seen) -> Vec<Step> {
    match mode {
        Mode::Normal => vec![Step::Send(http(201, &review(known, seen).to_string()))],
        Mode::Raw(status, body) => vec![Step::Send(http(*status, body))],
        Mode::Hang => vec![Step::Hang],
        Mode::Close => vec![Step::Close],
    }
}

fn review(known: &str, seen: &Seen) -> Value {
    let asked: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    let status = if asked["spec"]["token"] == known {
        json!({"authenticated": true, "audiences": ["veilwarden"], "user": {
            "username": "system:serviceaccount:prod:api", "uid": "11111111-2222-3333-4444-555555555555",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:prod"],
            "extra": {"authentication.kubernetes.io/pod-name": ["api-1"], "authentication.kubernetes.io/pod-uid": ["pod-uid-1"]}}})
    } else {
        json!({"authenticated": false, "error": "[invalid bearer token]"})
    };
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {}, "status": status})
}

fn http(status: u16, body: &str) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    format!("{head}{body}").into_bytes()
}
