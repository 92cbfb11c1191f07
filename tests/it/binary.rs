//! The contract of the binary that others rely on: the configuration, the ready line, and calls as README makes them.

mod broken_output;
mod calls;
mod commands;
mod demo;
mod start;
mod upstreams;

use crate::world::recorder::Recorder;

const SECRET: &str = "a-session-secret-for-tests";
const ENVIRONMENT: (&str, &str) = ("VEILWARDEN_SESSION_SECRET", SECRET);

/// The minimal file of the configuration contract; the route leads to the recorder.
fn minimal(upstream: &Recorder) -> String {
    let port = upstream.address.port();
    format!(
        "secrets: [{{id: KEY, value: minimal-value}}]\n\
         routes: [{{upstream_host: \"localhost:{port}\", upstream_scheme: http, secret_id: KEY, inject_header: Authorization, header_value_template: \"token {{{{secret}}}}\"}}]\n\
         policy: {{enabled: true, engine: config, default_allow: true}}\n"
    )
}

const FREE_PORTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
