//! Who plays: callers with their credentials and secrets, and the hosts that each may call.

mod configuration;
mod way;

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub use configuration::{Addresses, configure};
pub use way::Way;

/// What every secret begins with.
pub const SECRET: &str = "Kanarienvogel-Secret-01";
/// What every credential, and the last part of every token, begins with: 24 characters of base64url.
pub const CREDENTIAL: &str = "Zaunkoenig-Credential-01";
/// What the store wants to see, and our own token at the API server.
pub const STORE_TOKEN: &str = "Rotkehlchen-Token-01";

/// Callers. Each has secrets of its own and may call no host of another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    Red,
    Green,
    /// By the session secret.
    Alice,
}

/// Upstreams: HTTP/1 in clear, HTTP/1 over TLS, HTTP/2 over TLS, and HTTP/1 over TLS with WebSockets. The first has them too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Clear,
    Tls,
    H2,
    Socket,
}

pub const EVERYBODY: [Who; 3] = [Who::Red, Who::Green, Who::Alice];
pub const KINDS: [Kind; 4] = [Kind::Clear, Kind::Tls, Kind::H2, Kind::Socket];

impl Who {
    pub fn name(self) -> &'static str {
        match self {
            Who::Red => "red",
            Who::Green => "green",
            Who::Alice => "alice",
        }
    }

    pub fn other(self) -> Who {
        match self {
            Who::Red => Who::Green,
            Who::Green => Who::Alice,
            Who::Alice => Who::Red,
        }
    }

    pub fn has_token(self) -> bool {
        self != Who::Alice
    }

    pub fn credential(self) -> String {
        match self {
            Who::Red | Who::Green => token(self, &format!("{:-<8}", self.name()), 360_000),
            Who::Alice => format!("{CREDENTIAL}-session"),
        }
    }
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Clear => "clear",
            Kind::Tls => "tls",
            Kind::H2 => "h2",
            Kind::Socket => "ws",
        }
    }

    pub fn host(self, who: Who) -> String {
        format!("{}.{}.test", who.name(), self.name())
    }

    pub fn secret_id(self, who: Who) -> String {
        format!("{}_{}", who.name(), self.name()).to_uppercase()
    }

    pub fn secret(self, who: Who) -> String {
        format!("{SECRET}-{}-{}", who.name(), self.name())
    }

    /// The injected field, and what stands around the secret in it.
    pub fn template(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Kind::Clear => ("authorization", "Bearer ", ""),
            Kind::Tls => ("x-api-key", "", ""),
            Kind::H2 => ("x-key", "key=", ";"),
            Kind::Socket => ("authorization", "Basic ", "="),
        }
    }
}

/// A token; `tag` has eight characters, `exp` is in seconds from now.
pub fn token(who: Who, tag: &str, exp: i64) -> String {
    token_of(&format!("system:serviceaccount:prod:{}", who.name()), &format!("{CREDENTIAL}{tag}"), exp)
}

fn token_of(subject: &str, signature: &str, exp: i64) -> String {
    static START: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    let now = *START.get_or_init(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64);
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims =
        json!({"aud": ["veilwarden"], "exp": now + exp, "iat": now - 10, "iss": "https://played.test", "sub": subject});
    format!("{}.{}.{signature}", part(json!({"alg": "RS256", "kid": "k"})), part(claims))
}
