//! The CA's certificate and key.

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::digest;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::certificate::X509Certificate;
use zeroize::Zeroizing;

use super::Error;

/// A CA of our own is good for ten years: replacing it means that everybody has to trust another one.
const VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Clocks differ.
const BACK_DATED: Duration = Duration::from_secs(60 * 60);

/// A certificate that may sign others, and its key. Never shown: it has no `Debug`.
pub struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    /// What a caller needs beside the leaf to come to what it trusts: nothing, unless the CA has one above it.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) not_after: OffsetDateTime,
    pem: String,
}

/// What a person wants to know of a CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub subject: String,
    pub not_before: String,
    pub not_after: String,
    /// SHA-256 of the certificate, as browsers and `openssl x509 -fingerprint` show it.
    pub fingerprint: String,
}

impl Authority {
    /// A fresh CA: its certificate and its key, both PEM.
    pub fn make() -> Result<(String, Zeroizing<String>), Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto)?;
        let mut params = CertificateParams::default();
        let id = digest::digest(&digest::SHA256, &key.subject_public_key_info());
        // Machines that have a CA each are told apart in a trust store.
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "veilwarden");
        params.distinguished_name.push(DnType::CommonName, format!("veilwarden CA {}", hex(&id.as_ref()[..4], "")));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(super::leaf::serial()?);
        params.not_before = OffsetDateTime::now_utc() - BACK_DATED;
        params.not_after = params.not_before + VALIDITY;
        let certificate = params.self_signed(&key).map_err(crypto)?;
        Ok((certificate.pem(), Zeroizing::new(key.serialize_pem())))
    }

    /// Reads a CA and checks that it can be one now: that it may sign, that it has not expired, that the key is its own.
    pub fn read(cert: &str, key: &str, now: OffsetDateTime) -> Result<Authority, Error> {
        let chain = certificates(cert)?;
        let first = chain.first().ok_or(Error::NotACa)?;
        let x509 = parse(first)?;
        check(&x509, now)?;
        let key = KeyPair::from_pem(key).map_err(|_| Error::Crypto("the key is no private key in PEM".to_owned()))?;
        if key.subject_public_key_info() != x509.public_key().raw {
            return Err(Error::WrongKey);
        }
        let rooted = x509.subject() == x509.issuer();
        let not_after = x509.validity().not_after.to_datetime();
        let issuer = Issuer::from_ca_cert_der(first, key).map_err(crypto)?;
        Ok(Authority { issuer, not_after, chain: if rooted { Vec::new() } else { chain }, pem: cert.to_owned() })
    }

    /// The certificate, for those who are to trust it.
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

impl Description {
    /// Of the first certificate in `pem`.
    pub fn of(pem: &str) -> Result<Description, Error> {
        let chain = certificates(pem)?;
        let first = chain.first().ok_or(Error::NotACa)?;
        let x509 = parse(first)?;
        Ok(Description {
            subject: x509.subject().to_string(),
            not_before: date(x509.validity().not_before.to_datetime()),
            not_after: date(x509.validity().not_after.to_datetime()),
            fingerprint: hex(digest::digest(&digest::SHA256, first).as_ref(), ":"),
        })
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(chain) if chain.is_empty() => Err(Error::NoCertificate),
        Ok(chain) => Ok(chain),
        Err(error) => Err(Error::Crypto(format!("the certificate is not PEM: {error}"))),
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], x509)) => Ok(x509),
        _ => Err(Error::Crypto("the certificate is no X.509 certificate".to_owned())),
    }
}

fn check(x509: &X509Certificate<'_>, now: OffsetDateTime) -> Result<(), Error> {
    let signs = match x509.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    };
    if !x509.is_ca() || !signs {
        return Err(Error::NotACa);
    }
    let (not_before, not_after) = (x509.validity().not_before.to_datetime(), x509.validity().not_after.to_datetime());
    if now > not_after {
        return Err(Error::Expired(date(not_after)));
    }
    if now < not_before {
        return Err(Error::NotYetValid(date(not_before)));
    }
    Ok(())
}

pub(super) fn crypto(error: rcgen::Error) -> Error {
    Error::Crypto(error.to_string())
}

fn date(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

fn hex(bytes: &[u8], between: &str) -> String {
    bytes.iter().enumerate().fold(String::new(), |mut text, (n, byte)| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{byte:02X}", if n > 0 { between } else { "" });
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    #[test]
    fn a_ca_that_was_made_can_be_read() {
        let (cert, key) = Authority::make().unwrap();
        let authority = Authority::read(&cert, &key, now()).unwrap();
        assert_eq!(authority.pem(), cert);
        assert!(authority.chain.is_empty());
        let description = Description::of(&cert).unwrap();
        assert!(description.subject.contains("veilwarden CA "), "{description:?}");
        assert_eq!(description.fingerprint.len(), 32 * 3 - 1);
    }

    #[test]
    fn g27_what_is_expired_or_no_ca_is_refused() {
        let (cert, key) = Authority::make().unwrap();
        let read = |cert: &str, key: &str, now| Authority::read(cert, key, now).err().map(|error| error.to_string());
        let later = read(&cert, &key, now() + VALIDITY).unwrap();
        assert!(later.contains("expired on "), "{later}");
        let earlier = read(&cert, &key, now() - 2 * BACK_DATED).unwrap();
        assert!(earlier.contains("look at the clock"), "{earlier}");

        let own = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&own).unwrap().pem();
        assert!(read(&leaf, &own.serialize_pem(), now()).unwrap().contains("none of a CA"));
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let mute = params.self_signed(&own).unwrap().pem();
        assert!(read(&mute, &own.serialize_pem(), now()).unwrap().contains("none of a CA"));

        assert!(read(&cert, &own.serialize_pem(), now()).unwrap().contains("does not belong"));
        for junk in ["", "nothing"] {
            assert_eq!(read(junk, &key, now()).as_deref(), Some("holds no PEM certificate"), "{junk:?}");
        }
        for key in ["", &cert] {
            assert!(read(&cert, key, now()).unwrap().contains("no private key"), "{key:?}");
        }
    }

    #[test]
    fn g29_an_error_shows_nothing_of_the_key() {
        let (cert, key) = Authority::make().unwrap();
        let secret = key.lines().nth(1).unwrap();
        let broken = key.replace(secret, &secret[4..]);
        let error = Authority::read(&cert, &broken, now()).err().unwrap();
        let secret = &secret[4..];
        assert!(!format!("{error} {error:?}").contains(secret));
    }
}
