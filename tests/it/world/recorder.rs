//! A raw upstream that logs every byte and answers what it is told to.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc};

/// What an upstream does once a request is there.
#[derive(Debug, Clone)]
pub enum Step {
    Send(Vec<u8>),
    /// Wait before the next step; part of what is played, not of the test's own timing.
    Pause(Duration),
    /// Send what arrives, until its sender is gone or the proxy hangs up.
    Feed(Arc<tokio::sync::Mutex<mpsc::Receiver<Vec<u8>>>>),
    /// Wait until the test adds a permit.
    Wait(Arc<Semaphore>),
    /// Close the connection.
    Close,
    /// Close it with a reset.
    Reset,
    /// Keep it open and say nothing more.
    Hang,
}

/// One request as it arrived, byte for byte.
#[derive(Debug, Clone)]
pub struct Seen {
    pub head: String,
    pub body: Vec<u8>,
    pub connection: usize,
}

impl Seen {
    pub fn line(&self) -> &str {
        self.head.split("\r\n").next().unwrap_or_default()
    }

    /// The request target.
    pub fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    /// All values of a field, in any case of its name.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let fields = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }
}

type Script = Arc<dyn Fn(&Seen) -> Vec<Step> + Send + Sync>;

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    everything: Vec<u8>,
    reached: Vec<IpAddr>,
    open: usize,
    written: usize,
    eager: bool,
}

/// Listens on a port of its own for as long as the test runs.
#[derive(Clone)]
pub struct Recorder {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    script: Arc<Mutex<Script>>,
}

/// A minimal good answer.
pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl Recorder {
    /// Answers everything with 200 `ok`.
    pub async fn start() -> Recorder {
        Recorder::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub fn on(listener: TcpListener) -> Recorder {
        let recorder = Recorder {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
            script: Arc::new(Mutex::new(Arc::new(|_: &Seen| vec![Step::Send(OK.to_vec())]))),
        };
        let server = recorder.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        recorder
    }

    /// From now on, requests are answered by this script.
    pub fn script(&self, script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    /// From now on, every request is answered with these bytes.
    pub fn answer(&self, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.script(move |_| vec![Step::Send(bytes.clone())]);
    }

    /// From now on, answers come before the body is read.
    pub fn eager(&self) {
        self.state.lock().unwrap().eager = true;
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    pub fn last(&self) -> Seen {
        self.seen().pop().expect("the upstream saw no request")
    }

    /// Everything that ever arrived.
    pub fn everything(&self) -> Vec<u8> {
        self.state.lock().unwrap().everything.clone()
    }

    pub fn bytes(&self) -> usize {
        self.state.lock().unwrap().everything.len()
    }

    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().reached.len()
    }

    /// The address that each connection was made to, where the listener has several.
    pub fn reached(&self) -> Vec<IpAddr> {
        self.state.lock().unwrap().reached.clone()
    }

    /// Bytes that were written to proxies.
    pub fn written(&self) -> usize {
        self.state.lock().unwrap().written
    }

    /// Connections that neither side has closed.
    pub fn open(&self) -> usize {
        self.state.lock().unwrap().open
    }

    async fn serve(&self, mut stream: TcpStream) {
        let connection = {
            let mut state = self.state.lock().unwrap();
            state.reached.push(stream.local_addr().map_or(self.address, |local| local).ip().to_canonical());
            state.open += 1;
            state.reached.len()
        };
        let mut held = Vec::new();
        while let Some(seen) = self.read_request(&mut stream, &mut held, connection).await {
            let script = self.script.lock().unwrap().clone();
            if !self.play(&mut stream, script(&seen)).await {
                break;
            }
        }
        self.state.lock().unwrap().open -= 1;
    }

    async fn more(&self, stream: &mut TcpStream, held: &mut Vec<u8>) -> Option<()> {
        let mut chunk = vec![0; 65536];
        let n = stream.read(&mut chunk).await.ok().filter(|n| *n > 0)?;
        self.state.lock().unwrap().everything.extend_from_slice(&chunk[..n]);
        held.extend_from_slice(&chunk[..n]);
        Some(())
    }

    async fn read_request(&self, stream: &mut TcpStream, held: &mut Vec<u8>, connection: usize) -> Option<Seen> {
        let end = loop {
            match held.windows(4).position(|w| w == b"\r\n\r\n") {
                Some(end) => break end,
                None => self.more(stream, held).await?,
            }
        };
        let head = String::from_utf8_lossy(&held[..end]).into_owned();
        held.drain(..end + 4);
        let mut seen = Seen { head, body: Vec::new(), connection };
        if !self.state.lock().unwrap().eager {
            seen.body = self.read_body(&seen, stream, held).await?;
        }
        self.state.lock().unwrap().seen.push(seen.clone());
        Some(seen)
    }

    async fn read_body(&self, seen: &Seen, stream: &mut TcpStream, held: &mut Vec<u8>) -> Option<Vec<u8>> {
        if seen.header("transfer-encoding").is_some() {
            // Only our own HTTP client frames these bytes: the last chunk ends them, with trailers or without.
            let trailers = |held: &[u8]| held.ends_with(b"\r\n\r\n") && held.windows(5).any(|w| w == b"\r\n0\r\n");
            while !held.ends_with(b"0\r\n\r\n") && !trailers(held) {
                self.more(stream, held).await?;
            }
            return Some(std::mem::take(held));
        }
        let length = seen.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
        while held.len() < length {
            self.more(stream, held).await?;
        }
        Some(held.drain(..length).collect())
    }

    /// Plays the steps; `false`: the connection is over.
    async fn play(&self, stream: &mut TcpStream, steps: Vec<Step>) -> bool {
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    if !self.send(stream, &bytes).await {
                        return false;
                    }
                }
                Step::Feed(feed) => {
                    let mut feed = feed.lock().await;
                    let mut chunk = [0; 1024];
                    loop {
                        tokio::select! {
                            bytes = feed.recv() => match bytes {
                                Some(bytes) => if !self.send(stream, &bytes).await { return false },
                                None => break,
                            },
                            read = stream.read(&mut chunk) => if !read.is_ok_and(|n| n > 0) { return false },
                        }
                    }
                }
                Step::Pause(time) => tokio::time::sleep(time).await,
                Step::Wait(permits) => permits.acquire().await.unwrap().forget(),
                Step::Close => {
                    let _ = stream.shutdown().await;
                    return false;
                }
                Step::Reset => {
                    let _ = stream.set_zero_linger();
                    return false;
                }
                Step::Hang => {
                    let mut chunk = [0; 1024];
                    while stream.read(&mut chunk).await.is_ok_and(|n| n > 0) {}
                    return false;
                }
            }
        }
        true
    }

    async fn send(&self, stream: &mut TcpStream, bytes: &[u8]) -> bool {
        for part in bytes.chunks(1 << 16) {
            if stream.write_all(part).await.is_err() {
                return false;
            }
            self.state.lock().unwrap().written += part.len();
        }
        true
    }
}

/// An upstream that is not up yet: its address is taken and refuses connections.
pub struct Down {
    pub address: SocketAddr,
    socket: TcpSocket,
}

impl Down {
    pub fn new() -> Down {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Down { address: socket.local_addr().unwrap(), socket }
    }

    pub fn up(self) -> Recorder {
        Recorder::on(self.socket.listen(128).unwrap())
    }
}
