//! Connections to stores: TCP to loopback, TLS to everyone else.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::{Error, chain};
use crate::gate::deadline::timeout;

/// A connection that nobody waits for any more is finished in the background for the pool. It must end too.
const CONNECT: Duration = Duration::from_secs(10);

/// Makes connections for the pooled client.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    tls: Arc<rustls::ClientConfig>,
}

impl Connector {
    pub(super) fn new(tls: Arc<rustls::ClientConfig>) -> Connector {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        Connector { tcp, tls }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Link>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Link>, Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.tcp.poll_ready(cx).map_err(|error| Error::Connect(chain(&error)))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let tcp = self.tcp.call(url.clone());
        let tls = TlsConnector::from(self.tls.clone());
        Box::pin(async move {
            let connecting = async {
                let stream = tcp.await.map_err(|error| Error::Connect(chain(&error)))?.into_inner();
                secure(stream, &url, tls).await
            };
            let link = timeout(CONNECT, connecting).await.map_err(|_| Error::Timeout(CONNECT))??;
            Ok(TokioIo::new(link))
        })
    }
}

/// TLS for https; for http only the proof that the peer is on this machine, whatever its name resolved to.
async fn secure(stream: TcpStream, url: &Uri, tls: TlsConnector) -> Result<Link, Error> {
    if url.scheme_str() != Some("https") {
        let peer = stream.peer_addr().map_err(|error| Error::Connect(error.to_string()))?;
        if !peer.ip().is_loopback() {
            return Err(Error::Url("the name of a plain http URL leads off this machine"));
        }
        return Ok(Box::new(stream));
    }
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::Url("its host cannot be named in TLS"))?;
    let stream = tls.connect(name, stream).await.map_err(handshake_error)?;
    Ok(Box::new(stream))
}

fn handshake_error(error: io::Error) -> Error {
    let is_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    if is_tls { Error::Tls(error.to_string()) } else { Error::Connect(format!("during the TLS handshake: {error}")) }
}

/// Bytes both ways, in clear or under TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection, as the pool wants it.
type Link = Box<dyn Stream>;

impl Connection for Link {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
