//! The configuration of it all.

use std::net::SocketAddr;
use std::path::Path;

use super::{EVERYBODY, KINDS, Kind, STORE_TOKEN, token_of};

/// Where the peers are.
pub struct Addresses {
    pub api_server: SocketAddr,
    pub store: SocketAddr,
    pub upstreams: [SocketAddr; KINDS.len()],
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
            let more = match kind {
                Kind::Clear => "upstream_scheme: http, websocket: true".to_owned(),
                Kind::Tls | Kind::H2 => format!("ca_file: \"{ca}\""),
                Kind::Socket => format!("ca_file: \"{ca}\", websocket: true"),
            };
            routes.push_str(&format!(
                "  - {{upstream_host: {host}, upstream_address: \"{address}\", {more}, secret_id: {id}, inject_header: {field}, \
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
