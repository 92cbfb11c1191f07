//! A store's wire, played on loopback: what it answers is a function of the request it read.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// What the played store does with one request.
pub(crate) enum Reply {
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// These bytes once `Played::release` lets them go.
    Held(Vec<u8>),
    /// These bytes, and then silence.
    Hang(Vec<u8>),
}

impl Reply {
    /// A whole answer with its length.
    pub(crate) fn status(line: &str, fields: &str, body: &str) -> Reply {
        let length = body.len();
        Reply::Raw(format!("HTTP/1.1 {line}\r\n{fields}content-length: {length}\r\n\r\n{body}").into_bytes())
    }

    pub(crate) fn json(body: &str) -> Reply {
        Reply::status("200 OK", "content-type: application/json\r\n", body)
    }
}

#[derive(Default)]
struct Book {
    /// Every request head read.
    heads: Vec<String>,
    open: usize,
    most_open: usize,
}

/// A running server. It stops when it is dropped.
pub(crate) struct Played {
    pub(crate) url: String,
    book: Arc<Mutex<Book>>,
    gate: Arc<Semaphore>,
    accepting: tokio::task::JoinHandle<()>,
    /// Holds `ca.pem` while a TLS server runs.
    folder: Option<tempfile::TempDir>,
}

type Answering = Arc<dyn Fn(&str) -> Reply + Send + Sync>;

impl Played {
    pub(crate) async fn http(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Played {
        Played::start(Arc::new(answer), None).await
    }

    /// A TLS server on 127.0.0.1 whose certificate is for `name`.
    pub(crate) async fn https(name: &str, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Played {
        Played::start(Arc::new(answer), Some(certified(name))).await
    }

    async fn start(answer: Answering, tls: Option<(TlsAcceptor, tempfile::TempDir)>) -> Played {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let (acceptor, folder) = tls.unzip();
        let book = Arc::new(Mutex::new(Book::default()));
        let gate = Arc::new(Semaphore::new(0));
        let accepting = tokio::spawn(accept(listener, acceptor, answer, book.clone(), gate.clone()));
        Played { url, book, gate, accepting, folder }
    }

    pub(crate) fn ca_file(&self) -> std::path::PathBuf {
        self.folder.as_ref().unwrap().path().join("ca.pem")
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.book.lock().unwrap().heads.clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.book.lock().unwrap().heads.len()
    }

    pub(crate) fn most_open(&self) -> usize {
        self.book.lock().unwrap().most_open
    }

    /// Lets `count` held replies go.
    pub(crate) fn release(&self, count: usize) {
        self.gate.add_permits(count);
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    answer: Answering,
    book: Arc<Mutex<Book>>,
    gate: Arc<Semaphore>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, answer, book, gate) = (tls.clone(), answer.clone(), book.clone(), gate.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, answer, book, gate).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, answer, book, gate).await;
                    }
                }
            }
        });
    }
}

/// One request a connection, as the simplest of servers does it.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Answering,
    book: Arc<Mutex<Book>>,
    gate: Arc<Semaphore>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let reply = {
        let mut book = book.lock().unwrap();
        book.heads.push(head.clone());
        book.open += 1;
        book.most_open = book.most_open.max(book.open);
        answer(&head)
    };
    let bytes = match reply {
        Reply::Raw(bytes) => bytes,
        Reply::Held(bytes) => {
            gate.acquire().await.unwrap().forget();
            bytes
        }
        Reply::Hang(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.flush().await;
            tokio::time::sleep(Duration::from_secs(30)).await;
            Vec::new()
        }
    };
    book.lock().unwrap().open -= 1;
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
}

/// A fresh CA in `ca.pem`, and an acceptor with a certificate from it for `name`.
fn certified(name: &str) -> (TlsAcceptor, tempfile::TempDir) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), ca_pem).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), folder)
}
