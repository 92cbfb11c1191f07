//! A played Doppler: secrets by project, config and name, and every fault on demand.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::recorder::{Recorder, Seen, Step};

/// What it does with a call.
#[derive(Debug, Clone)]
pub enum Mode {
    /// Has the secrets that it was given; 404 for others.
    Normal,
    /// These steps, whatever is asked.
    Play(Vec<Step>),
}

/// The store, with one token and the project and config `web/prd` as ours.
pub struct Doppler {
    pub recorder: Recorder,
    pub token: String,
    state: Arc<Mutex<State>>,
}

struct State {
    mode: Mode,
    values: HashMap<String, String>,
}

impl Doppler {
    pub async fn start(number: u64) -> Doppler {
        let recorder = Recorder::start().await;
        let state = Arc::new(Mutex::new(State { mode: Mode::Normal, values: HashMap::new() }));
        let played = state.clone();
        recorder.script(move |seen| play(&played.lock().unwrap(), seen));
        Doppler { recorder, token: format!("dp.st.doppler-token-{number}-c83e"), state }
    }

    pub fn mode(&self, mode: Mode) {
        self.state.lock().unwrap().mode = mode;
    }

    /// This status and body, whatever is asked.
    pub fn answers(&self, status: u16, fields: &str, body: &str) {
        self.mode(Mode::Play(vec![Step::Send(http(status, fields, body))]));
    }

    /// Gives the secret NAME of `web/prd` a value; `PROJECT/CONFIG/NAME` names another place.
    pub fn set(&self, name: &str, value: &str) {
        let name = if name.contains('/') { name.to_owned() } else { format!("web/prd/{name}") };
        self.state.lock().unwrap().values.insert(name, value.to_owned());
    }

    pub fn calls(&self) -> usize {
        self.recorder.seen().len()
    }

    /// The `doppler` section; `lines` are added to it.
    pub fn section(&self, directory: &Path, lines: &str) -> String {
        let token_file = directory.join("doppler-token");
        std::fs::write(&token_file, &self.token).unwrap();
        let (address, token_file) = (self.recorder.address, token_file.display());
        let base_url = match lines.contains("base_url:") {
            true => String::new(),
            false => format!(", base_url: \"http://{address}\""),
        };
        // A busy machine keeps this one.
        let timeout = if lines.contains("timeout:") { "" } else { ", timeout: 15s" };
        format!("{{token_file: {token_file}, project: web, config: prd{base_url}{timeout}{lines}}}")
    }
}

fn play(state: &State, seen: &Seen) -> Vec<Step> {
    if let Mode::Play(steps) = &state.mode {
        return steps.clone();
    }
    let query = seen.target().split_once('?').map_or("", |(_, query)| query);
    let of = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or("");
    let place = format!("{}/{}/{}", of("project"), of("config"), of("name"));
    let answer = match state.values.get(&place) {
        Some(value) => secret(of("name"), value),
        None => http(404, "", r#"{"messages":["Could not find requested secret"],"success":false}"#),
    };
    vec![Step::Send(answer)]
}

/// The whole good answer for a value.
pub fn secret(name: &str, value: &str) -> Vec<u8> {
    http(200, "", &json!({"name": name, "value": {"raw": value, "computed": value}, "success": true}).to_string())
}

/// An answer with its length; `fields` are whole lines with their CRLF.
pub fn http(status: u16, fields: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\n{fields}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}
