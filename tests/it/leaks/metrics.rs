//! Row N05: metrics and pages.

use crate::world::World;
use crate::world::kubernetes::token;

#[tokio::test]
async fn n05_metrics_and_pages_name_no_more_than_routes() {
    let options = "max_reviews_per_second: 10000";
    let world = World::new().await.kubernetes().await.kubernetes_options(options).start().await;
    let lines = async || {
        world.assert_works("a call").await;
        let metrics = world.metrics().await;
        metrics
            .lines()
            .filter(|line| line.starts_with("veilwarden_"))
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for method in ["GET", "N05METHOD0"] {
        world.send(world.request_to("n05-host.test", method, "/x", "")).await;
        world.send(world.request_to("a.test", method, "/x", "")).await;
    }
    world.bearer(&token("n05", "veilwarden", 600)).await;
    let before = lines().await;
    for n in 0..50 {
        world.send(world.request_to(&format!("n05-host-{n}.test"), "GET", &format!("/n05-path-{n}"), "")).await;
        let fields = format!("X-Agent-Id: n05-agent-{n}\r\nX-Request-Id: n05-id-{n}\r\n");
        world.send(world.request("GET", &format!("/n05-path-{n}"), &fields)).await;
        world.send(world.request(&format!("N05METHOD{n}"), "/x", "")).await;
        world.bearer(&token(&format!("n05-{n}"), "veilwarden", 600)).await;
    }
    let after = lines().await;
    let grown: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert!(grown.is_empty(), "callers make samples: {grown:#?}");
    let metrics = world.metrics().await;
    for word in ["n05", "N05", "prod", "api-1", "alice", "KEY_A"] {
        assert!(!metrics.contains(word), "{word} is in the metrics");
    }
    for path in ["/", "/debug", "/debug/pprof", "/config", "/status", "/metrics/x", "/%2e%2e/"] {
        let answer = world.send_to(world.admin, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
}
