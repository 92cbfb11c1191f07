//! The ways in: one good or bad request, as a caller of each would send it.

use http::{Request, Uri};
use tokio::io::AsyncWriteExt;

use super::Started;
use super::raw::{self, Answer};
use super::tunnel::call;
use crate::http2::peer::{Peer, empty};

/// How a request gets to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In origin-form, with `X-Upstream-Host`.
    Reverse,
    /// In absolute-form, as to a forward proxy.
    Absolute,
    /// In origin-form, inside of a tunnel that is intercepted.
    Tunnel,
    /// As [`Way::Reverse`], over HTTP/2.
    Http2,
    /// As [`Way::Tunnel`], over HTTP/2.
    TunnelHttp2,
}

/// The ways in HTTP/1.1, and all of them.
pub const IN_HTTP1: [Way; 3] = [Way::Reverse, Way::Absolute, Way::Tunnel];
pub const ALL: [Way; 5] = [Way::Reverse, Way::Absolute, Way::Tunnel, Way::Http2, Way::TunnelHttp2];

/// What every request of [`Started::request_to`] begins with, behind its first line.
const NAMED: &[u8] = b"Host: proxy.test\r\nX-Upstream-Host: ";

impl Way {
    pub fn is_http2(self) -> bool {
        matches!(self, Way::Http2 | Way::TunnelHttp2)
    }

    /// Whether a client of this way can be told to ask for the target. Over HTTP/2 what is in no URI ends its stream, and
    /// a fragment is cut off by the library (`http2/frames.rs` writes both as bytes).
    pub fn can_ask_for(self, target: &[u8]) -> bool {
        !self.is_http2() || !target.contains(&b'#') && Uri::try_from(target).is_ok()
    }
}

impl Started {
    /// A request of [`Started::request_to`] as the way has it: bytes of HTTP/1.1.
    pub fn written(&self, way: Way, request: &[u8]) -> Vec<u8> {
        let Some((line, host, rest)) = split(request) else { return request.to_vec() };
        let (before, after) = match way {
            Way::Absolute => (prefixed(line, host), [b"Host: ", host, b"\r\n", rest].concat()),
            // Nobody authenticates inside of a tunnel.
            Way::Tunnel | Way::TunnelHttp2 => {
                let credential = self.credential();
                let rest = rest.strip_prefix(credential.as_bytes()).unwrap_or(rest);
                (line.to_vec(), [b"Host: ", host, b":80\r\n", rest].concat())
            }
            Way::Reverse | Way::Http2 => return request.to_vec(),
        };
        [before, after].concat()
    }

    /// Sends a request the way that is given, and reads its answer.
    pub async fn go(&self, way: Way, request: &[u8]) -> Answer {
        let written = self.written(way, request);
        match way {
            Way::Reverse | Way::Absolute => {
                let mut stream = self.connect().await;
                // The proxy may refuse and close before all is written.
                let _ = stream.write_all(&written).await;
                raw::read_answer(&mut stream).await
            }
            Way::Tunnel => call(&mut self.tunnel(&self.target(request)).await, written).await,
            Way::Http2 => over_http2(Peer::connect(self).await, &written, "http").await,
            Way::TunnelHttp2 => {
                let tls = self.tunnel_in(&self.target(request), &["h2"]).await;
                over_http2(Peer::over(tls).await, &written, "https").await
            }
        }
    }

    fn target(&self, request: &[u8]) -> String {
        let host = split(request).map_or(&b"a.test"[..], |(_, host, _)| host);
        format!("{}:80", String::from_utf8_lossy(host))
    }
}

/// The first line, the host that is named, and what stands behind that.
fn split(request: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let at = memchr::memmem::find(request, NAMED)?;
    let named = &request[at + NAMED.len()..];
    let end = memchr::memmem::find(named, b"\r\n")?;
    Some((&request[..at], &named[..end], &named[end + 2..]))
}

/// The line with its target in absolute-form, if it had one in origin-form.
fn prefixed(line: &[u8], host: &[u8]) -> Vec<u8> {
    match memchr::memmem::find(line, b" /") {
        Some(at) => [&line[..=at], b"http://", host, &line[at + 1..]].concat(),
        None => line.to_vec(),
    }
}

/// The same request without a body over HTTP/2.
async fn over_http2(peer: Peer, request: &[u8], scheme: &str) -> Answer {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut lines = request.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    let method = first.split(|byte| *byte == b' ').next().unwrap_or_default();
    let target = first[method.len()..].trim_ascii().strip_suffix(b" HTTP/1.1").unwrap_or_default();
    let (mut authority, mut head) = (String::new(), Request::builder().method(method));
    for line in lines.take_while(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':').expect("a field line");
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        match name.eq_ignore_ascii_case(b"host") {
            true => authority = text(value),
            false => head = head.header(name, value),
        }
    }
    let uri = [scheme.as_bytes(), b"://", authority.as_bytes(), target].concat();
    let request = head.uri(&uri[..]).body(empty()).unwrap_or_else(|error| panic!("{}: {error}", uri.escape_ascii()));
    let answer = peer.send(request).await;
    let fields = answer.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
    Answer { status: answer.status, fields, body: answer.body, complete: true, rest: Vec::new() }
}
