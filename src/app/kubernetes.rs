//! The authenticator for ServiceAccount tokens: how each cluster judges, and which one does.

use std::sync::Arc;

use super::{Error, pods};
use crate::authn::api_server::ApiServer;
use crate::authn::both::Both;
use crate::authn::cached::Cached;
use crate::authn::cluster::{self, Cluster, Environment};
use crate::authn::clusters::{Clusters, Member};
use crate::authn::jwks::Jwks;
use crate::authn::token_review::{Review, TokenReviewer};
use crate::authn::{Authenticator, DEFAULT_CLUSTER, KubernetesSettings, ValidateMethod};
use crate::metrics::Metrics;

/// What judges tokens, the clusters' names for the log, and what is watched meanwhile; nothing of it without Kubernetes.
#[derive(Default)]
pub(super) struct Kubernetes {
    pub authenticator: Option<Box<dyn Authenticator>>,
    pub description: Option<String>,
    pub watches: pods::Watches,
}

/// What judges the tokens of one cluster.
struct Judge {
    authenticator: Box<dyn Authenticator>,
    api_server: Arc<ApiServer>,
    description: String,
}

/// Builds it from the `kubernetes` section. No API server is asked. The error is all that is wrong.
pub(super) async fn build(settings: &KubernetesSettings, metrics: &Arc<Metrics>) -> Result<Kubernetes, Vec<Error>> {
    let mut wrong = Vec::new();
    let default = one(settings, &Environment::of_this_process(), metrics).await;
    let default = default.map_err(|cause| wrong.push(Error::Kubernetes(cause))).ok();
    let (mut others, mut descriptions) = (Vec::new(), Vec::new());
    for further in &settings.clusters {
        let name = further.cluster.clone().unwrap_or_default();
        // Our own surroundings are those of the default cluster.
        match one(further, &Environment::default(), metrics).await {
            Ok(Judge { authenticator, description, .. }) => {
                others.push(Member { issuer: further.issuer.clone().unwrap_or_default(), authenticator });
                descriptions.push(format!("; {name}: {description}"));
            }
            Err(cause) => wrong.push(Error::Cluster { name, cause }),
        }
    }
    let Some(Judge { mut authenticator, api_server, description }) = default.filter(|_| wrong.is_empty()) else {
        return Err(wrong);
    };
    if !others.is_empty() {
        authenticator = Box::new(Clusters::new(authenticator, settings.issuer.clone(), others));
    }
    // Around all clusters, so that no token passes by: those of further ones have no pod here.
    let (authenticator, watches) = match &settings.pods {
        Some(pods) => pods::bind(authenticator, api_server, pods, metrics),
        None => (authenticator, Vec::new()),
    };
    let description = description + &descriptions.concat();
    Ok(Kubernetes { authenticator: Some(authenticator), description: Some(description), watches })
}

async fn one(
    settings: &KubernetesSettings,
    environment: &Environment,
    metrics: &Arc<Metrics>,
) -> Result<Judge, cluster::Error> {
    let cluster = Cluster::find(settings, environment).await?;
    let description = cluster.to_string();
    let api_server = Arc::new(ApiServer::new(cluster, settings.timeout).await?);
    let authenticator: Box<dyn Authenticator> = match settings.validate_method {
        ValidateMethod::TokenReview => Box::new(Cached::new(reviewer(&api_server, settings, metrics), settings)),
        ValidateMethod::Jwks => Box::new(Cached::new(jwks(&api_server, settings, metrics), settings)),
        ValidateMethod::Both => {
            let here = jwks(&api_server, settings, metrics);
            Box::new(Cached::new(Both::new(here, reviewer(&api_server, settings, metrics)), settings))
        }
    };
    Ok(Judge { authenticator, api_server, description })
}

fn reviewer(api_server: &Arc<ApiServer>, settings: &KubernetesSettings, metrics: &Arc<Metrics>) -> TokenReviewer {
    let metrics = Arc::clone(metrics);
    let on_review = Box::new(move |review: Review| metrics.reviewed(review.took, review.failure));
    TokenReviewer::new(Arc::clone(api_server), settings, on_review)
}

fn jwks(api_server: &Arc<ApiServer>, settings: &KubernetesSettings, metrics: &Arc<Metrics>) -> Jwks {
    let metrics = Arc::clone(metrics);
    let cluster = settings.cluster.clone().unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
    let on_fetch = Box::new(move |outcome| metrics.keys_fetched(&cluster, outcome));
    Jwks::new(Arc::clone(api_server), settings, on_fetch)
}
