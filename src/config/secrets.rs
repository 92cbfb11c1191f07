//! `secrets` and `secret_stores`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::mistakes::{Report, quoted};
use super::overrides::{Given, Outside};
use super::place::Place;
use super::{address, duration, files, raw};
use crate::secrets::{CacheSettings, DopplerSettings, Source, told_apart};

/// The entries, checked. Ids are unique.
pub(super) fn entries(file: &[raw::SecretEntry], report: &mut Report) -> Vec<(String, Source)> {
    let (mut sources, mut first) = (Vec::new(), HashMap::new());
    for (index, entry) in file.iter().enumerate() {
        let place = Place::of("secrets").index(index);
        match first.get(entry.id.as_str()) {
            _ if entry.id.trim().is_empty() => report.add(&place.key("id"), "must not be empty"),
            Some(before) => {
                let message = format!("duplicate id {}; it already stands in {before}", quoted(&entry.id));
                report.add(&place.key("id"), message);
            }
            None => _ = first.insert(entry.id.as_str(), place.clone()),
        }
        if let Some(source) = source(entry, &place, report) {
            sources.push((entry.id.clone(), source));
        }
    }
    sources
}

fn source(entry: &raw::SecretEntry, place: &Place, report: &mut Report) -> Option<Source> {
    let mut found = Vec::new();
    if let Some(value) = &entry.value {
        report.take(&place.key("value"), checked(value.expose_secret()));
        if told_apart(value.expose_secret().as_bytes()).is_none() {
            let message = "a secret of fewer than 8 bytes: answers are not searched for it";
            report.warn(&format!("{}: {message}", place.key("value")));
        }
        found.push(("value", Source::Value(value.clone())));
    }
    if let Some(name) = &entry.env {
        if name.is_empty() || name.contains(['=', '\0']) {
            report.add(&place.key("env"), "not the name of an environment variable");
        }
        found.push(("env", Source::Env(name.clone())));
    }
    if let Some(path) = &entry.file {
        if path.is_empty() {
            report.add(&place.key("file"), "must not be empty");
        }
        found.push(("file", Source::File(PathBuf::from(path))));
    }
    if let Some(doppler) = &entry.doppler {
        if doppler.name.is_empty() {
            report.add(&place.key("doppler").key("name"), "must not be empty");
        }
        let (project, config) = (filled(&doppler.project), filled(&doppler.config));
        found.push(("doppler", Source::Doppler { project, config, name: doppler.name.clone() }));
    }
    if found.len() > 1 {
        let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
        report.add(place, format!("has {} sources ({}) and needs exactly one", names.len(), names.join(", ")));
    } else if found.is_empty() {
        report.add(place, "needs a source: one of value, env, file or doppler");
    }
    found.pop().map(|(_, source)| source)
}

/// A value that a header can carry; one newline at the end is not part of it.
fn checked(value: &str) -> Result<(), &'static str> {
    let value = value.strip_suffix('\n').unwrap_or(value);
    let value = value.strip_suffix('\r').unwrap_or(value);
    if value.trim().is_empty() {
        return Err("must not be empty");
    }
    if value.contains(['\r', '\n', '\0']) {
        return Err("must not hold a line break or NUL");
    }
    Ok(())
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Doppler, when a token is given.
pub(super) struct Doppler {
    pub settings: Option<DopplerSettings>,
    /// Whether a token was given, usable or not.
    pub given: bool,
}

/// `secret_stores.doppler` and what overrides it.
pub(super) fn doppler(file: &raw::DopplerStore, outside: &Outside, report: &mut Report) -> Doppler {
    const SECTION: &str = "secret_stores.doppler";
    let flags = outside.flags;
    let base_url = outside.or_file(
        "--doppler-base-url",
        flags.doppler_base_url.as_deref(),
        &format!("{SECTION}.base_url"),
        &file.base_url,
    );
    let base_url = report.take(&base_url.from, address::service_url(&base_url.value));
    let timeout = timed("--doppler-timeout", flags.doppler_timeout.as_deref(), file.timeout, outside, report);
    if timeout.is_zero() {
        report.add(&Place::outside("--doppler-timeout"), "must be longer than 0s");
    }
    let named = |flag: &str, value: Option<&str>, borrowed: &str, text: &str| {
        let given = outside.given(flag, value).or_else(|| outside.variable(borrowed));
        given.map(|given| given.value).or_else(|| filled(text))
    };
    let project = named("--doppler-project", flags.doppler_project.as_deref(), "DOPPLER_PROJECT", &file.project);
    let config = named("--doppler-config", flags.doppler_config.as_deref(), "DOPPLER_CONFIG", &file.config);
    let token = match token(&file.token_file, outside, report) {
        Err(()) => return Doppler { settings: None, given: true },
        Ok(None) => return Doppler { settings: None, given: false },
        Ok(Some(token)) => token,
    };
    let settings = base_url.map(|base_url| DopplerSettings { base_url, token, project, config, timeout });
    Doppler { settings, given: true }
}

/// The first of flag, variables and file that is not blank. `Err(())`: given, reported, not usable.
fn token(file: &str, outside: &Outside, report: &mut Report) -> Result<Option<SecretString>, ()> {
    let flag = outside.secret("--doppler-token", outside.flags.doppler_token.as_ref());
    let given = if let Some(given) = flag.or_else(|| outside.secret_variable("DOPPLER_TOKEN")) {
        if given.from == Place::outside("--doppler-token") {
            report.warn("--doppler-token shows the token in the process list; use VEILWARDEN_DOPPLER_TOKEN");
        }
        given
    } else if file.is_empty() {
        return if report.is_broken(&Place::of("secret_stores.doppler.token_file")) { Err(()) } else { Ok(None) };
    } else {
        let from = Place::of("secret_stores.doppler.token_file");
        let value = report.take(&from, files::secret(Path::new(file))).ok_or(())?;
        Given { value, from }
    };
    let token = given.value.expose_secret().trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        report.add(&given.from, "not a Doppler token");
        return Err(());
    }
    Ok(Some(SecretString::from(token)))
}

/// How long fetched secrets are kept.
pub(super) fn cache(file: &raw::SecretStores, outside: &Outside, report: &mut Report) -> CacheSettings {
    let ttl = timed("--secret-cache-ttl", outside.flags.secret_cache_ttl.as_deref(), file.cache_ttl, outside, report);
    CacheSettings { ttl, max_stale: file.max_stale.0 }
}

fn timed(flag: &str, value: Option<&str>, file: raw::Time, outside: &Outside, report: &mut Report) -> Duration {
    let Some(given) = outside.given(flag, value) else { return file.0 };
    let parsed = duration::parse(&given.value).map_err(|message| format!("{}: {message}", quoted(&given.value)));
    report.take(&given.from, parsed).unwrap_or(file.0)
}

/// Refuses Doppler entries without a token, and a token without the project and config that something needs.
pub(super) fn check_doppler(
    doppler: &Doppler,
    entries: &[raw::SecretEntry],
    routes_look_up: bool,
    report: &mut Report,
) {
    let with_doppler =
        || entries.iter().enumerate().filter_map(|(index, entry)| Some((index, entry.doppler.as_ref()?)));
    if !doppler.given {
        for (index, _) in with_doppler() {
            let message =
                "needs a Doppler token: VEILWARDEN_DOPPLER_TOKEN, DOPPLER_TOKEN, or secret_stores.doppler.token_file";
            report.add(&Place::of("secrets").index(index).key("doppler"), message);
        }
        return;
    }
    let Some(settings) = &doppler.settings else { return };
    let all_name_their_own = with_doppler().all(|(_, entry)| !entry.project.is_empty() && !entry.config.is_empty());
    if all_name_their_own && with_doppler().next().is_some() && !routes_look_up {
        return;
    }
    for (missing, key) in [(settings.project.is_none(), "project"), (settings.config.is_none(), "config")] {
        if missing {
            let upper = key.to_ascii_uppercase();
            let message = format!(
                "a Doppler token needs a {key}: --doppler-{key}, VEILWARDEN_DOPPLER_{upper}, DOPPLER_{upper}, or this key"
            );
            report.add(&Place::of("secret_stores.doppler").key(key), message);
        }
    }
}
