//! Which upstreams it calls, and which it does not.

use std::net::ToSocketAddrs;

use tokio::io::AsyncWriteExt;

use super::{ENVIRONMENT, SECRET};
use crate::world::process::{Process, addresses, file};
use crate::world::raw;
use crate::world::recorder::Recorder;
use crate::world::tls::Authority;
use crate::world::{Started, World, until};

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
