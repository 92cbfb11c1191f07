//! The process itself: panics, core files, its memory, arguments and environment, and session keys of TLS.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use rustix::process::Signal;

use crate::world::canary::{Canary, assert_absent};
use crate::world::doppler::Mode as Stored;
use crate::world::process::{self, End, Process, VEILWARDEN, addresses, command, file};
use crate::world::tls::Authority;
use crate::world::tunnel::call;
use crate::world::{Started, World, until, within};

/// Says to a second run of this program that it is the one that panics.
const PANICS: (&str, &str) = ("VEILWARDEN_TEST_PANICS", "yes");

#[test]
fn n07_a_panic_with_a_secret_in_scope_says_where_and_not_what() {
    let secret = "canary-in-a-panic-41c7";
    if std::env::var_os(PANICS.0).is_some() {
        std::panic::set_hook(Box::new(veilwarden::cli::panics::note));
        let found = secret.to_owned();
        std::thread::spawn(move || panic!("no such key: {found}")).join().unwrap_err();
        std::thread::spawn(move || secret.parse::<u16>().map_err(|_| secret).expect("a number")).join().unwrap_err();
        return;
    }
    let name = "leaks::process::n07_a_panic_with_a_secret_in_scope_says_where_and_not_what";
    let mut again = command(std::env::current_exe().unwrap());
    again.args([name, "--exact", "--nocapture"]).env(PANICS.0, PANICS.1);
    let output = again.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    let places = said.matches("veilwarden panicked at tests/it/leaks/process.rs:").count();
    assert_eq!((places, said.matches("withheld").count()), (2, 2), "{said}");
    assert_absent(&[Canary::new("the secret", secret)], said, "what is said of a panic");
}

#[tokio::test]
async fn n08_a_crash_leaves_no_core_file() {
    for signal in [Signal::SEGV, Signal::ABORT] {
        let world = World::new().await;
        let directory = tempfile::tempdir().unwrap();
        let config = file(world.directory.path(), "veilwarden.yaml", world.yaml());
        let mut serve = command(VEILWARDEN);
        serve.args(["serve", "--config", &config]).current_dir(directory.path());
        serve.env("VEILWARDEN_SESSION_SECRET", world.session_secret());
        let mut process = Process::of(serve);
        process.ready().await;
        // Rust's own handler of SIGSEGV, which looks for an overflow of the stack, lets one pass that no instruction caused.
        until("the crash", || {
            process.signal(signal);
            process.has_ended()
        })
        .await;
        assert_eq!(process.end().await, End::Signal(signal.as_raw()), "{}", process.stderr());
        assert!(!process.dumped_core(), "a core was written");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "a file is left");
    }
}

/// How often the bytes occur in a process' memory; `None` when we may not look.
fn copies(pid: u32, secret: &[u8]) -> Option<usize> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut found = 0;
    for line in std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?.lines() {
        let (range, rights) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|end| u64::from_str_radix(end, 16).unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        // What was never touched, or went away meanwhile, cannot be read.
        let mut bytes = vec![0; (to - from) as usize];
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            found += memchr::memmem::find_iter(&bytes, secret).count();
        }
    }
    Some(found)
}

/// Calls with the stored secret, and then the store no longer has it.
async fn use_and_lose(world: &Started, secret: &str, calls: usize) {
    let store = world.doppler.as_ref().unwrap();
    store.set("STORED", secret);
    store.mode(Stored::Normal);
    let call = async || world.get("stored.test").await.status;
    within("the secret", async { while call().await != 200 {} }).await;
    for _ in 0..calls {
        assert_eq!(call().await, 200);
    }
    store.answers(404, "", "{}");
    within("the secret's end", async {
        while call().await == 200 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn n09_copies_of_a_secret_do_not_grow_with_its_use_and_few_outlive_it() {
    /// When this was written it was one, in a buffer that is not ours to wipe.
    const FEW: usize = 8;
    let world = World::new().await.doppler().await.store_options("cache_ttl: 1s, max_stale: 1s");
    let world = world.route_to_a("stored.test", "STORED");
    let (world, process) = world.spawn().await;
    let Some(before) = copies(process.pid(), world.session_secret().as_bytes()) else {
        let own = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
        assert_ne!(own, 0, "root cannot read the memory of another process here: this test needs to");
        return;
    };
    assert!(before > 0, "the search finds what is there");
    let mut left = Vec::new();
    for (n, calls) in [1, 200, 200].into_iter().enumerate() {
        let secret = format!("stored-canary-{n}-9e27c1");
        use_and_lose(&world, &secret, calls).await;
        left.push(copies(process.pid(), secret.as_bytes()).unwrap());
    }
    println!("copies left of a secret that was used 1, 200 and 200 times: {left:?}");
    assert!(left.iter().all(|copies| *copies <= FEW), "{left:?}");
}

#[tokio::test]
async fn n10_a_secret_from_a_file_is_in_neither_arguments_nor_environment() {
    let world = World::new().await;
    let secret = world.session_secret();
    let config = format!("{}\nsession_secret_file: {}\n", world.yaml(), file(world.directory.path(), "s", &secret));
    let config = file(world.directory.path(), "veilwarden.yaml", config);
    let mut process = Process::spawn(&["serve", "--config", &config], &[]);
    process.ready().await;
    let canaries = [Canary::new("the session secret", &secret), Canary::new("KEY_A", &world.canary_a())];
    assert_absent(&canaries, std::fs::read(format!("/proc/{}/cmdline", process.pid())).unwrap(), "its arguments");
    // Root may read it; nobody else may (n08 in binary.rs).
    if let Ok(environment) = std::fs::read(format!("/proc/{}/environ", process.pid())) {
        assert_absent(&canaries, environment, "its environment");
    }
    process.signal(Signal::TERM);
    assert_eq!(process.end().await, End::Exit(0));

    // A flag is seen by everybody: it is taken, as the design has it, and warned about without being repeated.
    let flags = ["serve", "--config", &config, "--session-secret", &secret];
    let (end, out, said) = process::run(&["check", "--config", &config, "--session-secret", &secret], &[]).await;
    assert_eq!(end, End::Exit(0), "{said}");
    let mut flagged = Process::spawn(&flags, &[]);
    flagged.ready().await;
    let said = format!("{out}{said}{}", flagged.stderr());
    assert!(said.contains("--session-secret"), "{said}");
    assert_absent(&canaries, said, "the warning");
}

#[tokio::test]
async fn n11_session_keys_of_tls_are_never_written() {
    let (authority, world) = (Authority::new(), World::new().await.forward());
    let front = authority.front("tls.test", world.a.address).await;
    let ca = authority.file(world.directory.path());
    let world = world.route(&format!(
        "{{upstream_host: tls.test, upstream_address: \"{}\", ca_file: {}, secret_id: KEY_A, inject_header: X-Key, header_value_template: \"{{{{secret}}}}\"}}",
        front.address,
        ca.display()
    ));
    let keys = world.directory.path().join("keys").display().to_string();
    let config = file(world.directory.path(), "veilwarden.yaml", world.yaml());
    let secret = world.session_secret();
    let environment = [("VEILWARDEN_SESSION_SECRET", &*secret), ("SSLKEYLOGFILE", &*keys)];
    let mut process = Process::spawn(&["serve", "--config", &config], &environment);
    let (proxy, _) = addresses(&process.ready().await);
    let connect =
        format!("CONNECT tls.test:443 HTTP/1.1\r\nHost: tls.test:443\r\nProxy-Authorization: Bearer {secret}\r\n\r\n");
    let mut stream = tokio::net::TcpStream::connect(proxy).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, connect.as_bytes()).await.unwrap();
    assert_eq!(crate::world::raw::read_answer_to_connect(&mut stream).await.status, 200);
    let trusting = crate::world::tunnel::trusting(&world.directory.path().join("state/ca.crt"));
    let connecting =
        tokio_rustls::TlsConnector::from(std::sync::Arc::new(trusting)).connect("tls.test".try_into().unwrap(), stream);
    let mut tls = within("a session", connecting).await.unwrap();
    assert_eq!(call(&mut tls, "GET /x HTTP/1.1\r\nHost: tls.test\r\n\r\n").await.status, 200);
    assert_eq!(front.sessions(), 1);
    assert!(!std::path::Path::new(&keys).exists(), "SSLKEYLOGFILE was obeyed");
}
