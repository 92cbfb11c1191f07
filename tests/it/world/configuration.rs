//! The configuration of a world.

use std::path::Path;

use veilwarden::config::{Config, Overrides};

use super::World;

impl World {
    /// The configuration as text.
    pub fn yaml(&self) -> String {
        let (a, b, lines, policy, rest) = (self.a.address, self.b.address, &self.route_lines, &self.policy, &self.rest);
        let directory = self.directory.path().display();
        let listen = &self.listen;
        let kubernetes = match &self.kubernetes {
            Some(kubernetes) => kubernetes.section(self.directory.path(), &self.kubernetes_lines),
            None => "{enabled: false}".to_owned(),
        };
        let doppler = match &self.doppler {
            Some(doppler) => doppler.section(self.directory.path(), &self.doppler_lines),
            None => "{}".to_owned(),
        };
        let (store_lines, more_secrets, more_routes) = (&self.store_lines, &self.more_secrets, &self.more_routes);
        let (canary_a, canary_b) = (self.canary_a(), self.canary_b());
        format!(
            "listen: {listen}\nadmin_listen: 127.0.0.1:0\nuser: {{id: alice, email: alice@example.com, org: engineering}}\n\
             kubernetes: {kubernetes}\n\
             secrets:\n  - {{id: KEY_A, value: {canary_a}}}\n  - {{id: KEY_B, value: {canary_b}}}\n{more_secrets}\
             secret_stores: {{doppler: {doppler}{store_lines}}}\n\
             routes:\n\
             \x20 - {{upstream_host: a.test, upstream_scheme: http, upstream_address: \"{a}\", secret_id: KEY_A, inject_header: Authorization, header_value_template: \"Bearer {{{{secret}}}}\"{lines}}}\n\
             \x20 - {{upstream_host: b.test, upstream_scheme: http, upstream_address: \"{b}\", secret_id: KEY_B, inject_header: X-Api-Key, header_value_template: \"{{{{secret}}}}\"{lines}}}\n{more_routes}\
             policy: {policy}\naudit: {{output: \"{directory}/audit.jsonl\"}}\n{rest}\n"
        )
    }

    /// The configuration, as the app gets it.
    pub fn parsed(&self) -> Config {
        let secret = self.session_secret();
        let environment = |name: &str| (name == "VEILWARDEN_SESSION_SECRET").then(|| secret.clone());
        Config::parse(&self.yaml(), Path::new("world.yaml"), &Overrides::default(), &environment)
            .unwrap_or_else(|mistakes| panic!("{mistakes}\n{}", self.yaml()))
    }
}
