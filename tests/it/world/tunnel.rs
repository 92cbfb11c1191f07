//! Tunnels: CONNECT on a raw socket, and a TLS client inside that trusts the proxy's CA and nobody else.

use std::io;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::raw::{self, Answer};
use super::{Started, World, within};

impl World {
    /// With a place for the CA.
    pub fn forward(self) -> World {
        let state = self.directory.path().join("state").display().to_string();
        self.config(&format!("state_dir: {state}"))
    }
}

impl Started {
    /// The line that authenticates a caller of a proxy.
    pub fn proxy_credential(&self) -> String {
        match &self.kubernetes {
            Some(kubernetes) => format!("Proxy-Authorization: Bearer {}\r\n", kubernetes.token),
            None => format!("Proxy-Authorization: Bearer {}\r\n", self.session_secret()),
        }
    }

    /// A good CONNECT; `fields` are whole lines.
    pub fn connect_to(&self, target: &str, fields: &str) -> String {
        let credential = self.proxy_credential();
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{credential}{fields}\r\n")
    }

    /// Sends a CONNECT and reads its answer.
    pub async fn open(&self, connect: impl AsRef<[u8]>) -> (TcpStream, Answer) {
        let mut stream = self.connect().await;
        let _ = stream.write_all(connect.as_ref()).await;
        let answer = raw::read_answer_to_connect(&mut stream).await;
        (stream, answer)
    }

    /// A tunnel to `target`, with nothing in it yet.
    pub async fn opened(&self, target: &str) -> TcpStream {
        let (stream, answer) = self.open(self.connect_to(target, "")).await;
        assert_eq!(answer.status, 200, "CONNECT {target}: {answer:?}");
        stream
    }

    /// A TLS session in a tunnel, verified for the tunnel's host.
    pub async fn tunnel(&self, target: &str) -> TlsStream<TcpStream> {
        let name = target.rsplit_once(':').unwrap().0;
        let stream = self.opened(target).await;
        self.shake_hands(stream, name).await.unwrap_or_else(|error| panic!("TLS with {name}: {error}"))
    }

    /// The same in the version of HTTP that is negotiated out of these.
    pub async fn tunnel_in(&self, target: &str, versions: &[&str]) -> TlsStream<TcpStream> {
        let name = target.rsplit_once(':').unwrap().0.to_owned();
        let stream = self.opened(target).await;
        let mut config = self.trusting();
        config.alpn_protocols = versions.iter().map(|version| version.as_bytes().to_vec()).collect();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name.try_into().unwrap(), stream);
        within("a TLS handshake", connecting).await.unwrap()
    }

    /// TLS on a stream, as a client that trusts the proxy's CA alone.
    pub async fn shake_hands(&self, stream: TcpStream, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        within("a TLS handshake", TlsConnector::from(Arc::new(self.trusting())).connect(name, stream)).await
    }

    /// A client's configuration that trusts the proxy's CA alone.
    pub fn trusting(&self) -> ClientConfig {
        trusting(&self.directory.path().join("state/ca.crt"))
    }
}

/// A client's configuration that trusts the CA in a file alone.
pub fn trusting(file: &std::path::Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Sends a request in a tunnel and reads its answer.
pub async fn call(tls: &mut TlsStream<TcpStream>, request: impl AsRef<[u8]>) -> Answer {
    tls.write_all(request.as_ref()).await.unwrap();
    raw::read_answer(tls).await
}
