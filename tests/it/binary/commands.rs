//! The subcommands that serve nothing.

use std::os::unix::fs::MetadataExt;

use super::{ENVIRONMENT, FREE_PORTS, SECRET, minimal};
use crate::world::process::{self, End, Process, VEILWARDEN, addresses, curl, file};
use crate::world::recorder::Recorder;

#[tokio::test]
async fn check_says_what_serve_would() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), Recorder::start().await);
    let config = file(directory.path(), "veilwarden.yaml", minimal(&upstream));
    let (end, out, said) = process::run(&["check", "--config", &config], &[ENVIRONMENT]).await;
    assert_eq!((end, said.as_str()), (End::Exit(0), ""), "{out}");
    assert!(out.contains("good") && out.contains("1 routes"), "{out}");
    assert_eq!(upstream.connections(), 0, "a check connects to nobody");
    // The same mistakes from the same code: l07 and h38 compare the two for every one of them.
    let broken = file(directory.path(), "broken.yaml", format!("{}polcy: {{}}\n", minimal(&upstream)));
    let (end, out, said) = process::run(&["check", "--config", &broken], &[ENVIRONMENT]).await;
    assert_eq!((end, out.as_str()), (End::Exit(1), ""), "{said}");
    assert!(said.contains("broken.yaml:4:1:") && said.contains("did you mean") && said.contains("policy"), "{said}");
}

#[tokio::test]
async fn the_starter_configuration_passes_check_and_a_call() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), Recorder::start().await);
    let config = directory.path().join("veilwarden.yaml");
    let path = config.to_str().unwrap();
    let (end, out, err) = process::run(&["init", "--config", path], &[]).await;
    assert_eq!((end, out.contains("written")), (End::Exit(0), true), "{err}");
    assert_eq!(config.metadata().unwrap().mode() & 0o777, 0o600);
    let (end, out, err) = process::run(&["check", "--config", path], &[ENVIRONMENT]).await;
    assert_eq!(end, End::Exit(0), "{err}");
    assert!(out.contains("good") && err.is_empty(), "{out} {err}");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("127.0.0.1:9090", &upstream.address.to_string())).unwrap();
    let (end, _, err) = process::run(&["init", "--config", path], &[]).await;
    assert_eq!((end, err.contains("--force")), (End::Exit(1), true), "{err}");
    let mut process = Process::spawn(&[&["serve", "--config", path], &FREE_PORTS[..]].concat(), &[ENVIRONMENT]);
    let (proxy, _) = addresses(&process.ready().await);
    let key = format!("Authorization: Bearer {SECRET}");
    assert_eq!(curl(&["-H", &key, &format!("http://{proxy}/_route/echo/v1/models")]).await, "ok");
    assert_eq!(upstream.last().line(), "GET /v1/models HTTP/1.1");
    assert_eq!(upstream.last().headers("authorization"), ["Bearer an-example-key"]);
    let (end, _, _) = process::run(&["init", "--force", "--config", path], &[]).await;
    assert_eq!((end, std::fs::read_to_string(&config).unwrap()), (End::Exit(0), text));
}

#[tokio::test]
async fn an_output_that_takes_nothing_is_an_error_and_no_panic() {
    for arguments in [&["version"][..], &["completions", "bash"], &["config", "schema"], &["snippet", "pod"]] {
        let run = |out: std::process::Stdio| {
            let output = process::command(VEILWARDEN).args(arguments).stdout(out).output().unwrap();
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let (code, said) = run(full.into());
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(said.contains("No space left") && !said.contains("panicked"), "{arguments:?}: {said}");
        // A reader that has gone away, as with `| head`.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(run(writer.into()), (Some(0), String::new()), "{arguments:?}");
    }
}
