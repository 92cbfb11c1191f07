//! The `policy` section.

use std::path::PathBuf;

use super::mistakes::{Report, quoted};
use super::place::Place;
use super::raw;
use crate::policy::Settings;

/// What the section means, and what its absence means.
pub(super) fn policy(file: Option<&raw::Policy>, kubernetes_is_on: bool, report: &mut Report) -> Settings {
    let place = Place::of("policy");
    let Some(file) = file else {
        if kubernetes_is_on {
            report.add(
                &place,
                "Kubernetes authentication is on and there is no policy section, so every workload could make every call; \
                 add one (engine: opa with policy_path, or engine: config with default_allow)",
            );
        } else if !report.is_broken(&place) {
            report.warn(
                "there is no policy section: every authenticated caller may make every call that the routes allow",
            );
        }
        return Settings::Off;
    };
    if !file.enabled {
        report.warn("policy.enabled is false: every authenticated caller may make every call that the routes allow");
        return Settings::Off;
    }
    match file.engine {
        raw::Engine::Config => {
            if !file.policy_path.is_empty() {
                report.warn("policy.policy_path is not read, because policy.engine is config and not opa");
            }
            Settings::Fixed { default_allow: file.default_allow }
        }
        raw::Engine::Opa => {
            if file.policy_path.is_empty() {
                report.add(&place.key("policy_path"), "engine: opa needs the directory with the policies");
            }
            if file.default_allow {
                report.warn(
                    "policy.default_allow is not looked at, because policy.engine is opa: the policy itself decides",
                );
            }
            report.take(&place.key("decision_path"), decision_path(&file.decision_path));
            Settings::Rego {
                policy_path: PathBuf::from(&file.policy_path),
                decision_path: file.decision_path.clone(),
                timeout: file.timeout.0,
            }
        }
    }
}

/// A path of Rego names: the package's, then the rule's.
fn decision_path(path: &str) -> Result<(), String> {
    let is_name = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if path.split('/').all(is_name) && path.contains('/') && !path.starts_with("data/") {
        return Ok(());
    }
    let meant = path.replace('.', "/");
    let meant = meant.trim_matches('/');
    let meant = meant.strip_prefix("data/").unwrap_or(meant);
    if meant != path && meant.contains('/') && meant.split('/').all(is_name) {
        return Err(format!("{} is not a path to a rule; did you mean \"{meant}\"?", quoted(path)));
    }
    Err(format!("{} is not a path to a rule such as veilwarden/authz/allow", quoted(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r35_a_decision_path_names_a_package_and_a_rule() {
        assert_eq!(decision_path("veilwarden/authz/allow"), Ok(()));
        for path in ["data.veilwarden.authz.allow", "veilwarden.authz.allow", "/veilwarden/authz/allow"] {
            assert!(decision_path(path).unwrap_err().ends_with("did you mean \"veilwarden/authz/allow\"?"), "{path}");
        }
        for path in ["", "allow", "a//b", "a b/c", "1a/b", "veilwarden/authz/allow[x]"] {
            assert!(decision_path(path).unwrap_err().ends_with("such as veilwarden/authz/allow"), "{path}");
        }
    }
}
