//! Callers' pods: binding and metadata, and an API server that fails while it lists and watches.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::identity::all_at_once;
use crate::world::kubernetes::http;
use crate::world::pods::{Pods, namespace, pod};
use crate::world::recorder::Step;
use crate::world::{PATIENCE, Started, World, logs, until, within};

const LABELS: &str = "package veilwarden.authz\nimport rego.v1\ndefault allow := false\n\
                      allow if { input.identity.pod_labels.tier == \"gold\"; input.identity.namespace_labels[\"env\"] == \"prod\" }\n";

async fn world(options: &str) -> World {
    World::new().await.kubernetes().await.kubernetes_options(&format!("node_name: n1, {options}"))
}

fn pods_of(world: &World) -> Pods {
    world.kubernetes.as_ref().unwrap().pods.clone()
}

impl Started {
    fn pods(&self) -> &Pods {
        &self.kubernetes.as_ref().unwrap().pods
    }

    /// Calls until the answer has this status.
    async fn until_status(&self, what: &str, status: u16) {
        within(what, async { while self.send(self.ok("")).await.status != status {} }).await;
    }

    async fn bindings(&self, result: &str) -> f64 {
        self.sample(&format!("veilwarden_pod_binding_total{{result=\"{result}\"}}")).await
    }
}

#[tokio::test]
async fn a_token_is_good_only_from_the_pod_that_it_names() {
    let world = world("pod_binding: enforce").await;
    pods_of(&world).put(pod("127.0.0.1", json!({})));
    let world = world.start().await;
    world.assert_works("from the pod's own address").await;
    assert_eq!(world.bindings("match").await, 1.0);

    // The pod moves; that its token has been good before makes no difference.
    world.pods().put(pod("10.244.1.7", json!({})));
    world.until_status("the change", 401).await;
    let answer = world.send(world.ok("")).await;
    let record = world.assert_refused(&answer, 401, "INVALID_TOKEN", "from another address").await;
    assert_eq!((&record["source_ip"], &record["identity"]), (&"127.0.0.1".into(), &json!(null)), "{record}");
    let hint = answer.json()["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("issued to") && !answer.text().contains("10.244.1.7"), "{answer:?}");
    let id = record["request_id"].as_str().unwrap();
    let line = logs::all().lines().rfind(|line| line.contains(id)).map(str::to_owned).unwrap();
    for part in ["prod/api-1", "10.244.1.7", "127.0.0.1"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(world.bindings("wrong_address").await >= 1.0);
    let attempts = "veilwarden_auth_attempts_total{method=\"kubernetes\",result=\"wrong_address\"}";
    assert!(world.sample(attempts).await >= 1.0);

    world.pods().put(pod("127.0.0.1", json!({})));
    world.until_status("its old address", 200).await;
    world.pods().delete(pod("127.0.0.1", json!({})));
    world.until_status("the deletion", 401).await;
    assert!(world.bindings("unknown_pod").await >= 1.0);
}

#[tokio::test]
async fn warn_lets_through_logs_and_counts() {
    let world = world("pod_binding: warn").await;
    pods_of(&world).put(pod("10.244.9.9", json!({})));
    let world = world.start().await;
    world.assert_works("from another address").await;
    assert_eq!(world.bindings("wrong_address").await, 1.0);
    let warned = |line: &str| line.contains("pod binding would refuse") && line.contains("10.244.9.9");
    assert!(logs::all().lines().any(warned));
}

#[tokio::test]
async fn labels_reach_the_policy_and_so_does_each_change() {
    let world = world("pod_metadata: true").await.rego(LABELS);
    pods_of(&world).put(pod("10.244.9.9", json!({"tier": "gold"})));
    pods_of(&world).put(namespace(json!({"env": "prod"})));
    let world = world.start().await;
    world.assert_works("both labels fit").await;
    for (change, status, what) in [
        (pod("10.244.9.9", json!({"tier": "tin"})), 403, "the pod's label changes"),
        (pod("10.244.9.9", json!({"tier": "gold"})), 200, "and changes back"),
        (namespace(json!({})), 403, "the namespace loses its label"),
        (namespace(json!({"env": "prod"})), 200, "and gets it again"),
        (pod("10.244.9.9", json!({"tier": "gold", "big": "x".repeat(40_000)})), 500, "labels that are too large"),
    ] {
        world.pods().put(change);
        world.until_status(what, status).await;
    }
    assert_eq!(world.send(world.ok("")).await.code(), "POLICY_ERROR");
    world.pods().put(pod("10.244.9.9", json!({"tier": "gold"})));
    world.until_status("labels of a good size", 200).await;
    assert_eq!(world.bindings("wrong_address").await, 0.0, "nothing is bound");
}

#[tokio::test]
async fn a_policy_that_reads_labels_does_not_start_without_them() {
    let without = world("pod_binding: warn").await.rego(LABELS).try_start().await;
    let errors = without.err().expect("it must not start").to_string();
    assert!(errors.contains("policy.rego:4:27: there is no `input.identity.pod_labels`"), "{errors}");
    // Without Kubernetes no caller is a workload, and the policy may be one that is used elsewhere too.
    assert!(World::new().await.rego(LABELS).try_start().await.is_ok());
}

#[tokio::test]
async fn only_the_pods_of_our_node_are_asked_for_and_namespaces_only_for_metadata() {
    let world = world("pod_binding: enforce").await;
    pods_of(&world).put(pod("127.0.0.1", json!({})));
    let world = world.start().await;
    world.assert_works("bound").await;
    until("the watch", || !world.pods().asked("watch=true").is_empty()).await;
    let asked = world.pods().asked("");
    assert!(
        asked.iter().all(|target| target.starts_with("/api/v1/pods?fieldSelector=spec%2EnodeName%3Dn1&")),
        "{asked:?}"
    );
    assert!(asked[0].ends_with("&resourceVersion=0"), "{asked:?}");
    assert!(asked[1].contains("allowWatchBookmarks=true&timeoutSeconds="), "{asked:?}");
}

#[tokio::test]
async fn a_check_of_the_configuration_asks_the_api_server_nothing() {
    let world = world("pod_binding: enforce, pod_metadata: true").await;
    let app = veilwarden::app::App::build(world.parsed()).await;
    assert!(app.is_ok());
    assert_eq!(world.kubernetes.as_ref().unwrap().recorder.connections(), 0);
}

/// Answers that are no good to a list, nor to a watch.
fn faults() -> Vec<(&'static str, Vec<Step>)> {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"items\": [{\"meta"
        .to_vec();
    vec![
        ("403", vec![Step::Send(http(403, "{\"kind\": \"Status\"}"))]),
        ("401", vec![Step::Send(http(401, ""))]),
        ("500", vec![Step::Send(http(500, ""))]),
        ("a redirect", vec![Step::Send(http(302, ""))]),
        ("410", vec![Step::Send(http(410, "{\"kind\": \"Status\", \"code\": 410}"))]),
        ("a close", vec![Step::Close]),
        ("a reset", vec![Step::Reset]),
        ("half a list", vec![Step::Send(cut), Step::Close]),
        ("HTML", vec![Step::Send(http(200, "<html>hello</html>"))]),
        ("half of a good beginning", vec![Step::Send(http(200, "{\"items\": ["))]),
        ("garbage", vec![Step::Send(http(200, "garbage\n"))]),
        ("a line of garbage, and more", vec![Step::Send(http(200, "{]\n{}\n"))]),
    ]
}

#[tokio::test]
async fn a_list_that_fails_refuses_calls_until_one_succeeds() {
    all_at_once(faults().into_iter().map(async |(what, steps)| {
        let world = world("pod_binding: enforce").await;
        let pods = pods_of(&world);
        pods.put(pod("127.0.0.1", json!({})));
        pods.next_lists([steps.clone(), steps]);
        let world = world.start().await;
        let answer = world.send(world.ok("")).await;
        if answer.status != 200 {
            world.assert_refused(&answer, 503, "AUTH_UNAVAILABLE", what).await;
            assert!(answer.header("retry-after").is_some(), "{what}: {answer:?}");
            assert!(!answer.text().contains("RBAC"), "a caller is told about our rights: {answer:?}");
        }
        world.until_status(what, 200).await;
        assert!(world.pods().all_played(), "{what}");
    }))
    .await;
}

#[tokio::test]
async fn a_watch_that_fails_is_taken_up_again_and_misses_nothing() {
    let gone =
        json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}});
    let failed = json!({"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "etcd"}});
    let half: &[u8] = b"{\"type\":\"MODIFIED\",\"object\":{\"meta";
    let closing = |mut steps: Vec<Step>| {
        steps.push(Step::Close);
        steps
    };
    let ending = |mut steps: Vec<Step>| {
        steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
        steps
    };
    let mut cases = faults();
    cases.extend([
        ("an event 410", ending(Pods::watched(&[format!("{gone}\n").as_bytes()]))),
        ("an event 500", ending(Pods::watched(&[format!("{failed}\n").as_bytes()]))),
        ("a close in the middle of an event", closing(Pods::watched(&[half]))),
        ("an end in the middle of an event", ending(Pods::watched(&[half]))),
        ("an end at once", ending(Pods::watched(&[]))),
        ("a line of garbage", ending(Pods::watched(&[b"\xff\xfe{\n"]))),
        ("an event of an unknown type", ending(Pods::watched(&[b"{\"type\":\"NEW\",\"object\":{}}\n"]))),
    ]);
    all_at_once(cases.into_iter().map(async |(what, steps)| {
        let world = world("pod_binding: enforce").await;
        let pods = pods_of(&world);
        pods.put(pod("10.244.1.7", json!({})));
        // The change comes behind the list, when nobody watches.
        let changed = pods.clone();
        pods.next_watches([steps.clone(), steps]);
        let world = world.start().await;
        until(what, || changed.all_played()).await;
        changed.put(pod("127.0.0.1", json!({})));
        world.until_status(what, 200).await;
        until(what, || world.pods().asked("watch=true").len() >= 3).await;
        if what.contains("410") {
            let lists: Vec<_> =
                world.pods().asked("pods").into_iter().filter(|asked| !asked.contains("watch")).collect();
            assert!(lists.len() >= 2 && !lists[1].contains("resourceVersion"), "{what}: {lists:?}");
        }
    }))
    .await;
}

#[tokio::test]
async fn an_api_server_that_never_answers_a_list_is_503_to_enforce_and_no_obstacle_to_warn() {
    for (binding, status) in [("enforce", 503), ("warn", 200)] {
        let world = world(&format!("pod_binding: {binding}")).await;
        pods_of(&world).next_lists([vec![Step::Hang]]);
        let world = world.start().await;
        let asked = Instant::now();
        let answer = world.send(world.ok("")).await;
        assert_eq!(answer.status, status, "{binding}: {answer:?}");
        assert!(
            asked.elapsed() >= Duration::from_millis(400) && asked.elapsed() < PATIENCE / 2,
            "{:?}",
            asked.elapsed()
        );
        assert_eq!(world.bindings("unavailable").await, 1.0);
    }
}

#[tokio::test]
async fn without_rbac_the_log_says_once_which_cluster_role_to_bind() {
    let world = world("pod_binding: enforce, pod_metadata: true").await;
    let forbidden = vec![Step::Send(http(403, "{\"kind\": \"Status\"}"))];
    let pods = pods_of(&world);
    pods.put(pod("127.0.0.1", json!({})));
    pods.put(namespace(json!({})));
    pods.next_lists(vec![forbidden; 8]);
    let (world, process) = world.spawn().await;
    until("eight lists", || pods.all_played()).await;
    world.until_status("the rights are there", 200).await;
    until("the log tells of the end", || process.stderr().matches("can be watched again").count() == 2).await;
    let log = process.stderr();
    for (part, times) in [
        ("pods cannot be watched", 1),
        ("namespaces cannot be watched", 1),
        ("pods can be watched again", 1),
        ("namespaces can be watched again", 1),
    ] {
        let said: Vec<_> = log.lines().filter(|line| line.contains(part)).collect();
        assert_eq!(said.len(), times, "{part}: {log}");
        if part.contains("cannot") {
            let role = format!("`veilwarden-{}`", part.split(' ').next().unwrap());
            assert!(
                said[0].contains("RBAC") && said[0].contains(&role) && said[0].contains("components/pod-"),
                "{said:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_known_stays_in_use_while_the_watch_is_interrupted() {
    let world = world("pod_binding: enforce").await;
    let pods = pods_of(&world);
    pods.put(pod("127.0.0.1", json!({})));
    let world = world.start().await;
    world.assert_works("with the watch").await;
    until("the watch", || !pods.asked("watch=true").is_empty()).await;
    let down = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    pods.next_watches(std::iter::repeat_n(vec![Step::Wait(down.clone()), Step::Close], 2));
    // The watch under way ends with its connection.
    pods.cut();
    until("the next watch", || pods.asked("watch=true").len() >= 2).await;
    world.assert_works("without the watch").await;
    down.add_permits(2);
    world.assert_works("with a watch again").await;
}
