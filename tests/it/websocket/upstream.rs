//! An upstream that leaves its end of each connection to the test, once a head has come.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::world::recorder::Seen;
use crate::world::{World, within};

pub struct Upstream {
    pub address: SocketAddr,
    arrivals: mpsc::Receiver<(Seen, TcpStream)>,
}

/// The key of RFC 6455 section 1.3, and what has to be said to it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

impl Upstream {
    pub async fn start() -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, arrivals) = mpsc::channel(16);
        tokio::spawn(async move {
            for connection in 1.. {
                let Ok((mut stream, _)) = listener.accept().await else { break };
                let sender = sender.clone();
                tokio::spawn(async move {
                    let head = head(&mut stream).await;
                    let _ = sender.send((Seen { head, body: Vec::new(), connection }, stream)).await;
                });
            }
        });
        Upstream { address, arrivals }
    }

    /// The next call, with nothing read that is behind its head.
    pub async fn next(&mut self) -> (Seen, TcpStream) {
        within("a call at the upstream", self.arrivals.recv()).await.unwrap()
    }

    /// The next call, answered with 101.
    pub async fn opens(&mut self) -> TcpStream {
        let (_, mut stream) = self.next().await;
        stream.write_all(switching("").as_bytes()).await.unwrap();
        stream
    }

    /// A world in which `ws.test` is this upstream and has WebSockets; `more` goes into its route. Nothing is searched, so
    /// that the bytes need not be frames.
    pub fn route(&self, world: World, more: &str) -> World {
        self.searched_route(world, &format!(", redact: off{more}"))
    }

    /// The same with `redact` as it is by default, or as `more` says.
    pub fn searched_route(&self, world: World, more: &str) -> World {
        world.route(&format!(
            "{{upstream_host: ws.test, upstream_scheme: http, upstream_address: \"{}\", local_name: ws, websocket: true, \
             secret_id: KEY_A, inject_header: Authorization, header_value_template: \"Bearer {{{{secret}}}}\"{more}}}",
            self.address
        ))
    }
}

/// A good answer; `fields` are whole lines.
pub fn switching(fields: &str) -> String {
    let fixed = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    format!("{fixed}Sec-WebSocket-Accept: {ACCEPT}\r\n{fields}\r\n")
}

/// The lines that ask for a WebSocket.
pub fn asking() -> String {
    format!(
        "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
    )
}

/// A head without its empty line, and not a byte behind it. Empty when the connection ends first.
pub async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    within("a head", async {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => bytes.push(byte),
                Err(_) => return String::new(),
            }
        }
        bytes.truncate(bytes.len() - 4);
        String::from_utf8(bytes).unwrap()
    })
    .await
}
