//! Another CA takes the place of the one that is used.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use veilwarden::ca::Authority;

use super::{Started, World, call};
use crate::world::process::file;
use crate::world::tunnel::trusting;
use crate::world::{logs, within};

const REQUEST: &str = "GET /x HTTP/1.1\r\nHost: a.test:80\r\n\r\n";

/// Puts a CA where the proxy looks for it, the key first; its certificate stays in a file of this name.
fn rotate(directory: &Path, name: &str) {
    let (cert, key) = Authority::make().unwrap();
    file(directory, name, &cert);
    let fresh = file(directory, "ca.key.new", &**key);
    fs::set_permissions(&fresh, Permissions::from_mode(0o600)).unwrap();
    fs::rename(fresh, directory.join("ca.key")).unwrap();
    file(directory, "ca.crt", cert);
}

/// TLS in a new tunnel, trusting these CAs alone; `None`: what is shown is of none of them.
async fn session(world: &Started, trusted: &[&str]) -> Option<TlsStream<TcpStream>> {
    let directory = world.directory.path();
    let pems: String = trusted.iter().map(|name| fs::read_to_string(directory.join(name)).unwrap()).collect();
    let bundle = file(directory, "trusted.pem", pems);
    let connector = TlsConnector::from(Arc::new(trusting(Path::new(&bundle))));
    let stream = world.opened("a.test:80").await;
    within("a handshake", connector.connect("a.test".try_into().unwrap(), stream)).await.ok()
}

#[tokio::test]
async fn g28_a_ca_is_replaced_while_tunnels_are_open() {
    let world = World::new().await;
    let home = world.directory.path().display().to_string();
    rotate(world.directory.path(), "first");
    let section = format!("forward: {{ca_cert_file: {home}/ca.crt, ca_key_file: {home}/ca.key}}");
    let world = world.config(&section).start().await;
    let directory = world.directory.path();
    let mut open = session(&world, &["first"]).await.unwrap();
    assert_eq!(call(&mut open, REQUEST).await.status, 200);

    rotate(directory, "second");
    within("leaves of the second CA", async {
        while session(&world, &["second"]).await.is_none() {
            // At any time it is the one or the other, and whole.
            let either = session(&world, &["first", "second"]).await.expect("a chain of one CA");
            assert_eq!(either.get_ref().1.peer_certificates().map(<[_]>::len), Some(1));
        }
    })
    .await;
    assert!(session(&world, &["first"]).await.is_none(), "a leaf that was kept");
    assert_eq!(call(&mut open, REQUEST).await.status, 200, "the old tunnel");

    file(directory, "ca.crt", "half a certificate");
    let failing = "\nveilwarden_forward_ca_reload_failing 1\n";
    within("the failure in the metrics", async { while !world.metrics().await.contains(failing) {} }).await;
    assert!(session(&world, &["second"]).await.is_some(), "the last good one");

    rotate(directory, "third");
    within("the third CA", async { while session(&world, &["third"]).await.is_none() {} }).await;
    assert!(!world.metrics().await.contains(failing));
    assert_eq!(call(&mut open, REQUEST).await.status, 200, "the oldest tunnel");
    let told = |line: &&str| {
        line.contains("\"WARN\"") && line.contains("the CA in the files is not good") && line.contains(&home)
    };
    assert!(logs::all().lines().any(|line| told(&line)), "a warning");
}
