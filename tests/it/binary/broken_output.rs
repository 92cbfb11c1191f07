//! Standard output and standard error that take nothing: a full disk, a reader that has gone away.

use std::fs::OpenOptions;
use std::net::TcpStream;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::{ENVIRONMENT, minimal};
use crate::world::process::{End, Process, VEILWARDEN, command, file};
use crate::world::recorder::{Down, Recorder};
use crate::world::until;

/// An end that takes nothing, named by how.
fn broken() -> [(&'static str, Stdio); 2] {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (_, gone) = std::io::pipe().unwrap();
    [("full", full.into()), ("gone", gone.into())]
}

fn veilwarden(arguments: &[&str]) -> Command {
    let mut veilwarden = command(VEILWARDEN);
    veilwarden.args(arguments).envs([ENVIRONMENT]);
    veilwarden
}

/// Runs it to its end: its exit status, its standard output and its standard error, as far as they can be read.
async fn finish(mut command: Command) -> (Option<i32>, String, String) {
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_line_about_what_was_done_may_be_lost() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), Recorder::start().await);
    let config = file(directory.path(), "veilwarden.yaml", minimal(&upstream));
    let (starter, place) = (directory.path().join("starter.yaml"), directory.path().display().to_string());
    let starter = starter.to_str().unwrap();
    for arguments in
        [&["check", "--config", &config][..], &["init", "--force", "--config", starter], &["install", &place]]
    {
        for (how, end) in broken() {
            let mut command = veilwarden(arguments);
            command.stdout(end);
            assert_eq!(finish(command).await, (Some(0), String::new(), String::new()), "{arguments:?}, {how}");
        }
    }
}

#[tokio::test]
async fn mistakes_that_cannot_be_said_are_still_mistakes() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = file(directory.path(), "wrong.yaml", "colour: red\n");
    let exec = ["exec", "--config", &wrong, "--", "echo", "ran"];
    for (arguments, status) in [
        (&["check", "--config", &wrong][..], 1),
        (&["serve", "--config", &wrong], 1),
        (&["init", "--config", &wrong], 1),
        (&["ca", "show", "--state-dir", "/nonexistent"], 1),
        (&exec, 125),
    ] {
        for (how, end) in broken() {
            let mut command = veilwarden(arguments);
            command.stderr(end);
            assert_eq!(finish(command).await, (Some(status), String::new(), String::new()), "{arguments:?}, {how}");
        }
    }
}

#[tokio::test]
async fn a_command_runs_although_nothing_can_be_said_about_it() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), Recorder::start().await);
    // The command could read the configuration, which is warned about, and a variable is removed, which is said.
    let config = file(directory.path(), "veilwarden.yaml", minimal(&upstream));
    for (how, end) in broken() {
        let mut command = veilwarden(&["exec", "--config", &config, "--", "sh", "-c", "echo ran; exit 3"]);
        command.stderr(end);
        assert_eq!(finish(command).await, (Some(3), "ran\n".to_owned(), String::new()), "{how}");
    }
}

#[tokio::test]
async fn the_relay_lives_on_when_it_cannot_say_that_the_token_is_away() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), Recorder::start().await);
    let token = file(directory.path(), "token", "a.b.c");
    // Calls for as long as it takes the relay to miss the file.
    let script = format!("rm {token}; for i in $(seq 30); do curl -s http://a.test/; sleep 0.05; done");
    for (how, end) in broken() {
        file(directory.path(), "token", "a.b.c");
        let url = format!("http://{}", upstream.address);
        let mut command = veilwarden(&["exec", "--via", &url, "--token-file", &token, "--", "sh", "-c", &script]);
        command.stderr(end);
        assert_eq!(finish(command).await, (Some(0), "ok".repeat(30), String::new()), "{how}");
    }
}

#[tokio::test]
async fn output_that_was_asked_for_and_is_lost_is_a_failure_unless_nobody_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state").display().to_string();
    for arguments in [
        &["version"][..],
        &["completions", "bash"],
        &["config", "schema"],
        &["snippet", "pod"],
        &["ca", "export", "--state-dir", &state],
        &["demo", "--once"],
    ] {
        for (how, end) in broken() {
            let mut command = veilwarden(arguments);
            command.stdout(end);
            let (status, _, said) = finish(command).await;
            let full = how == "full";
            assert_eq!(
                (status, said.contains("No space left")),
                (Some(i32::from(full)), full),
                "{arguments:?}: {said}"
            );
            assert_eq!(said.contains("standard output cannot be written"), full, "{arguments:?}: {said}");
        }
    }
}

#[tokio::test]
async fn echo_answers_although_it_cannot_say_where() {
    let address = Down::new().address;
    let mut shell = command("sh");
    shell.args(["-c", "exec \"$0\" echo --listen \"$1\" >/dev/full", VEILWARDEN, &address.to_string()]);
    let mut process = Process::of(shell);
    until("echo to listen", || TcpStream::connect(address).is_ok()).await;
    process.signal(Signal::TERM);
    assert_eq!(process.end().await, End::Exit(0), "{}", process.stderr());
}
