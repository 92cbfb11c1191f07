//! Who plays: callers with their credentials and secrets, the hosts that each may call, and the configuration of it all.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::test_runner::TestRng;
use serde_json::{Value, json};

use crate::plan::pick;

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

/// Upstreams: HTTP/1 in clear, HTTP/1 over TLS, HTTP/2 over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Clear,
    Tls,
    H2,
}

/// Ways in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    Reverse,
    Absolute,
    Tunnel,
    H2c,
    TunnelH2,
}

pub const EVERYBODY: [Who; 3] = [Who::Red, Who::Green, Who::Alice];
pub const KINDS: [Kind; 3] = [Kind::Clear, Kind::Tls, Kind::H2];

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
        }
    }
}

impl Way {
    pub fn throw(dice: &mut TestRng) -> Way {
        use Way::{Absolute, H2c, Reverse, Tunnel, TunnelH2};
        pick(dice, &[(35, Reverse), (15, Absolute), (20, Tunnel), (20, H2c), (10, TunnelH2)])
    }

    pub fn kinds(self) -> &'static [(u32, Kind)] {
        match self {
            Way::Reverse | Way::H2c => &[(1, Kind::Clear), (1, Kind::Tls), (1, Kind::H2)],
            Way::Absolute => &[(1, Kind::Clear)],
            Way::Tunnel | Way::TunnelH2 => &[(1, Kind::Tls), (1, Kind::H2)],
        }
    }

    pub fn is_http2(self) -> bool {
        matches!(self, Way::H2c | Way::TunnelH2)
    }

    pub fn is_tunnel(self) -> bool {
        matches!(self, Way::Tunnel | Way::TunnelH2)
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

/// Where the peers are.
pub struct Addresses {
    pub api_server: SocketAddr,
    pub store: SocketAddr,
    pub upstreams: [SocketAddr; 3],
}

const POLICY: &str = "package veilwarden.authz\n\nimport rego.v1\n\ndefault allow := false\n\n\
    allow if {\n\tstartswith(input.path, \"/ok/\")\n\town\n}\n\n\
    own if startswith(input.upstream_host, concat(\"\", [input.service_account, \".\"]))\n\n\
    own if startswith(input.upstream_host, concat(\"\", [input.user_id, \".\"]))\n";

/// Writes everything that the program reads into a directory and returns its configuration's path. `ca`: who signs the
/// upstreams' certificates.
pub fn configure(directory: &Path, addresses: &Addresses, ca: &str, log: &str) -> String {
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    std::fs::create_dir_all(directory.join("policies")).unwrap();
    write("policies/policy.rego", POLICY);
    let policies = directory.join("policies").display().to_string();
    let state = directory.join("state").display().to_string();
    let (ca, store_token) = (write("upstreams.pem", ca), write("store-token", STORE_TOKEN));
    let own_token = write("own-token", &token_of("system:serviceaccount:veilwarden:veilwarden", STORE_TOKEN, 360_000));
    let Addresses { api_server, store, upstreams } = addresses;
    let kubeconfig = write(
        "kubeconfig",
        &format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: \"http://{api_server}\"}}}}]\n\
             users: [{{name: u, user: {{tokenFile: \"{own_token}\"}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
        ),
    );
    let (mut secrets, mut routes) = (String::new(), String::new());
    for (kind, address) in KINDS.into_iter().zip(upstreams) {
        for who in EVERYBODY {
            let (id, host, secret) = (kind.secret_id(who), kind.host(who), kind.secret(who));
            // Those of one kind come from the store.
            if kind != Kind::Tls {
                secrets.push_str(&format!("  - {{id: {id}, value: {secret}}}\n"));
            }
            let (field, before, after) = kind.template();
            let security = match kind {
                Kind::Clear => "upstream_scheme: http".to_owned(),
                Kind::Tls | Kind::H2 => format!("ca_file: \"{ca}\""),
            };
            routes.push_str(&format!(
                "  - {{upstream_host: {host}, upstream_address: \"{address}\", {security}, secret_id: {id}, inject_header: {field}, \
                 header_value_template: \"{before}{{{{secret}}}}{after}\", timeouts: {{connect: 5s, first_byte: 5s, idle: 5s}}}}\n"
            ));
        }
    }
    let text = format!(
        "listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\nstate_dir: \"{state}\"\nuser: {{id: alice}}\n\
         kubernetes: {{enabled: true, kubeconfig: \"{kubeconfig}\", timeout: 2s, cache_ttl: 300ms, negative_cache_ttl: 300ms, max_reviews_per_second: 100000}}\n\
         secrets:\n{secrets}secret_stores: {{doppler: {{base_url: \"http://{store}\", token_file: \"{store_token}\", project: web, config: prd, timeout: 2s}}, cache_ttl: 500ms, max_stale: 3s}}\n\
         routes:\n{routes}policy: {{engine: opa, policy_path: \"{policies}\", timeout: 10s}}\naudit: {{output: stdout}}\nlog: {{level: {log}, format: json}}\n"
    );
    write("veilwarden.yaml", &text)
}
