//! The first message of a TLS session, read but not yet answered (RFC 8446 section 4.1.2).

use std::io;

use rustls::server::{Accepted, Acceptor};
use tokio::io::AsyncReadExt;

use super::Bytes;

/// No ClientHello is larger, in bytes.
const MAX_HELLO: usize = 64 << 10;

/// A ClientHello, understood, and byte for byte as it came with whatever followed it.
pub struct Hello {
    pub accepted: Accepted,
    pub bytes: Vec<u8>,
}

impl Hello {
    /// Reads until the message is whole.
    pub async fn read(from: &mut Bytes) -> io::Result<Hello> {
        let (mut acceptor, mut bytes) = (Acceptor::default(), Vec::new());
        let mut chunk = [0; 4096];
        while bytes.len() < MAX_HELLO {
            let n = from.read(&mut chunk).await?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&chunk[..n]);
            let mut fresh = &chunk[..n];
            while !fresh.is_empty() {
                acceptor.read_tls(&mut fresh)?;
                match acceptor.accept() {
                    Ok(Some(accepted)) => return Ok(Hello { accepted, bytes }),
                    Ok(None) => {}
                    Err((error, _)) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the ClientHello is too large"))
    }

    /// The name that the caller expects to find (RFC 6066 section 3).
    pub fn server_name(&self) -> Option<String> {
        self.accepted.client_hello().server_name().map(str::to_owned)
    }
}
