//! Row N06: text that terminals and editors obey.

use serde_json::{Value, json};

use super::stage::{Stage, stage};
use crate::world::Started;
use crate::world::kubernetes::{self, Mode, token};
use crate::world::recorder::OK;

/// What terminals and editors obey: control characters, and those that turn the direction of text.
fn is_plain(text: &str) -> bool {
    let bidi = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t' || bidi(c) || matches!(c, '\u{2028}' | '\u{2029}'))
}

const NASTY: &str = "n06\u{1b}[31m\u{202e}red\u{7}\r\n{\"a\":\"b\"}\u{2028}\u{9b}0m\u{0}";

/// Calls that carry nasty text to every place that is logged or recorded.
async fn say_nasty_things(world: &Started) {
    let store = world.doppler.as_ref().unwrap();
    store.answers(500, "", &json!({"messages": [NASTY], "success": false}).to_string());
    assert_eq!(world.send(world.request_to("stored-0.test", "GET", "/allowed", "")).await.status, 502);
    let server = world.kubernetes.as_ref().unwrap();
    server.mode(Mode::Raw(201, kubernetes::review_with(json!({"authenticated": false, "error": NASTY})).to_string()));
    assert_eq!(world.bearer(&token("n06", "veilwarden", 600)).await.status, 401);
    server.mode(Mode::Raw(500, json!({"kind": "Status", "message": NASTY, "reason": NASTY}).to_string()));
    assert_eq!(world.bearer(&token("n06-b", "veilwarden", 600)).await.status, 503);
    server.mode(Mode::Normal);
    world.a.answer(format!("HTTP/1.1 200 {NASTY}\r\n\r\n"));
    assert_eq!(world.send(world.request("GET", "/allowed", "")).await.status, 502);
    world.a.answer(OK);
    for field in ["User-Agent", "X-Agent-Id", "X-Request-Id", "X-Upstream-Host", "Cookie"] {
        for value in ["n06\u{202e}\u{2028}x", "n06\u{1b}[31m", "n06\",\"decision\":\"allow", "n06\\u001b"] {
            world.send(world.request("GET", "/allowed", &format!("{field}: {value}\r\n"))).await;
        }
    }
    for target in ["/allowed/%1b%5b31m", "/allowed/%e2%80%ae", "/allowed/\u{202e}", "/denied?%1b=\u{1b}"] {
        world.send(world.request("GET", target, "")).await;
    }
}

#[tokio::test]
async fn n06_what_is_logged_is_plain_text_whatever_others_say() {
    for format in ["json", "text"] {
        let Stage { world, .. } = stage(&format!("n06-{format}"), format).await;
        let (world, mut process) = world.spawn().await;
        say_nasty_things(&world).await;
        process.signal(rustix::process::Signal::TERM);
        process.end().await;
        let (log, audit) =
            (process.stderr(), std::fs::read_to_string(world.directory.path().join("audit.jsonl")).unwrap());
        assert!(log.contains("n06"), "{log}");
        for line in log.lines().chain(audit.lines()) {
            assert!(is_plain(line), "{line:?}");
        }
        if format == "json" {
            assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
        }
        // Each record is one line, and says what happened, not what somebody wrote into it.
        assert!(world.audit().len() >= 28, "{}", world.audit().len());
    }
}
