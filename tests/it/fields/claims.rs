//! What a caller claims about itself: shown to policy as claims, never believed, never left to an upstream to believe.

use serde_json::Value;

use crate::world::way::ALL;
use crate::world::{World, logs};

#[tokio::test]
async fn d20_a_claimed_agent_satisfies_no_rule_on_identity() {
    let policy = "package veilwarden.authz\nimport rego.v1\ndefault allow := false\n\
        allow if { input.path == \"/who\"; input.service_account == \"admin\" }\n\
        allow if { input.path == \"/who\"; input.namespace == \"admin\" }\n\
        allow if { input.path == \"/who\"; input.identity.user_id == \"admin\" }\n\
        allow if { input.path == \"/claim\"; input.agent_id == \"admin\"; input.client.agent_id == \"admin\"; input.service_account == \"api\" }\n";
    let world = World::new().await.kubernetes().await.rego(policy).start().await;
    let claims = "X-Agent-Id: admin\r\nX-Namespace: admin\r\nX-User-Id: admin\r\nX-Service-Account: admin\r\n";
    let answer = world.send(world.request("GET", "/who", claims)).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "POLICY_DENIED"));
    assert_eq!(world.a.bytes(), 0);
    let seen = world.forwards(world.request("GET", "/claim", claims), "d20 the claim itself").await;
    assert_eq!(seen.header("x-agent-id"), None);
}

#[tokio::test]
async fn d21_only_a_plain_request_id_is_kept() {
    let world = World::new().await.start().await;
    let long = "a".repeat(10 << 10);
    for (claimed, kept) in [
        (&b"req-1.A_b"[..], true),
        (long.as_bytes(), false),
        (b"\"}, {\"x\": \"", false),
        (b"a b", false),
        (b"\xc3\xa9", false),
        (b"\xff", false),
        (b"", false),
    ] {
        let request = [b"GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: a.test\r\nX-Request-Id: ", claimed, b"\r\n"];
        let request = [&request.concat(), world.credential().as_bytes(), b"\r\n"].concat();
        let answer = world.send(request).await;
        let what = claimed[..claimed.len().min(20)].escape_ascii();
        assert_eq!(answer.status, 200, "{what}");
        let [id] = answer.headers("x-request-id")[..] else { panic!("{what}: {answer:?}") };
        assert_eq!(id.as_bytes() == claimed, kept, "{what}: {id}");
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        assert!((1..=64).contains(&id.len()) && id.bytes().all(plain), "{what}: {id}");
        assert_eq!(world.a.last().header("x-request-id"), None, "{what}");
        assert_eq!(world.record(&answer).await["request_id"], id, "{what}");
    }
    let escape = world.ok("X-Request-Id: \x1b[31m\r\n");
    let answer = world.refuses(escape, (400, "BAD_REQUEST"), "d21 an escape").await;
    assert!(answer.header("x-request-id").unwrap().bytes().all(|b| b.is_ascii_alphanumeric()));
}

#[tokio::test]
async fn d22_no_claim_breaks_a_record_or_a_log_line() {
    let world = World::new().await.start().await;
    let evil = b"\"}\\\"\t{\"level\":\"ERROR\"} \xe2\x80\xae\xff\xc2\x9b31m";
    for name in ["User-Agent", "X-Agent-Id", "Referer"] {
        let request = [world.ok("").trim_end().as_bytes(), b"\r\n", name.as_bytes(), b": ", evil, b"\r\n\r\n"].concat();
        let answer = world.send(request).await;
        assert_eq!(answer.status, 200, "{name}");
        world.record(&answer).await;
    }
    for target in ["/%1b%5b31m", "/%E2%80%AE", "/a%22%7d", "/%C2%9B31m"] {
        let answer = world.send(world.request("GET", target, "")).await;
        world.record(&answer).await;
    }
    let agents: Vec<Value> = world.audit().iter().map(|record| record["agent_id"].clone()).collect();
    assert!(agents.contains(&Value::from("\"}\\\"{\"level\":\"ERROR\"} 31m")), "{agents:?}");
    let audit = std::fs::read(world.audit_file()).unwrap();
    for (what, text) in [("audit", audit), ("log", logs::all().into_bytes())] {
        let raw = |byte: &u8| byte.is_ascii_control() && *byte != b'\n';
        assert!(!text.iter().any(raw), "{what}: a raw control byte");
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            assert!(serde_json::from_slice::<Value>(line).is_ok(), "{what}: {}", line.escape_ascii());
        }
    }
}

#[tokio::test]
async fn d23_the_source_is_the_sockets_peer() {
    let policy = "package veilwarden.authz\nimport rego.v1\ndefault allow := false\n\
        allow if { input.path == \"/peer\"; input.source.ip == \"127.0.0.1\" }\n\
        allow if { input.path == \"/claim\"; input.source.ip == \"1.2.3.4\" }\n";
    let world = World::new().await.rego(policy).start().await;
    for name in ["X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP", "X-Client-IP", "X_Forwarded_For"] {
        let value = if name == "Forwarded" { "for=1.2.3.4" } else { "1.2.3.4" };
        let claim = format!("{name}: {value}\r\n");
        world.forwards(world.request("GET", "/peer", &claim), name).await;
        let denied = world.send(world.request("GET", "/claim", &claim)).await;
        assert_eq!((denied.status, denied.code().as_str()), (403, "POLICY_DENIED"), "{name}");
        assert_eq!(world.record(&denied).await["source_ip"], "127.0.0.1", "{name}");
    }
    assert!(!String::from_utf8(world.a.everything()).unwrap().to_lowercase().contains("x-forwarded"));
}

#[tokio::test]
async fn d24_claims_that_an_upstream_may_believe_of_a_proxy_do_not_leave() {
    let mut world = World::new().await.forward().start().await;
    for name in [
        "X-Remote-User",
        "X-Remote-Group",
        "X-Remote-Extra-Scopes",
        "X_Remote_User",
        "X-Veilwarden-Identity",
        "X-Veilwarden-Error",
        "x-veilwarden",
        "X_Veilwarden_Anything",
        "Impersonate-User",
        "Impersonate-Group",
        "Impersonate-Uid",
        "impersonate-extra-scopes",
        "Impersonate_User",
        "X-Envoy-Original-Path",
        "X-Envoy-Internal",
        "Proxy",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "True-Client-IP",
    ] {
        for way in ALL {
            world.way = way;
            let seen = world.forwards(world.ok(&format!("{name}: system:admin\r\n")), name).await;
            assert!(!seen.head.contains("system:admin"), "{way:?}: {name} left in\n{}", seen.head);
        }
    }
}

#[tokio::test]
async fn d28_a_loop_ends_and_nobody_asks_the_proxy_itself() {
    let mut world = World::new().await.forward().start().await;
    for way in ALL {
        world.way = way;
        for via in ["1.1 veilwarden", "1.0 x, 1.1 Veilwarden (0.1)", "1.1 VEILWARDEN"] {
            world.refuses(world.ok(&format!("Via: {via}\r\n")), (508, "LOOP_DETECTED"), &format!("d28 {via}")).await;
        }
        let last = "Max-Forwards: 0\r\n";
        world.refuses(world.request("OPTIONS", "/x", last), (400, "BAD_REQUEST"), "d28 OPTIONS").await;
        world.refuses(world.request("TRACE", "/x", last), (405, "METHOD_NOT_ALLOWED"), "d28 TRACE").await;
        world.forwards(world.request("GET", "/x", last), "d28 GET").await;
    }
}
