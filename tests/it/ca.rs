//! `veilwarden ca`, and real curl through the proxy that it is for.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::world::World;
use crate::world::process::{self, End, curl, file};

const ROUTE: &str = "routes: [{upstream_host: a.test}]\n";

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o777
}

#[tokio::test]
async fn export_prints_the_certificate_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let config = file(home.path(), "v.yaml", format!("{ROUTE}state_dir: {}\n", state.display()));
    let (end, by_config, stderr) = process::run(&["ca", "export", "--config", &config], &[]).await;
    assert_eq!((end, stderr.as_str()), (End::Exit(0), ""));
    assert!(by_config.starts_with("-----BEGIN CERTIFICATE-----\n"), "{by_config}");
    assert!(by_config.trim_end().ends_with("-----END CERTIFICATE-----"), "{by_config}");
    assert_eq!(by_config.matches("-----").count(), 4, "{by_config}");
    assert_eq!((mode(&state), mode(&state.join("ca.key"))), (0o700, 0o600));
    let (_, by_directory, _) = process::run(&["ca", "export", "--state-dir", state.to_str().unwrap()], &[]).await;
    assert_eq!(by_directory, by_config);
    let (_, shown, _) = process::run(&["ca", "show", "--config", &config], &[]).await;
    for word in ["subject      O=veilwarden, CN=veilwarden CA ", "valid from ", "valid until ", "SHA-256 "] {
        assert!(shown.contains(word), "{shown}");
    }
    assert!(!shown.contains("KEY"), "{shown}");
}

#[tokio::test]
async fn init_makes_a_ca_once_and_says_what_to_do_with_it() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    let init = ["ca", "init", "--out-dir", out.to_str().unwrap()];
    let (end, stdout, stderr) = process::run(&init, &[]).await;
    assert_eq!((end, stderr.as_str()), (End::Exit(0), ""));
    assert!(stdout.contains("kubectl -n veilwarden create secret tls veilwarden-ca --cert="), "{stdout}");
    assert_eq!((mode(&out), mode(&out.join("ca.key"))), (0o700, 0o600));
    let (end, _, stderr) = process::run(&init, &[]).await;
    assert_eq!(end, End::Exit(1));
    assert!(stderr.contains("is there already"), "{stderr}");
    // What it made is what `serve` takes.
    let (cert, key) = (out.join("ca.crt"), out.join("ca.key"));
    let given = format!(
        "{ROUTE}policy: {{default_allow: true}}\nforward: {{ca_cert_file: {}, ca_key_file: {}}}\n",
        cert.display(),
        key.display()
    );
    let config = file(home.path(), "v.yaml", given);
    let environment = [("VEILWARDEN_SESSION_SECRET", "a-session-secret-for-tests")];
    let check = ["check", "--config", &config];
    assert_eq!(process::run(&check, &environment).await.0, End::Exit(0));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (end, _, stderr) = process::run(&check, &environment).await;
    assert_eq!(end, End::Exit(1));
    assert!(stderr.starts_with("forward: ") && stderr.contains("chmod o= "), "g26: {stderr}");
    for name in ["HOME", "XDG_STATE_HOME"] {
        let (_, stdout, _) = process::run(
            &["ca", "init", "--config", &file(home.path(), "w.yaml", ROUTE)],
            &[(name, home.path().to_str().unwrap())],
        )
        .await;
        assert!(stdout.starts_with("Made:\n"), "{name}: {stdout}");
    }
}

#[tokio::test]
async fn half_a_ca_is_kept_and_its_other_half_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let config = file(
        home.path(),
        "v.yaml",
        format!("{ROUTE}policy: {{default_allow: true}}\nstate_dir: {}\n", state.display()),
    );
    let environment = [("VEILWARDEN_SESSION_SECRET", "a-session-secret-for-tests")];
    for (lost, kept, advice) in [
        ("ca.crt", "ca.key", "put the certificate back, or remove the key"),
        ("ca.key", "ca.crt", "put the key back, or remove the certificate"),
    ] {
        let _ = std::fs::remove_dir_all(&state);
        let (end, ..) = process::run(&["ca", "init", "--config", &config], &environment).await;
        assert_eq!(end, End::Exit(0));
        let before = std::fs::read(state.join(kept)).unwrap();
        std::fs::remove_file(state.join(lost)).unwrap();
        for command in [&["ca", "init"][..], &["ca", "export"], &["ca", "show"], &["check"], &["serve"]] {
            let command = [command, &["--config", &config]].concat();
            let (end, _, stderr) = process::run(&command, &environment).await;
            assert_eq!(end, End::Exit(1), "{command:?}: {stderr}");
            assert!(stderr.contains(advice), "{command:?}: {stderr}");
        }
        assert_eq!((std::fs::read(state.join(kept)).unwrap(), state.join(lost).exists()), (before, false));
    }
}

#[tokio::test]
async fn curl_works_through_the_proxy() {
    let world = World::new().await.forward();
    let a = world.a.address;
    let route = format!(
        "{{upstream_host: \"s.test:443\", upstream_scheme: http, upstream_address: \"{a}\", secret_id: KEY_A, inject_header: X-Key, header_value_template: \"{{{{secret}}}}\"}}"
    );
    let world = world.route(&route).start().await;
    let ca = world.directory.path().join("state/ca.crt").display().to_string();
    let proxy = format!("http://x:{}@{}", world.session_secret(), world.proxy);
    for (url, target) in [("https://s.test/v1?x=1", "/v1?x=1"), ("http://a.test/v1", "/v1")] {
        assert_eq!(curl(&["--noproxy", "", "-x", &proxy, "--cacert", &ca, url]).await, "ok", "{url}");
        assert_eq!(world.a.last().target(), target);
    }
    // A body that waits for leave, and two requests on one tunnel.
    let body = "x".repeat(100_000);
    let posted = file(world.directory.path(), "body", body.clone());
    let data = format!("@{posted}");
    let twice = [
        "--noproxy",
        "",
        "-x",
        &*proxy,
        "--cacert",
        &ca,
        "-H",
        "Expect: 100-continue",
        "--data-binary",
        &data,
        "https://s.test/1",
        "https://s.test/2",
    ];
    assert_eq!(curl(&twice).await, "okok");
    assert_eq!(world.a.last().body.len(), body.len());
    let connects = world.audit().iter().filter(|record| record["method"] == "CONNECT").count();
    assert_eq!(connects, 2, "one for each curl to an https URL");
}
