//! TLS on the listener: raw rustls clients, and curl.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use veilwarden::app::App;

use crate::world::process::{curl, file};
use crate::world::tls::Authority;
use crate::world::{Started, World, raw, within};

const NAME: &str = "proxy.test";

/// Puts a certificate where the listener looks for it, as a careful operator does.
fn certify(authority: &Authority, directory: &Path) {
    let (cert, key) = authority.server(NAME);
    let fresh = file(directory, "tls.key.new", key);
    fs::set_permissions(&fresh, Permissions::from_mode(0o600)).unwrap();
    fs::rename(fresh, directory.join("tls.key")).unwrap();
    file(directory, "tls.crt", cert);
}

fn section(directory: &Path, more: &str) -> String {
    let directory = directory.display();
    format!("listen_tls: {{cert_file: {directory}/tls.crt, key_file: {directory}/tls.key{more}}}")
}

fn encrypted(world: World, authority: &Authority) -> World {
    certify(authority, world.directory.path());
    let section = section(world.directory.path(), "");
    world.config(&section)
}

fn asking_for(world: World, authority: &Authority, clients: &Authority) -> World {
    certify(authority, world.directory.path());
    let ca = file(world.directory.path(), "clients.pem", clients.pem());
    let section = section(world.directory.path(), &format!(", client_ca_file: {ca}"));
    world.config(&section)
}

/// Shakes hands, trusting `authority` and nobody else, with or without a certificate of its own.
async fn shake_hands(
    started: &Started,
    authority: &Authority,
    client: Option<&(String, String)>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match client {
        Some((cert, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    let stream = started.connect().await;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(NAME).unwrap(), stream).await
}

/// One call on a session of its own; 0: no answer.
async fn call(started: &Started, authority: &Authority, client: Option<&(String, String)>, fields: &str) -> u16 {
    // On the heap: a test with many calls would need more stack than its thread has.
    let shaken = Box::pin(shake_hands(started, authority, client, rustls::ALL_VERSIONS));
    let Ok(mut tls) = within("a handshake", shaken).await else { return 0 };
    let _ = tls.write_all(started.ok(fields).as_bytes()).await;
    within("an answer", Box::pin(raw::read_answer(&mut tls))).await.status
}

#[tokio::test]
async fn calls_come_over_both_versions_of_tls() {
    let authority = Authority::new();
    let started = encrypted(World::new().await, &authority).start().await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut tls = shake_hands(&started, &authority, None, &[version]).await.unwrap();
        tls.write_all(started.ok("").as_bytes()).await.unwrap();
        let answer = within("an answer", raw::read_answer(&mut tls)).await;
        assert_eq!((answer.status, tls.get_ref().1.protocol_version()), (200, Some(version.version)));
    }
    // The gate is before this parser too.
    assert_eq!(call(&started, &authority, None, "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n").await, 400);
}

#[tokio::test]
async fn curl_chooses_the_version_of_http_and_can_open_tunnels() {
    let (authority, upstream) = (Authority::new(), Authority::new());
    let world = World::new().await.forward();
    let front = upstream.front("c.test", world.a.address).await;
    let roots = upstream.file(world.directory.path()).display().to_string();
    let world =
        world.route(&format!("{{upstream_host: c.test, upstream_address: \"{}\", ca_file: {roots}}}", front.address));
    let started = encrypted(world, &authority).start().await;
    let directory = started.directory.path();
    let ca = file(directory, "server-ca.pem", authority.pem());
    let (port, secret) = (started.proxy.port(), format!("X-Session-Secret: {}", started.session_secret()));
    let (to, url) = (format!("{NAME}:{port}:127.0.0.1"), format!("https://{NAME}:{port}/x"));
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let fields = ["-H", "X-Upstream-Host: a.test", "-H", &secret, "-w", " %{http_code} %{http_version}"];
        let answer = curl(&[&["--cacert", &ca, "--resolve", &to, flag, &url], &fields[..]].concat()).await;
        assert_eq!(answer, format!("ok 200 {version}"));
    }
    let proxy = format!("https://x:{}@{NAME}:{port}", started.session_secret());
    let made = directory.join("state/ca.crt").display().to_string();
    let through = ["--noproxy", "", "--resolve", &to, "-x", &proxy, "--proxy-cacert", &ca, "--cacert", &made];
    assert_eq!(curl(&[&through[..], &["https://c.test/x"]].concat()).await, "ok");
}

#[tokio::test]
async fn a_replaced_certificate_is_used_and_a_bad_one_is_not() {
    let (first, second) = (Authority::new(), Authority::new());
    let started = encrypted(World::new().await, &first).start().await;
    let directory = started.directory.path().to_owned();
    // A session that is open stays.
    let mut open = shake_hands(&started, &first, None, rustls::ALL_VERSIONS).await.unwrap();
    certify(&second, &directory);
    within("the new certificate", async { while call(&started, &second, None, "").await != 200 {} }).await;
    assert_eq!(call(&started, &first, None, "").await, 0);
    open.write_all(started.ok("").as_bytes()).await.unwrap();
    assert_eq!(raw::read_answer(&mut open).await.status, 200);
    file(&directory, "tls.crt", "no certificate");
    let failing = "\nveilwarden_listen_tls_reload_failing 1\n";
    within("the failure in the metrics", async { while !started.metrics().await.contains(failing) {} }).await;
    assert_eq!(call(&started, &second, None, "").await, 200);
    certify(&first, &directory);
    within("the first certificate", async { while call(&started, &first, None, "").await != 200 {} }).await;
    let metrics = started.metrics().await;
    assert!(metrics.contains("\nveilwarden_listen_tls_reload_failing 0\n"), "{metrics}");
    assert!(metrics.contains("veilwarden_listen_tls_reloads_total{result=\"failure\"}"), "{metrics}");
}

#[tokio::test]
async fn the_name_in_a_client_certificate_joins_the_identity() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let policy = "package veilwarden.authz\ndefault allow := false\nallow if input.identity.spiffe_id == \"spiffe://example.org/api\"\nallow if input.identity.certificate_subject == \"CN=batch\"\n";
    let started = asking_for(World::new().await.rego(policy), &authority, &clients).start().await;
    let spiffe = clients.client("api", Some("spiffe://example.org/api"));
    let subject = clients.client("batch", None);
    for (client, id, status, recorded) in [
        (Some(&spiffe), "certified-1", 200, ("spiffe_id", Value::from("spiffe://example.org/api"))),
        (Some(&subject), "certified-2", 200, ("certificate_subject", "CN=batch".into())),
        (None, "certified-3", 403, ("spiffe_id", Value::Null)),
    ] {
        assert_eq!(call(&started, &authority, client, &format!("X-Request-Id: {id}\r\n")).await, status, "{id}");
        let record = started.record_of(id).await;
        assert_eq!((&record["identity"][recorded.0], &record["identity"]["user_id"]), (&recorded.1, &"alice".into()));
    }
    // It is no credential.
    let mut tls = shake_hands(&started, &authority, Some(&spiffe), rustls::ALL_VERSIONS).await.unwrap();
    tls.write_all(b"GET /x HTTP/1.1\r\nHost: proxy.test\r\nX-Upstream-Host: a.test\r\n\r\n").await.unwrap();
    assert_eq!(raw::read_answer(&mut tls).await.status, 401);
}

#[tokio::test]
async fn the_requests_in_a_tunnel_have_the_connections_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let policy = "package veilwarden.authz\ndefault allow := false\nallow if {\n\tinput.intercepted\n\tinput.identity.spiffe_id == \"spiffe://example.org/api\"\n}\n";
    let world = World::new().await.rego(policy).forward();
    let upstream = Authority::new();
    let front = upstream.front("c.test", world.a.address).await;
    let roots = upstream.file(world.directory.path()).display().to_string();
    let world =
        world.route(&format!("{{upstream_host: c.test, upstream_address: \"{}\", ca_file: {roots}}}", front.address));
    let started = asking_for(world, &authority, &clients).start().await;
    let directory = started.directory.path();
    let (cert, key) = clients.client("api", Some("spiffe://example.org/api"));
    let [ca, cert, key] =
        [("a.pem", authority.pem()), ("c.pem", &*cert), ("c.key", &*key)].map(|(name, pem)| file(directory, name, pem));
    let port = started.proxy.port();
    let (to, proxy) =
        (format!("{NAME}:{port}:127.0.0.1"), format!("https://x:{}@{NAME}:{port}", started.session_secret()));
    let made = directory.join("state/ca.crt").display().to_string();
    let through = ["--noproxy", "", "--resolve", &to, "-x", &proxy, "--proxy-cacert", &ca, "--cacert", &made];
    let own = ["--proxy-cert", &cert, "--proxy-key", &key];
    assert_eq!(curl(&[&through[..], &own, &["https://c.test/x"]].concat()).await, "ok");
    assert_eq!(
        curl(&[&through[..], &["-o", "/dev/null", "-w", "%{http_code}", "https://c.test/x"]].concat()).await,
        "403"
    );
}

#[tokio::test]
async fn a_certificate_of_another_ca_or_with_a_doubtful_name_is_refused() {
    let (authority, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let started = asking_for(World::new().await, &authority, &clients).start().await;
    let good = clients.client("api", Some("spiffe://example.org/api"));
    for bad in [
        others.client("api", Some("spiffe://example.org/api")),
        clients.client("api", Some("spiffe://example.org/../api")),
    ] {
        assert_eq!(call(&started, &authority, Some(&bad), "").await, 0);
        assert_eq!(call(&started, &authority, Some(&good), "").await, 200);
    }
    assert_eq!(started.a.seen().len(), 2);
}

#[tokio::test]
async fn a_handshake_that_stalls_or_is_none_is_closed_and_holds_nobody_up() {
    let authority = Authority::new();
    let started = encrypted(World::new().await, &authority).config("limits: {header_timeout: 1s}").start().await;
    let mut silent = started.connect().await;
    let mut halfway = started.connect().await;
    halfway.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let mut plain = started.connect().await;
    plain.write_all(started.ok("").as_bytes()).await.unwrap();
    assert_eq!(call(&started, &authority, None, "").await, 200);
    for (what, stream) in [("silent", &mut silent), ("halfway", &mut halfway), ("plain", &mut plain)] {
        let mut rest = Vec::new();
        // A reset is a close, too.
        let _ = within(what, stream.read_to_end(&mut rest)).await;
        // Nothing, or a TLS alert: never HTTP.
        assert!(rest.first().is_none_or(|kind| *kind == 21), "{what}: {rest:?}");
    }
    assert_eq!(started.a.seen().len(), 1);
    let quiet = "\nveilwarden_connections 0\n";
    within("the connections to be counted out", async { while !started.metrics().await.contains(quiet) {} }).await;
}

#[tokio::test]
async fn files_that_do_not_fit_stop_the_start_by_name() {
    let authority = Authority::new();
    let other = Authority::new().server(NAME);
    for (spoil, expected) in [
        (
            Box::new(|directory: &Path| fs::set_permissions(directory.join("tls.key"), Permissions::from_mode(0o644)))
                as Box<dyn Fn(&Path) -> io::Result<()>>,
            "tls.key: the key can be read by others than its owner and group",
        ),
        (
            Box::new(|directory| fs::write(directory.join("tls.crt"), &other.0)),
            "tls.crt: does not belong to the key in ",
        ),
        (Box::new(|directory| fs::write(directory.join("tls.crt"), "x")), "tls.crt: holds no PEM certificate"),
        (Box::new(|directory| fs::write(directory.join("tls.key"), "x")), "tls.key: holds no private key"),
        (Box::new(|directory| fs::remove_file(directory.join("tls.key"))), "tls.key: there is no such file"),
        (Box::new(|directory| fs::write(directory.join("clients.pem"), "x")), "clients.pem: holds no PEM certificate"),
    ] {
        let world = asking_for(World::new().await, &authority, &authority);
        spoil(world.directory.path()).unwrap();
        let error = App::build(world.parsed()).await.err().unwrap().to_string();
        assert!(error.starts_with("listen_tls: ") && error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn k06_a_connection_too_many_is_closed_without_a_word_in_clear() {
    let authority = Authority::new();
    let started = encrypted(World::new().await, &authority).config("limits: {max_connections: 1}").start().await;
    let first = started.connect().await;
    let counted = async { while started.sample("veilwarden_connections").await < 1.0 {} };
    within("the first to be counted", counted).await;
    let mut second = started.connect().await;
    let mut said = Vec::new();
    // A reset is a close, too.
    let _ = within("the end of the second", second.read_to_end(&mut said)).await;
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(started.sample("veilwarden_limited_total{limit=\"connections\"}").await, 1.0);
    drop(first);
    let gone = async { while started.sample("veilwarden_connections").await > 0.0 {} };
    within("the first to be counted out", gone).await;
    assert_eq!(call(&started, &authority, None, "").await, 200);
}
