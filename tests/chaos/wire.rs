//! HTTP/1.1 messages on a stream, read as strictly as a test needs and as slowly as it likes.

use std::io;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tokio::io::{AsyncRead, AsyncReadExt};

/// A stream and what was read of it too early.
pub struct Wire<S> {
    pub stream: S,
    held: Vec<u8>,
    pub pace: Pace,
}

/// How it is read: at most so many bytes at a time, with a pause after each.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub piece: usize,
    pub pause: Duration,
}

impl Pace {
    pub const FULL: Pace = Pace { piece: 65536, pause: Duration::ZERO };
}

/// The start line and the fields, names in lower case.
#[derive(Debug, Clone, Default)]
pub struct Head {
    pub line: String,
    pub fields: Vec<(String, String)>,
    /// As it came.
    pub text: String,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length(usize),
    Chunked,
    Close,
}

/// What came of a body and behind it, and whether it ended where its framing says.
#[derive(Debug, Clone, Default)]
pub struct Body {
    pub bytes: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    pub whole: bool,
}

impl Head {
    fn parse(text: String) -> Head {
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let fields = lines.filter_map(field).collect();
        Head { line, fields, text }
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// As the sender says; `None` where it says nothing, which means another thing in each direction.
    pub fn framing(&self) -> Option<Framing> {
        if self.one("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Some(Framing::Chunked);
        }
        self.one("content-length").and_then(|length| length.parse().ok()).map(Framing::Length)
    }
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_ascii_lowercase(), value.trim().to_owned()))
}

impl<S: AsyncRead + Unpin> Wire<S> {
    pub fn new(stream: S) -> Wire<S> {
        Wire { stream, held: Vec::new(), pace: Pace::FULL }
    }

    /// Nothing lies here unread.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    async fn fill(&mut self) -> io::Result<()> {
        // Nothing is kept on the stack across the wait: callers' futures hold many of these.
        self.held.reserve(self.pace.piece);
        let n = (&mut self.stream).take(self.pace.piece as u64).read_buf(&mut self.held).await?;
        if !self.pace.pause.is_zero() {
            tokio::time::sleep(self.pace.pause).await;
        }
        if n == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Up to and with `end`.
    async fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.held, end) {
                return Ok(self.held.drain(..at + end.len()).collect());
            }
            self.fill().await?;
        }
    }

    /// The next head. An error with `UnexpectedEof` is the end of the stream.
    pub async fn head(&mut self) -> io::Result<Head> {
        let text = self.until(b"\r\n\r\n").await?;
        Ok(Head::parse(String::from_utf8_lossy(&text[..text.len() - 4]).into_owned()))
    }

    /// What is left when a head does not come.
    pub fn rest(&self) -> &[u8] {
        &self.held
    }

    /// So many bytes.
    pub async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.some(length, &mut bytes, usize::MAX).await.map(|()| bytes)
    }

    /// Whether nothing comes any more, but the end.
    pub async fn ends(&mut self) -> bool {
        self.held.is_empty() && self.fill().await.is_err()
    }

    /// The body that a head announced, or as much of it as came; no more than about `most`.
    pub async fn body(&mut self, framing: Framing, most: usize) -> Body {
        let (mut bytes, mut trailers) = (Vec::new(), Vec::new());
        let read = match framing {
            Framing::Length(length) => self.some(length, &mut bytes, most).await,
            Framing::Chunked => self.chunks(&mut bytes, &mut trailers, most).await,
            Framing::Close => match self.some(usize::MAX, &mut bytes, most).await {
                // A stream whose end is an error is broken; one that ends is whole.
                Err(error) if error.to_string() == io::Error::from(io::ErrorKind::UnexpectedEof).to_string() => Ok(()),
                other => other,
            },
        };
        Body { bytes, trailers, whole: read.is_ok() }
    }

    async fn some(&mut self, mut length: usize, bytes: &mut Vec<u8>, most: usize) -> io::Result<()> {
        loop {
            let now = length.min(self.held.len());
            bytes.extend(self.held.drain(..now));
            length -= now;
            if length == 0 {
                return Ok(());
            }
            if bytes.len() > most {
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.fill().await?;
        }
    }

    async fn chunks(
        &mut self,
        bytes: &mut Vec<u8>,
        trailers: &mut Vec<(String, String)>,
        most: usize,
    ) -> io::Result<()> {
        loop {
            let line = self.until(b"\r\n").await?;
            let size = std::str::from_utf8(&line).ok().and_then(|line| line.trim_end().split(';').next());
            let size = size.and_then(|size| usize::from_str_radix(size, 16).ok()).ok_or(io::ErrorKind::InvalidData)?;
            if size == 0 {
                loop {
                    let line = self.until(b"\r\n").await?;
                    if line.len() == 2 {
                        return Ok(());
                    }
                    trailers.extend(field(&String::from_utf8_lossy(&line)));
                }
            }
            self.some(size, bytes, most).await?;
            if self.until(b"\r\n").await?.len() != 2 {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }
}

/// The same of HTTP/2.
pub fn fields(map: &HeaderMap) -> Vec<(String, String)> {
    map.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}

pub fn map(fields: &[(String, String)]) -> HeaderMap {
    let pair = |(name, value): &(String, String)| Some((name.parse::<HeaderName>().ok()?, value.parse().ok()?));
    fields.iter().filter_map(pair).collect()
}
