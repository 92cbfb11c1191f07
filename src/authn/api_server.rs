//! The API server as we need it: one question (a TokenReview, a public document), asked once, within a deadline, answered
//! in bounded memory; `open` leaves the answer's body to the caller.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Limited};
use kube::Client;
use kube::client::Body;
use kube::config::Config;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::Unavailable;
use super::cluster::{Cluster, Error};
use super::own_token::OwnToken;
use crate::gate::deadline::timeout;

mod failure;
mod open;
pub(crate) mod review;

use failure::{broken_off, check_status, describe, unreachable};

/// An answer that is longer is not read to its end.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// A credential plugin of a kubeconfig may want to talk to its user first.
const PLUGIN_PATIENCE: Duration = Duration::from_secs(60);
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The keys have a type of their own (RFC 7517 section 8.5.2), and the API server is strict about it.
const DOCUMENT: HeaderValue = HeaderValue::from_static("application/json, application/jwk-set+json");

/// A client of one API server.
pub struct ApiServer {
    config: Config,
    own_token: Option<OwnToken>,
    ca_file: Option<PathBuf>,
    connection: ArcSwap<Connection>,
    timeout: Duration,
}

/// A client, and the CA file's content it was built with.
struct Connection {
    client: Client,
    ca: Vec<u8>,
}

impl ApiServer {
    /// Builds the client. The API server need not be up; `timeout` bounds every later call as a whole.
    pub async fn new(cluster: Cluster, timeout: Duration) -> Result<Self, Error> {
        let ca = match &cluster.ca_file {
            Some(path) => tokio::fs::read(path).await.map_err(|e| Error::Client(format!("{}: {e}", path.display())))?,
            None => Vec::new(),
        };
        let (config, roots) = (cluster.config.clone(), ca.clone());
        // On a thread of its own: a kubeconfig may name a plugin, which is run right here.
        let built = tokio::task::spawn_blocking(move || build(config, &roots));
        let client = tokio::time::timeout(PLUGIN_PATIENCE, built)
            .await
            .map_err(|_| Error::Client(format!("the credential plugin took longer than {PLUGIN_PATIENCE:?}")))?
            .map_err(|e| Error::Client(e.to_string()))??;
        Ok(Self {
            config: cluster.config,
            own_token: cluster.token_file.map(OwnToken::at),
            ca_file: cluster.ca_file,
            connection: ArcSwap::from_pointee(Connection { client, ca }),
            timeout,
        })
    }

    /// Reads the document at `path` (`GET`, our own credentials), 1 MiB at most.
    pub async fn get(&self, path: &'static str) -> Result<Bytes, Unavailable> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = Uri::from_static(path);
        request.headers_mut().insert(ACCEPT, DOCUMENT);
        let reading = self.send(request);
        timeout(self.timeout, reading).await.unwrap_or(Err(Unavailable::Timeout(self.timeout)))
    }

    /// Whether this user is ourselves, as far as our token file tells.
    pub fn is_own_user(&self, username: &str) -> bool {
        self.own_token.as_ref().is_some_and(|token| token.is_of(username))
    }

    /// The audiences of our own token: those of the API server itself, as far as our token file tells.
    pub fn own_audiences(&self) -> Vec<String> {
        self.own_token.as_ref().map(OwnToken::audiences).unwrap_or_default()
    }

    /// Sends with our own credentials and reads a good answer to its end.
    async fn send(&self, request: Request<Body>) -> Result<Bytes, Unavailable> {
        let answer = self.begin(request).await?;
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(broken_off)?;
        Ok(body.to_bytes())
    }

    /// Sends with our own credentials; the answer's head is a good one.
    async fn begin(&self, mut request: Request<Body>) -> Result<Response<Body>, Unavailable> {
        if let Some(own) = &self.own_token {
            let authorization = own.authorization().await.ok_or(Unavailable::OwnToken)?;
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        let answer = self.client().await.send(request).await.map_err(unreachable)?;
        check_status(answer.status(), answer.headers())?;
        Ok(answer)
    }

    /// The client, rebuilt first if the CA file has a new content; a bad one keeps the last good client.
    async fn client(&self) -> Client {
        let connection = self.connection.load_full();
        let Some(path) = &self.ca_file else { return connection.client.clone() };
        let Ok(ca) = tokio::fs::read(path).await else { return connection.client.clone() };
        if ca.is_empty() || ca == connection.ca {
            return connection.client.clone();
        }
        let client = match build(self.config.clone(), &ca) {
            Ok(client) => {
                tracing::info!(path = %path.display(), "the API server's CA bundle has changed");
                client
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the new CA bundle is not usable, the last good one stays");
                connection.client.clone()
            }
        };
        self.connection.store(Arc::new(Connection { client: client.clone(), ca }));
        client
    }
}

/// `ca` in PEM; empty: what the configuration says.
fn build(mut config: Config, ca: &[u8]) -> Result<Client, Error> {
    if !ca.is_empty() {
        let roots: Vec<_> = CertificateDer::pem_slice_iter(ca)
            .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
            .collect::<Result<_, _>>()
            .map_err(|e| Error::Client(format!("CA bundle: {e}")))?;
        if roots.is_empty() {
            return Err(Error::Client("CA bundle: it holds no certificate".into()));
        }
        config.root_cert = Some(roots);
    }
    Client::try_from(config).map_err(|e| Error::Client(describe(&e)))
}

#[cfg(test)]
mod tests;
