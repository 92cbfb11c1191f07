//! The place of it all: every kind of secret, each with a value of its own, and callers with every kind of credential.

use super::ways;
use crate::world::World;
use crate::world::canary::Canary;
use crate::world::kubernetes::token;
use crate::world::process::file;
use crate::world::recorder::Recorder;
use crate::world::tls::Authority;

const POLICY: &str = r#"package veilwarden.authz
import rego.v1
default allow := false
allow if { print("policy print", input); startswith(input.path, "/allowed") }
allow := [1 | input.path][0] if input.path == "/error"
deny_reason := "only /allowed is allowed" if not startswith(input.path, "/allowed")
"#;

/// A world with every kind of secret, a policy that prints its input, and a name for each secret.
pub struct Stage {
    pub world: World,
    pub canaries: Canaries,
    pub tls: Recorder,
}

/// What must not be found: `secrets` in what we write, `credentials` neither there nor in what an upstream gets.
pub struct Canaries {
    pub secrets: Vec<Canary>,
    pub credentials: Vec<Canary>,
    pub good: String,
    pub refused: String,
    pub expired: String,
    pub wrong_session: String,
    pub stored: Vec<(&'static str, String)>,
    /// One for each fault of the API server, because its refusals are remembered.
    pub judged: Vec<String>,
}

impl Canaries {
    pub fn all(&self) -> Vec<Canary> {
        [&self.secrets[..], &self.credentials].concat()
    }
}

/// `log` is how the log is written.
pub async fn stage(tag: &str, log: &str) -> Stage {
    let (world, tls, authority) = (World::new().await, Recorder::start().await, Authority::new());
    let front = authority.front("tls.test", tls.address).await;
    let ca = authority.file(world.directory.path());
    let filed = format!("filed/{tag}?\"quoted\"\\=filed");
    let over_tls = format!("over+{tag}/tls==tls");
    let file = file(world.directory.path(), "secret", &filed);
    let address = front.address;
    let world = world
        .kubernetes()
        .await
        .kubernetes_options("cache_ttl: 1ms, negative_cache_ttl: 1ms, max_reviews_per_second: 10000")
        .doppler()
        .await
        .store_options("cache_ttl: 10m")
        .rego(POLICY)
        .config(&format!("log: {{level: trace, format: {log}}}"))
        .secret(&format!("{{id: OVER_TLS, value: \"{over_tls}\"}}"))
        .secret(&format!("{{id: FILED, file: \"{file}\"}}"))
        .route(&format!("{{upstream_host: tls.test, upstream_address: \"{address}\", ca_file: \"{}\", secret_id: OVER_TLS, inject_header: X-Key, header_value_template: \"key={{{{secret}}}};\"}}", ca.display()))
        .route_to_a("filed.test", "FILED");
    let a = world.a.address;
    let world = world.route(&format!("{{upstream_host: blocked.test, upstream_scheme: http, upstream_address: \"{a}\", redact: block, secret_id: KEY_A, inject_header: X-Key, header_value_template: \"{{{{secret}}}}\"}}"));
    let stored: Vec<(&str, String)> =
        ["STORED_0", "STORED_1", "STORED_2", "STORED_3", "STORED_4", "STORED_5", "STORED_6", "STORED_7"]
            .into_iter()
            .map(|name| (name, format!("{name}-{tag}-7f3a9c")))
            .collect();
    let world = stored.iter().fold(world, |world, (name, _)| world.route_to_a(&host_of(name), name));
    let world = ways::opened(world);
    let canaries = canaries(&world, tag, stored, &[("FILED", &filed), ("OVER_TLS", &over_tls)]);
    Stage { world, canaries, tls }
}

pub fn host_of(secret_id: &str) -> String {
    format!("{}.test", secret_id.to_ascii_lowercase().replace('_', "-"))
}

/// The secret part of a token. Whatever holds the whole of it, in any form, holds this in the same form.
fn signature(token: &str) -> &str {
    token.rsplit('.').next().unwrap()
}

/// Faults of the API server that are played.
pub const FAULTS: usize = 11;

fn canaries(world: &World, tag: &str, stored: Vec<(&'static str, String)>, more: &[(&str, &String)]) -> Canaries {
    let (kubernetes, doppler) = (world.kubernetes.as_ref().unwrap(), world.doppler.as_ref().unwrap());
    let good = kubernetes.token.clone();
    let refused = token(&format!("refused-{tag}"), "veilwarden", 3600);
    let expired = token(&format!("expired-{tag}"), "veilwarden", -60);
    let wrong_session = format!("wrong-session-{tag}-secret");
    let mut secrets = vec![
        Canary::new("KEY_A", &world.canary_a()),
        Canary::new("KEY_B", &world.canary_b()),
        Canary::new("the Doppler token", &doppler.token),
        Canary::new("our own token", signature(&kubernetes.own_token)),
    ];
    secrets.extend(stored.iter().map(|(name, value)| Canary::new(name, value)));
    secrets.extend(more.iter().map(|(name, value)| Canary::new(name, value)));
    let session = world.session_secret();
    let mut credentials = vec![Canary::new("the session secret", &session), Canary::new("a wrong one", &wrong_session)];
    let judged: Vec<String> = (0..FAULTS).map(|n| token(&format!("judged-{n}-{tag}"), "veilwarden", 3600)).collect();
    let tokens = [("the good token", &good), ("the refused token", &refused), ("the expired token", &expired)];
    for (name, token) in tokens.into_iter().chain(judged.iter().map(|token| ("a token of a failing API server", token)))
    {
        credentials.push(Canary::new(name, signature(token)));
    }
    Canaries { secrets, credentials, good, refused, expired, wrong_session, stored, judged }
}
