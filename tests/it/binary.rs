//! The contract of the binary that others rely on: the configuration, the ready line, and calls as README makes them.

use std::net::ToSocketAddrs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::Semaphore;

use crate::world::process::{self, End, Process, VEILWARDEN, addresses, curl, file};
use crate::world::raw;
use crate::world::recorder::{Recorder, Step};
use crate::world::tls::Authority;
use crate::world::{Started, World, until, within};

const SECRET: &str = "a-session-secret-for-tests";
const ENVIRONMENT: (&str, &str) = ("VEILWARDEN_SESSION_SECRET", SECRET);

/// The minimal file of the configuration contract; the route leads to the recorder.
fn minimal(upstream: &Recorder) -> String {
    let port = upstream.address.port();
    format!(
        "secrets: [{{id: KEY, value: minimal-value}}]\n\
         routes: [{{upstream_host: \"localhost:{port}\", upstream_scheme: http, secret_id: KEY, inject_header: Authorization, header_value_template: \"token {{{{secret}}}}\"}}]\n\
         policy: {{enabled: true, engine: config, default_allow: true}}\n"
    )
}

const FREE_PORTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];

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

async fn spawn() -> (Started, Process) {
    World::new().await.spawn().await
}

/// Arguments for curl that name the upstream and authenticate.
fn to_a(world: &Started) -> [String; 4] {
    let secret = format!("X-Session-Secret: {}", world.session_secret());
    ["-H".into(), secret, "-H".into(), "X-Upstream-Host: a.test".into()]
}

async fn curl_a(world: &Started, arguments: &[&str], target: &str) -> String {
    let (common, url) = (to_a(world), format!("http://{}{target}", world.proxy));
    let common: Vec<&str> = common.iter().map(String::as_str).collect();
    curl(&[&common[..], arguments, &[&url]].concat()).await
}

#[tokio::test]
async fn curl_uploads_arrive_whole_with_their_framing_kept() {
    let (world, _process) = spawn().await;
    let body: Vec<u8> = (0..1 << 20).map(|n| (n % 251) as u8).collect();
    let path = file(world.directory.path(), "upload", &body);
    let data = format!("@{path}");
    let binary = ["-X", "POST", "-H", "Content-Type: application/octet-stream", "--data-binary", &data];
    assert_eq!(curl_a(&world, &binary, "/upload").await, "ok");
    let seen = world.a.last();
    assert_eq!(seen.headers("content-length"), [(1 << 20).to_string()]);
    assert_eq!(seen.header("transfer-encoding"), None);
    assert_eq!(seen.header("expect"), None);
    assert!(seen.body == body, "the body is another one");

    let chunked = [&binary[..], &["-H", "Transfer-Encoding: chunked", "-H", "Content-Length:"]].concat();
    assert_eq!(curl_a(&world, &chunked, "/chunked").await, "ok");
    let seen = world.a.last();
    assert_eq!(seen.headers("transfer-encoding"), ["chunked"]);
    assert_eq!(seen.header("content-length"), None);
    assert!(dechunked(&seen.body) == body, "the body is another one");
}

fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let end = bytes.windows(2).position(|w| w == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        out.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 4 + size..];
        if size == 0 {
            return out;
        }
    }
}

#[tokio::test]
async fn curl_sees_answers_without_a_body_as_they_are() {
    let (world, _process) = spawn().await;
    world.a.script(|seen| {
        let head = match seen.target() {
            "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: \"1\"",
            "/204" => "HTTP/1.1 204 No Content",
            "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"1\"",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 0",
        };
        vec![Step::Send(format!("{head}\r\n\r\n").into_bytes())]
    });
    let head = curl_a(&world, &["--head"], "/head").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(world.a.last().line(), "HEAD /head HTTP/1.1");
    assert!(head.to_ascii_lowercase().contains("\r\ncontent-length: 1234\r\n"), "{head}");
    for (target, status) in [("/204", "204"), ("/304", "304"), ("/empty", "200")] {
        let out = curl_a(&world, &["--write-out", "%{http_code} %{size_download}"], target).await;
        assert_eq!(out, format!("{status} 0"), "{target}");
    }
}

#[tokio::test]
async fn f25_a_redirect_is_passed_on_and_never_followed() {
    let (world, _process) = spawn().await;
    let location = format!("http://{}/elsewhere", world.b.address);
    for status in [301, 302, 303, 307, 308] {
        world.a.answer(format!("HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"));
        let out = curl_a(&world, &["--write-out", "%{http_code} %{redirect_url}"], "/x").await;
        assert_eq!(out, format!("{status} {location}"));
    }
    assert_eq!((world.a.seen().len(), world.b.connections()), (5, 0), "the redirect was followed");
}

#[tokio::test]
async fn f20_curl_sees_each_event_before_the_next_one_is_sent() {
    let (world, _process) = spawn().await;
    let next = Arc::new(Semaphore::new(0));
    let permits = next.clone();
    world.a.script(move |_| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        let mut steps = vec![Step::Send(head.to_vec())];
        for n in 0..5 {
            let event = format!("id: {n}\ndata: event {n}\n\n").into_bytes();
            steps.extend([Step::Wait(permits.clone()), Step::Send(event)]);
        }
        steps.extend([Step::Wait(permits.clone()), Step::Close]);
        steps
    });
    let mut command = process::command("curl");
    command.args(["--silent", "--no-buffer", "--noproxy", "*", "-H", "Accept: text/event-stream"]);
    command.args(to_a(&world)).arg(format!("http://{}/events", world.proxy));
    let mut curl = command.stdout(std::process::Stdio::piped()).spawn().expect("these tests run curl: install it");
    let events = pipe::Receiver::from_owned_fd(curl.stdout.take().unwrap().into()).unwrap();
    let mut events = BufReader::new(events);
    for n in 0..5 {
        next.add_permits(1);
        for wanted in [format!("id: {n}\n"), format!("data: event {n}\n"), "\n".to_owned()] {
            let mut line = String::new();
            within(&wanted, events.read_line(&mut line)).await.unwrap();
            assert_eq!(line, wanted);
        }
    }
    next.add_permits(1);
    let mut rest = String::new();
    within("the stream's end", events.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "");
    within("curl's end", tokio::task::spawn_blocking(move || curl.wait())).await.unwrap().unwrap();
}

#[tokio::test]
async fn f19_a_large_answer_to_a_caller_that_does_not_read_stays_upstream() {
    const SIZE: usize = 256 << 20;
    let (world, process) = spawn().await;
    world.assert_works("warm").await;
    world.a.script(|_| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").into_bytes();
        vec![Step::Send(head), Step::Send(vec![b'a'; SIZE])]
    });
    let before = process.status_kib("VmHWM");
    let mut stream = world.connect().await;
    stream.write_all(world.ok("").as_bytes()).await.unwrap();
    // Until the upstream gets nothing more rid of: both sockets' buffers are full, and ours.
    let mut written = 0;
    within("the upstream to be held back", async {
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = world.a.written();
            if now == written && now > 1 << 16 {
                return;
            }
            written = now;
        }
    })
    .await;
    assert!(written < SIZE / 2, "{written} bytes left the upstream for a caller that does not read");
    let grown = process.status_kib("VmHWM") - before;
    assert!(grown < 8 << 10, "{grown} KiB more memory for one slow caller");
    drop(stream);
    until("the upstream to be let go", || world.a.open() == 0).await;
}

/// A route to the recorder `a` through TLS: certificate for `certified`, called `host`, trusted if `trusted`.
async fn over_tls(host: &str, certified: &str, trusted: bool) -> (Started, Process) {
    let (world, authority) = (World::new().await, Authority::new());
    let front = authority.front(certified, world.a.address).await;
    let stranger = Authority::new();
    let file = if trusted { &authority } else { &stranger }.file(world.directory.path());
    let (address, file) = (front.address, file.display());
    let secret = "secret_id: KEY_A, inject_header: Authorization, header_value_template: \"Bearer {{secret}}\"";
    let route = format!("{{upstream_host: {host}, upstream_address: \"{address}\", ca_file: \"{file}\", {secret}}}");
    world.route(&route).spawn().await
}

#[tokio::test]
async fn https_upstreams_are_verified_for_their_name() {
    let (world, _process) = over_tls("secure.test", "secure.test", true).await;
    let answer = world.get("secure.test").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{answer:?}");
    let seen = world.a.last();
    assert_eq!(seen.headers("host"), ["secure.test"]);
    assert_eq!(seen.headers("authorization"), [format!("Bearer {}", world.canary_a())]);

    for (certified, trusted, what) in
        [("other.test", true, "a certificate for another name"), ("secure.test", false, "a certificate of another CA")]
    {
        let (world, process) = over_tls("secure.test", certified, trusted).await;
        let answer = world.get("secure.test").await;
        world.assert_refused(&answer, 502, "UPSTREAM_ERROR", what).await;
        world.assert_nothing_sent(what);
        until("the log to say why", || process.stderr().contains("no TLS session")).await;
        assert!(!answer.text().to_ascii_lowercase().contains("certificate"), "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn m01_a_name_that_resolves_to_this_machine_needs_consent() {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_ascii_lowercase();
    let upstream = Recorder::start().await;
    let port = upstream.address.port();
    let resolves = (format!("{name}."), port).to_socket_addrs().is_ok_and(|mut found| found.next().is_some());
    let world = World::new().await;
    let secret = "secret_id: KEY_A, inject_header: Authorization, header_value_template: \"{{secret}}\"";
    let route = |options: &str| {
        format!("{{upstream_host: \"{name}:{port}\", upstream_scheme: http, allow_cleartext: true, {secret}{options}}}")
    };
    let (world, process) = world.route(&route("")).spawn().await;
    let answer = world.get(&format!("{name}:{port}")).await;
    world.assert_refused(&answer, 502, "UPSTREAM_ERROR", &name).await;
    assert_eq!(upstream.connections(), 0, "{name} was dialled");
    // Where the machine's own name means nothing to its resolver, the unit tests of the guard have to do.
    if resolves {
        until("the log to say why", || process.stderr().contains("address not allowed")).await;
        assert!(!answer.text().contains("127."), "{answer:?}");
    }
}

#[tokio::test]
async fn m08_the_proxy_is_no_upstream_of_its_own() {
    // The route has to name the port before it is bound: an address of our own, which no port 0 leads to.
    let [.., high, low] = std::process::id().to_be_bytes();
    let listen = format!("127.88.{high}.{low}:18088");
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "routes: [{{upstream_host: own.test, upstream_scheme: http, upstream_address: \"{listen}\"}}]\n\
         policy: {{enabled: true, engine: config, default_allow: true}}\n"
    );
    let config = file(directory.path(), "veilwarden.yaml", text);
    let arguments = ["serve", "--config", &config, "--listen", &listen, "--admin-listen", "127.0.0.1:0"];
    let mut process = Process::spawn(&arguments, &[ENVIRONMENT]);
    let (proxy, _) = addresses(&process.ready().await);
    let mut stream = tokio::net::TcpStream::connect(proxy).await.unwrap();
    let request =
        format!("GET /x HTTP/1.1\r\nHost: p\r\nX-Upstream-Host: own.test\r\nX-Session-Secret: {SECRET}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = raw::read_answer(&mut stream).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "UPSTREAM_ERROR"), "{answer:?}");
    until("the log to say why", || process.stderr().contains("our own listener")).await;
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
