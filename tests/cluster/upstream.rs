//! An upstream on loopback that answers everything with 200 and remembers what it saw.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Dropping it closes the listener.
pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<HeaderMap>>>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let seen = Arc::default();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&seen)));
        Self { address, seen, accepting }
    }

    /// The header fields of every request so far, oldest first.
    pub fn seen(&self) -> Vec<HeaderMap> {
        self.seen.lock().expect("no panic while locked").clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, seen: Arc<Mutex<Vec<HeaderMap>>>) {
    while let Ok((stream, _peer)) = listener.accept().await {
        let seen = Arc::clone(&seen);
        let answer = service_fn(move |request: Request<Incoming>| {
            seen.lock().expect("no panic while locked").push(request.headers().clone());
            async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"upstream")))) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}
