//! TLS in front of a recorder: a CA of the test's own, certificates for any name, and what came through.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, SanType,
};
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::process::file;

/// A certificate authority that nobody trusts unless told to.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A TLS listener; decrypted bytes go to `recorder`, so that it sees only what was sent inside a session.
pub struct Front {
    pub address: SocketAddr,
    sessions: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Authority {
    pub fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // With one name for issuer and subject, OpenSSL takes a leaf for a self-signed certificate.
        params.distinguished_name.push(DnType::CommonName, "veilwarden test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// The CA's certificate as a file.
    pub fn file(&self, directory: &Path) -> PathBuf {
        let path = directory.join("ca.pem");
        std::fs::write(&path, &self.pem).unwrap();
        path
    }

    /// Listens with a certificate for `name`, in front of the server at `behind`.
    pub async fn front(&self, name: &str, behind: SocketAddr) -> Front {
        self.front_speaking(&[], name, behind).await
    }

    /// The same, choosing among these versions (ALPN).
    pub async fn front_speaking(&self, versions: &[&str], name: &str, behind: SocketAddr) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sessions, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let front = Front { address, sessions: sessions.clone(), connections: connections.clone() };
        let mut config = self.server_config(&[name]);
        config.alpn_protocols = versions.iter().map(|version| version.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(pass(acceptor.clone(), stream, behind, sessions.clone()));
            }
        });
        front
    }

    /// A certificate for `name` and its key, as files for a program that serves TLS.
    pub fn certify(&self, name: &str, directory: &Path) -> [String; 2] {
        let (leaf, key) = self.leaf(name);
        [file(directory, "leaf.pem", leaf.pem()), file(directory, "leaf.key", key.serialize_pem())]
    }

    /// The CA's certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server's certificate and key, PEM.
    pub fn server(&self, name: &str) -> (String, String) {
        let (leaf, key) = self.leaf(name);
        (leaf.pem(), key.serialize_pem())
    }

    /// A client's certificate and key, PEM: for a common name, with or without a URI.
    pub fn client(&self, name: &str, uri: Option<&str>) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = uri.map(|uri| SanType::URI(uri.try_into().unwrap())).into_iter().collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn leaf(&self, name: &str) -> (Certificate, KeyPair) {
        self.leaf_for(&[name])
    }

    fn leaf_for(&self, names: &[&str]) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        (CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// What a TLS server with a new certificate for these names needs. Sessions may be taken up again.
    pub fn server_config(&self, names: &[&str]) -> rustls::ServerConfig {
        let (leaf, key) = self.leaf_for(names);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Authority::builder().with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap()
    }

    /// The same, asking the client for a certificate of this CA, which it has to have if that is `required`.
    pub fn server_config_asking(&self, name: &str, required: bool) -> rustls::ServerConfig {
        let (leaf, key) = self.leaf(name);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
        let config = Authority::builder().with_client_cert_verifier(verifier.build().unwrap());
        config.with_single_cert(vec![leaf.der().clone()], key).unwrap()
    }

    fn builder() -> rustls::ConfigBuilder<rustls::ServerConfig, rustls::WantsVerifier> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap()
    }
}

impl Front {
    /// TCP connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// TLS sessions so far whose handshake ended well for us.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::SeqCst)
    }
}

async fn pass(acceptor: TlsAcceptor, stream: TcpStream, behind: SocketAddr, sessions: Arc<AtomicUsize>) {
    let Ok(tls) = acceptor.accept(stream).await else { return };
    sessions.fetch_add(1, Ordering::SeqCst);
    let server = TcpStream::connect(behind).await.unwrap();
    let ((mut from_peer, mut to_peer), (mut from_server, mut to_server)) = (tokio::io::split(tls), server.into_split());
    let up = async move {
        let _ = copy(&mut from_peer, &mut to_server).await;
        let _ = to_server.shutdown().await;
    };
    let down = async move {
        let _ = copy(&mut from_server, &mut to_peer).await;
        let _ = to_peer.shutdown().await;
    };
    tokio::join!(up, down);
}
