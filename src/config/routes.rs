//! The entries of `routes`.

use std::collections::HashMap;
use std::path::PathBuf;

use super::address::{self, is_loopback_host};
use super::mistakes::{Report, quoted};
use super::place::Place;
use super::{host, injection, listeners, raw, spelling};
use crate::authn::is_label;
use crate::redact::Redaction;
use crate::route::{Http2, InjectionSettings, Names, RouteSettings, Scheme, Timeouts};

/// What routes may name: the ids of `secrets`, and whether Doppler is asked for the others.
pub(super) struct Known<'a> {
    pub entries: &'a [raw::SecretEntry],
    pub doppler: bool,
}

/// The routes, checked. Hosts are unique by name and effective port.
pub(super) fn routes(file: &[raw::Route], known: &Known, report: &mut Report) -> Vec<RouteSettings> {
    if file.is_empty() {
        report.add(&Place::of("routes"), "no routes: without one, every call is refused; see examples/minimal.yaml");
    }
    let (mut first, mut local_names) = (HashMap::new(), HashMap::new());
    let mut routes = Vec::new();
    for (index, raw) in file.iter().enumerate() {
        let place = Place::of("routes").index(index);
        let names = report.take(&place.key("upstream_host"), host::parse(&raw.upstream_host));
        let settings = route(raw, names.as_ref(), &place, report);
        if let Some(names) = names {
            let port = names.host().port().unwrap_or(settings.scheme.default_port());
            let target = names.with_port(Some(port)).to_string();
            if let Some(before) = first.get(&target) {
                let message = format!(
                    "config: duplicate route for host {}; it already stands in {before}",
                    quoted(&raw.upstream_host.to_ascii_lowercase())
                );
                report.add(&place.key("upstream_host"), message);
            } else {
                first.insert(target, place.clone());
            }
        }
        if let Some(name) = &settings.local_name {
            check_unique(name, &place.key("local_name"), &mut local_names, report);
        }
        if let Some(injection) = &settings.injection {
            check_secret(&injection.secret_id, &place.key("secret_id"), known, report);
        }
        routes.push(settings);
    }
    routes
}

fn route(raw: &raw::Route, names: Option<&Names>, place: &Place, report: &mut Report) -> RouteSettings {
    let scheme = match raw.upstream_scheme {
        raw::Scheme::Https => Scheme::Https,
        raw::Scheme::Http => Scheme::Http,
    };
    let http2 = match raw.upstream_http2 {
        raw::Switch::Auto => Http2::Auto,
        raw::Switch::On => Http2::Only,
        raw::Switch::Off => Http2::Never,
    };
    let upstream_address = match raw.upstream_address.as_str() {
        "" => None,
        text => report.take(&place.key("upstream_address"), address::upstream(text)),
    };
    let on_loopback = match upstream_address {
        Some(address) => Some(address.ip().to_canonical().is_loopback()),
        None if raw.upstream_address.is_empty() => names.map(|names| is_loopback_host(names.host().name())),
        None => None,
    };
    // Without a readable host or address there is nothing to say about it yet.
    if scheme == Scheme::Http && !raw.allow_cleartext && on_loopback == Some(false) {
        let message = "sends calls and secrets in cleartext; use https, or allow it with allow_cleartext: true";
        report.add(&place.key("upstream_scheme"), message);
    }
    if raw.relay && !raw.secret_id.is_empty() {
        let message = "passes TLS through untouched, so no secret can be put in: remove one of relay and secret_id";
        report.add(&place.key("relay"), message);
    }
    if raw.websocket && http2 == Http2::Only {
        let message = "needs HTTP/1.1 to the upstream, and upstream_http2: true speaks nothing but HTTP/2";
        report.add(&place.key("websocket"), message);
    }
    if let (Some(Names::Below(_)), false) = (names, raw.local_name.is_empty()) {
        let message = "a URL with this name would not say which of the wildcard's hosts is meant: remove local_name, or give \
            that host a route of its own";
        report.add(&place.key("local_name"), message);
    }
    RouteSettings {
        upstream_host: raw.upstream_host.clone(),
        scheme,
        http2,
        upstream_address,
        allow_cidrs: listeners::networks(&raw.allow_cidrs, &place.key("allow_cidrs"), report),
        ca_file: (!raw.ca_file.is_empty()).then(|| PathBuf::from(&raw.ca_file)),
        injection: injection(raw, place, report),
        relay: raw.relay,
        websocket: raw.websocket,
        allow_encoded_slash: raw.allow_encoded_slash,
        redaction: match raw.redact {
            raw::Redaction::Redact => Redaction::Redact,
            raw::Redaction::Block => Redaction::Block,
            raw::Redaction::Off => Redaction::Off,
        },
        allow_range: raw.allow_range,
        caller_slots: caller_slots(&raw.caller_slots, &place.key("caller_slots"), report),
        local_name: local_name(&raw.local_name, &place.key("local_name"), report),
        timeouts: Timeouts {
            connect: raw.timeouts.connect.0,
            first_byte: raw.timeouts.first_byte.0,
            idle: raw.timeouts.idle.0,
        },
    }
}

/// Names of fields, each once in whatever spelling.
fn caller_slots(names: &[String], place: &Place, report: &mut Report) -> Vec<String> {
    let mut seen = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let place = place.index(index);
        let plain = name.to_ascii_lowercase().replace('_', "-");
        let Some(()) = report.take(&place, injection::slot(name)) else { continue };
        if seen.contains(&plain) {
            report.add(&place, format!("{} is listed twice", quoted(name)));
        }
        seen.push(plain);
    }
    names.to_vec()
}

/// A DNS label in lower case, as a path has no other spelling of it.
fn local_name(text: &str, place: &Place, report: &mut Report) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    if is_label(text) {
        return Some(text.to_owned());
    }
    let bare = text.trim_start_matches("/_route").trim_matches('/').trim_end_matches(".localhost");
    let near: String = bare.to_ascii_lowercase().replace(['_', '.', ' '], "-");
    let hint = if is_label(&near) { format!("; did you mean {}?", quoted(&near)) } else { String::new() };
    let message = "is not a DNS label: 1 to 63 lower-case letters, digits and inner hyphens";
    report.add(place, format!("{} {message}{hint}", quoted(text)));
    None
}

fn check_unique(name: &str, place: &Place, names: &mut HashMap<String, Place>, report: &mut Report) {
    if let Some(before) = names.get(name) {
        report.add(place, format!("{} already stands in {before}; each route has its own", quoted(name)));
    } else {
        names.insert(name.to_owned(), place.clone());
    }
}

/// The three keys of an injection: all of them, or none.
fn injection(raw: &raw::Route, place: &Place, report: &mut Report) -> Option<InjectionSettings> {
    let keys = [
        ("secret_id", &raw.secret_id),
        ("inject_header", &raw.inject_header),
        ("header_value_template", &raw.header_value_template),
    ];
    let there = |key: &str, text: &str| !text.is_empty() || report.is_broken(&place.key(key));
    let (given, missing): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(key, text)| there(key, text));
    let (first, _) = given.first()?;
    if !missing.is_empty() {
        let missing: Vec<&str> = missing.iter().map(|(key, _)| *key).collect();
        report.add(&place.key(first), format!("needs {} beside it", missing.join(" and ")));
    }
    if !raw.inject_header.is_empty() {
        report.take(&place.key("inject_header"), injection::header(&raw.inject_header));
    }
    if !raw.header_value_template.is_empty() {
        report.take(&place.key("header_value_template"), injection::template(&raw.header_value_template));
    }
    (!raw.secret_id.is_empty()).then(|| InjectionSettings {
        secret_id: raw.secret_id.clone(),
        header: raw.inject_header.clone(),
        template: raw.header_value_template.clone(),
    })
}

fn check_secret(id: &str, place: &Place, known: &Known, report: &mut Report) {
    let ids = || known.entries.iter().map(|entry| entry.id.as_str());
    let secrets = Place::of("secrets");
    // An entry whose id could not be read may be the one that is meant.
    let unreadable = |index| report.is_broken(&secrets.index(index).key("id"));
    if known.doppler
        || ids().any(|known| known == id)
        || report.is_broken(&secrets)
        || (0..known.entries.len()).any(unreadable)
    {
        return;
    }
    let hint = match spelling::nearest(id, ids().filter(|id| !id.is_empty())) {
        Some(near) => format!("; did you mean {}?", quoted(near)),
        None => "; add one, or give a Doppler token (VEILWARDEN_DOPPLER_TOKEN or secret_stores.doppler.token_file)"
            .to_owned(),
    };
    report.add(place, format!("no entry of secrets has the id {}{hint}", quoted(id)));
}

/// Whether some route's secret is looked up in Doppler because no entry names it.
pub(super) fn look_up(routes: &[RouteSettings], entries: &[raw::SecretEntry]) -> bool {
    let mut ids = routes.iter().filter_map(|route| route.injection.as_ref()).map(|injection| &injection.secret_id);
    ids.any(|id| !entries.iter().any(|entry| entry.id == *id))
}
