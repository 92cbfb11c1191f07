//! A server that can end at any moment, with all its connections, and come back on its port.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// How long it is away.
const AWAY: Duration = Duration::from_millis(60);

pub struct Site {
    pub address: SocketAddr,
    restart: Notify,
    end: Notify,
    broke: Mutex<Option<Instant>>,
    /// Keeps the port while nobody listens.
    _place: TcpSocket,
}

fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

impl Site {
    pub fn new() -> Arc<Site> {
        let place = socket("127.0.0.1:0".parse().unwrap());
        let address = place.local_addr().unwrap();
        Arc::new(Site { address, restart: Notify::new(), end: Notify::new(), broke: Mutex::default(), _place: place })
    }

    /// Serves each connection in a task of its own that ends with the server.
    pub fn serve<F>(self: &Arc<Site>, serve: impl Fn(TcpStream) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let site = Arc::clone(self);
        let mut listener = site.listen();
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    () = site.restart.notified() => {
                        drop(listener);
                        // Before anybody can feel it.
                        site.breaks();
                        connections.shutdown().await;
                        tokio::time::sleep(AWAY).await;
                        listener = site.listen();
                        // What found nobody there.
                        site.breaks();
                    }
                    () = site.end.notified() => return,
                    accepted = listener.accept() => {
                        if let Ok((stream, _)) = accepted {
                            let _ = stream.set_nodelay(true);
                            connections.spawn(serve(stream));
                        }
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
    }

    fn listen(&self) -> TcpListener {
        socket(self.address).listen(1024).unwrap()
    }

    pub fn restart(&self) {
        self.restart.notify_one();
    }

    /// Ends with all its connections.
    pub fn end(&self) {
        self.end.notify_one();
    }

    /// Something of it breaks now.
    pub fn breaks(&self) {
        *self.broke.lock().unwrap() = Some(Instant::now());
    }

    /// Something broke after `since`, or so shortly before that it may still be felt.
    pub fn broke_since(&self, since: Instant, felt: Duration) -> bool {
        self.broke.lock().unwrap().is_some_and(|at| at + felt > since)
    }
}
