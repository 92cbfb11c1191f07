use k8s_openapi::api::authentication::v1::TokenReviewStatus;

use super::*;
use crate::authn::cluster::Environment;
use crate::authn::played::{Certificate, Play, PlayedApiServer, Pod, mint, mint_for, refused};
use serde_json::json;
use std::time::Instant;

async fn client_of(pod: &Pod) -> ApiServer {
    let cluster = Cluster::find(&pod.settings, &Environment::default()).await.unwrap();
    ApiServer::new(cluster, pod.settings.timeout).await.unwrap()
}

async fn ask(play: Play) -> (Result<TokenReviewStatus, Unavailable>, PlayedApiServer) {
    ask_within(Duration::from_secs(20), play).await
}

async fn ask_within(timeout: Duration, play: Play) -> (Result<TokenReviewStatus, Unavailable>, PlayedApiServer) {
    let server = PlayedApiServer::start(play).await;
    let mut pod = Pod::beside(&server);
    pod.settings.timeout = timeout;
    let answer = client_of(&pod).await.review(&mint_for("a", "b"), Some("veilwarden")).await;
    (answer, server)
}

#[tokio::test]
async fn the_question_is_a_token_review_with_our_audience_and_our_own_token() {
    let server = PlayedApiServer::start(Play::Honest).await;
    let pod = Pod::beside(&server);
    let client = client_of(&pod).await;
    let token = mint_for("a", "b");

    let status = client.review(&token, Some("veilwarden")).await.unwrap();
    assert_eq!(status.authenticated, Some(true));
    let seen = server.last();
    assert_eq!(seen.uri, "/apis/authentication.k8s.io/v1/tokenreviews");
    assert_eq!(seen.review["apiVersion"], "authentication.k8s.io/v1");
    assert_eq!(seen.review["kind"], "TokenReview");
    assert_eq!(seen.review["spec"], json!({"token": token, "audiences": ["veilwarden"]}));
    let own = std::fs::read_to_string(&pod.settings.token_path).unwrap();
    assert_eq!(seen.authorization.unwrap(), format!("Bearer {own}"));

    client.review(&token, None).await.unwrap();
    assert_eq!(server.last().review["spec"], json!({"token": token}));
    assert_eq!(server.connections(), 1, "the connection is kept");
}

#[tokio::test]
async fn h06_a_token_is_not_sent_to_a_server_whose_certificate_does_not_verify() {
    for certificate in [Certificate::OtherCa, Certificate::WrongName, Certificate::Expired] {
        let server = PlayedApiServer::with_certificate(Play::Honest, certificate).await;
        let pod = Pod::beside(&server);
        let answer = client_of(&pod).await.review(&mint_for("a", "b"), Some("veilwarden")).await;
        assert!(matches!(answer, Err(Unavailable::Tls(_))), "{certificate:?}: {answer:?}");
        assert_eq!(server.calls(), 0, "{certificate:?}");
    }
}

#[tokio::test]
async fn every_refusal_of_the_api_server_has_its_own_reason() {
    let status = |code| Play::Http(code, "retry-after", "7".into(), Bytes::from_static(b"{\"kind\":\"Status\"}"));
    let expected = |code, unavailable: fn(&Unavailable) -> bool| (code, unavailable);
    for (code, is_expected) in [
        expected(401, |e| matches!(e, Unavailable::OwnCredentials)),
        expected(403, |e| matches!(e, Unavailable::Rbac)),
        expected(404, |e| matches!(e, Unavailable::Status(404))),
        expected(429, |e| matches!(e, Unavailable::Busy { retry_after: Some(wait) } if wait.as_secs() == 7)),
        expected(500, |e| matches!(e, Unavailable::Status(500))),
        expected(503, |e| matches!(e, Unavailable::Status(503))),
        expected(200, |e| matches!(e, Unavailable::Unreadable(_))),
    ] {
        let (answer, server) = ask(status(code)).await;
        assert!(is_expected(&answer.unwrap_err()), "{code}");
        assert_eq!(server.calls(), 1, "{code}: never a second try");
    }
}

#[tokio::test]
async fn a_retry_after_is_held_within_reason() {
    for (value, seconds) in [("0", Some(1)), ("86400", Some(30)), ("soon", None), ("-1", None)] {
        let (answer, _) = ask(Play::Http(429, "retry-after", value.into(), Bytes::new())).await;
        let Err(Unavailable::Busy { retry_after }) = answer else { panic!("{answer:?}") };
        assert_eq!(retry_after.map(|wait| wait.as_secs()), seconds, "{value}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = PlayedApiServer::start(Play::Honest).await;
    for code in [301, 302, 307, 308] {
        let (answer, _) = ask(Play::Http(code, "location", target.url(), Bytes::new())).await;
        assert!(matches!(answer, Err(Unavailable::Status(status)) if status == code), "{answer:?}");
    }
    assert_eq!(target.calls(), 0);
}

#[tokio::test]
async fn h11_an_answer_that_does_not_come_ends_at_the_deadline() {
    for play in [Play::Hang, Play::Trickle] {
        let asked = Instant::now();
        let (answer, _) = ask_within(Duration::from_millis(300), play).await;
        assert!(matches!(answer, Err(Unavailable::Timeout(_))), "{answer:?}");
        assert!(asked.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn h11_an_answer_that_is_no_token_review_is_unreadable() {
    let json = "application/json";
    let plays = [
        Play::Http(200, "content-type", "text/html".into(), Bytes::from_static(b"<html>hello</html>")),
        Play::Http(200, "content-type", json.into(), Bytes::new()),
        Play::Http(200, "content-type", json.into(), Bytes::from_static(b"[]")),
        Play::Http(
            200,
            "content-type",
            json.into(),
            Bytes::from_static(b"{\"kind\":\"Status\",\"apiVersion\":\"v1\"}"),
        ),
        Play::Http(200, "content-encoding", "gzip".into(), gzip_bomb()),
        Play::Http(200, "content-type", json.into(), "[".repeat(500_000).into()),
    ];
    for play in plays {
        let (answer, server) = ask(play).await;
        assert!(matches!(answer, Err(Unavailable::Unreadable(_))), "{answer:?}");
        assert_eq!(server.last().accept_encoding, None);
    }
}

/// The first bytes of a gzip stream; nothing here may begin to inflate it.
fn gzip_bomb() -> Bytes {
    Bytes::from_static(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xed, 0xc1, 1, 1])
}

#[tokio::test]
async fn h11_an_answer_of_a_gigabyte_is_not_read_to_its_end() {
    let (answer, server) = ask(Play::Flood(1 << 30)).await;
    assert!(matches!(answer, Err(Unavailable::Unreadable(_))), "{answer:?}");
    assert!(server.bytes_sent() < 64 << 20, "{} bytes", server.bytes_sent());
}

#[tokio::test]
async fn h11_an_answer_that_breaks_off_is_an_outage() {
    let (answer, _) = ask(Play::CutOff).await;
    assert!(matches!(answer, Err(Unavailable::Network(_))), "{answer:?}");
}

#[tokio::test]
async fn h03_an_answer_without_a_real_yes_is_none() {
    let (answer, _) = ask(Play::Status(json!(null))).await;
    assert!(matches!(answer, Err(Unavailable::Unreadable(_))), "{answer:?}");
    let (answer, _) = ask(Play::Status(json!({"authenticated": "true", "user": {"username": "x"}}))).await;
    assert!(matches!(answer, Err(Unavailable::Unreadable(_))), "{answer:?}");
    let (answer, _) = ask(Play::Status(json!({}))).await;
    assert_eq!(answer.unwrap().authenticated, None);
}

#[tokio::test]
async fn h24_our_own_token_is_read_anew_for_each_call() {
    let server = PlayedApiServer::start(refused("no")).await;
    let pod = Pod::beside(&server);
    let client = client_of(&pod).await;
    let path = &pod.settings.token_path;
    let cases = [("first", "Bearer first"), ("", "Bearer first"), ("second\n", "Bearer second")];
    for (content, expected) in cases {
        std::fs::write(path, content).unwrap();
        client.review(&mint_for("a", "b"), None).await.unwrap();
        assert_eq!(server.last().authorization.unwrap(), expected);
    }
}

#[tokio::test]
async fn without_a_token_of_our_own_nothing_is_asked() {
    let server = PlayedApiServer::start(Play::Honest).await;
    let pod = Pod::beside(&server);
    std::fs::write(&pod.settings.token_path, "").unwrap();
    let answer = client_of(&pod).await.review(&mint_for("a", "b"), None).await;
    assert!(matches!(answer, Err(Unavailable::OwnToken)), "{answer:?}");
    assert_eq!(server.calls(), 0);
}

#[tokio::test]
async fn h25_a_new_ca_bundle_counts_at_once_and_a_bad_one_not_at_all() {
    let server = PlayedApiServer::start(Play::Honest).await;
    let other = PlayedApiServer::start(Play::Honest).await;
    let pod = Pod::beside(&server);
    let path = &pod.settings.ca_path;
    let token = mint_for("a", "b");

    std::fs::write(path, &other.ca).unwrap();
    let client = client_of(&pod).await;
    assert!(matches!(client.review(&token, None).await, Err(Unavailable::Tls(_))));

    std::fs::write(path, &server.ca).unwrap();
    assert!(client.review(&token, None).await.is_ok());
    for bad in ["", "garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(path, bad).unwrap();
        assert!(client.review(&token, None).await.is_ok(), "{bad:?}");
    }
    std::fs::remove_file(path).unwrap();
    assert!(client.review(&token, None).await.is_ok());
}

#[tokio::test]
async fn a_server_that_is_gone_is_an_outage_and_its_return_is_noticed() {
    let mut server = PlayedApiServer::start(Play::Honest).await;
    let pod = Pod::beside(&server);
    let client = client_of(&pod).await;
    assert!(client.review(&mint_for("a", "b"), None).await.is_ok());
    server.stop().await;
    let answer = client.review(&mint_for("a", "b"), None).await;
    assert!(matches!(answer, Err(Unavailable::Network(_))), "{answer:?}");
    server.restart().await;
    assert!(client.review(&mint_for("a", "b"), None).await.is_ok());
}

#[tokio::test]
async fn a_credential_plugin_is_run_and_what_it_prints_is_never_repeated() {
    let server = PlayedApiServer::start(Play::Honest).await;
    let pod = Pod::beside(&server);
    let path = pod.dir.path().join("kubeconfig");
    let credential =
        r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "canary"}}"#;
    let plugins = [
        (format!("echo '{credential}'"), None),
        ("echo canary; echo canary >&2; exit 3".into(), Some("exit status: 3")),
        ("echo canary".into(), Some("printed no ExecCredential")),
    ];
    for (script, failure) in plugins {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server.url(), "certificate-authority": pod.settings.ca_path}}],
            "users": [{"name": "u", "user": {"exec": {
                "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
                "command": "sh", "args": ["-c", script],
            }}}],
        });
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        let settings = crate::authn::KubernetesSettings {
            kubeconfig: Some(path.clone()),
            token_path: pod.dir.path().join("none"),
            api_server: None,
            ..pod.settings.clone()
        };
        let cluster = Cluster::find(&settings, &Environment::default()).await.unwrap();
        match (ApiServer::new(cluster, settings.timeout).await, failure) {
            (Ok(client), None) => {
                client.review(&mint_for("a", "b"), None).await.unwrap();
                assert_eq!(server.last().authorization.unwrap(), "Bearer canary");
            }
            (Err(error), Some(part)) => {
                let text = format!("{error} {error:?}");
                assert!(text.contains(part) && !text.contains("canary"), "{text}");
            }
            (outcome, _) => panic!("{script}: {:?}", outcome.err()),
        }
    }
}

#[tokio::test]
async fn an_error_never_repeats_a_token() {
    let canary = mint(&json!({"sub": "canary"}));
    for play in [Play::CutOff, Play::Status(json!({"authenticated": canary})), Play::Status(json!(null))] {
        let server = PlayedApiServer::start(play).await;
        let pod = Pod::beside(&server);
        let error = client_of(&pod).await.review(&canary, None).await.unwrap_err();
        let own = std::fs::read_to_string(&pod.settings.token_path).unwrap();
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains(&canary) && !text.contains(&own), "{text}");
        }
    }
}
