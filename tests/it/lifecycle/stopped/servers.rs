//! What is called when the process is stopped: each server goes on meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::Stopped;
use crate::http2::{peer, upstream};
use crate::world::Started;
use crate::world::doppler::{self, Mode as Stored};
use crate::world::kubernetes::{self, Mode};
use crate::world::recorder::{OK, Step};
use crate::world::tls::Authority;

/// More than fits into all buffers on the way, in bytes.
pub const LARGE: usize = 64 << 20;

/// The upstream's answers, by path.
pub fn script(world: &Started, stopped: &Stopped) {
    let Stopped(stopped) = stopped.clone();
    world.a.script(move |seen| match seen.target() {
        "/pieces" => {
            let first = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst".to_vec();
            vec![Step::Send(first), Step::Wait(stopped.clone()), Step::Send(b"other".to_vec())]
        }
        "/late" => vec![Step::Wait(stopped.clone()), Step::Send(OK.to_vec())],
        "/large" => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
            vec![Step::Send(head.into_bytes()), Step::Send(vec![b'x'; LARGE])]
        }
        _ => vec![Step::Send(OK.to_vec())],
    });
}

/// From now on a review comes when the process is stopped.
pub fn review(world: &Started, stopped: &Stopped) {
    let good = kubernetes::review_with(kubernetes::accepted("system:serviceaccount:prod:api"));
    let answer = kubernetes::http(201, &good.to_string());
    let server = world.kubernetes.as_ref().unwrap();
    server.mode(Mode::Play(vec![Step::Wait(stopped.0.clone()), Step::Send(answer)]));
}

/// From now on a secret comes when the process is stopped.
pub fn secret(world: &Started, stopped: &Stopped) {
    let store = world.doppler.as_ref().unwrap();
    let answer = doppler::secret("STORED", "stored-value");
    store.mode(Stored::Play(vec![Step::Wait(stopped.0.clone()), Step::Send(answer)]));
}

/// An upstream of HTTP/2 that sends the second half of its answer when the process is stopped.
pub async fn pieces_over_http2(stopped: &Stopped) -> SocketAddr {
    let stopped = stopped.clone();
    upstream::serve(move |_, _| {
        let stopped = stopped.clone();
        async move {
            let (pieces, body) = peer::channel();
            tokio::spawn(async move {
                let _ = pieces.send(Frame::data(Bytes::from("first"))).await;
                stopped.wait().await;
                let _ = pieces.send(Frame::data(Bytes::from("other"))).await;
            });
            Response::new(body)
        }
    })
    .await
}

/// A server that takes connections, and shakes hands when the process is stopped.
pub struct Secure {
    pub address: SocketAddr,
    /// A permit for each connection.
    pub connected: Arc<Semaphore>,
}

impl Secure {
    pub async fn start(authority: &Authority, stopped: &Stopped) -> Secure {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let secure = Secure { address: listener.local_addr().unwrap(), connected: Arc::new(Semaphore::new(0)) };
        let acceptor = TlsAcceptor::from(Arc::new(authority.server_config(&["tls.test"])));
        let (connected, stopped) = (secure.connected.clone(), stopped.clone());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            connected.add_permits(1);
            stopped.wait().await;
            // The process gives up or not: it is asked what became of the call.
            let Ok(mut tls) = acceptor.accept(stream).await else { return };
            let _ = tls.read(&mut [0; 4096]).await;
            let _ = tls.write_all(OK).await;
        });
        secure
    }
}
