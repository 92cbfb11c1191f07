//! Section H of the hostile cases, against the whole: cache, fair share, TokenReview client and a played API server.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::json;

use super::api_server::ApiServer;
use super::cached::Cached;
use super::cluster::{Cluster, Environment};
use super::played::{PEER, Play, PlayedApiServer, Pod, honest, in_an_hour, mint, mint_for, refused};
use super::session::{Session, SessionSecret};
use super::token_review::TokenReviewer;
use super::{Authn, Blame, Error, Identity, KubernetesSettings, Source, Unavailable, User, Workload};
use crate::request::Credential;

mod caching;
mod credentials;
mod reviews;

const SECRET: &str = "a session secret of some length";

/// Everything that `serve` would build, beside a played API server.
struct World {
    server: PlayedApiServer,
    authn: Arc<Authn>,
    pod: Pod,
    /// What the observer of reviews was told.
    reviews: Arc<Mutex<Vec<Option<&'static str>>>>,
}

impl World {
    async fn new(play: Play) -> Self {
        Self::with(play, |_| {}).await
    }

    async fn with(play: Play, change: impl FnOnce(&mut KubernetesSettings)) -> Self {
        let server = PlayedApiServer::start(play).await;
        let mut pod = Pod::beside(&server);
        change(&mut pod.settings);
        let reviews = Arc::new(Mutex::new(Vec::new()));
        let observed = reviews.clone();
        let cluster = Cluster::find(&pod.settings, &Environment::default()).await.unwrap();
        let on_review = Box::new(move |review: super::token_review::Review| {
            observed.lock().unwrap().push(review.failure);
        });
        let api_server = Arc::new(ApiServer::new(cluster, pod.settings.timeout).await.unwrap());
        let reviewer = TokenReviewer::new(api_server, &pod.settings, on_review);
        let kubernetes = Cached::new(reviewer, &pod.settings);
        let authn = Arc::new(Authn::new(Some(session()), Some(Box::new(kubernetes))));
        Self { server, authn, pod, reviews }
    }

    async fn from(&self, token: &str, peer: Source) -> Result<Arc<Identity>, Error> {
        self.authn.authenticate(Some(&bearer(token)), peer).await
    }

    async fn ask(&self, token: &str) -> Result<Arc<Identity>, Error> {
        self.from(token, PEER).await
    }

    async fn workload(&self, token: &str) -> Workload {
        match self.ask(token).await.as_deref() {
            Ok(Identity::Kubernetes(workload)) => workload.clone(),
            other => panic!("{other:?}"),
        }
    }
}

fn session() -> Session {
    let user = User { id: "alice".into(), email: "alice@example.com".into(), org: "engineering".into() };
    Session::new(SessionSecret::new(&SecretString::from(SECRET)).unwrap(), user)
}

fn bearer(token: &str) -> Credential {
    Credential::Token(SecretString::from(token))
}

fn secret(text: &str) -> Credential {
    Credential::SessionSecret(SecretString::from(text))
}

fn token(n: usize) -> String {
    mint_for("ns", &format!("sa-{n}"))
}

fn for_audiences(audiences: &[&str]) -> String {
    mint(&json!({"sub": "system:serviceaccount:ns:sa", "aud": audiences, "exp": in_an_hour()}))
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}
