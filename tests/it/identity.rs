//! Section H of the hostile cases through the whole app: what a caller, the audit trail, the metrics and the log are
//! told when the API server says no, lies or does not answer. What each lie means is proved in `src/authn`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::kubernetes::{self, Kubernetes, Mode, accepted, http, review_with, token};
use crate::world::recorder::{Down, Step};
use crate::world::tls::Authority;
use crate::world::{PATIENCE, Started, World, logs, until, within};

fn api_server(world: &Started) -> &Kubernetes {
    world.kubernetes.as_ref().unwrap()
}

/// A world that asks again about a token as soon as it can.
async fn forgetful() -> Started {
    let options = "cache_ttl: 1ms, negative_cache_ttl: 1ms, max_reviews_per_second: 1000";
    World::new().await.kubernetes().await.kubernetes_options(options).start().await
}

fn says(status: Value) -> Mode {
    Mode::Raw(201, review_with(status).to_string())
}

/// The log line of a call.
pub fn logged(record: &Value) -> Value {
    let id = record["request_id"].as_str().unwrap();
    let line = logs::all().lines().rfind(|line| line.contains("\"call ") && line.contains(id)).map(str::to_owned);
    serde_json::from_str(&line.unwrap_or_else(|| panic!("no log line for {record}"))).unwrap()
}

#[tokio::test]
async fn h01_h02_h04_a_token_without_a_workload_behind_it_is_401() {
    let world = forgetful().await;
    let good = || accepted("system:serviceaccount:prod:api");
    let with = |name: &str, value: Value| {
        let mut status = good();
        status[name] = value;
        status
    };
    let mut cases = vec![
        (with("audiences", Value::Null), "no audiences"),
        (with("audiences", json!([])), "empty audiences"),
        (with("audiences", json!(["https://kubernetes.default.svc"])), "another audience"),
        (with("authenticated", json!(false)), "not authenticated, with a user"),
    ];
    for name in ["system:node:n1", "kubernetes-admin", "system:serviceaccount:ns", "system:serviceaccount:ns:sa:x"] {
        cases.push((accepted(name), name));
    }
    let attempts = cases.len();
    for (status, what) in cases {
        api_server(&world).mode(says(status));
        let answer = world.bearer(&token(what, "veilwarden", 600)).await;
        let record = world.assert_refused(&answer, 401, "INVALID_TOKEN", what).await;
        assert_eq!((&record["auth_method"], &record["decision"]), (&"kubernetes".into(), &"none".into()), "{record}");
        assert_eq!(record["identity"], Value::Null, "{record}");
        assert_eq!(logged(&record)["level"], "INFO", "{record}");
    }
    world.assert_nothing_sent("refused tokens");
    let refused = "veilwarden_auth_attempts_total{method=\"kubernetes\",result=\"invalid\"}";
    assert_eq!(world.sample(refused).await, attempts as f64, "{}", world.metrics().await);
}

#[tokio::test]
async fn h01_a_token_for_another_audience_gets_a_hint_that_helps() {
    let world = forgetful().await;
    let answer = world.bearer(&token("elsewhere", "https://kubernetes.default.svc", 600)).await;
    world.assert_refused(&answer, 401, "INVALID_TOKEN", "another audience").await;
    let hint = answer.json()["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("serviceAccountToken") && hint.contains("audience: veilwarden"), "{hint}");
}

#[tokio::test]
async fn h03_h09_h11_an_api_server_without_an_answer_is_503_and_says_when_to_come_again() {
    let world = forgetful().await;
    let huge = format!("{{\"status\": \"{}\"}}", "a".repeat(2 << 20));
    let head =
        "HTTP/1.1 201 X\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n";
    let part =
        b"HTTP/1.1 201 X\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"status\": {\"auth".to_vec();
    for (mode, label, retry_after, what) in [
        (Mode::Raw(201, json!({"kind": "TokenReview"}).to_string()), None, "1", "no status"),
        (says(json!({})), None, "1", "an empty status"),
        (says(json!({"authenticated": "true"})), None, "1", "a string for yes"),
        (Mode::Raw(403, json!({"reason": "Forbidden"}).to_string()), Some("rbac"), "5", "RBAC lost"),
        (Mode::Raw(401, String::new()), Some("own_credentials"), "5", "our own credentials refused"),
        (Mode::Raw(500, "{}".into()), Some("api_server_error"), "1", "500"),
        (Mode::Raw(302, String::new()), Some("api_server_error"), "1", "a redirect"),
        (Mode::Raw(200, "<html>hello</html>".into()), Some("unreadable"), "1", "HTML"),
        (Mode::Raw(201, huge), Some("unreadable"), "1", "2 MiB"),
        (
            Mode::Play(vec![Step::Send([head.as_bytes(), b"\x1f\x8b\x08\x00"].concat())]),
            Some("unreadable"),
            "1",
            "gzip",
        ),
        (Mode::Play(vec![Step::Send(part), Step::Close]), None, "1", "closed within the JSON"),
        (Mode::Close, Some("network_error"), "1", "closed"),
    ] {
        api_server(&world).mode(mode);
        let answer = world.bearer(&token(what, "veilwarden", 600)).await;
        // A status that says neither yes nor no may be taken for a no.
        if answer.status == 401 && label.is_none() {
            world.assert_refused(&answer, 401, "INVALID_TOKEN", what).await;
            continue;
        }
        let record = world.assert_refused(&answer, 503, "AUTH_UNAVAILABLE", what).await;
        assert_eq!(answer.header("retry-after"), Some(retry_after), "{what}: {answer:?}");
        assert_eq!(logged(&record)["level"], "WARN", "{what}");
        if let Some(label) = label {
            let sample = format!("veilwarden_auth_attempts_total{{method=\"kubernetes\",result=\"{label}\"}}");
            assert!(world.sample(&sample).await >= 1.0, "{what}: {sample}\n{}", world.metrics().await);
            let reviews = format!("veilwarden_k8s_tokenreview_errors_total{{reason=\"{label}\"}}");
            assert!(world.sample(&reviews).await >= 1.0, "{what}: {reviews}\n{}", world.metrics().await);
        }
        if what == "RBAC lost" {
            assert!(logged(&record)["cause"].as_str().unwrap().contains("RBAC"), "{record}");
            assert!(!answer.text().contains("RBAC"), "a caller is told about our rights: {answer:?}");
        }
    }
    world.assert_nothing_sent("an API server that fails");
    api_server(&world).mode(Mode::Normal);
    world.assert_works("the API server is back").await;
}

#[tokio::test]
async fn h09_the_wait_that_a_busy_api_server_asks_for_is_passed_on() {
    let world = forgetful().await;
    let busy = b"HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n".to_vec();
    api_server(&world).mode(Mode::Play(vec![Step::Send(busy)]));
    let answer = world.send(world.ok("")).await;
    world.assert_refused(&answer, 503, "AUTH_UNAVAILABLE", "429").await;
    assert_eq!(answer.header("retry-after"), Some("7"), "{answer:?}");
}

#[tokio::test]
async fn h11_an_api_server_that_hangs_is_503_at_the_deadline() {
    let world = World::new().await.kubernetes().await.kubernetes_options("timeout: 300ms").start().await;
    let slow = (0..1000).flat_map(|_| [Step::Send(b"H".to_vec()), Step::Pause(Duration::from_millis(20))]).collect();
    for (mode, what) in [(Mode::Hang, "silence"), (Mode::Play(slow), "a byte now and then")] {
        api_server(&world).mode(mode);
        let asked = Instant::now();
        let answer = world.bearer(&token(what, "veilwarden", 600)).await;
        world.assert_refused(&answer, 503, "AUTH_UNAVAILABLE", what).await;
        assert!(asked.elapsed() < PATIENCE / 2, "{what}: {:?}", asked.elapsed());
    }
    world.assert_nothing_sent("an API server that hangs");
}

#[tokio::test]
async fn h06_no_token_is_sent_to_an_api_server_that_nobody_vouches_for() {
    let world = World::new().await.kubernetes().await;
    let behind = world.kubernetes.as_ref().unwrap().recorder.address;
    let front = Authority::new().front("localhost", behind).await;
    let options = format!("api_server: \"https://localhost:{}\"", front.address.port());
    let world = world.kubernetes_options(&options).start().await;
    let answer = world.send(world.ok("")).await;
    let record = world.assert_refused(&answer, 503, "AUTH_UNAVAILABLE", "an unknown CA").await;
    assert!(logged(&record)["cause"].as_str().unwrap().contains("TLS"), "{}", logged(&record));
    assert!(front.connections() > 0);
    assert_eq!((front.sessions(), api_server(&world).recorder.bytes()), (0, 0), "something was sent");
    world.assert_nothing_sent("an unknown CA");
}

#[tokio::test]
async fn h12_a_known_workload_works_on_to_its_ttl_while_the_api_server_is_down() {
    let options = "cache_ttl: 2s, max_reviews_per_second: 1000";
    let world = World::new().await.kubernetes().await.kubernetes_options(options).start().await;
    let known = Instant::now();
    world.assert_works("with the API server").await;
    api_server(&world).mode(Mode::Close);
    let mut served = 0;
    let refused = within("the end of the TTL", async {
        loop {
            let answer = world.send(world.ok("")).await;
            match answer.status {
                200 => served += 1,
                _ => return answer,
            }
        }
    })
    .await;
    assert!(served > 0 || known.elapsed() > Duration::from_secs(2), "a cached identity was not served");
    world.assert_refused(&refused, 503, "AUTH_UNAVAILABLE", "after the TTL").await;
    assert!(known.elapsed() >= Duration::from_secs(2), "refused after {:?}", known.elapsed());
    api_server(&world).mode(Mode::Normal);
    world.assert_works("the API server is back").await;
}

#[tokio::test]
async fn h13_many_callers_with_one_new_token_are_one_review() {
    let world = World::new().await.kubernetes().await.start().await;
    let calls = (0..100).map(|_| world.send(world.ok("")));
    let answers = all_at_once(calls).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(api_server(&world).reviews(), 1);
    assert_eq!(world.a.seen().len(), 100);
}

/// All of them at once.
pub async fn all_at_once<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in &mut pending {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *done = Some(value);
            }
        }
        if pending.iter().all(|(_, done)| done.is_some()) { ().into() } else { std::task::Poll::Pending }
    })
    .await;
    pending.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test]
async fn h15_the_same_bad_token_is_reviewed_once() {
    let world = World::new().await.kubernetes().await.kubernetes_options("negative_cache_ttl: 10m").start().await;
    let bad = token("bad", "veilwarden", 600);
    for _ in 0..50 {
        assert_eq!(world.bearer(&bad).await.code(), "INVALID_TOKEN");
    }
    assert_eq!(api_server(&world).reviews(), 1);
    world.assert_works("a good token").await;
}

#[tokio::test]
async fn h16_a_flood_of_bad_tokens_is_capped_and_the_good_workload_works_on() {
    let options = "max_reviews_per_second: 4, cache_ttl: 1ms, negative_cache_ttl: 10m";
    let world = World::new().await.kubernetes().await.kubernetes_options(options).start().await;
    world.assert_works("before the flood").await;
    let (begun, before) = (Instant::now(), api_server(&world).reviews());
    let mut throttled = 0;
    for n in 0..200 {
        let answer = world.bearer(&token(&format!("flood-{n}"), "veilwarden", 600)).await;
        if answer.code() == "AUTH_UNAVAILABLE" {
            assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
            throttled += 1;
        } else {
            assert_eq!(answer.code(), "INVALID_TOKEN", "{answer:?}");
        }
    }
    let (reviews, seconds) = (api_server(&world).reviews() - before, begun.elapsed().as_secs_f64());
    assert!(reviews as f64 <= 8.0 + 4.0 * seconds, "{reviews} reviews in {seconds} s");
    assert_eq!(reviews + throttled, 200, "each call was judged once or told to come again");
    assert!(throttled > 0, "the flood was over too slowly to say anything: {seconds} s");
    let metric = "veilwarden_auth_attempts_total{method=\"kubernetes\",result=\"throttled\"}";
    assert_eq!(world.sample(metric).await, throttled as f64);
    // Its identity is remembered for a millisecond only: this is the reserve for tokens that were good.
    world.assert_works("amid the flood").await;
}

#[tokio::test]
async fn h17_h22_garbage_and_expired_tokens_are_refused_without_a_review() {
    let world = World::new().await.kubernetes().await.start().await;
    for (garbage, what) in [
        ("abc", "one part"),
        ("a.b", "two parts"),
        ("a.b.c.d", "four parts"),
        ("a.b.c", "no base64url"),
        ("e30.e30.", "no signature"),
        (&*format!("e30.{}.e30", "a".repeat(12_000)), "a long part"),
    ] {
        let answer = world.bearer(garbage).await;
        let record = world.assert_refused(&answer, 401, "INVALID_TOKEN", what).await;
        assert_eq!(record["auth_method"], "kubernetes", "{record}");
    }
    let answer = world.bearer(&token("old", "veilwarden", -1)).await;
    world.assert_refused(&answer, 401, "TOKEN_EXPIRED", "expired").await;
    assert_eq!(api_server(&world).reviews(), 0);
    world.assert_nothing_sent("refused tokens");
    let sample = |result: &str| format!("veilwarden_auth_attempts_total{{method=\"kubernetes\",result=\"{result}\"}}");
    assert_eq!(world.sample(&sample("malformed")).await, 6.0);
    assert_eq!(world.sample(&sample("expired")).await, 1.0);
}

#[tokio::test]
async fn h20_a_deleted_pod_is_refused_within_the_ttl() {
    let options = "cache_ttl: 500ms, max_reviews_per_second: 1000";
    let world = World::new().await.kubernetes().await.kubernetes_options(options).start().await;
    world.assert_works("while the pod is there").await;
    api_server(&world).mode(says(json!({"authenticated": false, "error": "pod has been deleted"})));
    let deleted = Instant::now();
    let refused = within("the refusal", async {
        loop {
            let sent = deleted.elapsed();
            let answer = world.send(world.ok("")).await;
            if answer.status != 200 {
                return answer;
            }
            assert!(sent <= Duration::from_millis(500), "still served {sent:?} later");
        }
    })
    .await;
    world.assert_refused(&refused, 401, "INVALID_TOKEN", "deleted").await;
}

#[tokio::test]
async fn h21_a_policy_can_tell_a_recreated_service_account() {
    const OLD: &str = "11111111-2222-3333-4444-555555555555";
    let module = format!(
        "package veilwarden.authz\nimport rego.v1\ndefault allow := false\nallow if input.identity.service_account_uid == \"{OLD}\"\n"
    );
    let options = "cache_ttl: 1ms, max_reviews_per_second: 1000";
    let world = World::new().await.kubernetes().await.kubernetes_options(options).rego(&module).start().await;
    world.assert_works("the one that the policy knows").await;
    let before = world.a.bytes();
    let mut recreated = accepted("system:serviceaccount:prod:api");
    recreated["user"]["uid"] = "99999999-2222-3333-4444-555555555555".into();
    api_server(&world).mode(says(recreated));
    until("the old identity to be forgotten", || api_server(&world).reviews() == 1).await;
    let refused = within("the refusal", async {
        loop {
            let answer = world.send(world.ok("")).await;
            if answer.status != 200 || api_server(&world).reviews() > 1 {
                return answer;
            }
        }
    })
    .await;
    world.assert_refused(&refused, 403, "POLICY_DENIED", "recreated").await;
    assert_eq!(world.a.bytes(), before);
}

#[tokio::test]
async fn h22_a_token_ends_at_its_exp_whatever_the_ttl() {
    let world = World::new().await.kubernetes().await.kubernetes_options("cache_ttl: 1h").start().await;
    let short = token("short", "veilwarden", 3);
    api_server(&world).mode(says(accepted("system:serviceaccount:prod:api")));
    let refused = within("the token's end", async {
        loop {
            let answer = world.bearer(&short).await;
            if answer.status != 200 {
                return answer;
            }
        }
    })
    .await;
    world.assert_refused(&refused, 401, "TOKEN_EXPIRED", "after exp").await;
    assert!(api_server(&world).reviews() <= 1, "asked again about a cached token");
    let refused_at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(refused_at >= kubernetes::expiry(&short), "refused before its time");
}

#[tokio::test]
async fn h24_no_call_fails_while_our_own_token_is_renewed() {
    let world = forgetful().await;
    world.assert_works("with the first token").await;
    let path = world.directory.path().join("own-token");
    for (content, what) in [("", "an empty file"), ("renewed-own-token", "a renewed one"), ("\n", "a blank file")] {
        let next = world.directory.path().join("next-token");
        std::fs::write(&next, content).unwrap();
        std::fs::rename(&next, &path).unwrap();
        let reviews = api_server(&world).reviews();
        within(what, async {
            while api_server(&world).reviews() == reviews {
                world.assert_works(what).await;
            }
        })
        .await;
    }
    let shown = api_server(&world).recorder.last();
    assert_eq!(shown.headers("authorization"), ["Bearer renewed-own-token"]);
}

#[tokio::test]
async fn h36_our_own_identity_is_no_caller() {
    let mut world = World::new().await.kubernetes().await;
    let own = token("ours", "https://kubernetes.default.svc", 3600);
    world.kubernetes.as_mut().unwrap().own_token = own;
    let world = world.start().await;
    let answer = world.send(world.ok("")).await;
    let record = world.assert_refused(&answer, 401, "INVALID_TOKEN", "our own ServiceAccount").await;
    assert!(logged(&record)["cause"].as_str().unwrap().contains("own identity"), "{}", logged(&record));
    world.assert_nothing_sent("our own ServiceAccount");
}

#[tokio::test]
async fn h37_no_credential_and_a_wrong_secret_get_the_same_answer() {
    let world = World::new().await.kubernetes().await.start().await;
    let head = "GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: a.test\r\nX-Request-Id: same\r\n";
    let mut answers = Vec::new();
    // The last two occur in the target and in a field: too short to be good, they are wrong like any other.
    for fields in ["", "X-Session-Secret: wrong\r\n", "X-Session-Secret: x\r\n", "X-Session-Secret: p\r\n"] {
        let answer = world.send(format!("{head}{fields}\r\n")).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHORIZED"), "{answer:?}");
        let mut fields = answer.fields.clone();
        fields.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
        answers.push((fields, answer.text()));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
    let sample = |method: &str, result: &str| {
        format!("veilwarden_auth_attempts_total{{method=\"{method}\",result=\"{result}\"}}")
    };
    assert_eq!(world.sample(&sample("none", "missing")).await, 1.0);
    assert_eq!(world.sample(&sample("session", "invalid_secret")).await, 3.0);
    // Whether a route exists is nothing that strangers learn.
    let nowhere = "GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: nowhere.test\r\nX-Request-Id: same\r\n\r\n";
    assert_eq!(world.send(nowhere).await.text(), answers[0].1);
    world.assert_nothing_sent("no credential");
}

#[tokio::test]
async fn l10_an_api_server_that_is_down_at_the_start_heals_alone() {
    let down = Down::new();
    let options = format!("api_server: \"http://{}\", max_reviews_per_second: 1000", down.address);
    let world = World::new().await.kubernetes().await.kubernetes_options(&options).start().await;
    let ready = world.send_to(world.admin, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(ready.status, 200);
    let answer = world.send(world.ok("")).await;
    world.assert_refused(&answer, 503, "AUTH_UNAVAILABLE", "down").await;
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    // The session secret needs no API server.
    let head = "GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: a.test\r\n";
    let session = world.send(format!("{head}X-Session-Secret: {}\r\n\r\n", world.session_secret())).await;
    assert_eq!(session.status, 200, "{session:?}");
    let up = down.up();
    up.answer(http(201, &review_with(accepted("system:serviceaccount:prod:api")).to_string()));
    world.assert_works("the API server is up").await;
    assert!(logs::all().contains("tokens can be reviewed again"));
}
