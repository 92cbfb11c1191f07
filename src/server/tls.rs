//! TLS on `listen`: the certificate, read again while the program runs, and the names of clients.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

use crate::ca::{ClientName, Error, read_key, read_pem};
use crate::config::ListenTls;
use crate::metrics::Metrics;

/// How soon changed files are noticed.
const REREAD: Duration = Duration::from_secs(2);
/// What is spoken, best first (RFC 7301).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// The server's end of TLS. Handshakes begin with the last files that were good.
pub struct Tls {
    settings: ListenTls,
    config: ArcSwap<ServerConfig>,
    first: Digest,
}

/// What the files hold.
struct Files {
    cert: Zeroizing<String>,
    key: Zeroizing<String>,
    client_ca: Option<Zeroizing<String>>,
}

impl Tls {
    /// Reads the files. What is wrong with them names the file.
    pub fn load(settings: &ListenTls) -> Result<Tls, Error> {
        let files = Files::read(settings)?;
        let config = ArcSwap::from_pointee(files.config(settings)?);
        Ok(Tls { settings: settings.clone(), config, first: files.digest() })
    }

    /// Shakes hands. A client that shows a certificate which is not to be trusted is refused; one that shows none is not.
    pub async fn accept<IO>(&self, io: IO) -> io::Result<(TlsStream<IO>, Option<Arc<ClientName>>)>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let tls = TlsAcceptor::from(self.config.load_full()).accept(io).await?;
        let shown = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let name = shown.map(|leaf| ClientName::of(leaf)).transpose();
        let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?.flatten();
        Ok((tls, name.map(Arc::new)))
    }

    /// Looks at the files again and again. Bad ones are told once and change nothing.
    pub async fn watch(self: Arc<Self>, metrics: Arc<Metrics>) {
        let mut last = Ok(self.first);
        loop {
            tokio::time::sleep(REREAD).await;
            let tls = Arc::clone(&self);
            // A file system may hang as a server does; what is served goes on meanwhile.
            let Ok(read) = tokio::task::spawn_blocking(move || Files::read(&tls.settings)).await else { continue };
            // Nothing was seen of the files; the next turn may.
            if matches!(read, Err(Error::NoOpenFiles { .. })) {
                continue;
            }
            let seen = read.as_ref().map(Files::digest).map_err(ToString::to_string);
            if seen == last {
                continue;
            }
            last = seen;
            let renewed = read.and_then(|files| files.config(&self.settings));
            metrics.listen_tls_reloaded(renewed.is_ok());
            match renewed {
                Ok(config) => {
                    self.config.store(Arc::new(config));
                    tracing::info!(cert_file = %self.settings.cert.display(), "listen_tls: the changed files are in use");
                }
                Err(error) => {
                    tracing::warn!(%error, "listen_tls: the changed files are not good; the last good ones stay")
                }
            }
        }
    }
}

impl Files {
    fn read(settings: &ListenTls) -> Result<Files, Error> {
        Ok(Files {
            cert: read_pem(&settings.cert)?,
            key: read_key(&settings.key)?,
            client_ca: settings.client_ca.as_deref().map(read_pem).transpose()?,
        })
    }

    /// Tells one state of the files from another, and keeps no key.
    fn digest(&self) -> Digest {
        let mut all = digest::Context::new(&digest::SHA256);
        for text in [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten() {
            all.update(&text.len().to_le_bytes());
            all.update(text.as_bytes());
        }
        let mut out = Digest::default();
        out.copy_from_slice(all.finish().as_ref());
        out
    }

    /// TLS 1.2 and 1.3, no early data.
    fn config(&self, settings: &ListenTls) -> Result<ServerConfig, Error> {
        let provider = Arc::new(default_provider());
        let chain = certificates(&settings.cert, &self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|error| wrong(&settings.key, format!("holds no private key: {error}")))?;
        // First on its own, so that the message names the right file.
        provider.key_provider.load_private_key(key.clone_key()).map_err(|error| wrong(&settings.key, error))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&settings.cert, error))?;
        let builder = match settings.client_ca.as_deref().zip(self.client_ca.as_ref()) {
            Some((path, pem)) => builder.with_client_cert_verifier(verifier(path, pem, provider)?),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                wrong(&settings.cert, format!("does not belong to the key in {}", settings.key.display()))
            }
            error => wrong(&settings.cert, error),
        })?;
        config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
        if settings.client_ca.is_some() {
            // A session that is taken up again would bring its certificate along, whatever has become of that.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }
}

/// Asks for a certificate, does without one, and takes none that these roots have not signed.
fn verifier(path: &Path, pem: &str, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for root in certificates(path, pem)? {
        roots.add(root).map_err(|error| wrong(path, error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).allow_unauthenticated();
    builder.build().map_err(|error| wrong(path, error))
}

fn certificates(path: &Path, pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(chain) if chain.is_empty() => Err(wrong(path, "holds no PEM certificate")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(wrong(path, error)),
    }
}

fn wrong(path: &Path, reason: impl ToString) -> Error {
    Error::File { path: path.display().to_string(), reason: reason.to_string() }
}
