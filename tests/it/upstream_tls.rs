//! TLS towards upstreams: rows G16 to G21, with servers whose handshakes and ends are the test's own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::world::recorder::OK;
use crate::world::tls::Authority;
use crate::world::{Started, World, logs, raw, until, within};

/// One session as the server saw it.
#[derive(Debug, Clone)]
struct Session {
    name: Option<String>,
    kind: Option<HandshakeKind>,
    client_certificate: bool,
}

/// A server whose certificate can be changed. It answers one call on each connection and then closes it.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    sessions: Arc<Mutex<Vec<Session>>>,
    answer: Arc<Mutex<Ending>>,
}

/// What is answered, and whether TLS says that it was all.
#[derive(Debug, Clone, Copy)]
struct Ending(&'static [u8], bool);

const CLOSING: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

impl Server {
    async fn start(config: ServerConfig) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server {
            address: listener.local_addr().unwrap(),
            config: Arc::new(Mutex::new(Arc::new(config))),
            sessions: Arc::default(),
            answer: Arc::new(Mutex::new(Ending(CLOSING, true))),
        };
        let server_of_all = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server_of_all.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        server
    }

    fn change(&self, config: ServerConfig) {
        *self.config.lock().unwrap() = Arc::new(config);
    }

    fn sessions(&self) -> Vec<Session> {
        self.sessions.lock().unwrap().clone()
    }

    async fn serve(&self, stream: TcpStream) {
        let config = self.config.lock().unwrap().clone();
        let Ok(mut tls) = TlsAcceptor::from(config).accept(stream).await else { return };
        self.note(&tls);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = tls.read_u8().await else { return };
            head.push(byte);
        }
        let Ending(answer, said) = *self.answer.lock().unwrap();
        let _ = tls.write_all(answer).await;
        let _ = tls.flush().await;
        if said {
            let _ = tls.shutdown().await;
        } else {
            let _ = tls.get_mut().0.shutdown().await;
        }
    }

    fn note(&self, tls: &TlsStream<TcpStream>) {
        let session = tls.get_ref().1;
        self.sessions.lock().unwrap().push(Session {
            name: session.server_name().map(str::to_owned),
            kind: session.handshake_kind(),
            client_certificate: session.peer_certificates().is_some(),
        });
    }
}

/// A world in which these hosts are the server, trusted by that CA.
async fn world(authority: &Authority, server: SocketAddr, hosts: &[&str]) -> Started {
    let world = World::new().await;
    let ca = authority.file(world.directory.path()).display().to_string();
    let route = |host: &&str| {
        format!(
            "{{upstream_host: {host}, upstream_address: \"{server}\", ca_file: {ca}, secret_id: KEY_A, inject_header: X-Key, header_value_template: \"{{{{secret}}}}\"}}"
        )
    };
    hosts.iter().fold(world, |world, host| world.route(&route(host))).start().await
}

/// 502, for a reason of which the log says this.
async fn refused(world: &Started, host: &str, why: &str) {
    let answer = world.get(host).await;
    world.assert_refused(&answer, 502, "UPSTREAM_ERROR", host).await;
    let id = answer.header("x-request-id").unwrap().to_owned();
    until("the log to say why", || logs::all().lines().any(|line| line.contains(&id) && line.contains(why))).await;
}

#[tokio::test]
async fn g18_a_changed_certificate_is_verified_again() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = Server::start(ours.server_config(&["t.test"])).await;
    let world = world(&ours, server.address, &["t.test"]).await;
    assert_eq!(world.get("t.test").await.status, 200);
    // A new certificate of the same CA is as good; one of another CA, or for another name, is not.
    server.change(ours.server_config(&["t.test"]));
    assert_eq!(world.get("t.test").await.status, 200);
    for config in [theirs.server_config(&["t.test"]), ours.server_config(&["other.test"])] {
        server.change(config);
        let before = server.sessions().len();
        refused(&world, "t.test", "no TLS session").await;
        assert_eq!(server.sessions().len(), before, "a session with {:?}", server.sessions());
    }
    server.change(ours.server_config(&["t.test"]));
    assert_eq!(world.get("t.test").await.status, 200);
    assert!(server.sessions().iter().all(|session| session.kind == Some(HandshakeKind::Full)));
}

#[tokio::test]
async fn g18_g22_a_session_is_taken_up_for_its_own_host_only_and_without_early_data() {
    // Hosts with a route each, and those of a wildcard.
    for (routes, [x, y]) in
        [(&["x.test", "y.test"][..], ["x.test", "y.test"]), (&["\"*.w.test\""], ["x.w.test", "y.w.test"])]
    {
        let authority = Authority::new();
        let mut config = authority.server_config(&[x, y]);
        config.max_early_data_size = 16384;
        let server = Server::start(config).await;
        let world = world(&authority, server.address, routes).await;
        for host in [x, y, x, y] {
            assert_eq!(world.get(host).await.status, 200, "{host}");
        }
        let sessions = server.sessions();
        let names: Vec<_> = sessions.iter().map(|session| session.name.as_deref().unwrap()).collect();
        assert_eq!(names, [x, y, x, y]);
        let first_two: Vec<_> = sessions.iter().take(2).map(|session| session.kind).collect();
        assert_eq!(first_two, [Some(HandshakeKind::Full); 2], "the first session of each host is a new one");
        // Taking the server's own session up again is fine, and shows that this server would let it be done across hosts.
        assert_eq!(sessions[2].kind, Some(HandshakeKind::Resumed), "{sessions:?}");
    }
}

#[tokio::test]
async fn g19_an_upstream_that_asks_for_a_certificate_gets_none() {
    let authority = Authority::new();
    let server = Server::start(authority.server_config_asking("t.test", false)).await;
    let world = world(&authority, server.address, &["t.test"]).await;
    assert_eq!(world.get("t.test").await.status, 200);
    assert!(server.sessions().iter().all(|session| !session.client_certificate), "{:?}", server.sessions());
    // One that insists gets no call. Over TLS 1.3 it says so after the handshake, which is when the call is on its way.
    server.change(authority.server_config_asking("t.test", true));
    let answer = world.get("t.test").await;
    world.assert_refused(&answer, 502, "UPSTREAM_ERROR", "required").await;
    assert_eq!(server.sessions().len(), 1);
}

#[tokio::test]
async fn g21_an_end_that_tls_did_not_announce_is_no_end_of_an_answer() {
    let authority = Authority::new();
    let server = Server::start(authority.server_config(&["t.test"])).await;
    let world = world(&authority, server.address, &["t.test"]).await;
    for (answer, announced, whole, what) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst"[..], false, false, "half of a length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst", true, false, "half of a length, announced"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n", false, false, "no last chunk"),
        (b"HTTP/1.1 200 OK\r\n\r\nfirst", false, false, "a body that the connection's end ends"),
        (b"HTTP/1.1 200 OK\r\n\r\nfirst", true, true, "the same, announced"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst", false, true, "all of a length"),
    ] {
        *server.answer.lock().unwrap() = Ending(answer, announced);
        let mut stream = world.connect().await;
        stream.write_all(world.request_to("t.test", "GET", "/x", "").as_bytes()).await.unwrap();
        let answer = raw::read_answer(&mut stream).await;
        assert_eq!((answer.status, answer.complete), (200, whole), "g21 {what}: {answer:?}");
        let record = world.record(&answer).await;
        assert_eq!(record["complete"], whole, "g21 {what}: {record}");
        if whole {
            assert_eq!(answer.text(), "first", "g21 {what}");
        }
    }
    *server.answer.lock().unwrap() = Ending(b"HTTP/1.1 200 OK\r\nContent-Le", false);
    refused(&world, "t.test", "").await;
    *server.answer.lock().unwrap() = Ending(OK, true);
    assert_eq!(world.get("t.test").await.status, 200);
}

/// A server that says these bytes to a ClientHello, and keeps what is said to it after that.
async fn canned(bytes: Vec<u8>) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, heard) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<u8>>>::default());
    let after = heard.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = [0; 5];
            let Ok(5) = stream.read_exact(&mut hello).await else { continue };
            let mut rest = vec![0; u16::from_be_bytes([hello[3], hello[4]]).into()];
            let _ = stream.read_exact(&mut rest).await;
            let _ = stream.write_all(&bytes).await;
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said).await;
            after.lock().unwrap().extend(said);
        }
    });
    (address, heard)
}

/// A record with a ServerHello that chooses this version and suite, without extensions.
fn server_hello(version: [u8; 2], suite: [u8; 2]) -> Vec<u8> {
    let body = [&version[..], &[7; 32], &[0], &suite, &[0]].concat();
    let message = [&[2, 0, 0, body.len() as u8], &body[..]].concat();
    [&[22, version[0], version[1], 0, message.len() as u8], &message[..]].concat()
}

#[tokio::test]
async fn g16_an_upstream_with_old_versions_or_weak_ciphers_is_502() {
    let authority = Authority::new();
    for (version, suite, what) in [
        ([3, 0], [0xc0, 0x09], "SSL 3.0"),
        ([3, 1], [0xc0, 0x09], "TLS 1.0"),
        ([3, 2], [0xc0, 0x09], "TLS 1.1"),
        ([3, 3], [0x00, 0x05], "RC4"),
        ([3, 3], [0xc0, 0x08], "3DES"),
        ([3, 3], [0xc0, 0x09], "AES in CBC mode"),
        ([3, 3], [0x00, 0x9c], "a key exchange without forward secrecy"),
        ([3, 3], [0x00, 0x00], "no cipher at all"),
    ] {
        let (address, heard) = canned(server_hello(version, suite)).await;
        let world = world(&authority, address, &["t.test"]).await;
        refused(&world, "t.test", "no TLS session").await;
        // An alert of two bytes, and nothing that could be a call.
        within(what, async { until(what, || !heard.lock().unwrap().is_empty()).await }).await;
        let heard = heard.lock().unwrap().clone();
        assert_eq!((heard[0], heard.len()), (21, 7), "{what}: {heard:?}");
    }
}
