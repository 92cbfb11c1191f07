//! The veilwarden that calls are sent to.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use http::Uri;
use http::uri::Scheme;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::tls_config;
use crate::gate::deadline::timeout;

/// Name, TCP and TLS together.
const CONNECT: Duration = Duration::from_secs(5);

/// Where veilwarden listens.
pub struct Via {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// A connection to it.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Via {
    /// Reads `http://HOST:PORT` or `https://HOST:PORT`. `ca_file`: roots beside the usual ones.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str, ca_file: Option<&Path>) -> Result<Via> {
        let uri: Uri = text.parse().map_err(|_| anyhow!("not a URL such as http://veilwarden.veilwarden.svc:8088"))?;
        let begins_well = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme());
        ensure!(begins_well, "a URL begins with http:// or https://, as http://veilwarden.veilwarden.svc:8088 does");
        ensure!(uri.path() == "/" && uri.query().is_none(), "a URL without a path: calls name their own");
        let authority = uri.authority().ok_or_else(|| anyhow!("a URL names a host"))?;
        ensure!(!authority.as_str().contains('@'), "the credential comes from a file, not from the URL");
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if uri.scheme() == Some(&Scheme::HTTPS) {
            let name = ServerName::try_from(host.clone())?;
            Some((TlsConnector::from(Arc::clone(&tls_config(ca_file)?)), name))
        } else {
            None
        };
        let port = authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        Ok(Via { host, port, tls })
    }

    /// # Errors
    /// It cannot be reached within five seconds.
    pub async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let connecting = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.set_nodelay(true)?;
            Ok(match &self.tls {
                Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?) as Box<dyn Stream>,
                None => Box::new(stream),
            })
        };
        timeout(CONNECT, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_is_one() {
        for (text, host, port) in [
            ("http://veilwarden.veilwarden.svc:8088", "veilwarden.veilwarden.svc", 8088),
            ("http://127.0.0.1:8088/", "127.0.0.1", 8088),
            ("http://[::1]:8088", "::1", 8088),
            ("http://proxy.test", "proxy.test", 80),
        ] {
            let via = Via::parse(text, None).unwrap();
            assert_eq!((via.host.as_str(), via.port, via.tls.is_none()), (host, port, true), "{text}");
        }
        let via = Via::parse("https://proxy.test", None).unwrap();
        assert_eq!((via.port, via.tls.is_some()), (443, true));
        for text in [
            "",
            "proxy.test:8088",
            "/x",
            "http://",
            "ftp://proxy.test",
            "http://proxy.test/_route/a",
            "http://proxy.test?x",
            "http://u:p@proxy.test",
        ] {
            assert!(Via::parse(text, None).is_err(), "{text:?}");
        }
        for text in ["127.0.0.1:1", "proxy.test", "ftp://proxy.test/x"] {
            let error = Via::parse(text, None).err().unwrap().to_string();
            assert!(error.contains("begins with http://"), "{text:?}: {error}");
        }
    }
}
