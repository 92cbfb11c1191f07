//! How long an answer is believed, and how many questions a caller can cause.

use super::*;

#[tokio::test]
async fn h12_a_cached_identity_lives_to_its_ttl_without_the_api_server() {
    let mut world = World::with(Play::Honest, |s| s.cache_ttl = Duration::from_secs(3)).await;
    let known = token(1);
    world.ask(&known).await.unwrap();
    world.server.stop().await;
    assert!(world.ask(&known).await.is_ok());
    assert!(matches!(world.ask(&token(2)).await, Err(Error::Unavailable(Unavailable::Network(_)))));
    let until = Instant::now() + Duration::from_secs(10);
    while world.ask(&known).await.is_ok() {
        assert!(Instant::now() < until);
        tokio::task::yield_now().await;
    }
    assert!(matches!(world.ask(&known).await, Err(Error::Unavailable(_))));
    world.server.restart().await;
    assert!(world.ask(&known).await.is_ok());
}

#[tokio::test]
async fn h13_a_thousand_callers_with_one_new_token_are_one_review() {
    let world = World::new(Play::Honest).await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let authn = world.authn.clone();
        callers.spawn(async move { authn.authenticate(Some(&bearer(&token(1))), PEER).await });
    }
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(world.server.calls(), 1);
}

#[tokio::test]
async fn h15_the_same_bad_token_ten_thousand_times_is_one_review() {
    let world = World::with(refused("no"), |s| s.negative_cache_ttl = Duration::from_secs(60)).await;
    for _ in 0..10_000 {
        assert!(matches!(world.ask(&token(1)).await, Err(Error::Refused(_))));
    }
    assert_eq!(world.server.calls(), 1);
}

#[tokio::test]
async fn h16_a_flood_of_bad_tokens_is_capped_and_a_good_workload_is_unaffected() {
    let world = World::with(refused("no"), |s| {
        s.max_reviews_per_second = NonZeroU32::new(50).unwrap();
        s.cache_ttl = Duration::ZERO;
    })
    .await;
    let good = mint_for("prod", "good");
    world.server.play(Play::Honest);
    world.ask(&good).await.unwrap();
    world.server.play(refused("no"));

    let began = Instant::now();
    let (mut throttled, mut refusals) = (0, 0);
    for n in 0..2000 {
        let peer = Source::from(IpAddr::from([10, 9, 9, (n % 4) as u8]));
        match world.from(&token(n), peer).await {
            Err(Error::Unavailable(Unavailable::Throttled)) => throttled += 1,
            Err(Error::Refused(_)) => refusals += 1,
            other => panic!("{other:?}"),
        }
    }
    let most = 40.0 + 40.0 * began.elapsed().as_secs_f64() + 1.0;
    assert!(f64::from(refusals) <= most, "{refusals} reviews, {most} at most");
    assert_eq!(world.server.calls(), refusals as usize + 1);
    assert!(throttled > 0);

    // The reserve holds ten; the flood has not touched it.
    world.server.play(Play::Honest);
    for _ in 0..10 {
        assert!(world.from(&good, IpAddr::from([10, 9, 9, 1]).into()).await.is_ok());
    }
}

#[tokio::test]
async fn h17_garbage_and_expired_tokens_never_reach_the_api_server() {
    let world = World::with(Play::Honest, |s| s.max_reviews_per_second = NonZeroU32::MIN).await;
    let good = token(1);
    let cases = [
        String::new(),
        "garbage".into(),
        "a.b".into(),
        "a.b.c.d".into(),
        "a.b.c.d.e".into(),
        format!("{good}="),
        good.replace('.', ""),
        format!("{good}{}", "A".repeat(16 * 1024)),
        mint(&json!({"sub": "system:serviceaccount:ns:sa", "exp": 1})),
        mint(&json!({"sub": "system:serviceaccount:ns:sa", "exp": "soon"})),
        mint(&json!({"sub": "system:serviceaccount:ns:sa", "nbf": in_an_hour()})),
    ];
    for case in cases {
        assert_eq!(world.ask(&case).await.unwrap_err().blame(), Blame::Rejected, "{case:.60}");
    }
    assert_eq!(world.server.calls(), 0);
    // None of them drew from the share either, which holds one.
    assert!(world.ask(&good).await.is_ok());
}

#[tokio::test]
async fn h18_each_token_has_its_own_identity() {
    let world = World::new(Play::Honest).await;
    for _ in 0..2 {
        for n in 0..20 {
            assert_eq!(world.workload(&token(n)).await.service_account, format!("sa-{n}"));
        }
    }
    assert_eq!(world.server.calls(), 20);
}

#[tokio::test]
async fn h20_a_deleted_pod_is_refused_within_the_ttl() {
    let ttl = Duration::from_millis(500);
    let world = World::with(Play::Honest, |s| s.cache_ttl = ttl).await;
    world.ask(&token(1)).await.unwrap();
    world.server.play(refused("pod has been deleted"));
    let deleted = Instant::now();
    while world.ask(&token(1)).await.is_ok() {
        assert!(deleted.elapsed() < ttl + Duration::from_secs(5));
        tokio::task::yield_now().await;
    }
    assert!(matches!(world.ask(&token(1)).await, Err(Error::Refused(_))));
}

#[tokio::test]
async fn h21_a_recreated_service_account_has_another_uid() {
    let world = World::new(Play::Honest).await;
    let review = json!({"spec": {"token": token(1), "audiences": ["veilwarden"]}});
    for uid in ["first", "second"] {
        let mut status = honest(&review);
        status["user"]["uid"] = json!(uid);
        world.server.play(Play::Status(status));
        let minted = mint(&json!({"sub": "system:serviceaccount:ns:sa-1", "aud": "veilwarden", "jti": uid}));
        assert_eq!(world.workload(&minted).await.service_account_uid.as_deref(), Some(uid));
    }
}

#[tokio::test]
async fn h22_a_token_ends_at_exp_whatever_the_ttl() {
    let world = World::with(Play::Honest, |s| s.cache_ttl = Duration::from_secs(60)).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let short = mint(&json!({"sub": "system:serviceaccount:ns:sa", "aud": "veilwarden", "exp": now + 3}));
    world.ask(&short).await.unwrap();
    let until = Instant::now() + Duration::from_secs(4);
    while world.ask(&short).await.is_ok() {
        assert!(Instant::now() < until);
        tokio::task::yield_now().await;
    }
    assert!(matches!(world.ask(&short).await, Err(Error::Expired)));
    assert_eq!(world.server.calls(), 1);
}
