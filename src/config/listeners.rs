//! `listen`, `admin_listen` and `allow_peers`.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::mistakes::Report;
use super::overrides::{Given, Outside};
use super::place::Place;
use super::{address, raw};

/// Where calls come in. A flag or variable replaces the file's whole list; the variable separates with commas.
pub(super) fn listen(file: &raw::OneOrMany, outside: &Outside, report: &mut Report) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for given in given_addresses(file, outside) {
        let Some(address) = report.take(&given.from, address::listen(&given.value)) else { continue };
        if address.port() != 0 && addresses.contains(&address) {
            report.add(&given.from, format!("{address} is listed twice"));
        }
        addresses.push(address);
    }
    if addresses.is_empty() && file.0.is_empty() {
        report.add(&Place::of("listen"), "needs at least one address");
    }
    addresses
}

fn given_addresses(file: &raw::OneOrMany, outside: &Outside) -> Vec<Given> {
    let flags: Vec<Given> = (outside.flags.listen.iter().filter(|value| !value.trim().is_empty()))
        .map(|value| Given { value: value.clone(), from: Place::outside("--listen") })
        .collect();
    if !flags.is_empty() {
        return flags;
    }
    if let Some(given) = outside.variable("VEILWARDEN_LISTEN") {
        let one = |value: &str| Given { value: value.trim().to_owned(), from: given.from.clone() };
        return given.value.split(',').map(one).collect();
    }
    let place = Place::of("listen");
    let from = |index| if file.0.len() == 1 { place.clone() } else { place.index(index) };
    file.0.iter().enumerate().map(|(index, value)| Given { value: value.clone(), from: from(index) }).collect()
}

/// Health and metrics; `None`: off. `listen` is what must not be the same.
pub(super) fn admin(file: &str, listen: &[SocketAddr], outside: &Outside, report: &mut Report) -> Option<SocketAddr> {
    let given = outside.or_file("--admin-listen", outside.flags.admin_listen.as_deref(), "admin_listen", file);
    if given.value == "off" {
        return None;
    }
    let address = report.take(&given.from, address::listen(&given.value))?;
    if address.port() != 0 && listen.contains(&address) {
        report.add(&given.from, format!("{address} is the address of listen"));
    }
    Some(address)
}

/// Networks in a list of the file.
pub(super) fn networks(list: &[String], place: &Place, report: &mut Report) -> Vec<IpNet> {
    let read = |(index, text): (usize, &String)| report.take(&place.index(index), address::network(text));
    list.iter().enumerate().filter_map(read).collect()
}
