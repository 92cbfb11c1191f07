//! `listen`, `listen_tls`, `admin_listen` and `allow_peers`.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::mistakes::Report;
use super::overrides::{Given, Outside};
use super::place::Place;
use super::{Endpoint, address, overlap, raw};

/// TLS on the TCP addresses of `listen`. Nothing has been read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenTls {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Roots of client certificates, PEM; `None`: none are asked for.
    pub client_ca: Option<PathBuf>,
}

/// Where calls come in. A flag or variable replaces the file's whole list; the variable separates with commas.
pub(super) fn listen(file: &raw::OneOrMany, outside: &Outside, report: &mut Report) -> Vec<Endpoint> {
    let mut addresses = Vec::new();
    for given in given_addresses(file, outside) {
        let Some(address) = report.take(&given.from, address::endpoint(&given.value)) else { continue };
        if address.address().is_none_or(|address| address.port() != 0) && addresses.contains(&address) {
            report.add(&given.from, format!("{address} is listed twice"));
        } else if let Some(message) = address.address().and_then(|address| taken(address, &addresses)) {
            report.add(&given.from, message);
        }
        addresses.push(address);
    }
    if addresses.is_empty() && file.0.is_empty() {
        report.add(&Place::of("listen"), "needs at least one address");
    }
    addresses
}

/// Why the address cannot be listened on beside these others of ours.
fn taken(address: SocketAddr, others: &[Endpoint]) -> Option<String> {
    let other = others.iter().filter_map(Endpoint::address).find(|other| overlap::exclude(address, *other))?;
    Some(format!(
        "{address} and {other} cannot both be listened on, since one has the port of the other as well: choose another port, \
         or remove one"
    ))
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
pub(super) fn admin(file: &str, listen: &[Endpoint], outside: &Outside, report: &mut Report) -> Option<SocketAddr> {
    let given = outside.or_file("--admin-listen", outside.flags.admin_listen.as_deref(), "admin_listen", file);
    if given.value == "off" {
        return None;
    }
    let address = report.take(&given.from, address::listen(&given.value))?;
    if address.port() != 0 && listen.contains(&Endpoint::Tcp(address)) {
        report.add(&given.from, format!("{address} is the address of listen"));
    } else if let Some(message) = taken(address, listen) {
        report.add(&given.from, message);
    }
    Some(address)
}

/// The `listen_tls` section.
pub(super) fn tls(file: &raw::ListenTls, report: &mut Report) -> Option<ListenTls> {
    let place = Place::of("listen_tls");
    match (file.cert_file.as_str(), file.key_file.as_str(), file.client_ca_file.as_str()) {
        ("", "", "") => {}
        ("", "", _) => report.add(&place.key("client_ca_file"), "needs cert_file and key_file beside it"),
        ("", _, _) => report.add(&place.key("key_file"), "needs cert_file beside it"),
        (_, "", _) => report.add(&place.key("cert_file"), "needs key_file beside it"),
        (cert, key, client_ca) => {
            let client_ca = (!client_ca.is_empty()).then(|| PathBuf::from(client_ca));
            return Some(ListenTls { cert: PathBuf::from(cert), key: PathBuf::from(key), client_ca });
        }
    }
    None
}

/// Networks in a list of the file.
pub(super) fn networks(list: &[String], place: &Place, report: &mut Report) -> Vec<IpNet> {
    let read = |(index, text): (usize, &String)| report.take(&place.index(index), address::network(text));
    list.iter().enumerate().filter_map(read).collect()
}
