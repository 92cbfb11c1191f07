//! What only the command knows: the credential in its proxy variables.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// Random bytes in it.
const BYTES: usize = 32;

/// 256 random bits, in characters that stand in a URL as they are.
pub struct Password(Zeroizing<String>);

impl Password {
    /// # Errors
    /// There is no randomness.
    pub fn generate() -> Result<Password> {
        let mut random = Zeroizing::new([0u8; BYTES]);
        aws_lc_rs::rand::fill(&mut *random).context("no randomness")?;
        Ok(Password(Zeroizing::new(URL_SAFE_NO_PAD.encode(*random))))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the proxy variables say.
    pub fn proxy_url(&self, address: SocketAddr) -> String {
        format!("http://veilwarden:{}@{address}", *self.0)
    }
}
