//! What it says and does when it starts.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;

use rustix::process::Signal;

use super::{ENVIRONMENT, FREE_PORTS, SECRET, minimal};
use crate::world::process::{self, End, Process, VEILWARDEN, addresses, curl, file};
use crate::world::recorder::Recorder;

#[tokio::test]
async fn a_minimal_file_and_a_session_secret_are_enough() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), Recorder::start().await);
    let config = file(directory.path(), "veilwarden.yaml", minimal(&upstream));
    // `serve` is what it does when nothing is said.
    for arguments in [&["serve", "--config", &config][..], &["--config", &config]] {
        let mut process = Process::spawn(&[arguments, &FREE_PORTS].concat(), &[ENVIRONMENT]);
        let (proxy, admin) = addresses(&process.ready().await);
        let body = curl(&[
            "-H",
            &format!("X-Session-Secret: {SECRET}"),
            "-H",
            &format!("X-Upstream-Host: localhost:{}", upstream.address.port()),
            &format!("http://{proxy}/user"),
        ])
        .await;
        assert_eq!(body, "ok");
        assert_eq!(upstream.last().line(), "GET /user HTTP/1.1");
        assert_eq!(upstream.last().headers("authorization"), ["token minimal-value"]);
        assert_eq!(curl(&[&format!("http://{admin}/readyz")]).await, "ok\n");
        assert_eq!(curl(&[&format!("http://{proxy}/healthz")]).await, "{\"status\":\"ok\"}");
        process.signal(Signal::TERM);
        assert_eq!(process.end().await, End::Exit(0), "{}", process.stderr());
        let record: serde_json::Value = serde_json::from_str(&process.stdout()).unwrap();
        assert_eq!((&record["status"], &record["path"]), (&200.into(), &"/user".into()), "{record}");
    }
}

#[tokio::test]
async fn the_ready_line_is_json_at_every_level_and_names_what_is_bound() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), Recorder::start().await);
    for (lines, admin_is_on) in [("log: {level: error}\n", true), ("admin_listen: \"off\"\n", false)] {
        let config =
            file(directory.path(), "veilwarden.yaml", format!("listen: 127.0.0.1:0\n{lines}{}", minimal(&upstream)));
        let admin = if admin_is_on { &["--admin-listen", "127.0.0.1:0"][..] } else { &[] };
        let arguments = [&["serve", "--config", &config][..], admin].concat();
        let mut process = Process::spawn(&arguments, &[ENVIRONMENT]);
        let ready = process.ready().await;
        let proxy: std::net::SocketAddr = ready["listen"].as_str().unwrap().parse().unwrap();
        assert_ne!(proxy.port(), 0, "{ready}");
        assert!(std::net::TcpStream::connect(proxy).is_ok(), "it accepts when it says so");
        match ready["admin_listen"].as_str().unwrap() {
            "off" => assert!(!admin_is_on, "{ready}"),
            address => assert!(admin_is_on && std::net::TcpStream::connect(address).is_ok(), "{ready}"),
        }
        let lines = process.stderr().lines().filter(|line| line.contains("\"message\":\"ready\"")).count();
        assert_eq!(lines, 1, "{}", process.stderr());
    }
}

#[tokio::test]
async fn n08_nobody_reads_the_process_memory_and_no_core_is_written() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), Recorder::start().await);
    let config = file(directory.path(), "veilwarden.yaml", minimal(&upstream));
    // As somebody else than root, if we are root: only then does /proc tell whether a process is dumpable.
    let root = rustix::process::getuid().is_root();
    let open: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).unwrap();
    let mut command = process::command(VEILWARDEN);
    command.args(["serve", "--config", &config]).args(FREE_PORTS).env(ENVIRONMENT.0, ENVIRONMENT.1);
    if root {
        command.uid(65534).gid(65534);
    }
    let mut process = Process::of(command);
    process.ready().await;
    let of = |name: &str| format!("/proc/{}/{name}", process.pid());
    let limits = std::fs::read_to_string(of("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    // The kernel gives the files of a process that is not dumpable to root.
    assert_eq!(std::fs::metadata(of("environ")).unwrap().uid(), 0, "the process is dumpable");
    if !root {
        assert!(std::fs::File::open(of("mem")).is_err(), "its memory can be read");
    }
}
