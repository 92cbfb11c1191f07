//! Outputs of audit records that fail, that nobody reads, or that cannot be opened.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;

use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::refused::refused;
use super::{SECRET, assert_ends_soon, config, named_pipe};
use crate::world::process::{self, End, Process, VEILWARDEN, addresses, file};
use crate::world::raw::{self, Answer};
use crate::world::within;

async fn send(address: SocketAddr, head: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    raw::read_answer(&mut stream).await
}

/// A call without a credential, which has a record as every other.
async fn call(proxy: SocketAddr) -> u16 {
    send(proxy, "GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: a.test\r\n\r\n").await.status
}

fn lost(process: &Process) -> u64 {
    let lines = process.stderr();
    let line =
        lines.lines().find(|line| line.contains("not written before the end")).unwrap_or_else(|| panic!("{lines}"));
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["level"], "ERROR", "{line}");
    line["lost"].as_u64().unwrap()
}

#[tokio::test]
async fn while_the_output_fails_refuse_refuses_every_call_and_the_end_says_what_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), "v.yaml", config("audit: {output: /dev/full, when_full: refuse}"));
    let mut process = Process::spawn(&["serve", "--config", &path], &[SECRET]);
    let (proxy, admin) = addresses(&process.ready().await);
    let mut served = 0;
    within("the first refusal", async {
        while call(proxy).await == 401 {
            served += 1;
        }
    })
    .await;
    assert!(served > 0, "only a record can show that the output fails");
    for again in 0..30 {
        assert_eq!(call(proxy).await, 503, "call {again} behind the first refusal");
    }
    let metrics = send(admin, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.text();
    for sample in ["veilwarden_audit_events_total 0", "veilwarden_audit_dropped_total 0"] {
        assert!(metrics.lines().any(|line| line == sample), "{sample}: {metrics}");
    }
    process.signal(Signal::TERM);
    assert_ends_soon(&mut process, End::Exit(0), "an output that fails").await;
    assert_eq!(lost(&process), served);
    assert_eq!(process.stderr().matches("audit records cannot be written").count(), 1, "{}", process.stderr());
}

#[tokio::test]
async fn records_that_a_stuck_reader_never_took_are_said_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = named_pipe(directory.path(), "audit");
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut reader = OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open(&pipe).unwrap();
    while reader.write(&[b'\n'; 4096]).is_ok() {}
    let path = file(directory.path(), "v.yaml", config(&format!("audit: {{output: \"{pipe}\"}}")));
    let mut process = Process::spawn(&["serve", "--config", &path], &[SECRET]);
    let (proxy, _) = addresses(&process.ready().await);
    for _ in 0..3 {
        assert_eq!(call(proxy).await, 401);
    }
    process.signal(Signal::TERM);
    assert_ends_soon(&mut process, End::Exit(0), "a stuck reader").await;
    assert_eq!(lost(&process), 3);
}

#[tokio::test]
async fn a_named_pipe_that_nobody_reads_is_refused_at_the_start_and_never_opened_by_check() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = named_pipe(directory.path(), "audit");
    let path = file(directory.path(), "v.yaml", config(&format!("audit: {{output: \"{pipe}\"}}")));
    let (end, _, said) = process::run(&["serve", "--config", &path], &[SECRET]).await;
    assert_eq!(end, End::Exit(1), "{said}");
    assert!(said.starts_with(&format!("audit.output {pipe}: ")) && said.contains("start its reader first"), "{said}");
    let (end, _, said) = process::run(&["check", "--config", &path], &[SECRET]).await;
    assert_eq!(end, End::Exit(0), "{said}");
}

#[tokio::test]
async fn check_says_what_serve_says_of_an_output_that_cannot_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let below = |name: &str| directory.path().join(name).display().to_string();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(below("closed")).unwrap();
    fs::write(below("closed/file"), "").unwrap();
    fs::set_permissions(below("closed/file"), Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(below("closed"), Permissions::from_mode(0o555)).unwrap();
    for output in ["closed/new", "closed/file"].map(below) {
        let path = file(directory.path(), "v.yaml", config(&format!("audit: {{output: \"{output}\"}}")));
        let mut said = Vec::new();
        for subcommand in ["serve", "check"] {
            let mut command = process::command(VEILWARDEN);
            command.args([subcommand, "--config", &path]).env(SECRET.0, SECRET.1);
            if rustix::process::getuid().is_root() {
                command.uid(65534).gid(65534);
            }
            let mut process = Process::of(command);
            assert_eq!(process.end().await, End::Exit(1), "{subcommand} {output}: {}", process.stderr());
            said.push(process.stderr());
        }
        assert!(said[0].starts_with(&format!("audit.output {output}: ")), "{said:?}");
        assert_eq!(said[0], said[1]);
    }
    assert!(!fs::exists(below("closed/new")).unwrap(), "check made it");
}

#[tokio::test]
async fn an_output_that_is_no_file_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let itself = directory.path().display();
    for output in [format!("{itself}"), format!("{itself}/new/")] {
        let path = file(directory.path(), "v.yaml", config(&format!("audit: {{output: \"{output}\"}}")));
        let said = refused(&path, &[SECRET], &output).await;
        assert_eq!(said, format!("audit.output {output}: Is a directory (os error 21); name a file in it"));
    }
}
