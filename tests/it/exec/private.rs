//! A proxy for one command: real tunnels, a CA and a session secret that end with it.

use std::path::Path;

use rustix::process::Signal;

use crate::world::process::{End, Process, VEILWARDEN, addresses, command, file, named_pipe, run};
use crate::world::recorder::Recorder;
use crate::world::tls::{Authority, Front};
use crate::world::until;

/// `a.test` behind TLS gets `Authorization: Bearer private-canary` from a file.
struct Scene {
    upstream: Recorder,
    front: Front,
    directory: tempfile::TempDir,
    config: String,
}

async fn scene(more: &str) -> Scene {
    let (upstream, directory) = (Recorder::start().await, tempfile::tempdir().unwrap());
    let authority = Authority::new();
    let front = authority.front("a.test", upstream.address).await;
    let ca_file = authority.file(directory.path());
    let key = file(directory.path(), "key", "private-canary\n");
    let text = format!(
        "listen: 0.0.0.0:8088\nadmin_listen: 0.0.0.0:8089\nallow_peers: [192.0.2.0/24]\nuser: {{id: alice}}\n\
         secrets:\n  - {{id: KEY, file: {key}}}\n{more}\
         routes:\n  - {{upstream_host: a.test, upstream_address: \"{}\", ca_file: {}, secret_id: KEY, inject_header: Authorization, header_value_template: \"Bearer {{{{secret}}}}\"}}\n\
         policy: {{engine: config, default_allow: true}}\naudit: {{output: {}/audit.jsonl}}\n",
        front.address,
        ca_file.display(),
        directory.path().display(),
    );
    let config = file(directory.path(), "veilwarden.yaml", text);
    Scene { upstream, front, directory, config }
}

fn exec(scene: &Scene, script: &str, environment: &[(&str, &str)]) -> Process {
    let tmp = scene.directory.path().join("tmp");
    std::fs::create_dir_all(&tmp).unwrap();
    // What these tests were started with may ignore signals, as a shell's background job does.
    let mut exec = command("env");
    exec.args(["--default-signal", VEILWARDEN, "exec", "--config", &scene.config, "--", "sh", "-c", script]);
    exec.envs(environment.iter().copied()).env("TMPDIR", tmp);
    Process::of(exec)
}

fn left_behind(directory: &Path) -> usize {
    std::fs::read_dir(directory.join("tmp")).unwrap().count()
}

#[tokio::test]
async fn an_unchanged_client_calls_https_without_a_key() {
    let scene = scene("").await;
    let script = "curl -sS https://a.test/v1/models; exit 3";
    let environment = [("NO_PROXY", "*"), ("OPENAI_API_KEY", "sk-of-the-shell"), ("KEPT", "yes")];
    let mut process = exec(&scene, script, &environment);
    assert_eq!(process.end().await, End::Exit(3), "{}", process.stderr());
    assert_eq!(process.stdout(), "ok", "standard output is the command's alone: {}", process.stderr());
    let seen = scene.upstream.last();
    assert_eq!(
        (seen.line(), seen.headers("authorization")),
        ("GET /v1/models HTTP/1.1", vec!["Bearer private-canary"])
    );
    assert_eq!((seen.header("proxy-authorization"), scene.front.sessions()), (None, 1));
    let record = std::fs::read_to_string(scene.directory.path().join("audit.jsonl")).unwrap();
    assert!(record.contains("\"user_id\":\"alice\"") && record.contains("\"upstream_host\":\"a.test\""), "{record}");
    assert_eq!(left_behind(scene.directory.path()), 0, "something is left behind");
}

#[tokio::test]
async fn keys_are_not_the_commands_and_what_it_can_read_is_said() {
    let scene = scene("  - {id: OTHER, env: MY_OWN_KEY}\n").await;
    let environment = [
        ("OPENAI_API_KEY", "canary-1"),
        ("MY_OWN_KEY", "canary-2"),
        ("VEILWARDEN_SESSION_SECRET", "canary-3-canary-3"),
        ("KEPT", "yes"),
    ];
    let mut process = exec(&scene, "env; ls $(dirname $SSL_CERT_FILE)/..", &environment);
    assert_eq!(process.end().await, End::Exit(0), "{}", process.stderr());
    let (out, err) = (process.stdout(), process.stderr());
    assert!(out.contains("KEPT=yes") && !out.contains("canary"), "{out}");
    let list = "removed from the command's environment: MY_OWN_KEY, OPENAI_API_KEY, VEILWARDEN_SESSION_SECRET";
    assert!(err.contains(list) && !err.contains("canary"), "{err}");
    let key = scene.directory.path().join("key");
    assert!(err.contains(&format!("the command can read the secret KEY: {}", key.display())), "{err}");
    assert_eq!(
        out.lines().filter(|line| line.starts_with("veilwarden-exec-")).count(),
        1,
        "the CA's key is away: {out}"
    );
}

#[tokio::test]
async fn nobody_else_gets_in() {
    let scene = scene("").await;
    let script = "echo $HTTPS_PROXY; until [ -e end ]; do sleep 0.02; done";
    let mut process = exec(&scene, &format!("cd {}; {script}", scene.directory.path().display()), &[]);
    until("the proxy's URL", || process.stdout().contains("http://")).await;
    let url = process.stdout().trim().to_owned();
    let address = url.split('@').nth(1).unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{url}");
    for proxy in [format!("http://{address}"), format!("http://veilwarden:wrong-password-for-it@{address}")] {
        let arguments = ["-s", "-o", "/dev/null", "-w", "%{http_connect}", "--proxy", &proxy, "https://a.test/"];
        let mut curl = command("curl");
        curl.args(arguments);
        let mut curl = Process::of(curl);
        curl.end().await;
        assert_eq!(curl.stdout(), "407", "{proxy}");
    }
    file(scene.directory.path(), "end", "");
    assert_eq!(process.end().await, End::Exit(0), "{}", process.stderr());
    assert_eq!(scene.upstream.bytes(), 0);
}

#[tokio::test]
async fn a_configuration_that_is_wrong_runs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = file(directory.path(), "veilwarden.yaml", "routes: [{upstream_host: \"\"}]\ncolour: red\n");
    let absent = directory.path().join("absent.yaml").display().to_string();
    for (config, message) in [(&wrong, "colour"), (&absent, "there is no such file")] {
        let (end, out, err) = run(&["exec", "--config", config, "--", "echo", "ran"], &[]).await;
        assert_eq!((end, &*out), (End::Exit(125), ""), "{err}");
        assert!(err.contains(message), "{err}");
    }
    let good = file(directory.path(), "good.yaml", "routes: [{upstream_host: a.test}]\npolicy: {enabled: false}\n");
    let exec = ["exec", "--config", &good, "--log-file", "/nonexistent/log", "--", "echo", "ran"];
    let (end, out, err) = run(&exec, &[]).await;
    assert_eq!((end, &*out), (End::Exit(125), ""), "{err}");
    assert!(err.contains("--log-file /nonexistent/log: No such file or directory"), "{err}");
}

#[tokio::test]
async fn what_keeps_the_ca_from_being_made_is_said() {
    let scene = scene("").await;
    let mut full = command("sh");
    full.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh", VEILWARDEN, "exec", "--config", &scene.config]);
    full.args(["--", "echo", "ran"]).env("TMPDIR", scene.directory.path());
    let mut process = Process::of(full);
    assert_eq!(process.end().await, End::Exit(125), "{}", process.stderr());
    assert!(process.stderr().contains("/ca.crt.new: File too large"), "{}", process.stderr());
    assert_eq!(process.stdout(), "");
}

#[tokio::test]
async fn a_signal_before_the_command_ends_it_and_leaves_nothing_behind() {
    let scene = scene("").await;
    let tmp = scene.directory.path().join("tmp");
    let begun = || std::fs::read_dir(&tmp).is_ok_and(|entries| entries.count() > 0);
    // A start that takes milliseconds; the command may have begun just before the signal.
    for _ in 0..10 {
        let mut process = exec(&scene, "exec sleep 600", &[]);
        until("the place for the CA", begun).await;
        process.signal(Signal::TERM);
        assert_eq!(process.end().await, End::Exit(143), "{}", process.stderr());
        assert_eq!(left_behind(scene.directory.path()), 0);
    }
    // A start that hangs.
    let audit = format!("{}/audit.jsonl", scene.directory.path().display());
    let pipe = named_pipe(scene.directory.path(), "pipe");
    let text = std::fs::read_to_string(&scene.config).unwrap().replace(&audit, &pipe);
    file(scene.directory.path(), "veilwarden.yaml", text);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut process = exec(&scene, "echo ran", &[]);
        until("the place for the CA", begun).await;
        process.signal(signal);
        assert_eq!(process.end().await, End::Exit(128 + signal.as_raw()), "{}", process.stderr());
        assert_eq!((left_behind(scene.directory.path()), &*process.stdout()), (0, ""), "{signal:?}");
    }
}

#[tokio::test]
async fn the_relay_and_a_real_veilwarden_are_one_road() {
    let scene = scene("").await;
    let text = std::fs::read_to_string(&scene.config).unwrap().replace("allow_peers: [192.0.2.0/24]\n", "");
    let config = file(scene.directory.path(), "serve.yaml", text);
    let secret = "a-session-secret-for-tests";
    let secret_file = file(scene.directory.path(), "secret", secret);
    let state = scene.directory.path().join("state").display().to_string();
    let flags = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--state-dir", &state];
    let environment = [("VEILWARDEN_SESSION_SECRET", secret)];
    let mut serve = Process::spawn(&[&["serve", "--config", &config], &flags[..]].concat(), &environment);
    let (proxy, _) = addresses(&serve.ready().await);
    let (end, pem, err) = run(&["ca", "export", "--state-dir", &state], &[]).await;
    assert_eq!(end, End::Exit(0), "{err}");
    let ca_file = file(scene.directory.path(), "veilwarden-ca.pem", format!("{pem}\n"));
    let url = format!("http://{proxy}");
    let exec = ["exec", "--via", &url, "--session-secret-file", &secret_file, "--ca-file", &ca_file, "--"];
    let (end, out, err) = run(&[&exec[..], &["curl", "-sS", "https://a.test/v1/models"]].concat(), &[]).await;
    assert_eq!((end, &*out), (End::Exit(0), "ok"), "{err}");
    let seen = scene.upstream.last();
    assert_eq!(
        (seen.line(), seen.headers("authorization")),
        ("GET /v1/models HTTP/1.1", vec!["Bearer private-canary"])
    );
    // Whom veilwarden does not know, it refuses, whatever the relay knows.
    file(scene.directory.path(), "secret", "another-session-secret");
    let script = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_connect}", "https://a.test/"];
    let (_, out, _) = run(&[&exec[..], &script].concat(), &[]).await;
    assert_eq!((&*out, scene.upstream.seen().len()), ("407", 1));
}
