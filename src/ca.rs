//! The CA of forward mode, and the certificates it signs for the hosts of tunnels.
//!
//! `authority` is the CA itself: made, read and checked. `files` is where it is kept. [`Ca`] signs leaves and keeps the
//! last of them, until another CA takes its place. `client_name` reads whom a client's certificate is for.
//!
//! All leaves of a CA share one key, which is in no file and ends with the process at the latest. A key for each host would
//! protect nothing more: whoever reads this process' memory has the CA's key too.

mod authority;
mod client_name;
mod files;
mod leaf;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use rustls::ServerConfig;
use time::OffsetDateTime;

use crate::request::Host;

pub use authority::{Authority, Description};
pub use client_name::{BadName, ClientName};
pub use files::{Kept, read_key, read_pem};

use leaf::{Leaf, Leaves};

/// So many certificates are kept; those longest not used go first.
const MAX_LEAVES: u64 = 1024;

/// What is wrong with a CA, or with where it is kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("{path}: {reason}")]
    File { path: String, reason: String },
    /// Says nothing about the file.
    #[error("{path}: no open files are left; raise the limit (ulimit -n)")]
    NoOpenFiles { path: String },
    #[error("{path}: the key can be read by others than its owner and group (mode {mode:04o}); do \"chmod o= {path}\"")]
    KeyOpenToOthers { path: String, mode: u32 },
    #[error("{path}: others may write to the directory (mode {mode:04o}); do \"chmod o-w {path}\"")]
    DirectoryOpenToOthers { path: String, mode: u32 },
    #[error("{cert} is there and {key} is not: put the key back, or remove the certificate to have a new CA made")]
    KeyMissing { cert: String, key: String },
    #[error("{key} is there and {cert} is not: put the certificate back, or remove the key to have a new CA made")]
    CertMissing { cert: String, key: String },
    #[error("holds no PEM certificate")]
    NoCertificate,
    #[error(
        "the certificate is none of a CA: it needs basicConstraints CA:TRUE, and keyUsage keyCertSign where it has one"
    )]
    NotACa,
    #[error("the CA's certificate expired on {0}; make a new one with \"veilwarden ca init\"")]
    Expired(String),
    #[error("the CA's certificate is good only from {0} on; look at the clock")]
    NotYetValid(String),
    #[error("the key does not belong to the certificate")]
    WrongKey,
    #[error("no certificate can be made: {0}")]
    Crypto(String),
}

/// Where the CA is, or is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `forward.ca_cert_file` and `forward.ca_key_file`.
    Given { cert: PathBuf, key: PathBuf },
    /// Made once in this directory.
    Made { state_dir: PathBuf },
}

/// The CA that signs. Another may take its place at any time.
pub struct Ca {
    signer: ArcSwap<Signer>,
}

/// One CA and what it has signed, replaced together: a leaf is never shown with the chain of another CA.
struct Signer {
    leaves: Leaves,
    kept: Cache<String, Leaf>,
}

impl Ca {
    pub fn new(authority: Authority) -> Ca {
        Ca { signer: ArcSwap::from_pointee(Signer::new(authority)) }
    }

    /// From now on this one signs, and no leaf of the one before is shown in a new session.
    pub fn replace(&self, authority: Authority) {
        self.signer.store(Arc::new(Signer::new(authority)));
    }

    /// The certificate of the CA that signs now.
    pub fn pem(&self) -> String {
        self.signer.load().leaves.pem().to_owned()
    }

    /// How a tunnel's end shakes hands as `host`: with a certificate for it and nothing else.
    pub async fn server_config(&self, host: &Host) -> Result<Arc<ServerConfig>, Arc<Error>> {
        self.server_config_at(host, OffsetDateTime::now_utc()).await
    }

    async fn server_config_at(&self, host: &Host, now: OffsetDateTime) -> Result<Arc<ServerConfig>, Arc<Error>> {
        let signer = self.signer.load_full();
        if signer.kept.get(host.name()).await.is_some_and(|leaf| !leaf.is_shown(now)) {
            signer.kept.invalidate(host.name()).await;
        }
        let leaf = signer.kept.try_get_with_by_ref(host.name(), signer.leaves.leaf(host, now)).await?;
        Ok(leaf.config)
    }
}

impl Signer {
    fn new(authority: Authority) -> Signer {
        let kept = Cache::builder().max_capacity(MAX_LEAVES).eviction_policy(EvictionPolicy::lru()).build();
        Signer { leaves: Leaves::new(authority), kept }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn certificate(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    fn authority() -> Authority {
        let (cert, key) = Authority::make().unwrap();
        Authority::read(&cert, &key, OffsetDateTime::now_utc()).unwrap()
    }

    /// What a CA is made of: for whom, until when.
    fn params(name: &str, not_after: OffsetDateTime) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (not_after - 24 * HOUR, not_after);
        params
    }

    /// The certificates shown to a client that trusts one root alone, if it takes them.
    fn shown(config: Arc<ServerConfig>, root: &str) -> Result<Vec<CertificateDer<'static>>, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(root)).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let trusting = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        let mut client = ClientConnection::new(trusting, "a.test".try_into().unwrap()).unwrap();
        let mut server = ServerConnection::new(config).unwrap();
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets()?;
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = &wire[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
        Ok(client.peer_certificates().unwrap().to_vec())
    }

    async fn config(ca: &Ca) -> Result<Arc<ServerConfig>, Arc<Error>> {
        ca.server_config(&Host::parse("a.test").unwrap()).await
    }

    #[tokio::test]
    async fn g28_a_new_ca_shows_new_leaves_with_its_own_chain() {
        let first = authority();
        let old = first.pem().to_owned();
        let ca = Ca::new(first);
        let kept = config(&ca).await.unwrap();
        assert!(Arc::ptr_eq(&kept, &config(&ca).await.unwrap()));
        assert_eq!(shown(kept.clone(), &old).unwrap().len(), 1);

        // A CA below another one, which is shown too.
        let (now, root_key, key) =
            (OffsetDateTime::now_utc(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = params("root", now + HOUR);
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let below = params("below", now + HOUR).signed_by(&key, &Issuer::new(root, root_key)).unwrap().pem();
        ca.replace(Authority::read(&below, &key.serialize_pem(), now).unwrap());
        let chain = shown(config(&ca).await.unwrap(), &root_pem).unwrap();
        assert_eq!((chain.len(), &chain[1]), (2, &certificate(&below)));
        assert!(shown(config(&ca).await.unwrap(), &old).is_err());
        // A handshake that had begun before keeps what it began with.
        assert_eq!(shown(kept, &old).unwrap().len(), 1);
    }

    #[tokio::test]
    async fn g24_of_ten_thousand_hosts_the_last_thousand_leaves_are_kept() {
        let ca = Ca::new(authority());
        let leaf = async |n: usize| ca.server_config(&Host::parse(&format!("h{n}.a.test")).unwrap()).await.unwrap();
        let (mut made, mut most) = (Vec::new(), 0);
        for n in 0..10_000 {
            made.push(Arc::downgrade(&leaf(n).await));
            most = most.max(ca.signer.load().kept.entry_count());
        }
        let signer = ca.signer.load_full();
        signer.kept.run_pending_tasks().await;
        assert_eq!(signer.kept.entry_count(), MAX_LEAVES);
        assert!(most <= MAX_LEAVES, "{most}");
        let last = leaf(9_999).await;
        assert!(
            made[9_999].upgrade().is_some_and(|kept| Arc::ptr_eq(&kept, &last)),
            "the last is not the one that is kept"
        );
        assert!(!signer.kept.contains_key("h0.a.test"), "the first is kept");
    }

    #[tokio::test]
    async fn a_leaf_is_signed_anew_when_the_clock_says_so() {
        let (ca, host, now) = (Ca::new(authority()), Host::parse("a.test").unwrap(), OffsetDateTime::now_utc());
        let at = async |now| ca.server_config_at(&host, now).await.unwrap();
        let mut last = at(now).await;
        let second = Duration::from_secs(1);
        for (then, is_kept) in [
            (now + 12 * HOUR - second, true),
            (now - HOUR, true),
            (now + 12 * HOUR, false),
            // Two days of sleep, and a clock that is set back.
            (now + 60 * HOUR, false),
            (now + 60 * HOUR, true),
            (now, false),
            (now - HOUR - second, false),
        ] {
            let next = at(then).await;
            assert_eq!(Arc::ptr_eq(&last, &next), is_kept, "{then} from {now}");
            last = next;
        }
    }

    #[tokio::test]
    async fn no_leaf_is_shown_beyond_the_days_of_its_ca() {
        let (now, key) = (OffsetDateTime::now_utc(), KeyPair::generate().unwrap());
        let cert = params("old", now + HOUR).self_signed(&key).unwrap().pem();
        let ca = Ca::new(Authority::read(&cert, &key.serialize_pem(), now).unwrap());
        let host = Host::parse("a.test").unwrap();
        let first = ca.server_config_at(&host, now).await.unwrap();
        assert!(Arc::ptr_eq(&first, &ca.server_config_at(&host, now + HOUR / 2).await.unwrap()));
        assert!(matches!(*ca.server_config_at(&host, now + HOUR).await.unwrap_err(), Error::Expired(_)));
    }

    #[tokio::test]
    async fn g28_an_expired_ca_heals_when_it_is_replaced() {
        let (now, key) = (OffsetDateTime::now_utc(), KeyPair::generate().unwrap());
        let cert = params("old", now - HOUR).self_signed(&key).unwrap().pem();
        let ca = Ca::new(Authority::read(&cert, &key.serialize_pem(), now - 2 * HOUR).unwrap());
        assert!(matches!(&*config(&ca).await.unwrap_err(), Error::Expired(_)));
        ca.replace(authority());
        assert!(shown(config(&ca).await.unwrap(), &ca.pem()).is_ok());
    }
}
