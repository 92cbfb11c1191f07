//! The command's environment, its end, its signals and its terminal.

use rustix::process::Signal;

use super::{via, via_with};
use crate::documents::is_there;
use crate::world::process::{End, Process, VEILWARDEN, command, file, run};
use crate::world::recorder::Recorder;
use crate::world::tls::Authority;
use crate::world::until;

#[tokio::test]
async fn the_environment_leads_to_the_proxy_and_nowhere_around_it() {
    let (upstream, directory) = (Recorder::start().await, tempfile::tempdir().unwrap());
    let inherited = [("NO_PROXY", "*"), ("no_proxy", "*"), ("ALL_PROXY", "http://other.test"), ("KEPT", "yes")];
    let mut process = via_with(&upstream, directory.path(), &[], "env", &inherited);
    assert_eq!(process.end().await, End::Exit(0), "{}", process.stderr());
    let out = process.stdout();
    let value = |name: &str| out.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"] {
        assert!(value(name).unwrap().starts_with("http://veilwarden:"), "{name}: {out}");
    }
    assert_eq!((value("NODE_USE_ENV_PROXY"), value("KEPT")), (Some("1"), Some("yes")));
    for name in ["NO_PROXY", "no_proxy", "ALL_PROXY", "SSL_CERT_FILE"] {
        assert_eq!(value(name), None, "{name}: {out}");
    }
    assert!(!out.contains("a.b.c"), "the credential is in the environment: {out}");
}

#[tokio::test]
async fn the_bundle_has_the_systems_roots_and_the_ca_and_is_gone_afterwards() {
    let (upstream, directory) = (Recorder::start().await, tempfile::tempdir().unwrap());
    let [ca_file, roots] = ["ca", "system"].map(|name| {
        let folder = directory.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        Authority::new().file(&folder).display().to_string()
    });
    let script = "echo $SSL_CERT_FILE; echo $GIT_SSL_CAINFO; cat $NODE_EXTRA_CA_CERTS";
    let tmp = directory.path().join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    let environment = [("SSL_CERT_FILE", &*roots), ("TMPDIR", tmp.to_str().unwrap())];
    let mut process = via_with(&upstream, directory.path(), &["--ca-file", &ca_file], script, &environment);
    assert_eq!(process.end().await, End::Exit(0), "{}", process.stderr());
    let out = process.stdout();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], lines[1]);
    let flat = |pem: &str| pem.split_whitespace().collect::<String>();
    for file in [&ca_file, &roots] {
        assert!(flat(&out).contains(&flat(&std::fs::read_to_string(file).unwrap())), "{file}: {out}");
    }
    assert!(lines[0].starts_with(tmp.to_str().unwrap()), "{out}");
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0, "something is left behind");
}

#[tokio::test]
async fn it_ends_as_the_command_does() {
    let (upstream, directory) = (Recorder::start().await, tempfile::tempdir().unwrap());
    for (script, status) in
        [("exit 0", 0), ("exit 42", 42), ("exit 255", 255), ("kill -KILL $$", 137), ("kill -TERM $$", 143)]
    {
        let mut process = via(&upstream, directory.path(), &[], script);
        assert_eq!(process.end().await, End::Exit(status), "{script}: {}", process.stderr());
    }
    let token = file(directory.path(), "token", "a.b.c");
    let program = file(directory.path(), "no-program", "text");
    let absent = directory.path().join("absent").display().to_string();
    for (flags, words, status) in [
        (&["--via", "http://127.0.0.1:1", "--token-file", &token][..], &["/nowhere/at/all"][..], 127),
        (&["--via", "http://127.0.0.1:1", "--token-file", &token], &[&program], 126),
        (&["--via", "http://127.0.0.1:1", "--token-file", &absent], &["true"], 125),
        (&["--via", "http://127.0.0.1:1/path", "--token-file", &token], &["true"], 125),
        (&["--via", "http://127.0.0.1:1", "--ca-file", &token], &["true"], 125),
        (&["--via", "http://127.0.0.1:1", "--token-file", &token], &[], 125),
        (&["--token-file", &token, "--log-file", "log"], &["true"], 125),
        (&["--via", "http://127.0.0.1:1", "--token-file", &token, "--no-flag", "x"], &["true"], 125),
    ] {
        let (end, _, err) = run(&[&["exec"], flags, &["--"], words].concat(), &[]).await;
        assert_eq!(end, End::Exit(status), "{flags:?} {words:?}: {err}");
        assert!(!err.is_empty(), "{flags:?} {words:?}: nothing is said");
    }
}

#[tokio::test]
async fn signals_reach_the_command() {
    let (upstream, directory) = (Recorder::start().await, tempfile::tempdir().unwrap());
    for (signal, name) in [
        (Signal::TERM, "TERM"),
        (Signal::INT, "INT"),
        (Signal::HUP, "HUP"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ] {
        let script = format!("trap 'echo got; exit 7' {name}; echo ready; while :; do sleep 0.02; done");
        // Without a terminal: nobody else gives the command its signals.
        let mut process = {
            let token = file(directory.path(), "token", "a.b.c");
            let mut exec = command("env");
            let url = format!("http://{}", upstream.address);
            exec.args(["--default-signal", "setsid"]);
            exec.args([VEILWARDEN, "exec", "--via", &url, "--token-file", &token, "--", "sh", "-c", &script]);
            Process::of(exec)
        };
        until("the command", || process.stdout().contains("ready")).await;
        process.signal(signal);
        assert_eq!(process.end().await, End::Exit(7), "{name}: {}", process.stderr());
        assert_eq!(process.stdout(), "ready\ngot", "{name}");
    }
}

#[tokio::test]
async fn what_is_ignored_before_it_is_ignored_by_the_command_too() {
    let directory = tempfile::tempdir().unwrap();
    let token = file(directory.path(), "token", "a.b.c");
    let mut exec = command("env");
    exec.args(["--default-signal", "--ignore-signal=HUP", VEILWARDEN, "exec", "--via", "http://127.0.0.1:1"]);
    exec.args(["--token-file", &token, "--", "sh", "-c", "kill -HUP $$ $PPID; kill -USR1 $$; echo lives"]);
    let mut process = Process::of(exec);
    assert_eq!(process.end().await, End::Exit(128 + 10), "{}", process.stderr());
}

#[tokio::test]
async fn the_command_keeps_the_terminal() {
    if !is_there("script") {
        eprintln!("not run, for want of script");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let token = file(directory.path(), "token", "a.b.c");
    let line = format!(
        "{VEILWARDEN} exec --via http://127.0.0.1:1 --token-file {token} -- sh -c 'test -t 0 && test -t 1 && test -t 2 && echo a terminal'"
    );
    let mut script = command("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let mut process = Process::of(script);
    assert_eq!(process.end().await, End::Exit(0), "{}", process.stdout());
    assert!(process.stdout().contains("a terminal"), "{}", process.stdout());
}
