//! Real servers as upstreams: nginx and HAProxy with their own TLS, HTTP/2 and framing, and Python's websockets.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::apis::Certificate;

pub const NGINX: &str = "nginx.example.com";
pub const HAPROXY: &str = "haproxy.example.com";
pub const WEBSOCKETS: &str = "realtime.example.com";
/// What all want to see in `X-Key`.
pub const KEY: &str = "real-key";
/// More than any buffer on the way holds, in bytes.
pub const LARGE: usize = 5 << 20;

/// A real server on loopback, with TLS. It ends with this.
pub struct Server {
    pub host: &'static str,
    pub address: SocketAddr,
    process: Child,
}

impl Server {
    /// nginx: HTTP/2 and HTTP/1.1, one large file.
    pub fn nginx(directory: &Path, certificate: &Certificate) -> Server {
        let address = free();
        let root = directory.join("nginx");
        fs::create_dir(&root).expect("our directory");
        fs::write(root.join("large"), vec![b'x'; LARGE]).expect("our directory");
        let text = format!(
            "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;
            events {{ worker_connections 64; }}
            http {{
                access_log off;
                client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
                uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
                server {{
                    listen {address} ssl http2;
                    ssl_certificate {certificate}; ssl_certificate_key {key};
                    root {root};
                    if ($http_x_key != \"{KEY}\") {{ return 401 \"no key\\n\"; }}
                    location /protocol {{ return 200 \"$server_protocol\\n\"; }}
                }}
            }}",
            root = root.display(),
            certificate = certificate.chain.display(),
            key = certificate.key.display(),
        );
        let config = file(&root, "nginx.conf", &text);
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-c"]).arg(config);
        Server::start(NGINX, address, command)
    }

    /// HAProxy: HTTP/1.1 alone, and the length of what it was sent.
    pub fn haproxy(directory: &Path, certificate: &Certificate) -> Server {
        let address = free();
        let root = directory.join("haproxy");
        fs::create_dir(&root).expect("our directory");
        let text = format!(
            "defaults
  mode http
  timeout client 10s
  timeout connect 10s
  timeout server 10s
  timeout http-request 10s
frontend api
  bind {address} ssl crt {pem} alpn http/1.1
  http-request wait-for-body time 10s
  http-request return status 401 unless {{ req.hdr(x-key) -m str {KEY} }}
  http-request return status 200 content-type text/plain lf-string \"HTTP/%[req.ver] %[req.body_len]\\n\"
",
            pem = certificate.both.display(),
        );
        let config = file(&root, "haproxy.cfg", &text);
        let mut command = Command::new("haproxy");
        command.args(["-db", "-q", "-f"]).arg(config);
        Server::start(HAPROXY, address, command)
    }

    /// The server of the package whose client docs/clients.md shows. `python` has it.
    pub fn websockets(python: &Path, certificate: &Certificate) -> Server {
        let address = free();
        let mut command = Command::new(python);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/websocket_server.py"));
        command.arg(address.port().to_string()).arg(&certificate.chain).arg(&certificate.key);
        Server::start(WEBSOCKETS, address, command)
    }

    fn start(host: &'static str, address: SocketAddr, mut command: Command) -> Server {
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin")).stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{host} does not start: {error}"));
        let begun = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            let ended = process.try_wait().expect("our own child can be asked");
            assert!(ended.is_none() && begun.elapsed() < Duration::from_secs(20), "{host} is not there: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Server { host, address, process }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill(); // fails only if it has ended already
        let _ = self.process.wait();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

fn file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).expect("our directory");
    path
}
