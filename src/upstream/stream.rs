//! The bytes to and from an upstream, in clear or under TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::gate::MAX_READ;
use crate::gate::frames::empties::Empties;
use crate::gate::write_limit::WriteLimit;

/// A connection to an upstream that takes what it is sent, or is given up.
#[derive(Debug)]
pub struct Stream {
    io: Io,
    writes: WriteLimit,
    turns: Turns,
    empties: Empties,
}

/// Who is next after a read.
///
/// Over HTTP/2 the library reads as long as there is something, and keeps what no call has taken yet: of interim heads (1xx), as
/// many as come. So the calls have their turn after each read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turns {
    /// The reader, again and again.
    Off,
    Reader,
    Calls,
}

#[derive(Debug)]
pub(super) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Calls the same method of whichever it is.
macro_rules! either {
    ($io:expr, $method:ident($($argument:expr),*)) => {
        match $io {
            Io::Plain(tcp) => Pin::new(tcp).$method($($argument),*),
            Io::Tls(tls) => Pin::new(tls).$method($($argument),*),
        }
    };
}

impl Stream {
    /// `idle`: how long the upstream may take nothing. `http2`: it is spoken in clear by prior knowledge.
    pub(super) fn new(io: Io, idle: Duration, http2: bool) -> Stream {
        let mut stream = Stream { io, writes: WriteLimit::new(idle), turns: Turns::Off, empties: Empties::of_server() };
        if http2 || stream.is_http2() {
            stream.turns = Turns::Reader;
        }
        stream
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self.io, Io::Tls(_))
    }

    /// Whether ALPN has led to HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        matches!(&self.io, Io::Tls(tls) if tls.get_ref().1.alpn_protocol() == Some(b"h2"))
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        if self.is_http2() { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if stream.turns == Turns::Calls {
            stream.turns = Turns::Reader;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let outcome = match &mut stream.io {
            Io::Plain(tcp) => Pin::new(&mut tcp.take(MAX_READ)).poll_read(cx, buf),
            Io::Tls(tls) => Pin::new(&mut tls.take(MAX_READ)).poll_read(cx, buf),
        };
        if stream.turns == Turns::Reader && buf.filled().len() > before {
            stream.turns = Turns::Calls;
            stream.empties.rename(&mut buf.filled_mut()[before..]);
        }
        outcome
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let outcome = either!(&mut stream.io, poll_write(cx, buf));
        stream.writes.watch(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let outcome = either!(&mut stream.io, poll_write_vectored(cx, bufs));
        stream.writes.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(tcp) => tcp.is_write_vectored(),
            Io::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let outcome = either!(&mut stream.io, poll_flush(cx));
        stream.writes.watch(cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.get_mut().io, poll_shutdown(cx))
    }
}
