//! Opens a connection to an upstream: resolve once, check every address, dial only what was checked.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::guard::{Consent, Own};
use super::race::race;
use super::resolve::Resolver;
use super::stream::{Io, Stream};
use crate::error::Fault;
use crate::gate::deadline::timeout;
use crate::route::{Entry, Http2, Route, Scheme};

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DialError {
    #[error("{0}")]
    NotAllowed(String),
    #[error("the name does not resolve: {0}")]
    Resolve(Arc<io::Error>),
    #[error("no connection: {0}")]
    Tcp(Arc<io::Error>),
    #[error("no TLS session: {0}")]
    Tls(Arc<io::Error>),
    #[error("the host name cannot be verified by TLS")]
    NoServerName,
    #[error("timed out")]
    Timeout,
}

impl DialError {
    pub fn fault(&self) -> Fault {
        match self {
            DialError::NotAllowed(why) => Fault::AddressNotAllowed(why.clone()),
            DialError::Timeout => Fault::ConnectTimeout,
            DialError::Resolve(_) | DialError::Tcp(_) | DialError::Tls(_) | DialError::NoServerName => {
                Fault::Unreachable(self.to_string())
            }
        }
    }
}

/// What the dialers for all hosts of an entry of `routes` have in common.
#[derive(Debug)]
pub struct Means {
    /// `None`: the entry is for calls in clear.
    tls: Option<Tls>,
    resolver: Resolver,
    own: Own,
}

/// Sessions are kept by the server's name, so that none is taken up with another host.
#[derive(Debug, Clone)]
struct Tls {
    offering: Arc<rustls::ClientConfig>,
    /// The same without HTTP/2.
    http1: Arc<rustls::ClientConfig>,
}

/// Opens connections to one host.
#[derive(Debug, Clone)]
pub struct Dialer(Arc<Plan>);

#[derive(Debug)]
struct Plan {
    name: String,
    port: u16,
    fixed: Option<SocketAddr>,
    resolver: Resolver,
    consent: Consent,
    security: Security,
    http2_in_clear: bool,
    connect: Duration,
    idle: Duration,
    /// What the last connection speaks, as far as it is known.
    http1: AtomicBool,
    http2: AtomicBool,
}

#[derive(Debug)]
enum Security {
    Cleartext,
    Tls {
        settings: Tls,
        /// The name that the certificate has to be for; without one that TLS can express, no session is good.
        name: Option<ServerName<'static>>,
    },
}

impl Means {
    /// `tls` gives the settings, whose roots take time and memory: it is not asked for a route in clear, unless that names
    /// a `ca_file`, which has to be good all the same.
    pub fn of<E>(
        entry: &Entry,
        own: Own,
        tls: impl FnOnce() -> Result<Arc<rustls::ClientConfig>, E>,
    ) -> Result<Means, E> {
        let tls = match entry.scheme {
            Scheme::Http => {
                entry.ca_file.as_ref().map(|_| tls()).transpose()?;
                None
            }
            Scheme::Https => {
                let tls = tls()?;
                Some(Tls { offering: offering(entry.http2, &tls), http1: offering(Http2::Never, &tls) })
            }
        };
        Ok(Means { tls, resolver: Resolver::default(), own })
    }
}

impl Dialer {
    /// `means` are those of the route's entry.
    pub fn new(route: &Route, means: &Means) -> Dialer {
        let fixed = route.upstream_address.or(route.host.ip().map(|ip| SocketAddr::new(ip, route.port)));
        let security = match &means.tls {
            None => Security::Cleartext,
            Some(settings) => Security::Tls { settings: settings.clone(), name: server_name(route) },
        };
        Dialer(Arc::new(Plan {
            name: route.host.name().to_owned(),
            port: route.port,
            fixed,
            resolver: means.resolver.clone(),
            consent: Consent::of(route, means.own.clone()),
            security,
            http2_in_clear: route.scheme == Scheme::Http && route.http2 == Http2::Only,
            connect: route.timeouts.connect,
            idle: route.timeouts.idle,
            http1: AtomicBool::new(match route.http2 {
                Http2::Only => false,
                Http2::Never => true,
                Http2::Auto => route.scheme == Scheme::Http,
            }),
            http2: AtomicBool::new(route.http2 == Http2::Only),
        }))
    }

    /// Whether the upstream was found to speak HTTP/2, or is told to.
    pub fn speaks_http2(&self) -> bool {
        self.0.http2.load(Ordering::Relaxed)
    }

    /// Whether it was found to speak HTTP/1.1, or is told to.
    pub fn speaks_http1(&self) -> bool {
        self.0.http1.load(Ordering::Relaxed)
    }

    /// A connection for HTTP/1.1; `None` when the upstream has chosen HTTP/2.
    pub async fn connect_for_one_call(&self) -> Result<Option<Stream>, DialError> {
        let stream = self.0.open_in_time().await?;
        Ok(Some(stream).filter(|stream| !stream.is_http2()))
    }

    /// A connection to a checked address with nothing on it yet.
    pub async fn connect(&self) -> Result<Stream, DialError> {
        let plan = &self.0;
        let tcp = timeout(plan.connect, plan.connect()).await.unwrap_or(Err(DialError::Timeout))?;
        Ok(Stream::new(Io::Plain(tcp), plan.idle, false))
    }

    /// The same, secured as the route says, for HTTP/1.1 whatever the upstream would rather speak.
    pub async fn connect_for_http1(&self) -> Result<Stream, DialError> {
        let plan = &self.0;
        let opened = async { plan.secure(plan.connect().await?, true).await };
        timeout(plan.connect, opened).await.unwrap_or(Err(DialError::Timeout))
    }
}

impl Plan {
    async fn connect(&self) -> Result<TcpStream, DialError> {
        let addresses = self.addresses().await?;
        let tcp = race(addresses).await.map_err(|error| DialError::Tcp(Arc::new(error)))?;
        // Small messages go out at once; a failure here costs latency only.
        let _ = tcp.set_nodelay(true);
        Ok(tcp)
    }

    async fn open(&self) -> Result<Stream, DialError> {
        let stream = self.secure(self.connect().await?, false).await?;
        if stream.is_tls() {
            self.http1.store(!stream.is_http2(), Ordering::Relaxed);
            self.http2.store(stream.is_http2(), Ordering::Relaxed);
        }
        Ok(stream)
    }

    async fn open_in_time(&self) -> Result<Stream, DialError> {
        timeout(self.connect, self.open()).await.unwrap_or(Err(DialError::Timeout))
    }

    /// `http1`: no other version is offered.
    async fn secure(&self, tcp: TcpStream, http1: bool) -> Result<Stream, DialError> {
        let io = match &self.security {
            Security::Cleartext => Io::Plain(tcp),
            Security::Tls { name: None, .. } => return Err(DialError::NoServerName),
            Security::Tls { settings: Tls { offering, http1: alone }, name: Some(name) } => {
                let config = if http1 { alone } else { offering };
                let connecting = TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp);
                let tls = connecting.await.map_err(|error| DialError::Tls(Arc::new(error)))?;
                Io::Tls(Box::new(tls))
            }
        };
        Ok(Stream::new(io, self.idle, self.http2_in_clear && !http1))
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, DialError> {
        let found = match self.fixed {
            Some(address) => vec![address],
            None => {
                let found = self.resolver.resolve(&self.name, self.port).await;
                found.map_err(|error| DialError::Resolve(Arc::new(error)))?
            }
        };
        // One forbidden address condemns the name: whoever mixes them in is up to something.
        for address in &found {
            self.consent.check(*address).map_err(DialError::NotAllowed)?;
        }
        Ok(found)
    }
}

/// The same settings with the versions of HTTP to offer (ALPN, RFC 7301).
fn offering(http2: Http2, tls: &rustls::ClientConfig) -> Arc<rustls::ClientConfig> {
    let versions: &[&[u8]] = match http2 {
        Http2::Auto => &[b"h2", b"http/1.1"],
        Http2::Only => &[b"h2"],
        Http2::Never => &[b"http/1.1"],
    };
    let mut tls = tls.clone();
    tls.alpn_protocols = versions.iter().map(|version| version.to_vec()).collect();
    Arc::new(tls)
}

fn server_name(route: &Route) -> Option<ServerName<'static>> {
    match route.host.ip() {
        Some(ip) => Some(ServerName::IpAddress(ip.into())),
        None => ServerName::try_from(route.host.name().to_owned()).ok(),
    }
}

impl tower_service::Service<Uri> for Dialer {
    type Response = TokioIo<Stream>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Stream>, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let plan = Arc::clone(&self.0);
        Box::pin(async move { plan.open_in_time().await.map(TokioIo::new) })
    }
}
