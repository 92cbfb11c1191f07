//! The API server as we need it: one TokenReview, asked once, within a deadline, answered in bounded memory.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Client;
use kube::client::Body;
use kube::config::Config;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::Unavailable;
use super::cluster::{Cluster, Error};
use super::own_token::OwnToken;

/// An answer that is longer is not read to its end.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// A credential plugin of a kubeconfig may want to talk to its user first.
const PLUGIN_PATIENCE: Duration = Duration::from_secs(60);
const JSON: HeaderValue = HeaderValue::from_static("application/json");

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

    /// Asks about a token: `POST /apis/authentication.k8s.io/v1/tokenreviews` with `spec.token` and `spec.audiences`.
    pub async fn review(&self, token: &str, audience: Option<&str>) -> Result<TokenReviewStatus, Unavailable> {
        let exchange = self.exchange(token, audience);
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or(Err(Unavailable::Timeout(self.timeout)))
    }

    /// Whether this user is ourselves, as far as our token file tells.
    pub fn is_own_user(&self, username: &str) -> bool {
        self.own_token.as_ref().is_some_and(|token| token.is_of(username))
    }

    async fn exchange(&self, token: &str, audience: Option<&str>) -> Result<TokenReviewStatus, Unavailable> {
        let mut request = question(token, audience)?;
        if let Some(own) = &self.own_token {
            let authorization = own.authorization().await.ok_or(Unavailable::OwnToken)?;
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        let answer = self.client().await.send(request).await.map_err(unreachable)?;
        check_status(answer.status(), answer.headers())?;
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(broken_off)?;
        let review: TokenReview = serde_json::from_slice(&body.to_bytes())
            .map_err(|e| Unavailable::Unreadable(format!("not a TokenReview: {:?}", e.classify()).into()))?;
        review.status.ok_or_else(|| Unavailable::Unreadable("a TokenReview without a status".into()))
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
    Client::try_from(config).map_err(|e| Error::Client(chain(&e)))
}

fn question(token: &str, audience: Option<&str>) -> Result<Request<Body>, Unavailable> {
    let review = TokenReview {
        spec: TokenReviewSpec {
            token: Some(token.to_owned()),
            audiences: audience.map(|audience| vec![audience.to_owned()]),
        },
        ..TokenReview::default()
    };
    let json = serde_json::to_vec(&review).map_err(|e| Unavailable::Unreadable(e.to_string().into()))?;
    let mut request = Request::new(Body::from(Bytes::from(json)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/apis/authentication.k8s.io/v1/tokenreviews");
    request.headers_mut().insert(CONTENT_TYPE, JSON);
    request.headers_mut().insert(ACCEPT, JSON);
    Ok(request)
}

fn check_status(status: StatusCode, headers: &HeaderMap) -> Result<(), Unavailable> {
    match status {
        StatusCode::OK | StatusCode::CREATED => Ok(()),
        StatusCode::UNAUTHORIZED => Err(Unavailable::OwnCredentials),
        StatusCode::FORBIDDEN => Err(Unavailable::Rbac),
        StatusCode::TOO_MANY_REQUESTS => Err(Unavailable::Busy { retry_after: retry_after(headers) }),
        // Redirects among them: nothing here follows one.
        other => Err(Unavailable::Status(other.as_u16())),
    }
}

/// `Retry-After` in seconds, held between one and thirty.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds.clamp(1, 30)))
}

fn unreachable(error: kube::Error) -> Unavailable {
    let text = chain(&error).into();
    if is_tls(&error) { Unavailable::Tls(text) } else { Unavailable::Network(text) }
}

fn broken_off(error: Box<dyn StdError + Send + Sync>) -> Unavailable {
    if error.is::<LengthLimitError>() {
        return Unavailable::Unreadable(format!("longer than {MAX_ANSWER_BYTES} bytes").into());
    }
    Unavailable::Network(chain(error.as_ref()).into())
}

/// Whether a TLS error lies anywhere below. `io::Error::source` passes over the error that it wraps, hence the detour.
fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if error.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| wrapped.is::<rustls::Error>()) {
            return true;
        }
        next = error.source();
    }
    false
}

/// An error and its causes in one line.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
