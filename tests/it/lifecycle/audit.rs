//! Outputs of audit records that fail or that nobody reads.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{SECRET, assert_ends_soon, config, named_pipe};
use crate::world::process::{End, Process, addresses, file};
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
