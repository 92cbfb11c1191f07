//! Tokens judged by the API server's keys, and by keys and review.

use crate::control_plane::{ControlPlane, ISSUER};
use crate::identity::{API_SERVER_CACHE, now};
use crate::reviews::review;
use crate::signing_key::SigningKey;
use crate::until::until;
use crate::upstream::Upstream;
use crate::veilwarden::{Setup, Veilwarden};
use crate::workload::{Team, node, powerless, reviewer};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

pub async fn tokens_are_verified_by_the_keys_of_the_api_server_without_any_right(cluster: &ControlPlane) {
    let team = Team::new(cluster, "jwks").await;
    team.service_account("api").await;
    let upstream = Upstream::start().await;
    let veilwarden = Setup::new(powerless(cluster, "jwks-powerless").await, &upstream, "allow := true")
        .kubernetes("validate_method: jwks, cache_ttl: 10m")
        .start()
        .await;

    let token = team.token("api", Some("veilwarden"), None).await;
    veilwarden.call_with_token(&token).await.came_from_upstream();
    let key = cluster.signing_key();
    let expired = key.sign_again(&token, |claims| drop(claims.insert("exp".into(), (now() - 1).into())));
    veilwarden.call_with_token(&expired).await.was_refused(401, "TOKEN_EXPIRED");
    for audiences in [&["elsewhere"][..], &[], &["veilwarden", "elsewhere"], &["veilwarden", ISSUER]] {
        let token = team.token_for("api", audiences, None, 3600).await;
        let answer = veilwarden.call_with_token(&token).await;
        answer.was_refused(401, "INVALID_TOKEN");
        assert!(audiences.contains(&"veilwarden") || answer.hint().contains("audience"), "{answer:?}");
    }
    let other_namespace = |claims: &mut serde_json::Map<_, _>| {
        claims.insert("sub".into(), "system:serviceaccount:kube-system:api".into());
    };
    for (forgery, what) in [
        (SigningKey::new().sign_again(&token, |_| {}), "another key"),
        (SigningKey::new().sign_as_nobody(&token), "an unknown key"),
        (key.sign_as_nobody(&token), "the right key under another name"),
        (key.sign_again(&token, other_namespace), "another namespace in the subject"),
        (key.sign_again(&token, |claims| drop(claims.insert("iss".into(), "https://x".into()))), "another issuer"),
        (key.sign_again(&token, |claims| drop(claims.remove("exp"))), "no end"),
    ] {
        let answer = veilwarden.call_with_token(&forgery).await;
        assert_eq!((answer.status, answer.code()), (401, Some("INVALID_TOKEN")), "{what}: {answer:?}");
    }
    assert_eq!(upstream.seen().len(), 1);
    veilwarden.call_with_token(&token).await.came_from_upstream();
}

pub async fn the_identity_is_the_one_that_a_review_gives(cluster: &ControlPlane) {
    let team = Team::new(cluster, "jwks-identity").await;
    team.service_account("api").await;
    node(cluster, "jwks-identity-node").await;
    let pod = team.pod("api-0", "api", Some("jwks-identity-node")).await;
    let upstream = Upstream::start().await;
    let (reviewer, powerless) =
        (reviewer(cluster, "jwks-identity-reviewer").await, powerless(cluster, "jwks-identity-powerless").await);

    for bound_to in [Some(&pod), None] {
        let token = team.token("api", Some("veilwarden"), bound_to).await;
        let status = review(cluster.admin(), &token, &["veilwarden"]).await.expect("an administrator may ask");
        let user = status.user.expect("an authenticated user");
        let extra = user.extra.unwrap_or_default();
        let mut identity = json!({
            "type": "kubernetes", "namespace": "jwks-identity", "service_account": "api", "username": user.username,
            "service_account_uid": user.uid, "groups": user.groups, "audiences": status.audiences,
        });
        for name in ["pod-name", "pod-uid", "node-name"] {
            if let Some(values) = extra.get(&format!("authentication.kubernetes.io/{name}")) {
                identity[name.replace('-', "_")] = json!(values[0]);
            }
        }
        assert_eq!(identity.get("node_name").is_some(), bound_to.is_some(), "{identity}");
        let policy = format!(r#"allow if object.remove(input.identity, ["expires_at"]) == {identity}"#);
        for (kubeconfig, method) in [
            (&reviewer, "validate_method: tokenreview"),
            (&powerless, "validate_method: jwks"),
            (&reviewer, "validate_method: both"),
        ] {
            let setup = Setup::new(kubeconfig.clone(), &upstream, policy.as_str()).kubernetes(method);
            setup.start().await.call_with_token(&token).await.came_from_upstream();
        }
    }
}

pub async fn without_require_audience_a_token_for_the_api_server_is_accepted_too(cluster: &ControlPlane) {
    let team = Team::new(cluster, "jwks-optional").await;
    team.service_account("api").await;
    let upstream = Upstream::start().await;
    let kubeconfig = reviewer(cluster, "jwks-optional-reviewer").await;
    for keys in ["validate_method: jwks, require_audience: false", "validate_method: both, require_audience: false"] {
        let veilwarden = Setup::new(kubeconfig.clone(), &upstream, "allow := true").kubernetes(keys).start().await;
        for audiences in [&[][..], &["veilwarden"], &["veilwarden", ISSUER]] {
            let token = team.token_for("api", audiences, None, 3600).await;
            veilwarden.call_with_token(&token).await.came_from_upstream();
        }
        let elsewhere = team.token("api", Some("elsewhere"), None).await;
        veilwarden.call_with_token(&elsewhere).await.was_refused(401, "INVALID_TOKEN");
    }
}

pub async fn a_token_good_for_a_year_ends_at_its_maximum_age(cluster: &ControlPlane) {
    let team = Team::new(cluster, "jwks-year").await;
    team.service_account("api").await;
    let pod = team.pod("api-0", "api", None).await;
    let token = team.ordinary_token("api", &pod).await;
    let upstream = Upstream::start().await;
    let veilwarden = Setup::new(powerless(cluster, "jwks-year-powerless").await, &upstream, "allow := true")
        .kubernetes("validate_method: jwks, require_audience: false")
        .start()
        .await;

    let aged = |hours: u64| {
        cluster.signing_key().sign_again(&token, |claims| {
            assert!(claims["kubernetes.io"]["warnafter"].is_u64(), "no ordinary token: {claims:?}");
            assert!(claims["exp"].as_u64() > Some(now() + 300 * 24 * 3600), "{claims:?}");
            claims.insert("iat".into(), (now() - hours * 3600).into());
        })
    };
    veilwarden.call_with_token(&token).await.came_from_upstream();
    veilwarden.call_with_token(&aged(24)).await.came_from_upstream();
    veilwarden.call_with_token(&aged(26)).await.was_refused(401, "TOKEN_EXPIRED");
}

pub async fn a_deleted_service_account_is_accepted_until_its_token_ends_and_refused_by_both(cluster: &ControlPlane) {
    const TTL: Duration = Duration::from_secs(1);
    let team = Team::new(cluster, "jwks-deleted").await;
    team.service_account("api").await;
    let token = team.token("api", Some("veilwarden"), None).await;
    let upstream = Upstream::start().await;
    let start = async |name, keys| {
        Setup::new(reviewer(cluster, name).await, &upstream, "allow := true").kubernetes(keys).start().await
    };
    let jwks = start("jwks-deleted-jwks", "validate_method: jwks, cache_ttl: 1s").await;
    let both = start("jwks-deleted-both", "validate_method: both, cache_ttl: 1s").await;
    for veilwarden in [&jwks, &both] {
        veilwarden.call_with_token(&token).await.came_from_upstream();
    }

    team.delete_service_account("api").await;
    until("both refuses it", TTL + API_SERVER_CACHE + Duration::from_secs(3), async || {
        let answer = both.call_with_token(&token).await;
        (answer.status != 200).then(|| answer.was_refused(401, "INVALID_TOKEN"))
    })
    .await;
    jwks.call_with_token(&token).await.came_from_upstream();
    let ends = now() + 3;
    let short = cluster.signing_key().sign_again(&token, |claims| drop(claims.insert("exp".into(), ends.into())));
    until("the token ends", Duration::from_secs(10), async || {
        let answer = jwks.call_with_token(&short).await;
        assert!(answer.status != 200 || now() <= ends, "accepted after its end");
        (answer.status != 200).then(|| answer.was_refused(401, "TOKEN_EXPIRED"))
    })
    .await;
}

pub async fn both_lets_nothing_pass_that_either_refuses(cluster: &ControlPlane) {
    let team = Team::new(cluster, "jwks-both").await;
    team.service_account("api").await;
    let token = team.token("api", Some("veilwarden"), None).await;
    let upstream = Upstream::start().await;
    let veilwarden = Setup::new(reviewer(cluster, "jwks-both-reviewer").await, &upstream, "allow := true")
        .kubernetes("validate_method: both")
        .start()
        .await;

    let key = cluster.signing_key();
    let gone = key.sign_again(&token, |claims| {
        claims["kubernetes.io"]["serviceaccount"]["uid"] = "00000000-0000-0000-0000-000000000000".into();
    });
    for (refused, what) in [
        (SigningKey::new().sign_again(&token, |_| {}), "forged"),
        (key.sign_as_nobody(&token), "an unknown key"),
        (team.token("api", Some("elsewhere"), None).await, "another audience"),
        (team.token_for("api", &["veilwarden", "elsewhere"], None, 3600).await, "another audience beside ours"),
        (gone, "good by its key, but for a ServiceAccount that is gone"),
    ] {
        let answer = veilwarden.call_with_token(&refused).await;
        assert_eq!((answer.status, answer.code()), (401, Some("INVALID_TOKEN")), "{what}: {answer:?}");
    }
    veilwarden.call_with_token(&token).await.came_from_upstream();
    assert_eq!(upstream.seen().len(), 1);

    let powerless = powerless(cluster, "jwks-both-powerless").await;
    let veilwarden =
        Setup::new(powerless, &upstream, "allow := true").kubernetes("validate_method: both").start().await;
    veilwarden.call_with_token(&token).await.was_refused(503, "AUTH_UNAVAILABLE");
}

/// As an administrator does it: the new key signs while the old one is still good, and then that one goes.
pub async fn a_rotation_of_the_signing_key_is_followed(cluster: &mut ControlPlane) {
    const SOON: Duration = Duration::from_secs(20);
    let team = Team::new(cluster, "jwks-rotation").await;
    team.service_account("api").await;
    team.service_account("veilwarden").await;
    let own_token = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
    let renew_own = async || {
        let token = team.token("veilwarden", None, None).await;
        std::fs::write(own_token.path(), token).expect("the test's file is ours");
    };
    renew_own().await;
    let upstream = Upstream::start().await;
    let start = async |cluster: &ControlPlane| {
        let setup = Setup::in_pod(cluster, own_token.path(), &upstream, "allow := true");
        setup.kubernetes("validate_method: jwks, cache_ttl: 1s").start().await
    };
    let accepts = async |veilwarden: &Veilwarden, token: &str| {
        until("the token is accepted", SOON, async || {
            let answer = veilwarden.call_with_token(token).await;
            // The first fetch may meet a connection that ended with the API server.
            if answer.status != 200 {
                answer.was_refused(503, "AUTH_UNAVAILABLE");
            }
            (answer.status == 200).then_some(())
        })
        .await;
    };
    // An unknown key is asked for at once, and then not for half a minute: one for each of the two changes.
    let (beside, after) = (start(cluster).await, start(cluster).await);
    let old = team.token("api", Some("veilwarden"), None).await;
    for veilwarden in [&beside, &after] {
        veilwarden.call_with_token(&old).await.came_from_upstream();
    }

    let (old_key, new_key) = (cluster.signing_key(), Arc::new(SigningKey::new()));
    cluster.sign_with(&new_key, &[&old_key]).await;
    let new = team.token("api", Some("veilwarden"), None).await;
    assert_ne!(new.split('.').next(), old.split('.').next(), "another key signs");
    accepts(&beside, &new).await;
    beside.call_with_token(&old).await.came_from_upstream();

    renew_own().await;
    cluster.sign_with(&new_key, &[]).await;
    accepts(&after, &new).await;
    until("the old key is forgotten", SOON, async || {
        let answer = after.call_with_token(&old).await;
        (answer.status != 200).then(|| answer.was_refused(401, "INVALID_TOKEN"))
    })
    .await;
    accepts(&after, &new).await;
}
