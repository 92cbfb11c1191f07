//! The name in a client certificate that has been verified.

use std::fmt::Write as _;

use x509_parser::der_parser::asn1_rs::Oid;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry as oids;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The scheme of SPIFFE ids.
const SPIFFE: &str = "spiffe://";
/// No SPIFFE id is longer, in bytes (SPIFFE-ID section 2.4).
const LONGEST_ID: usize = 2048;

/// Whom a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientName {
    /// `spiffe://TRUST-DOMAIN/PATH`, from the only URI among the alternative names.
    Spiffe(String),
    /// The subject as RFC 4514 writes it: `CN=api,O=Example`.
    Subject(String),
}

/// What is wrong with a certificate that a verifier took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("the certificate cannot be read")]
    Unreadable,
    #[error("the certificate has a SPIFFE id and another URI beside it, or one that is none")]
    Spiffe,
}

impl ClientName {
    /// Reads the name off a certificate (DER). `None`: it has neither a SPIFFE id nor a subject.
    pub fn of(der: &[u8]) -> Result<Option<ClientName>, BadName> {
        let (_, x509) = X509Certificate::from_der(der).map_err(|_| BadName::Unreadable)?;
        let names = x509.subject_alternative_name().map_err(|_| BadName::Unreadable)?;
        let uris: Vec<&str> = names
            .iter()
            .flat_map(|names| &names.value.general_names)
            .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
            .collect();
        // X509-SVID section 2: a certificate with a SPIFFE id has no other URI; one that has is refused.
        match uris.as_slice() {
            [id] if is_spiffe_id(id) => return Ok(Some(ClientName::Spiffe((*id).to_owned()))),
            uris if uris.iter().any(|uri| has_spiffe_scheme(uri)) => return Err(BadName::Spiffe),
            _ => {}
        }
        let subject = distinguished_name(x509.subject());
        Ok((!subject.is_empty()).then_some(ClientName::Subject(subject)))
    }
}

fn has_spiffe_scheme(uri: &str) -> bool {
    uri.get(.."spiffe:".len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"))
}

/// SPIFFE-ID section 2: a trust domain, and a path without empty and relative segments; nothing is percent-encoded.
fn is_spiffe_id(uri: &str) -> bool {
    let Some(rest) = uri.strip_prefix(SPIFFE).filter(|_| uri.len() <= LONGEST_ID) else { return false };
    let (domain, path) = rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path)));
    let in_domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    let in_segment = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_segment = |text: &str| !matches!(text, "" | "." | "..") && text.bytes().all(in_segment);
    !domain.is_empty() && domain.bytes().all(in_domain) && path.is_none_or(|path| path.split('/').all(is_segment))
}

/// RFC 4514 section 2: the last part first, and nothing in a value that could be read as another part.
fn distinguished_name(name: &X509Name) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let part = |attributes: Vec<String>| attributes.join("+");
    let texts: Vec<_> = parts.iter().rev().map(|rdn| part(rdn.iter().map(attribute).collect())).collect();
    texts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue) -> String {
    let keyword = keyword(attribute.attr_type());
    match (keyword, attribute.as_str()) {
        (Some(keyword), Ok(value)) => format!("{keyword}={}", escaped(value)),
        // Section 2.4: the value's bytes where its form is not known.
        _ => attribute.attr_value().data.iter().fold(format!("{}=#", attribute.attr_type()), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        }),
    }
}

/// The table of section 3.
fn keyword(kind: &Oid) -> Option<&'static str> {
    let known = [
        (oids::OID_X509_COMMON_NAME, "CN"),
        (oids::OID_X509_LOCALITY_NAME, "L"),
        (oids::OID_X509_STATE_OR_PROVINCE_NAME, "ST"),
        (oids::OID_X509_ORGANIZATION_NAME, "O"),
        (oids::OID_X509_ORGANIZATIONAL_UNIT, "OU"),
        (oids::OID_X509_COUNTRY_NAME, "C"),
        (oids::OID_X509_STREET_ADDRESS, "STREET"),
        (oids::OID_DOMAIN_COMPONENT, "DC"),
        (oids::OID_USERID, "UID"),
    ];
    known.into_iter().find(|(oid, _)| oid == kind).map(|(_, keyword)| keyword)
}

fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (n, c) in value.chars().enumerate() {
        let at_edge = (n == 0 && matches!(c, ' ' | '#')) || (n == last && c == ' ');
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', c]),
            _ if at_edge => out.extend(['\\', c]),
            _ if c.is_control() => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| {
                let _ = write!(out, "\\{byte:02x}");
            }),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(subject: &[(DnType, &str)], uris: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        subject.iter().for_each(|(kind, value)| params.distinguished_name.push(kind.clone(), *value));
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_spiffe_id_comes_before_the_subject_and_is_one() {
        let subject = &[(DnType::CommonName, "api")][..];
        let spiffe = |id: &str| Ok(Some(ClientName::Spiffe(id.to_owned())));
        for (uris, expected) in [
            (&["spiffe://example.org/ns/prod/sa/api"][..], spiffe("spiffe://example.org/ns/prod/sa/api")),
            (&["spiffe://example.org"], spiffe("spiffe://example.org")),
            (&["https://a.test/"], Ok(Some(ClientName::Subject("CN=api".to_owned())))),
            (&[], Ok(Some(ClientName::Subject("CN=api".to_owned())))),
            (&["spiffe://example.org/a", "spiffe://example.org/b"], Err(BadName::Spiffe)),
            (&["https://a.test/", "spiffe://example.org/b"], Err(BadName::Spiffe)),
            (&["SPIFFE://example.org/a"], Err(BadName::Spiffe)),
            (&["spiffe:///a"], Err(BadName::Spiffe)),
            (&["spiffe://example.org/"], Err(BadName::Spiffe)),
            (&["spiffe://example.org/a/../b"], Err(BadName::Spiffe)),
            (&["spiffe://example.org/a%2fb"], Err(BadName::Spiffe)),
            (&["spiffe://Example.org/a"], Err(BadName::Spiffe)),
            (&["spiffe://u@example.org/a"], Err(BadName::Spiffe)),
            (&["spiffe://example.org:1/a"], Err(BadName::Spiffe)),
            (&["spiffe://example.org/a?b"], Err(BadName::Spiffe)),
        ] {
            assert_eq!(ClientName::of(&certificate(subject, uris)), expected, "{uris:?}");
        }
        assert_eq!(ClientName::of(&certificate(&[], &[])), Ok(None));
        assert_eq!(ClientName::of(b"no certificate"), Err(BadName::Unreadable));
    }

    #[test]
    fn a_value_in_a_subject_cannot_look_like_another_part() {
        let org = (DnType::OrganizationName, "Example");
        for (name, expected) in [
            ("api", "CN=api,O=Example"),
            ("api,O=Other", "CN=api\\,O=Other,O=Example"),
            ("api+O=Other", "CN=api\\+O=Other,O=Example"),
            (" #a ", "CN=\\ #a\\ ,O=Example"),
            ("#a", "CN=\\#a,O=Example"),
            ("a\\b\"c\n", "CN=a\\\\b\\\"c\\0a,O=Example"),
        ] {
            let name = certificate(&[org.clone(), (DnType::CommonName, name)], &[]);
            assert_eq!(ClientName::of(&name), Ok(Some(ClientName::Subject(expected.to_owned()))));
        }
    }
}
