//! The upstreams of docs/clients.md, played by one server over TLS: each speaks as much of its API as the clients need, and
//! only to whoever brings its real credential.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::git::Repository;
use crate::servers::{HAPROXY, NGINX, WEBSOCKETS};

/// The hosts that it plays, each with the field and the value that it wants to see.
pub const HOSTS: [(&str, &str, &str); 6] = [
    ("api.github.com", "authorization", "token ghp_real"),
    ("api.openai.com", "authorization", "Bearer sk-real"),
    ("api.anthropic.com", "authorization", "Bearer sk-ant-real"),
    ("grpc.example.com", "authorization", "Bearer grpc-real"),
    ("git.example.com", "authorization", "Bearer git-real"),
    ("s3.eu-central-1.amazonaws.com", "x-audited-by", "veilwarden"),
];

const OPENAI: &str = include_str!("answers/openai.txt");
const ANTHROPIC: &str = include_str!("answers/anthropic.txt");
const BUCKETS: &str = include_str!("answers/buckets.xml");

/// The server, its address, and the CA that vouches for it.
pub struct Apis {
    pub address: SocketAddr,
    pub ca_file: PathBuf,
    /// For other servers.
    pub certificate: Certificate,
}

/// A certificate for some hosts, as files for programs that serve TLS.
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
    /// The two in one file.
    pub both: PathBuf,
}

pub type Answer = Response<BoxBody<Bytes, Infallible>>;

impl Apis {
    /// Serves until the runtime ends.
    pub async fn start(directory: &Path) -> Apis {
        let ca_file = directory.join("upstreams-ca.pem");
        let (acceptor, certificate) = tls(&ca_file, directory);
        let repository = Arc::new(Repository::new(&directory.join("repositories")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream, Arc::clone(&repository)));
            }
        });
        Apis { address, ca_file, certificate }
    }
}

/// The server's own end of TLS, and a certificate for the others, both of a new CA.
fn tls(ca_file: &Path, directory: &Path) -> (TlsAcceptor, Certificate) {
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("no names");
    ca.distinguished_name.push(DnType::CommonName, "CA of the played upstreams");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(ca_file, ca.self_signed(&ca_key).expect("signed").pem()).expect("our directory");
    let issuer = Issuer::new(ca, ca_key);
    let leaf = |names: Vec<String>| {
        let key = KeyPair::generate().expect("a key");
        (CertificateParams::new(names).expect("names").signed_by(&key, &issuer).expect("signed"), key)
    };
    let (own, key) = leaf(HOSTS.iter().map(|(host, ..)| (*host).to_owned()).collect());
    let mut config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .expect("they belong together");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (others, key) = leaf([NGINX, HAPROXY, WEBSOCKETS].map(str::to_owned).into());
    let file = |name: &str, text: String| {
        std::fs::write(directory.join(name), text).expect("our directory");
        directory.join(name)
    };
    let certificate = Certificate {
        chain: file("servers.crt", others.pem()),
        key: file("servers.key", key.serialize_pem()),
        both: file("servers.pem", others.pem() + &key.serialize_pem()),
    };
    (TlsAcceptor::from(Arc::new(config)), certificate)
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, repository: Arc<Repository>) {
    let Ok(tls) = acceptor.accept(stream).await else { return };
    let is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request| {
        let repository = Arc::clone(&repository);
        async move { Ok::<_, Infallible>(answer(request, &repository).await) }
    });
    // Whatever the client does to the connection in the end is its own affair.
    let _ = match is_http2 {
        true => http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tls), service).await,
        false => http1::Builder::new().serve_connection(TokioIo::new(tls), service).await,
    };
}

async fn answer(request: Request<Incoming>, repository: &Repository) -> Answer {
    let field = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().host().or(field).unwrap_or_default().to_owned();
    let Some((_, field, wanted)) = HOSTS.iter().find(|(name, ..)| *name == host) else {
        return plain(StatusCode::MISDIRECTED_REQUEST, format!("no such host: {host}"));
    };
    let seen: Vec<&HeaderValue> = request.headers().get_all(*field).iter().collect();
    if seen != [wanted] {
        return plain(StatusCode::UNAUTHORIZED, format!("{field}: {seen:?}"));
    }
    // Whatever was made up to satisfy a client must not arrive.
    if request.headers().values().any(|value| value.as_bytes().windows(6).any(|part| part == b"unused")) {
        return plain(StatusCode::BAD_REQUEST, format!("{:?}", request.headers()));
    }
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    match (host.as_str(), parts.method.as_str(), parts.uri.path()) {
        ("api.github.com", "GET", "/user") => of_type("application/json", r#"{"login":"octocat"}"#),
        ("api.openai.com", "POST", "/v1/chat/completions") if is_streaming(&body) => {
            of_type("text/event-stream", OPENAI)
        }
        ("api.anthropic.com", "POST", "/v1/messages") if is_streaming(&body) => of_type("text/event-stream", ANTHROPIC),
        ("s3.eu-central-1.amazonaws.com", "GET", "/") if parts.headers.contains_key(AUTHORIZATION) => {
            of_type("application/xml", BUCKETS)
        }
        ("grpc.example.com", "POST", "/echo.Echo/Say") => messages(&body, 1),
        ("grpc.example.com", "POST", "/echo.Echo/Repeat") => messages(&body, 3),
        ("git.example.com", ..) => repository.answer(&parts, &body),
        _ => plain(StatusCode::NOT_FOUND, format!("{} {}", parts.method, parts.uri)),
    }
}

fn is_streaming(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|body: serde_json::Value| body["stream"] == true)
}

/// gRPC over HTTP/2: the request's messages so many times, and the status in a trailer.
fn messages(body: &Bytes, times: usize) -> Answer {
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let body = Full::from(body.repeat(times)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut answer = Response::new(body.boxed());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    answer
}

fn of_type(content_type: &'static str, body: &'static str) -> Answer {
    let mut answer = Response::new(Full::from(body).boxed());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn plain(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text).boxed());
    *answer.status_mut() = status;
    answer
}
