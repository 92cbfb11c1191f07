//! What everybody on the stage shares.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::caller::connection::Shared;
use crate::canary::Canary;
use crate::cast::{CREDENTIAL, EVERYBODY, KINDS, Kind, SECRET, STORE_TOKEN, Who};
use crate::ledger::Ledger;
use crate::plan::{Phase, Script};
use crate::relays::Relay;
use crate::services::{Played, Service};
use crate::site::Site;

pub struct Stage {
    pub script: Script,
    pub ledger: Ledger,
    pub api_server: Arc<Played>,
    pub store: Arc<Played>,
    pub upstreams: [Arc<Site>; KINDS.len()],
    /// The secrets, the callers' credentials, our own.
    pub secrets: Canary,
    pub credentials: Canary,
    pub own: Canary,
    pub authority: Authority,
    pub proxy: OnceLock<Proxy>,
    pub shared: Shared,
    begun: AtomicU64,
}

/// Where the program listens, the relays before it, and whom its tunnels' callers trust.
pub struct Proxy {
    pub address: SocketAddr,
    /// In the order of [`EVERYBODY`].
    pub relays: Vec<Relay>,
    pub http1: TlsConnector,
    pub http2: TlsConnector,
}

impl Stage {
    pub fn new(script: Script) -> Arc<Stage> {
        Arc::new(Stage {
            script,
            ledger: Ledger::default(),
            api_server: Arc::new(Played::new(Service::ApiServer)),
            store: Arc::new(Played::new(Service::Store)),
            upstreams: KINDS.map(|_| Site::new()),
            secrets: Canary::new("a secret", SECRET),
            credentials: Canary::new("a credential", CREDENTIAL),
            own: Canary::new("a token of our own", STORE_TOKEN),
            authority: Authority::new(),
            proxy: OnceLock::new(),
            shared: Shared::default(),
            begun: AtomicU64::new(0),
        })
    }

    /// The number of the next request, or of the first of the next pipeline.
    pub fn next(&self) -> u64 {
        loop {
            let number = self.begun.fetch_add(1, Ordering::Relaxed);
            if self.script.pipeline(number).is_none_or(|pipeline| pipeline.first == number) {
                return number;
            }
        }
    }

    pub fn phase(&self) -> Phase {
        self.script.phase(self.begun.load(Ordering::Relaxed).saturating_sub(1))
    }

    pub fn upstream(&self, kind: Kind) -> &Arc<Site> {
        &self.upstreams[KINDS.iter().position(|other| *other == kind).unwrap_or(0)]
    }

    pub fn proxy(&self) -> &Proxy {
        self.proxy.get().expect("the program was started")
    }

    pub fn relay(&self, who: Who) -> &Relay {
        let place = EVERYBODY.iter().position(|other| *other == who).unwrap_or(0);
        &self.proxy().relays[place]
    }

    /// Everybody opens the curtain.
    pub fn begin(self: &Arc<Stage>) {
        for played in [&self.api_server, &self.store] {
            let (stage, player) = (Arc::clone(self), Arc::clone(played));
            played.site.serve(move |stream| crate::services::serve(stream, Arc::clone(&player), Arc::clone(&stage)));
        }
        for kind in KINDS {
            let stage = Arc::clone(self);
            let acceptor = self.authority.acceptor(kind);
            self.upstream(kind)
                .serve(move |stream| crate::upstream::serve(stream, kind, acceptor.clone(), Arc::clone(&stage)));
        }
    }

    pub fn end(&self) {
        self.api_server.site.end();
        self.store.site.end();
        self.upstreams.iter().for_each(|site| site.end());
    }
}

/// Who signs the upstreams' certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "chaos CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// For all hosts of a kind.
    fn acceptor(&self, kind: Kind) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![format!("*.{}.test", kind.name())]).unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        if kind == Kind::H2 {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A caller inside a tunnel, that trusts the program's CA alone.
pub fn connector(ca: &std::path::Path, version: &[u8]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![version.to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// No exchange lasts longer: all limits together, and the slowest caller, on a machine that is busy.
pub const BOUND: Duration = Duration::from_secs(60);
