//! Certificates for the hosts of tunnels.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_ecdsa_type};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::Error;
use super::authority::{Authority, crypto};
use crate::request::Host;

/// From `notBefore` to `notAfter`.
const VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);
/// Clocks differ.
const BACK_DATED: Duration = Duration::from_secs(60 * 60);
/// A certificate is signed anew long before it expires, so that a session never begins with one that is about to.
const RENEWED_AFTER: Duration = Duration::from_secs(12 * 60 * 60);
/// What is spoken inside of tunnels, best first (RFC 7301).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A signed certificate: how to shake hands with it, and when. That goes by the clock that callers check its dates by, which
/// goes on while a machine sleeps and can be set back.
#[derive(Clone)]
pub struct Leaf {
    pub config: Arc<ServerConfig>,
    shown: Range<OffsetDateTime>,
}

impl Leaf {
    /// Whether it is to be shown at this time; otherwise another one is to be signed.
    pub fn is_shown(&self, now: OffsetDateTime) -> bool {
        self.shown.contains(&now)
    }
}

/// Signs a certificate for any host, all with one key of their own.
pub struct Leaves {
    authority: Authority,
    /// Made for the first of them. The first random number of a process takes tens of milliseconds, for which a start had
    /// better not wait, and many processes never open a tunnel.
    key: OnceCell<Key>,
}

/// The leaves' key, to be certified and to sign with.
struct Key {
    pair: KeyPair,
    signer: Arc<dyn SigningKey>,
}

impl Key {
    fn make() -> Result<Key, Error> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let signer = any_ecdsa_type(&der).map_err(|error| Error::Crypto(error.to_string()))?;
        Ok(Key { pair, signer })
    }
}

impl Leaves {
    pub fn new(authority: Authority) -> Leaves {
        Leaves { authority, key: OnceCell::new() }
    }

    pub fn pem(&self) -> &str {
        self.authority.pem()
    }

    async fn key(&self) -> Result<&Key, Error> {
        let made = || async {
            // Not where other calls wait for it.
            let made = spawn_blocking(Key::make).await;
            made.unwrap_or_else(|error| Err(Error::Crypto(error.to_string())))
        };
        self.key.get_or_try_init(made).await
    }

    /// TLS 1.2 and 1.3 as `host`. No session is taken up again and no early data accepted: a tunnel is a session.
    pub async fn leaf(&self, host: &Host, now: OffsetDateTime) -> Result<Leaf, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Crypto(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(self.resolver(self.key().await?, host, now)?);
        config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let shown = now - BACK_DATED..(now + RENEWED_AFTER).min(self.authority.not_after);
        Ok(Leaf { config: Arc::new(config), shown })
    }

    fn resolver(&self, key: &Key, host: &Host, now: OffsetDateTime) -> Result<Arc<dyn ResolvesServerCert>, Error> {
        let leaf = self.sign(&key.pair, host, now)?;
        let chain = std::iter::once(leaf.der().clone()).chain(self.authority.chain.iter().cloned()).collect();
        Ok(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, Arc::clone(&key.signer)))))
    }

    fn sign(&self, key: &KeyPair, host: &Host, now: OffsetDateTime) -> Result<rcgen::Certificate, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "veilwarden");
        params.subject_alt_names = vec![match host.ip() {
            Some(ip) => SanType::IpAddress(ip),
            None => SanType::DnsName(host.name().try_into().map_err(crypto)?),
        }];
        // Not a CA, said explicitly; that is also what makes rcgen write the subject key identifier.
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial()?);
        params.not_before = now - BACK_DATED;
        params.not_after = (params.not_before + VALIDITY).min(self.authority.not_after);
        if params.not_after <= now {
            return Err(Error::Expired("the day that has come while veilwarden was running".to_owned()));
        }
        params.signed_by(key, &self.authority.issuer).map_err(crypto)
    }
}

/// 127 random bits, positive (RFC 5280 section 4.1.2.2).
pub fn serial() -> Result<SerialNumber, Error> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Crypto("no randomness".to_owned()))?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use x509_parser::extensions::{GeneralName, ParsedExtension};
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    fn leaves() -> Leaves {
        let (cert, key) = Authority::make().unwrap();
        Leaves::new(Authority::read(&cert, &key, OffsetDateTime::now_utc()).unwrap())
    }

    #[test]
    fn g25_a_leaf_says_what_it_must_and_nothing_more() {
        let (leaves, now, key) = (leaves(), OffsetDateTime::now_utc(), Key::make().unwrap());
        let mut serials = HashSet::new();
        for (host, name) in
            [("A.test:443", GeneralName::DNSName("a.test")), ("127.0.0.1:443", GeneralName::IPAddress(&[127, 0, 0, 1]))]
        {
            let leaf = leaves.sign(&key.pair, &Host::parse(host).unwrap(), now).unwrap();
            let (_, x509) = X509Certificate::from_der(leaf.der()).unwrap();
            let names = &x509.subject_alternative_name().unwrap().unwrap().value.general_names;
            assert_eq!(names, &[name]);
            assert!(x509.subject().iter_common_name().next().is_none());
            assert!(!x509.is_ca());
            assert!(x509.extended_key_usage().unwrap().unwrap().value.server_auth);
            assert!(x509.raw_serial().len() >= 8 && serials.insert(x509.raw_serial().to_vec()));
            let validity = x509.validity();
            assert!(validity.not_after.timestamp() - validity.not_before.timestamp() <= 24 * 3600);
            assert!(now.unix_timestamp() - validity.not_before.timestamp() <= 3600);
            let ids = x509.extensions().iter().filter(|extension| {
                let parsed = extension.parsed_extension();
                matches!(parsed, ParsedExtension::AuthorityKeyIdentifier(_) | ParsedExtension::SubjectKeyIdentifier(_))
            });
            assert_eq!(ids.count(), 2);
        }
    }

    #[test]
    fn a_leaf_does_not_outlive_its_ca() {
        let (leaves, key) = (leaves(), Key::make().unwrap());
        let host = Host::parse("a.test").unwrap();
        let last = leaves.authority.not_after - Duration::from_secs(60);
        let leaf = leaves.sign(&key.pair, &host, last).unwrap();
        let (_, x509) = X509Certificate::from_der(leaf.der()).unwrap();
        assert_eq!(x509.validity().not_after.timestamp(), leaves.authority.not_after.unix_timestamp());
        assert!(leaves.sign(&key.pair, &host, leaves.authority.not_after).is_err());
    }
}
