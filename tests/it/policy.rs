//! Section I of the hostile cases through the whole app: whatever a policy does but say `true`, nothing is sent.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::world::process::file;
use crate::world::{PATIENCE, Started, World, logs};

const HEAD: &str = "package veilwarden.authz\nimport rego.v1\n";
const DECISIONS: &str = "veilwarden_policy_decisions_total";

async fn world(rules: &str) -> Started {
    World::new().await.rego(&format!("{HEAD}{rules}\n")).start().await
}

/// Why a start with this policy is refused.
async fn refusal(world: World, what: &str) -> String {
    match world.try_start().await {
        Ok(_) => panic!("{what}: started"),
        Err(errors) => errors.to_string(),
    }
}

async fn assert_error(world: &Started, what: &str) -> Value {
    let answer = world.send(world.ok("")).await;
    let record = world.assert_refused(&answer, 500, "POLICY_ERROR", what).await;
    assert_eq!(record["decision"], "error", "{what}: {record}");
    world.assert_nothing_sent(what);
    assert!(world.sample(&format!("{DECISIONS}{{decision=\"error\"}}")).await >= 1.0, "{what}");
    let id = record["request_id"].as_str().unwrap();
    let line = logs::all().lines().find(|line| line.contains("call failed") && line.contains(id)).map(str::to_owned);
    serde_json::from_str(&line.unwrap_or_else(|| panic!("{what}: nothing in the log"))).unwrap()
}

#[tokio::test]
async fn i01_an_undefined_decision_is_a_denial() {
    let world = world("allow if input.method == \"DELETE\"").await;
    let answer = world.send(world.ok("")).await;
    let record = world.assert_refused(&answer, 403, "POLICY_DENIED", "undefined").await;
    assert_eq!(record["decision"], "deny", "{record}");
    assert_eq!(record["secret_id"], "KEY_A", "which secret it was about: {record}");
    world.assert_nothing_sent("undefined");
    assert_eq!(world.sample(&format!("{DECISIONS}{{decision=\"deny\"}}")).await, 1.0);
    assert_eq!(world.sample("veilwarden_errors_total{code=\"POLICY_DENIED\"}").await, 1.0);
}

#[tokio::test]
async fn i02_only_literal_true_allows() {
    for value in ["\"true\"", "1", "{}", "[]", "[true]", "null", "{true}", "{\"allow\": true}", "\"\"", "0"] {
        // As a value that only a call brings to light: what can be seen beforehand is refused at the start.
        let seen = World::new()
            .await
            .rego(&format!("{HEAD}default allow := false\nallow := {value} if input.path == \"/x\"\n"));
        assert!(refusal(seen, value).await.contains("must be true or false"), "{value}");
        let hidden = format!("default allow := false\nallow := [{value} | input.path][0] if input.path == \"/x\"");
        let world = world(&hidden).await;
        let logged = assert_error(&world, value).await;
        assert!(logged["cause"].as_str().unwrap().contains("not a boolean"), "{logged}");
    }
}

#[tokio::test]
async fn i04_what_cannot_work_is_refused_at_the_start_with_its_place() {
    for (rules, line, words) in [
        ("default allow := false\nallow if no.such_function(input.path)", 4, "no.such_function"),
        ("default allow := false\nallow if a\na if b\nb if a", 5, "depends on itself"),
        ("default allow := false\ndefault allow := true", 4, "default"),
        ("permit := true", 0, "allow"),
    ] {
        let world = World::new().await.rego(&format!("{HEAD}{rules}\n"));
        let path = world.policies().join("policy.rego").display().to_string();
        let errors = refusal(world, rules).await;
        assert!(errors.contains(words), "{rules}: {errors}");
        if line > 0 {
            assert!(errors.contains(&format!("{path}:{line}:")), "{rules}: {errors}");
        }
    }
}

#[tokio::test]
async fn i04_a_conflict_at_a_call_is_an_error_and_the_next_call_works() {
    let world = world("allow := true if input.path\nallow := false if input.path == \"/x\"").await;
    let logged = assert_error(&world, "a conflict").await;
    assert!(!logged["cause"].as_str().unwrap().is_empty(), "{logged}");
    let answer = world.send(world.request("GET", "/fine", "")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn i04_the_error_of_a_built_in_never_allows() {
    let rules = "default allow := false\nallow if { input.path == \"/x\"; not to_number(input.path) == 3 }\n";
    let world = world(rules).await;
    assert_error(&world, "a built-in's error under `not`").await;
}

#[tokio::test]
async fn i06_a_mistyped_input_name_is_refused_at_the_start() {
    let rules = "default allow := true\nallow := false if input.mehtod == \"DELETE\"";
    let world = World::new().await.rego(&format!("{HEAD}{rules}\n"));
    let path = world.policies().join("policy.rego").display().to_string();
    let errors = refusal(world, "a typo").await;
    assert!(errors.contains(&format!("{path}:4:")) && errors.contains("input.mehtod"), "{errors}");
    assert!(errors.contains("did you mean") && errors.contains("method"), "{errors}");
}

#[tokio::test]
async fn i08_a_regex_over_the_longest_path_keeps_its_budget() {
    let world = world("default allow := false\nallow if regex.match(`^/(a+)+$`, input.path)").await;
    for (target, status) in [(format!("/{}", "a".repeat(8000)), 200), (format!("/{}!", "a".repeat(8000)), 403)] {
        let asked = Instant::now();
        let answer = world.send(world.request("GET", &target, "")).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(asked.elapsed() < PATIENCE / 2);
    }
}

#[tokio::test]
async fn i09_what_a_policy_prints_goes_to_the_log_without_credentials() {
    let world =
        world("default allow := false\nallow if {\n  print(\"i09-mark\", input)\n  input.method == \"GET\"\n}").await;
    let answer = world.send(world.ok("X-Custom: seen\r\n")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let all = logs::all();
    let lines: Vec<&str> = all.lines().filter(|line| line.contains("i09-mark") && line.contains("x-custom")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("policy print"), "{lines:?}");
    assert!(!lines[0].contains(&world.session_secret()), "{lines:?}");
}

#[tokio::test]
async fn i10_a_policy_reaches_nothing_outside_its_input() {
    let mut world = World::new().await;
    let url = format!("http://{}/", world.b.address);
    for rule in [
        format!("http.send({{\"method\": \"get\", \"url\": \"{url}\"}}).status_code == 200"),
        "opa.runtime().env.PATH".to_owned(),
        "net.lookup_ip_addr(\"localhost\")".to_owned(),
    ] {
        let module = format!("{HEAD}default allow := false\nallow if {rule}\n");
        world = match world.rego(&module).try_start().await {
            // A built-in that is not there at all is refused when the policy is loaded.
            Err(errors) => {
                assert!(errors.to_string().contains("policy.rego:4:"), "{errors}");
                World::new().await
            }
            Ok(started) => {
                let answer = started.send(started.ok("")).await;
                assert_ne!(answer.status, 200, "{rule}: {answer:?}");
                started.assert_nothing_sent(&rule);
                World::new().await
            }
        };
    }
}

#[tokio::test]
async fn i11_a_file_that_cannot_be_read_as_rego_is_named_with_its_line() {
    for (text, line) in [
        (format!("{HEAD}default allow := false\nallow if {{\n"), "policy.rego:"),
        ("package veilwarden.authz\nallow { true }\n".to_owned(), "policy.rego:2:"),
        (format!("{HEAD}default allow := false\n# {}\n", "a".repeat(1100)), "policy.rego:4"),
        (format!("{HEAD}default allow := false\n{}", "# line\n".repeat(21_000)), "policy.rego"),
        ("\u{feff}package veilwarden.authz\nimport rego.v1\ndefault allow := true\n".to_owned(), "policy.rego"),
        ("not rego at all".to_owned(), "policy.rego:1:"),
    ] {
        let errors = refusal(World::new().await.rego(&text), &text[..text.len().min(60)]).await;
        assert!(errors.contains(line), "{line}: {errors}");
    }
    let two = World::new().await.rego(&format!("{HEAD}default allow := \n"));
    file(&two.policies(), "other.rego", "package other\nrule if {\n");
    let errors = refusal(two, "two bad files").await;
    assert!(errors.contains("policy.rego:") && errors.contains("other.rego:"), "one mistake hides the other: {errors}");
}

fn with_directory(world: World, path: &Path) -> World {
    world.policy(&format!("{{engine: opa, policy_path: {}, timeout: 10s}}", path.display()))
}

#[tokio::test]
async fn i12_a_directory_that_is_no_policy_is_refused() {
    let world = World::new().await;
    let empty = world.directory.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let errors = refusal(with_directory(world, &empty), "an empty directory").await;
    assert!(errors.contains("empty"), "{errors}");

    let world = World::new().await;
    let absent = world.directory.path().join("absent");
    let errors = refusal(with_directory(world, &absent), "no directory").await;
    assert!(errors.contains("absent"), "{errors}");

    let good = format!("{HEAD}default allow := true\n");
    let world = World::new().await.rego(&good);
    std::os::unix::fs::symlink("..", world.policies().join("loop")).unwrap();
    let errors = refusal(world, "a loop of symbolic links").await;
    assert!(errors.contains("loop"), "{errors}");

    let world = World::new().await.rego(&good);
    std::os::unix::fs::symlink("nowhere.rego", world.policies().join("dangling.rego")).unwrap();
    let errors = refusal(world, "a dangling link").await;
    assert!(errors.contains("dangling.rego"), "{errors}");

    let world = World::new().await.rego(&good);
    let pipe = world.policies().join("pipe.rego");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let errors = refusal(world, "a pipe").await;
    assert!(errors.contains("pipe.rego"), "{errors}");
}

#[tokio::test]
async fn i12_many_files_and_odd_names_are_one_policy() {
    let world = World::new().await.rego(&format!("{HEAD}default allow := false\nallow if data.parts.p999.yes\n"));
    let deep = world.policies().join("directory.rego");
    std::fs::create_dir(&deep).unwrap();
    for n in 0..1000 {
        file(
            &deep,
            &format!("p{n}.rego"),
            format!("package parts.p{n}\nimport rego.v1\nyes if input.method == \"GET\"\n"),
        );
    }
    let world = world.start().await;
    world.assert_works("a thousand files").await;
    let answer = world.send(world.request("DELETE", "/x", "")).await;
    world.assert_refused(&answer, 403, "POLICY_DENIED", "a thousand files").await;
}

#[tokio::test]
async fn i13_a_policy_section_that_says_nothing_denies() {
    for section in ["{}", "{engine: config}", "{enabled: true}", "{engine: config, default_allow: false}"] {
        let world = World::new().await.policy(section).start().await;
        let answer = world.send(world.ok("")).await;
        let record = world.assert_refused(&answer, 403, "POLICY_DENIED", section).await;
        assert_eq!(record["decision"], "deny", "{record}");
        world.assert_nothing_sent(section);
    }
}

#[tokio::test]
async fn i14_no_decision_is_taken_for_another_ones() {
    let rules = "default allow := false\nallow if { input.method == \"GET\"; input.path == \"/x\"; input.query == \"a=1\"; \
                 input.upstream_host == \"a.test\"; input.client.agent_id == \"ci\" }";
    let world = world(rules).await;
    for _ in 0..3 {
        for (host, method, target, agent, status) in [
            ("a.test", "GET", "/x?a=1", "ci", 200),
            ("a.test", "GET", "/x?a=2", "ci", 403),
            ("a.test", "GET", "/y?a=1", "ci", 403),
            ("a.test", "HEAD", "/x?a=1", "ci", 403),
            ("b.test", "GET", "/x?a=1", "ci", 403),
            ("a.test", "GET", "/x?a=1", "di", 403),
        ] {
            let fields = format!("X-Agent-Id: {agent}\r\nConnection: close\r\n");
            let answer = world.send(world.request_to(host, method, target, &fields)).await;
            assert_eq!(answer.status, status, "{host} {method} {target} {agent}: {answer:?}");
        }
    }
    assert_eq!((world.a.seen().len(), world.b.bytes()), (3, 0));
}

#[tokio::test]
async fn t15_a_policy_that_takes_too_long_is_an_error_within_its_budget() {
    let slow = "default allow := false\nallow if { input.path == \"/x\"; count([x | some x in numbers.range(1, 5000); some y in numbers.range(1, 5000); x == y]) > 1 }\n\
                allow if input.path == \"/fine\"";
    let world = World::new().await.rego(&format!("{HEAD}{slow}\n"));
    let policies = world.policies().display().to_string();
    let world = world.policy(&format!("{{engine: opa, policy_path: {policies}, timeout: 500ms}}")).start().await;
    let asked = Instant::now();
    let logged = assert_error(&world, "a slow policy").await;
    assert!(asked.elapsed() < PATIENCE / 2, "{:?}", asked.elapsed());
    assert!(logged["cause"].as_str().unwrap().contains("time budget"), "{logged}");
}
