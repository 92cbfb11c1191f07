//! What the API server says, does not say, or says wrongly.

use super::*;

// Rows.

#[tokio::test]
async fn h01_h02_h03_lies_are_never_accepted() {
    let user = json!({"username": "system:serviceaccount:ns:sa"});
    let lies = [
        json!({"authenticated": true, "user": user}),
        json!({"authenticated": true, "user": user, "audiences": []}),
        json!({"authenticated": true, "user": user, "audiences": ["https://kubernetes.default.svc"]}),
        json!({"authenticated": false, "user": user, "audiences": ["veilwarden"]}),
        json!({"user": user, "audiences": ["veilwarden"]}),
        json!({"authenticated": "true", "user": user, "audiences": ["veilwarden"]}),
        json!({"authenticated": 1, "user": user, "audiences": ["veilwarden"]}),
        json!({"authenticated": true, "user": {"username": "system:node:n1"}, "audiences": ["veilwarden"]}),
        json!({"authenticated": true, "audiences": ["veilwarden"]}),
        json!({}),
        json!(null),
    ];
    for lie in lies {
        let world = World::new(Play::Status(lie.clone())).await;
        assert!(world.ask(&token(1)).await.is_err(), "{lie}");
    }
}

#[tokio::test]
async fn a_token_for_another_audience_gets_a_hint() {
    let answer = refused("[invalid bearer token, token audiences [\"other\"] is invalid for the target audiences]");
    for (required, audiences, wrong) in [
        (true, &["other"][..], true),
        (true, &[], true),
        (true, &["veilwarden"], false),
        (false, &["other"], true),
        (false, &["veilwarden", "other"], false),
    ] {
        let world = World::with(answer.clone(), |s| s.require_audience = required).await;
        let error = world.ask(&for_audiences(audiences)).await.unwrap_err();
        assert_eq!(matches!(error, Error::WrongAudience { .. }), wrong, "{required} {audiences:?}: {error}");
        assert_eq!(error.hint().is_some(), wrong);
    }
}

#[tokio::test]
async fn a_deleted_pods_token_for_the_api_server_is_refused_without_a_hint_that_misleads() {
    let world = World::with(refused("pod has been deleted"), |s| s.require_audience = false).await;
    let error = world.ask(&for_audiences(&["https://kubernetes.default.svc"])).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
}

#[tokio::test]
async fn the_unverified_audience_only_picks_the_question() {
    let api = "https://kubernetes.default.svc";
    for (required, audiences, asked) in [
        (true, &["veilwarden"][..], json!(["veilwarden"])),
        (true, &[api], json!(["veilwarden"])),
        (true, &[], json!(["veilwarden"])),
        (false, &["veilwarden", api], json!(["veilwarden"])),
        (false, &[api], json!(null)),
        (false, &[], json!(null)),
    ] {
        let world = World::with(Play::Honest, |s| s.require_audience = required).await;
        world.ask(&for_audiences(audiences)).await.unwrap();
        assert_eq!(world.server.last().review["spec"]["audiences"], asked, "{required} {audiences:?}");
    }
}

#[tokio::test]
async fn h06_h09_h11_an_api_server_that_does_not_answer_is_503_within_the_deadline() {
    let code = |code| Play::Http(code, "x-played", "1".into(), Default::default());
    let faults = [
        (code(403), "rbac"),
        (code(401), "own_credentials"),
        (code(429), "api_server_busy"),
        (code(500), "api_server_error"),
        (Play::Hang, "timeout"),
        (Play::Trickle, "timeout"),
        (Play::CutOff, "network_error"),
        (Play::Flood(1 << 30), "unreadable"),
    ];
    for (play, label) in faults {
        let deadline = Duration::from_millis(if label == "timeout" { 300 } else { 20_000 });
        let world = World::with(play, |s| s.timeout = deadline).await;
        let asked = Instant::now();
        let error = world.ask(&token(1)).await.unwrap_err();
        assert_eq!((error.blame(), error.label()), (Blame::Unavailable, label), "{error}");
        assert!(error.retry_after().is_some());
        assert!(asked.elapsed() < deadline + Duration::from_secs(5), "{label}");
        assert_eq!(*world.reviews.lock().unwrap(), [Some(label)]);
    }
}

#[tokio::test]
async fn h09_the_log_says_rbac_once_what_to_grant_and_no_token_at_any_level() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    // With one subscriber alone, tracing asks the thread that meets a log line first whether anybody wants it, and another
    // test's thread says no for all.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    let forbidden = Play::Http(403, "x-played", "1".into(), Default::default());
    let world = World::new(Play::Then(vec![forbidden.clone(), forbidden.clone(), forbidden, Play::Honest])).await;
    for n in 0..4 {
        let _ = world.ask(&token(n)).await;
    }
    drop(guard);
    let text = log.text();
    assert_eq!(text.matches("RBAC").count(), 1, "{text}");
    assert!(text.contains("`create` on `tokenreviews.authentication.k8s.io`"), "{text}");
    assert_eq!(text.matches("can be reviewed again").count(), 1, "{text}");
    assert!(text.contains("TRACE"), "{text}");
    let own = std::fs::read_to_string(&world.pod.settings.token_path).unwrap();
    for token in [own, token(0), token(3)] {
        assert!(!text.contains(&token) && !text.contains(token.split('.').nth(1).unwrap()), "{text}");
    }
}

#[tokio::test]
async fn h24_no_call_fails_while_our_own_token_is_renewed() {
    let world = World::new(Play::Honest).await;
    let path = &world.pod.settings.token_path;
    world.ask(&token(0)).await.unwrap();
    let steps: [&dyn Fn(); 4] = [
        &|| std::fs::write(path, "").unwrap(),
        &|| std::fs::remove_file(path).unwrap(),
        &|| std::os::unix::fs::symlink("nowhere", path).unwrap(),
        &|| {
            let next = path.with_extension("next");
            std::fs::write(&next, "renewed").unwrap();
            std::fs::rename(&next, path).unwrap();
        },
    ];
    for (n, step) in steps.iter().enumerate() {
        step();
        world.ask(&token(n + 1)).await.unwrap();
    }
    assert_eq!(world.server.last().authorization.unwrap(), "Bearer renewed");
}

#[tokio::test]
async fn each_review_is_observed_and_a_cached_answer_is_none() {
    let world = World::new(Play::Then(vec![Play::Honest, refused("no")])).await;
    for n in [1, 1, 2, 2] {
        let _ = world.ask(&token(n)).await;
    }
    assert_eq!(*world.reviews.lock().unwrap(), [None, Some("invalid")]);
}
