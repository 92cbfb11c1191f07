//! What does not start says why.

use tokio::net::TcpListener;

use super::{SECRET, config};
use crate::world::process::{self, End, file};

/// `serve` and `check` both exit with 1 and say the same, and nothing else, on standard error; returns it.
pub(super) async fn refused(file: &str, environment: &[(&str, &str)], what: &str) -> String {
    let (end, out, serve) = process::run(&["serve", "--config", file], environment).await;
    assert_eq!((end, out.as_str()), (End::Exit(1), ""), "{what}: {serve}");
    let (end, out, check) = process::run(&["check", "--config", file], environment).await;
    assert_eq!((end, out.as_str()), (End::Exit(1), ""), "{what}: {check}");
    assert_eq!(serve, check, "{what}");
    serve
}

#[tokio::test]
async fn l07_a_broken_configuration_is_refused_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let route = "upstream_host: A.TEST, secret_id: KEY, inject_header: X-A, header_value_template: \"{{secret}}\"";
    let twice = config("").replace("routes: [", &format!("routes: [{{{route}}}, "));
    for (text, places, what) in [
        (config("listen: [127.0.0.1:0"), &["v.yaml:7"][..], "no YAML"),
        (config("log: {levle: debug}"), &["v.yaml:7:7:", "levle", "did you mean", "level"], "an unknown key"),
        (config("listen: 127.0.0.1:0"), &["v.yaml:7:1:", "duplicate", "listen"], "a duplicate key"),
        (twice, &["v.yaml:5:", "a.test", "routes[0]"], "a route twice, in two spellings"),
        (config("").replace("{{secret}}", "{{secrte}}"), &["v.yaml:5:", "secrte"], "a bad template"),
        (config("").replace("value: some-value", "vualt: x"), &["v.yaml:4:", "vualt"], "an unknown store"),
        (config("").replace("secret_id: KEY", "secret_id: KAY"), &["v.yaml:5:", "KAY"], "an unknown secret"),
        (config("limits: {max_headers: many}"), &["v.yaml:7:", "max_headers"], "a wrong type"),
        (config("log: {levle: debug}\nadmin_lisen: off"), &["v.yaml:7:", "v.yaml:8:"], "two mistakes"),
        (config("")[..200].to_owned(), &["v.yaml:5"], "half a file"),
        (String::new(), &["v.yaml"], "an empty file"),
        (format!("{}{}", config(""), "# much\n".repeat(200_000)), &["v.yaml", "1024 KiB"], "a large file"),
    ] {
        let path = file(directory.path(), "v.yaml", text);
        let said = refused(&path, &[SECRET], what).await;
        for place in places {
            assert!(said.contains(place), "{what}: {place} is not in\n{said}");
        }
    }
    let absent = directory.path().join("absent.yaml").display().to_string();
    assert!(refused(&absent, &[SECRET], "no file").await.contains("absent.yaml"), "no file");
    let itself = directory.path().display().to_string();
    assert!(refused(&itself, &[SECRET], "a directory").await.contains("directory"), "a directory");
}

#[tokio::test]
async fn l07_what_is_found_behind_the_configuration_is_refused_too_and_all_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let lines = format!("audit: {{output: \"{}\"}}", directory.path().join("no/such/audit.jsonl").display());
    let policies = directory.path().join("no-policies").display().to_string();
    let text = config(&lines)
        .replace("engine: config, default_allow: true", &format!("engine: opa, policy_path: {policies}"))
        .replace("routes: [{", "routes: [{ca_file: /no/such/ca.pem, ");
    let said = refused(&file(directory.path(), "v.yaml", text), &[SECRET], "three mistakes").await;
    for place in ["no-policies", "/no/such/ca.pem", "audit.jsonl"] {
        assert!(said.contains(place), "{place} is not in\n{said}");
    }
}

#[tokio::test]
async fn h38_without_a_good_session_secret_nothing_starts() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), "v.yaml", config(""));
    for (environment, words, what) in [
        (&[][..], &["VEILWARDEN_SESSION_SECRET", "kubernetes"][..], "none"),
        (&[("VEILWARDEN_SESSION_SECRET", "")], &["VEILWARDEN_SESSION_SECRET"], "an empty one"),
        (&[("VEILWARDEN_SESSION_SECRET", "8-octets")], &["VEILWARDEN_SESSION_SECRET", "16"], "a short one"),
        (&[("VEILWARDEN_SESSION_SECRET_FILE", "/no/such/file")], &["/no/such/file"], "a file that is not there"),
    ] {
        let said = refused(&path, environment, what).await;
        for word in words {
            assert!(said.contains(word), "{what}: {word} is not in\n{said}");
        }
        assert!(!said.contains("8-octets"), "{what}: a secret is repeated: {said}");
    }
}

#[tokio::test]
async fn l11_a_port_in_use_is_said_and_nothing_is_half_started() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let good = config("");
    for (text, what) in [
        (good.replacen("listen: 127.0.0.1:0", &format!("listen: {address}"), 1), "listen"),
        (good.replacen("listen: 127.0.0.1:0", &format!("listen: [127.0.0.1:0, {address}]"), 1), "the second of two"),
        (good.replace("admin_listen: 127.0.0.1:0", &format!("admin_listen: {address}")), "admin_listen"),
    ] {
        let path = file(directory.path(), "v.yaml", text);
        let (end, out, said) = process::run(&["serve", "--config", &path], &[SECRET]).await;
        assert_eq!((end, out.as_str()), (End::Exit(1), ""), "{what}: {said}");
        assert!(said.contains(&address) && said.contains("another program has it"), "{what}: {said}");
        assert!(!said.contains("\"ready\""), "{what}: {said}");
    }
}
