//! Who is let in: tokens of every kind, reviewed by the real API server.

use crate::control_plane::ControlPlane;
use crate::signing_key::SigningKey;
use crate::until::until;
use crate::upstream::Upstream;
use crate::veilwarden::{Setup, UPSTREAM_SECRET};
use crate::workload::{Team, node, powerless, reviewer};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The API server itself goes on accepting a revoked token for this long: its own cache of good tokens, which has no flag.
pub const API_SERVER_CACHE: Duration = Duration::from_secs(10);

const SESSION_SECRET: &str = "session-secret-of-the-cluster-tests";

pub async fn a_valid_token_gets_the_secret_injected_and_goes_no_further(cluster: &ControlPlane) {
    let team = Team::new(cluster, "valid").await;
    team.service_account("api").await;
    let token = team.token("api", Some("veilwarden"), None).await;
    let upstream = Upstream::start().await;
    let policy = r#"allow if { input.namespace == "valid"; input.service_account == "api" }"#;
    let veilwarden = Setup::new(reviewer(cluster, "valid-reviewer").await, &upstream, policy).start().await;

    veilwarden.call_with_token(&token).await.came_from_upstream();
    let stranger = Team::new(cluster, "valid-stranger").await;
    stranger.service_account("api").await;
    let strange = stranger.token("api", Some("veilwarden"), None).await;
    veilwarden.call_with_token(&strange).await.was_refused(403, "POLICY_DENIED");

    let seen = upstream.seen();
    assert_eq!(seen.len(), 1, "only the allowed call goes upstream");
    let authorization: Vec<_> = seen[0].get_all("authorization").iter().collect();
    assert_eq!(authorization, [&format!("token {UPSTREAM_SECRET}")]);
    assert!(!format!("{seen:?}").contains(&token), "the caller's token went upstream: {seen:?}");
}

pub async fn a_pod_bound_token_tells_policy_its_pod_and_node(cluster: &ControlPlane) {
    let team = Team::new(cluster, "bound").await;
    team.service_account("api").await;
    node(cluster, "bound-node").await;
    let scheduled = team.pod("api-0", "api", Some("bound-node")).await;
    let unscheduled = team.pod("api-1", "api", None).await;
    let upstream = Upstream::start().await;
    let policy = format!(
        r#"allow if {{
            input.pod_name == "api-0"
            input.identity.pod_name == "api-0"
            input.identity.pod_uid == "{}"
            input.identity.node_name == "bound-node"
        }}
        allow if {{
            input.identity.pod_uid == "{}"
            not input.identity.node_name
        }}"#,
        scheduled.uid, unscheduled.uid
    );
    let veilwarden = Setup::new(reviewer(cluster, "bound-reviewer").await, &upstream, policy).start().await;

    for pod in [&scheduled, &unscheduled] {
        let token = team.token("api", Some("veilwarden"), Some(pod)).await;
        veilwarden.call_with_token(&token).await.came_from_upstream();
    }
    let another = team.pod("api-2", "api", Some("bound-node")).await;
    for pod in [Some(&another), None] {
        let token = team.token("api", Some("veilwarden"), pod).await;
        veilwarden.call_with_token(&token).await.was_refused(403, "POLICY_DENIED");
    }
}

pub async fn a_token_for_another_audience_is_refused_with_a_hint(cluster: &ControlPlane) {
    let team = Team::new(cluster, "audience").await;
    team.service_account("api").await;
    let upstream = Upstream::start().await;
    let veilwarden = Setup::new(reviewer(cluster, "audience-reviewer").await, &upstream, "allow := true").start().await;

    for audience in [Some("elsewhere"), None] {
        let token = team.token("api", audience, None).await;
        let answer = veilwarden.call_with_token(&token).await;
        answer.was_refused(401, "INVALID_TOKEN");
        assert!(answer.hint().contains("audience"), "{answer:?}");
    }
    assert_eq!(upstream.seen().len(), 0);
}

pub async fn without_require_audience_a_token_for_the_api_server_is_accepted_too(cluster: &ControlPlane) {
    let team = Team::new(cluster, "optional").await;
    team.service_account("api").await;
    let upstream = Upstream::start().await;
    let veilwarden = Setup::new(reviewer(cluster, "optional-reviewer").await, &upstream, "allow := true")
        .kubernetes("require_audience: false")
        .start()
        .await;

    for audience in [None, Some("veilwarden")] {
        let token = team.token("api", audience, None).await;
        veilwarden.call_with_token(&token).await.came_from_upstream();
    }
    let elsewhere = team.token("api", Some("elsewhere"), None).await;
    veilwarden.call_with_token(&elsewhere).await.was_refused(401, "INVALID_TOKEN");
}

pub async fn an_expired_token_is_refused_and_no_cache_outlives_it(cluster: &ControlPlane) {
    let team = Team::new(cluster, "expired").await;
    team.service_account("api").await;
    let token = team.token("api", Some("veilwarden"), None).await;
    let expiring =
        |at: u64| cluster.signing_key().sign_again(&token, |claims| drop(claims.insert("exp".into(), at.into())));
    let upstream = Upstream::start().await;
    let veilwarden = Setup::new(reviewer(cluster, "expired-reviewer").await, &upstream, "allow := true")
        .kubernetes("cache_ttl: 10m")
        .start()
        .await;

    veilwarden.call_with_token(&expiring(now() - 1)).await.was_refused(401, "TOKEN_EXPIRED");

    let expires = now() + 4;
    let short = expiring(expires);
    veilwarden.call_with_token(&short).await.came_from_upstream();
    until("the cached token is refused when it expires", Duration::from_secs(10), async || {
        let answer = veilwarden.call_with_token(&short).await;
        if answer.status == 200 {
            assert!(now() <= expires, "accepted after its expiry");
            return None;
        }
        answer.was_refused(401, "TOKEN_EXPIRED");
        Some(())
    })
    .await;
}

pub async fn a_forged_signature_is_refused(cluster: &ControlPlane) {
    let team = Team::new(cluster, "forged").await;
    team.service_account("api").await;
    let token = team.token("api", Some("veilwarden"), None).await;
    let upstream = Upstream::start().await;
    let veilwarden = Setup::new(reviewer(cluster, "forged-reviewer").await, &upstream, "allow := true").start().await;

    let forged = SigningKey::new().sign_again(&token, |_| {});
    veilwarden.call_with_token(&forged).await.was_refused(401, "INVALID_TOKEN");
    veilwarden.call_with_token(&token).await.came_from_upstream();
    veilwarden.call_with_token(&forged).await.was_refused(401, "INVALID_TOKEN");
    assert_eq!(upstream.seen().len(), 1);
}

pub async fn deleting_the_service_account_or_the_pod_revokes_the_token_within_the_ttl(cluster: &ControlPlane) {
    const TTL: Duration = Duration::from_secs(2);
    let team = Team::new(cluster, "deleted").await;
    team.service_account("api").await;
    team.service_account("jobs").await;
    let pod = team.pod("jobs-0", "jobs", None).await;
    let tokens =
        [team.token("api", Some("veilwarden"), None).await, team.token("jobs", Some("veilwarden"), Some(&pod)).await];
    let upstream = Upstream::start().await;
    let veilwarden = Setup::new(reviewer(cluster, "deleted-reviewer").await, &upstream, "allow := true")
        .kubernetes("cache_ttl: 2s")
        .start()
        .await;
    for token in &tokens {
        veilwarden.call_with_token(token).await.came_from_upstream();
    }

    team.delete_service_account("api").await;
    team.delete_pod("jobs-0").await;
    for token in &tokens {
        let bound = TTL + API_SERVER_CACHE + Duration::from_secs(3);
        until("the revoked token is refused", bound, async || {
            let answer = veilwarden.call_with_token(token).await;
            (answer.status != 200).then(|| answer.was_refused(401, "INVALID_TOKEN"))
        })
        .await;
    }
}

pub async fn without_the_right_to_review_tokens_the_answer_is_503_and_the_log_says_rbac(cluster: &ControlPlane) {
    let team = Team::new(cluster, "forbidden").await;
    team.service_account("api").await;
    let token = team.token("api", Some("veilwarden"), None).await;
    let upstream = Upstream::start().await;
    let veilwarden =
        Setup::new(powerless(cluster, "forbidden-powerless").await, &upstream, "allow := true").start().await;

    let answer = veilwarden.call_with_token(&token).await;
    answer.was_refused(503, "AUTH_UNAVAILABLE");
    assert!(!answer.body.contains("RBAC"), "the caller is not told about the inside: {answer:?}");
    until("the log names RBAC", Duration::from_secs(5), async || veilwarden.log().contains("RBAC").then_some(())).await;
    assert_eq!(upstream.seen().len(), 0);
}

pub async fn a_bearer_beats_the_session_secret_and_a_bad_one_is_not_rescued(cluster: &ControlPlane) {
    let team = Team::new(cluster, "both").await;
    team.service_account("api").await;
    let good = format!("Bearer {}", team.token("api", Some("veilwarden"), None).await);
    let bad = format!("Bearer {}", SigningKey::new().sign_again(&good["Bearer ".len()..], |_| {}));
    let upstream = Upstream::start().await;
    // Only the token's identity may pass: a session has no namespace.
    let policy = r#"allow if input.namespace == "both""#;
    let veilwarden = Setup::new(reviewer(cluster, "both-reviewer").await, &upstream, policy)
        .session_secret(SESSION_SECRET)
        .start()
        .await;

    let with = async |bearer: &str, secret: &str| {
        veilwarden.call(&[("authorization", bearer), ("x-session-secret", secret)]).await
    };
    with(&good, SESSION_SECRET).await.came_from_upstream();
    with(&good, "not-the-session-secret").await.came_from_upstream();
    with(&bad, SESSION_SECRET).await.was_refused(401, "INVALID_TOKEN");
    veilwarden.call(&[("x-session-secret", SESSION_SECRET)]).await.was_refused(403, "POLICY_DENIED");
    veilwarden.call(&[("x-session-secret", "not-the-session-secret")]).await.was_refused(401, "UNAUTHORIZED");
    veilwarden.call(&[]).await.was_refused(401, "UNAUTHORIZED");
}

/// Unix time in seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}
