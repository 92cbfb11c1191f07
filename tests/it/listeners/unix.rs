//! A Unix socket in place of an address.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use crate::world::process::{End, Process, curl, file, run};
use crate::world::{World, raw, within};

fn socket(world: &World) -> PathBuf {
    world.directory.path().join("v.sock")
}

fn listening(world: World) -> World {
    let path = socket(&world);
    world.listen(&format!("[127.0.0.1:0, \"unix:{}\"]", path.display()))
}

fn own_uid() -> u32 {
    std::fs::metadata("/proc/self").unwrap().uid()
}

#[tokio::test]
async fn curl_calls_through_the_socket_and_its_uid_joins_the_identity() {
    let uid = own_uid();
    let policy = format!(
        "package veilwarden.authz\ndefault allow := false\nallow if {{\n\tinput.identity.peer_uid == {uid}\n\tnot input.source.ip\n}}\n"
    );
    // Says nothing of Unix sockets.
    let world = listening(World::new().await.rego(&policy).config("allow_peers: [192.0.2.0/24]"));
    let path = socket(&world).display().to_string();
    let started = world.start().await;
    let secret = format!("X-Session-Secret: {}", started.session_secret());
    let call = ["--unix-socket", &path, "-H", "X-Upstream-Host: a.test", "-w", " %{http_code}", "http://proxy.test/x"];
    assert_eq!(curl(&[&call[..], &["-H", &secret, "-H", "X-Request-Id: by-socket-1"]].concat()).await, "ok 200");
    assert!(curl(&[&call[..], &["--http2-prior-knowledge", "-H", &secret]].concat()).await.ends_with(" 200"));
    let record = started.record_of("by-socket-1").await;
    assert_eq!((&record["identity"]["peer_uid"], &record["peer_uid"]), (&uid.into(), &uid.into()), "{record}");
    assert!(record.get("source_ip").is_none(), "{record}");
    // The uid is no credential.
    assert!(curl(&[&call[..], &["-H", "X-Request-Id: by-socket-2"]].concat()).await.ends_with(" 401"));
    let record = started.record_of("by-socket-2").await;
    assert_eq!((&record["identity"], &record["peer_uid"]), (&serde_json::Value::Null, &uid.into()), "{record}");
}

#[tokio::test]
async fn framing_is_as_strict_as_over_tcp() {
    let world = listening(World::new().await);
    let path = socket(&world);
    let started = world.start().await;
    for (bytes, status) in [
        (started.ok(""), 200),
        (started.ok("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400),
        (started.ok("X-A: b\n"), 400),
    ] {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let answer = within("an answer", raw::read_answer(&mut stream)).await;
        assert_eq!(answer.status, status, "{bytes}");
    }
}

#[tokio::test]
async fn the_file_is_made_at_the_start_and_gone_at_the_end() {
    let world = World::new().await;
    let path = socket(&world);
    let world = world.listen(&format!("\"unix:{}\"", path.display()));
    let text = format!(
        "{}\nsession_secret_file: {}\n",
        world.yaml(),
        file(world.directory.path(), "secret", world.session_secret())
    );
    let config = file(world.directory.path(), "veilwarden.yaml", text);
    let (end, _, stderr) = run(&["check", "--config", &config], &[]).await;
    assert_eq!((end, path.exists()), (End::Exit(0), false), "{stderr}");
    // What a process that was killed has left.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut serving = Process::spawn(&["serve", "--config", &config], &[]);
    assert_eq!(serving.ready().await["listen"], format!("unix:{}", path.display()));
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
    let (end, _, stderr) = run(&["serve", "--config", &config], &[]).await;
    assert_eq!(end, End::Exit(1));
    assert!(stderr.contains("another process listens there"), "{stderr}");
    serving.signal(Signal::TERM);
    assert_eq!((serving.end().await, path.exists()), (End::Exit(0), false));
    std::fs::write(&path, "precious").unwrap();
    let (end, _, stderr) = run(&["serve", "--config", &config], &[]).await;
    assert_eq!(end, End::Exit(1));
    assert!(stderr.contains("there is another file of this name"), "{stderr}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn flag_and_variable_name_a_socket_too() {
    let world = World::new().await;
    let text = format!(
        "{}\nsession_secret_file: {}\n",
        world.yaml(),
        file(world.directory.path(), "secret", world.session_secret())
    );
    let config = file(world.directory.path(), "veilwarden.yaml", text);
    let entry = format!("unix:{}", socket(&world).display());
    for (flags, variables) in
        [(&["--listen", entry.as_str()][..], &[][..]), (&[], &[("VEILWARDEN_LISTEN", entry.as_str())])]
    {
        let mut serving = Process::spawn(&[&["serve", "--config", &config], flags].concat(), variables);
        assert_eq!(serving.ready().await["listen"], entry);
        serving.signal(Signal::TERM);
        assert_eq!(serving.end().await, End::Exit(0));
    }
}
