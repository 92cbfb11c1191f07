//! A played API server that answers TokenReview and shows its keys, for faults that a real one will not make on demand.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::keys::{self, Documents, ISSUER};
use super::pods::Pods;
use super::recorder::{Recorder, Seen, Step};
use super::signer::Signer;

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
    /// What it signs tokens with.
    pub signer: Signer,
    pub documents: Documents,
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
    let claims = json!({"aud": [audience], "exp": now + exp, "iat": now - 10, "iss": ISSUER, "sub": subject});
    let signature = URL_SAFE_NO_PAD.encode(format!("signature-{tag}"));
    format!("{}.{}.{signature}", part(json!({"alg": "RS256", "kid": "k"})), part(claims))
}

impl Kubernetes {
    pub async fn start(number: u64) -> Kubernetes {
        let signer = Signer::p256("key-1");
        let token = keys::signed(&signer, &claims(number));
        let ourselves = "system:serviceaccount:veilwarden:veilwarden";
        let own_token = token_of(ourselves, &format!("own-{number}"), "https://kubernetes.default.svc", 3600);
        let recorder = Recorder::start().await;
        let mode = Arc::new(Mutex::new(Mode::Normal));
        let (documents, pods) = (Documents::new(&[&signer]), Pods::default());
        let (known, current, shown, watched) = (token.clone(), mode.clone(), documents.clone(), pods.clone());
        recorder.script(move |seen| match seen.target().starts_with("/api/v1/") {
            true => watched.play(seen),
            false => shown.play(seen).unwrap_or_else(|| play(&current.lock().unwrap(), &known, seen)),
        });
        Kubernetes { token, own_token, recorder, signer, documents, pods, mode }
    }

    pub fn mode(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// From now on the workload's token is refused too.
    pub fn revoke(&self) {
        self.mode(Mode::Raw(
            201,
            review_with(json!({"authenticated": false, "error": "the token was revoked"})).to_string(),
        ));
    }

    /// Reviews that were asked for.
    pub fn reviews(&self) -> usize {
        self.recorder.seen().iter().filter(|seen| seen.target().ends_with("/tokenreviews")).count()
    }

    /// Fetches of its keys.
    pub fn fetches(&self) -> usize {
        self.recorder.seen().iter().filter(|seen| keys::is_fetch(seen)).count()
    }

    /// A token by its key with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        keys::signed(&self.signer, claims)
    }

    /// Writes a kubeconfig and returns the `kubernetes` section that uses it; `lines` are added to it.
    pub fn section(&self, directory: &Path, lines: &str) -> String {
        let kubeconfig = self.kubeconfig(directory, "kubeconfig", "own-token");
        // A busy machine keeps this one.
        let timeout = if lines.contains("timeout:") { "" } else { ", timeout: 15s" };
        format!("{{enabled: true, kubeconfig: {kubeconfig}{timeout}{lines}}}")
    }

    /// Writes a kubeconfig and returns an entry of `kubernetes.clusters` that uses it; `lines` are added to it.
    pub fn entry(&self, directory: &Path, name: &str, issuer: &str, lines: &str) -> String {
        let kubeconfig = self.kubeconfig(directory, &format!("kubeconfig-{name}"), &format!("own-token-{name}"));
        format!("{{name: {name}, issuer: \"{issuer}\", kubeconfig: {kubeconfig}{lines}}}")
    }

    /// Writes a kubeconfig and the token file that it names, and returns its path.
    fn kubeconfig(&self, directory: &Path, name: &str, token_file: &str) -> String {
        let kubeconfig = directory.join(name);
        let (server, own_token) = (self.recorder.address, directory.join(token_file));
        std::fs::write(&own_token, &self.own_token).unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: \"http://{server}\"}}}}]\n\
             users: [{{name: u, user: {{tokenFile: \"{}\"}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n",
            own_token.display()
        );
        std::fs::write(&kubeconfig, text).unwrap();
        kubeconfig.display().to_string()
    }
}

/// The claims of the workload's token, as an API server writes them.
pub fn claims(number: u64) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({
        "aud": ["veilwarden"], "exp": now + 3600, "iat": now - 10, "nbf": now - 10, "iss": ISSUER, "jti": format!("good-{number}"),
        "kubernetes.io": {
            "namespace": "prod",
            "serviceaccount": {"name": "api", "uid": "11111111-2222-3333-4444-555555555555"},
            "pod": {"name": "api-1", "uid": "pod-uid-1"},
            "node": {"name": "node-1", "uid": "node-uid-1"},
        },
        "sub": "system:serviceaccount:prod:api",
    })
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
