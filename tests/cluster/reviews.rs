//! The harness itself: what the control plane says about tokens when it is asked directly. Where a test of veilwarden
//! fails, these tell whether the cluster is what the test takes it for.

use crate::control_plane::ControlPlane;
use crate::signing_key::SigningKey;
use crate::workload::{Team, node, powerless, reviewer};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Client;
use kube::api::{Api, PostParams};
use std::path::Path;

pub async fn the_control_plane_reviews_tokens(cluster: &ControlPlane) {
    let team = Team::new(cluster, "reviews").await;
    team.service_account("api").await;
    node(cluster, "reviews-node").await;
    let pod = team.pod("api-0", "api", Some("reviews-node")).await;
    let token = team.token("api", Some("veilwarden"), Some(&pod)).await;

    let status = review(cluster.admin(), &token, &["veilwarden"]).await.expect("an administrator may ask");
    assert_eq!(status.authenticated, Some(true), "{status:?}");
    assert_eq!(status.audiences, Some(vec!["veilwarden".to_owned()]));
    let user = status.user.expect("an authenticated user");
    assert_eq!(user.username.as_deref(), Some("system:serviceaccount:reviews:api"));
    let extra = user.extra.expect("a pod-bound token has extra attributes");
    assert_eq!(extra["authentication.kubernetes.io/pod-name"], ["api-0"]);
    assert_eq!(extra["authentication.kubernetes.io/pod-uid"], [pod.uid]);
    assert_eq!(extra["authentication.kubernetes.io/node-name"], ["reviews-node"]);

    let other_audience = review(cluster.admin(), &token, &["elsewhere"]).await.expect("an administrator may ask");
    assert_ne!(other_audience.authenticated, Some(true), "{other_audience:?}");
}

pub async fn a_minted_token_passes_and_an_expired_or_forged_one_does_not(cluster: &ControlPlane) {
    let team = Team::new(cluster, "minted").await;
    team.service_account("api").await;
    let token = team.token("api", Some("veilwarden"), None).await;
    let cases = [
        ("minted", cluster.signing_key().sign_again(&token, |claims| drop(claims.remove("jti"))), true),
        (
            "expired",
            cluster.signing_key().sign_again(&token, |claims| drop(claims.insert("exp".into(), 1.into()))),
            false,
        ),
        ("forged", SigningKey::new().sign_again(&token, |_| {}), false),
    ];
    for (name, token, authentic) in cases {
        let status = review(cluster.admin(), &token, &["veilwarden"]).await.expect("an administrator may ask");
        assert_eq!(status.authenticated.unwrap_or_default(), authentic, "{name}: {status:?}");
    }
}

pub async fn only_the_right_to_create_tokenreviews_allows_a_review(cluster: &ControlPlane) {
    let allowed = client_of(&reviewer(cluster, "rights-reviewer").await).await;
    review(allowed.clone(), "no-token", &[]).await.expect("this is the right that the reviewer has");
    let nodes = Api::<k8s_openapi::api::core::v1::Node>::all(allowed).list(&Default::default()).await;
    assert_eq!(nodes.map(drop).map_err(http_status), Err(Some(403)), "the reviewer may do nothing else");

    let forbidden = client_of(&powerless(cluster, "rights-powerless").await).await;
    let refused = review(forbidden, "no-token", &[]).await;
    assert_eq!(refused.map(drop).map_err(http_status), Err(Some(403)));
}

pub async fn a_restarted_api_server_knows_its_tokens(cluster: &mut ControlPlane) {
    let team = Team::new(cluster, "restart").await;
    team.service_account("api").await;
    let token = team.token("api", Some("veilwarden"), None).await;
    cluster.stop_api_server();
    assert!(review(cluster.admin(), &token, &["veilwarden"]).await.is_err(), "a stopped API server answers nothing");
    cluster.start_api_server().await;
    let status = review(cluster.admin(), &token, &["veilwarden"]).await.expect("it is ready");
    assert_eq!(status.authenticated, Some(true), "{status:?}");
}

async fn client_of(kubeconfig: &Path) -> Client {
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig).expect("our own kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await;
    Client::try_from(config.expect("our own kubeconfig")).expect("a client")
}

/// Asks the API server about a token.
pub async fn review(client: Client, token: &str, audiences: &[&str]) -> kube::Result<TokenReviewStatus> {
    let audiences = audiences.iter().map(ToString::to_string).collect();
    let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: Some(audiences) };
    let review = TokenReview { spec, ..TokenReview::default() };
    let answer = Api::all(client).create(&PostParams::default(), &review).await?;
    Ok(answer.status.expect("a TokenReview is answered with a status"))
}

/// The HTTP status that the API server refused with.
fn http_status(error: kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}
