//! What callers may prove themselves with: the session secret, its identity, and Kubernetes.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::mistakes::{Report, quoted};
use super::overrides::{Given, Outside};
use super::place::Place;
use super::{address, clusters, files, pods, raw};
use crate::authn::{KubernetesSettings, User, ValidateMethod};

/// The shortest session secret, in bytes.
const SHORTEST_SECRET: usize = 16;

/// The session secret. Flags before variables before the file; the `_FILE` form first in each.
/// Its mistakes are reported; `Err(())` says that one was given and is not usable.
pub(super) fn session_secret(file: &str, outside: &Outside, report: &mut Report) -> Result<Option<SecretString>, ()> {
    let flags = outside.flags;
    let flag_file = flags.session_secret_file.as_deref().filter(|path| !path.trim().is_empty());
    let flag = flags.session_secret.as_ref().filter(|secret| !secret.expose_secret().trim().is_empty());
    let given = if let Some(path) = flag_file {
        from_file(path, Place::outside("--session-secret-file"), report)?
    } else if let Some(secret) = flag {
        report.warn("--session-secret shows the secret in the process list; use --session-secret-file");
        Given { value: secret.clone(), from: Place::outside("--session-secret") }
    } else if let Some(path) = outside.variable("VEILWARDEN_SESSION_SECRET_FILE") {
        from_file(&path.value, path.from, report)?
    } else if let Some(secret) = outside.secret_variable("VEILWARDEN_SESSION_SECRET") {
        secret
    } else if !file.is_empty() {
        from_file(file, Place::of("session_secret_file"), report)?
    } else if report.is_broken(&Place::of("session_secret_file")) {
        return Err(());
    } else {
        return Ok(None);
    };
    match usable(given.value.expose_secret()) {
        Ok(()) => Ok(Some(given.value)),
        Err(message) => {
            report.add(&given.from, message);
            Err(())
        }
    }
}

fn from_file(path: &str, from: Place, report: &mut Report) -> Result<Given<SecretString>, ()> {
    let value = report.take(&from, files::secret(Path::new(path))).ok_or(())?;
    Ok(Given { value, from })
}

/// A secret that a caller can send in a header field, where blanks at the ends are lost.
fn usable(secret: &str) -> Result<(), String> {
    if secret.len() < SHORTEST_SECRET {
        return Err(format!(
            "the session secret has {} bytes and needs at least {SHORTEST_SECRET}; `openssl rand -base64 32` makes one",
            secret.len()
        ));
    }
    let at_an_end = |index: usize| index == 0 || index + 1 == secret.chars().count();
    let unfit = |&(index, c): &(usize, char)| !matches!(c, ' '..='~') || (c == ' ' && at_an_end(index));
    match secret.chars().enumerate().find(unfit) {
        None => Ok(()),
        Some((index, c)) => {
            Err(format!("no header can carry the session secret: its character {} is {}", index + 1, kind(c)))
        }
    }
}

/// What kind of character it is, which gives nothing of a secret away.
fn kind(c: char) -> &'static str {
    match c {
        '\u{feff}' => "a byte order mark: save the file without one",
        '\n' | '\r' => "the end of a line, of which a file may have one, at its end",
        ' ' => "a blank at an end",
        '\t' => "a tab",
        c if c.is_control() => "a control character",
        _ => "not an ASCII character",
    }
}

/// The identity of session-secret callers.
pub(super) fn user(file: &raw::User, outside: &Outside) -> User {
    let flags = outside.flags;
    User {
        id: outside.or_file("--user-id", flags.user_id.as_deref(), "user.id", &file.id).value,
        email: outside.or_file("--user-email", flags.user_email.as_deref(), "user.email", &file.email).value,
        org: outside.or_file("--user-org", flags.user_org.as_deref(), "user.org", &file.org).value,
    }
}

/// Whether Kubernetes authentication is on. `auto` goes by veilwarden's own token file and `KUBERNETES_SERVICE_HOST`.
pub(super) fn kubernetes_is_on(setting: raw::Switch, token_exists: bool, service_host_is_set: bool) -> bool {
    match setting {
        raw::Switch::On => true,
        raw::Switch::Off => false,
        raw::Switch::Auto => token_exists || service_host_is_set,
    }
}

/// The `kubernetes` section; `None` when it is off. Its values are checked in either case.
pub(super) fn kubernetes(file: &raw::Kubernetes, outside: &Outside, report: &mut Report) -> Option<KubernetesSettings> {
    let flags = outside.flags;
    let setting = switch(file.enabled, outside, report);
    let validate_method = validate_method(file.validate_method, outside, report);
    let api_server = {
        let given = outside.or_file(
            "--k8s-api-server",
            flags.k8s_api_server.as_deref(),
            "kubernetes.api_server",
            &file.api_server,
        );
        if given.value.is_empty() { None } else { report.take(&given.from, address::service_url(&given.value)) }
    };
    let token_path = path_or(&file.token_path, &raw::Kubernetes::default().token_path);
    let clusters = clusters::clusters(file, validate_method, report);
    let service_host = outside.variable("KUBERNETES_SERVICE_HOST").is_some();
    let on = kubernetes_is_on(setting, token_path.exists(), service_host);
    let pods = pods::pods(file, on, outside, report);
    if !on {
        return None;
    }
    if !file.require_audience {
        report.warn(
            "kubernetes.require_audience is false: a token for the API server is accepted too, so whoever receives a \
             pod's ordinary token elsewhere can spend it here",
        );
    }
    let judged_here = std::iter::once(validate_method).chain(clusters.iter().map(|cluster| cluster.validate_method));
    if file.max_token_age != raw::Kubernetes::default().max_token_age
        && judged_here.into_iter().all(|method| method != ValidateMethod::Jwks)
    {
        report.warn("kubernetes.max_token_age counts with validate_method: jwks only: else the API server is asked");
    }
    let kubeconfig = || outside.variable("KUBECONFIG").map(|given| PathBuf::from(given.value));
    Some(KubernetesSettings {
        cluster: clusters::own_name(file),
        validate_method,
        issuer: Some(file.issuer.clone()).filter(|issuer| !issuer.is_empty()),
        max_token_age: file.max_token_age.0,
        clusters,
        api_server,
        kubeconfig: Some(PathBuf::from(&file.kubeconfig))
            .filter(|path| !path.as_os_str().is_empty())
            .or_else(kubeconfig),
        context: Some(file.context.clone()).filter(|context| !context.is_empty()),
        token_path,
        ca_path: path_or(&file.ca_path, &raw::Kubernetes::default().ca_path),
        audience: file.audience.clone(),
        require_audience: file.require_audience,
        cache_ttl: file.cache_ttl.0,
        negative_cache_ttl: file.negative_cache_ttl.0,
        cache_entries: file.cache_entries,
        timeout: file.timeout.0,
        // `shape` lets no zero through; one review a second is what is left of it.
        max_reviews_per_second: file.max_reviews_per_second.try_into().unwrap_or(std::num::NonZeroU32::MIN),
        pods,
    })
}

fn path_or(path: &str, default: &str) -> PathBuf {
    PathBuf::from(if path.is_empty() { default } else { path })
}

fn switch(file: raw::Switch, outside: &Outside, report: &mut Report) -> raw::Switch {
    let Some(given) = outside.given("--k8s-enabled", outside.flags.k8s_enabled.as_deref()) else { return file };
    raw::Switch::parse(&given.value).unwrap_or_else(|| {
        report.add(&given.from, format!("unknown value {}; use auto, true or false", quoted(&given.value)));
        file
    })
}

fn validate_method(file: raw::ValidateMethod, outside: &Outside, report: &mut Report) -> ValidateMethod {
    let Some(given) = outside.given("--k8s-validate-method", outside.flags.k8s_validate_method.as_deref()) else {
        return file.into();
    };
    match given.value.as_str() {
        "tokenreview" => ValidateMethod::TokenReview,
        "jwks" => ValidateMethod::Jwks,
        "both" => ValidateMethod::Both,
        other => {
            report.add(&given.from, format!("unknown value {}; use tokenreview, jwks or both", quoted(other)));
            file.into()
        }
    }
}

/// Refuses a configuration that lets nobody in.
pub(super) fn refuse_without_any(report: &mut Report) {
    report.add(
        &Place::root(),
        "nobody could authenticate: give a session secret with --session-secret-file, --session-secret, or the variable \
         VEILWARDEN_SESSION_SECRET (`openssl rand -base64 32` makes one), or turn Kubernetes authentication on with \
         kubernetes.enabled: true or --k8s-enabled=true (auto does so inside a cluster)",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r88_auto_goes_by_the_token_file_and_the_service_host() {
        use raw::Switch::{Auto, Off, On};
        for (setting, token, host, on) in [
            (Auto, false, false, false),
            (Auto, true, false, true),
            (Auto, false, true, true),
            (On, false, false, true),
            (Off, true, true, false),
        ] {
            assert_eq!(kubernetes_is_on(setting, token, host), on, "{setting:?} {token} {host}");
        }
    }

    #[test]
    fn h38_a_short_or_unsendable_session_secret_is_refused() {
        assert_eq!(usable("0123456789abcdef"), Ok(()));
        for secret in ["", "12345678", "0123456789abcde", "0123456789abcdef\n", " 0123456789abcdef", "0123456789abcdé"]
        {
            assert!(usable(secret).is_err(), "{secret:?}");
        }
        for (secret, said) in [
            ("\u{feff}0123456789abcdef", "character 1 is a byte order mark"),
            ("0123456789abcdef\n", "character 17 is the end of a line"),
            ("0123456789\tabcdef", "character 11 is a tab"),
            ("0123456789abcdef ", "character 17 is a blank at an end"),
            ("0123456789\u{7f}abcdef", "character 11 is a control character"),
            ("0123456789é\u{7f}abcdef", "character 11 is not an ASCII character"),
        ] {
            let message = usable(secret).unwrap_err();
            assert!(message.contains(said) && !message.contains("0123"), "{secret:?}: {message}");
        }
    }
}
