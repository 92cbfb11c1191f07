//! TLS in a tunnel: who is expected to be there, and what is shown.

use std::sync::Arc;

use rustls::client::Resumption;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use super::{World, assert_closed, call};
use crate::world::within;

#[tokio::test]
async fn g07_what_is_not_tls_is_closed() {
    let world = World::new().await.forward().start().await;
    for bytes in
        [world.ok("").into_bytes(), b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), vec![0x16, 3, 1, 0, 2, 0, 0], vec![0; 64]]
    {
        let mut stream = world.opened("a.test:80").await;
        stream.write_all(&bytes).await.unwrap();
        let rest = assert_closed(stream, "g07").await;
        assert!(!rest.windows(4).any(|at| at == b"HTTP"), "{}", rest.escape_ascii());
    }
    world.assert_nothing_sent("g07");
    world.assert_works("g07").await;
}

#[tokio::test]
async fn g09_g10_the_server_name_is_the_tunnels_host() {
    let world = World::new().await.forward().start().await;
    // Another name.
    let stream = world.opened("a.test:80").await;
    let error = world.shake_hands(stream, "b.test").await.unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    // None.
    let stream = world.opened("a.test:80").await;
    let mut config = world.trusting();
    config.enable_sni = false;
    let connecting = TlsConnector::from(Arc::new(config)).connect("a.test".try_into().unwrap(), stream);
    let error = within("g10 no name", connecting).await.unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    // A client that takes an address for the host sends none either.
    let stream = world.opened("a.test:80").await;
    assert!(world.shake_hands(stream, "127.0.0.1").await.is_err());
    world.assert_nothing_sent("g09");
    // In another case it is the same name.
    let stream = world.opened("A.test:80").await;
    assert!(world.shake_hands(stream, "A.TEST").await.is_ok());
}

#[tokio::test]
async fn g10_a_client_hello_in_single_bytes_is_one() {
    let world = World::new().await.forward().start().await;
    let mut stream = world.opened("a.test:80").await;
    let name = "a.test".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(world.trusting()), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    // Each byte of the message in a record of its own.
    for byte in &hello[5..] {
        stream.write_all(&[0x16, 3, 1, 0, 1, *byte]).await.unwrap();
    }
    let mut first = [0; 1];
    let n = within("g10", tokio::io::AsyncReadExt::read(&mut stream, &mut first)).await.unwrap_or(0);
    // An answer in TLS: a handshake or an alert, or a close; never anything else.
    assert!(n == 0 || matches!(first[0], 0x16 | 0x15), "{first:?}");
    let mut endless = world.opened("a.test:80").await;
    let record = [&[0x16, 3, 1, 0x40, 0][..], &[1, 0xff, 0xff, 0xff], &[0; 0x3ffc]].concat();
    for _ in 0..8 {
        if endless.write_all(&record).await.is_err() {
            break;
        }
    }
    assert_closed(endless, "g10 an endless ClientHello").await;
    world.assert_works("g10").await;
}

#[tokio::test]
async fn g22_g25_a_session_is_not_taken_up_again() {
    let world = World::new().await.forward().start().await;
    let mut config = world.trusting();
    config.resumption = Resumption::in_memory_sessions(8);
    config.enable_early_data = true;
    let connector = TlsConnector::from(Arc::new(config));
    for _ in 0..3 {
        let stream = world.opened("a.test:80").await;
        let connecting = connector.connect("a.test".try_into().unwrap(), stream);
        let mut tls = within("a session", connecting).await.unwrap();
        assert_eq!(call(&mut tls, "GET /x HTTP/1.1\r\nHost: a.test:80\r\n\r\n").await.status, 200);
        let session = tls.get_ref().1;
        assert_eq!(session.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert!(!session.is_early_data_accepted());
        assert_eq!(session.peer_certificates().map(<[_]>::len), Some(1), "the leaf alone is shown");
    }
}
