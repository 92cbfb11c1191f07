//! Asks the API server who a token belongs to (`authentication.k8s.io/v1` `TokenReview`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use secrecy::ExposeSecret;

use super::api_server::ApiServer;
use super::fair_share::FairShare;
use super::token::Claims;
use super::{Authenticator, Blame, Error, Identity, KubernetesSettings, Source, Unavailable, Workload, sha256};
use crate::BoxFuture;
use crate::request::Credential;

pub(crate) mod answer;

pub use answer::lists;
use answer::{Question, identify};

/// One review that was made, for metrics.
#[derive(Debug, Clone, Copy)]
pub struct Review {
    pub took: Duration,
    /// `None`: the token was accepted; else [`Error::label`].
    pub failure: Option<&'static str>,
}

/// Called after each review that went to the API server.
pub type OnReview = Box<dyn Fn(Review) + Send + Sync>;

/// Authenticates ServiceAccount tokens by TokenReview.
///
/// A malformed or expired token is refused locally; every other one costs one call, if the fair share grants it.
pub struct TokenReviewer {
    api_server: Arc<ApiServer>,
    cluster: Option<String>,
    audience: Arc<str>,
    require_audience: bool,
    share: FairShare,
    on_review: OnReview,
    /// The label of the failure that the log has told of last; `None` while all is well.
    outage: Mutex<Option<&'static str>>,
}

impl TokenReviewer {
    pub fn new(api_server: Arc<ApiServer>, settings: &KubernetesSettings, on_review: OnReview) -> Self {
        Self {
            api_server,
            cluster: settings.cluster.clone(),
            audience: settings.audience.as_str().into(),
            require_audience: settings.require_audience,
            share: FairShare::new(settings.max_reviews_per_second, settings.cache_entries),
            on_review,
            outage: Mutex::new(None),
        }
    }

    async fn judge(&self, token: &str, peer: Source) -> Result<Arc<Identity>, Error> {
        let claims = Claims::read(token, SystemTime::now())?;
        let digest = sha256(token);
        self.share.draw(&digest, peer).await?;
        let outcome = self.review(token, &claims).await;
        match &outcome {
            Ok(_) => self.share.was_good(digest).await,
            Err(error) if error.blame() == Blame::Rejected => self.share.was_bad(&digest).await,
            Err(_) => {}
        }
        outcome
    }

    async fn review(&self, token: &str, claims: &Claims) -> Result<Arc<Identity>, Error> {
        let asked = Instant::now();
        let question = self.question(claims);
        let answer = self.api_server.review(token, question.audience()).await;
        self.note(answer.as_ref().err());
        let outcome = answer
            .map_err(Error::from)
            .and_then(|status| identify(status, question, claims))
            .and_then(|workload| self.not_ourselves(workload))
            .map_err(|error| self.explain(error, claims));
        (self.on_review)(Review { took: asked.elapsed(), failure: outcome.as_ref().err().map(Error::label) });
        let named = |workload| Workload { cluster: self.cluster.clone(), ..workload };
        outcome.map(|workload| Arc::new(Identity::Kubernetes(named(workload))))
    }

    /// Without `require_audience` the token's own, unverified `aud` picks the question; the answer must fit it.
    fn question(&self, claims: &Claims) -> Question<'_> {
        if self.require_audience || lists(&claims.audiences, &self.audience) {
            Question::Ours(&self.audience)
        } else {
            Question::ApiServers
        }
    }

    fn not_ourselves(&self, workload: Workload) -> Result<Workload, Error> {
        if self.api_server.is_own_user(&workload.username) { Err(Error::OwnIdentity) } else { Ok(workload) }
    }

    /// A refusal for the audience gets its own error, because its owner can do something about it.
    fn explain(&self, error: Error, claims: &Claims) -> Error {
        match error {
            Error::Refused(detail) if !lists(&claims.audiences, &self.audience) => {
                // For a token that was judged by the API server's audience only the API server knows the reason.
                if self.require_audience || detail.contains("audience") {
                    Error::WrongAudience { audience: self.audience.clone() }
                } else {
                    Error::Refused(detail)
                }
            }
            other => other,
        }
    }

    /// Logs the beginning, the changes and the end of an outage, not every failure in it.
    fn note(&self, failure: Option<&Unavailable>) {
        let mut told = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let label = failure.map(Unavailable::label);
        if *told == label {
            return;
        }
        *told = label;
        match failure {
            Some(reason) => tracing::error!(error = %reason, "tokens cannot be reviewed"),
            None => tracing::info!("tokens can be reviewed again"),
        }
    }
}

impl Authenticator for TokenReviewer {
    fn authenticate<'a>(
        &'a self,
        credential: &'a Credential,
        peer: Source,
    ) -> BoxFuture<'a, Result<Arc<Identity>, Error>> {
        match credential {
            Credential::Token(token) => Box::pin(self.judge(token.expose_secret(), peer)),
            Credential::SessionSecret(_) => Box::pin(std::future::ready(Err(Error::SessionDisabled))),
        }
    }
}
