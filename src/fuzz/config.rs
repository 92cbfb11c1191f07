//! Any text is a configuration, or a list of mistakes with their places.

use std::path::Path;

use super::text;
use crate::config::{Config, Overrides};

/// Not a text that a file would have in it.
const SECRET: &str = "9-session-secret-8";

/// A session secret, and Kubernetes off whatever machine this is.
fn laptop(name: &str) -> Option<String> {
    match name {
        "VEILWARDEN_SESSION_SECRET" => Some(SECRET.to_owned()),
        "VEILWARDEN_K8S_ENABLED" => Some("false".to_owned()),
        _ => None,
    }
}

pub fn config(data: &[u8]) {
    match Config::parse(text(data), Path::new("veilwarden.yaml"), &Overrides::default(), &laptop) {
        Ok(config) => {
            assert!(!config.listen.is_empty() && !config.routes.is_empty());
            assert!(!format!("{config:?}").contains(SECRET), "the session secret is shown");
        }
        Err(mistakes) => {
            let said = mistakes.to_string();
            assert!(!said.contains(SECRET), "{said}");
            assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{said:?}");
            // A checked tree can always be read; the fallback for the opposite must never be needed.
            assert!(!said.contains("not a configuration"), "{said}");
        }
    }
}
