//! The CA of forward mode, and the certificates it signs for the hosts of tunnels.
//!
//! `authority` is the CA itself: made, read and checked. `files` is where it is kept. [`Ca`] signs leaves and keeps the
//! last of them. `client_name` reads whom a client's certificate is for.
//!
//! All leaves of a process share one key, which is in no file and ends with the process. A key for each host would
//! protect nothing more: whoever reads this process' memory has the CA's key too.

mod authority;
mod client_name;
mod files;
mod leaf;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use rustls::ServerConfig;

use crate::request::Host;

pub use authority::{Authority, Description};
pub use client_name::{BadName, ClientName};
pub use files::{Kept, read_key, read_pem};

use leaf::Leaves;

/// So many certificates are kept; those longest not used go first.
const MAX_LEAVES: u64 = 1024;
/// A certificate is signed anew long before it expires, so that a session never begins with one that is about to.
const RENEWED_AFTER: Duration = Duration::from_secs(12 * 60 * 60);

/// What is wrong with a CA, or with where it is kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("{path}: {reason}")]
    File { path: String, reason: String },
    #[error("{path}: the key can be read by others than its owner and group (mode {mode:04o}); do \"chmod o= {path}\"")]
    KeyOpenToOthers { path: String, mode: u32 },
    #[error("{path}: others may write to the directory (mode {mode:04o}); do \"chmod o-w {path}\"")]
    DirectoryOpenToOthers { path: String, mode: u32 },
    #[error("{cert} is there and {key} is not: put the key back, or remove the certificate to have a new CA made")]
    KeyMissing { cert: String, key: String },
    #[error(
        "the certificate is none of a CA: it needs basicConstraints CA:TRUE, and keyUsage keyCertSign where it has one"
    )]
    NotACa,
    #[error("the CA's certificate expired on {0}; make a new one with \"veilwarden ca init\"")]
    Expired(String),
    #[error("the CA's certificate is good only from {0} on; look at the clock")]
    NotYetValid(String),
    #[error("the key does not belong to the certificate")]
    WrongKey,
    #[error("no certificate can be made: {0}")]
    Crypto(String),
}

/// Where the CA is, or is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `forward.ca_cert_file` and `forward.ca_key_file`.
    Given { cert: PathBuf, key: PathBuf },
    /// Made once in this directory.
    Made { state_dir: PathBuf },
}

/// A CA that signs.
pub struct Ca {
    leaves: Leaves,
    kept: Cache<String, Arc<ServerConfig>>,
}

impl Ca {
    pub fn new(authority: Authority) -> Ca {
        let kept = Cache::builder().max_capacity(MAX_LEAVES).time_to_live(RENEWED_AFTER).build();
        Ca { leaves: Leaves::new(authority), kept }
    }

    /// How a tunnel's end shakes hands as `host`: with a certificate for it and nothing else.
    pub async fn server_config(&self, host: &Host) -> Result<Arc<ServerConfig>, Arc<Error>> {
        let sign = async { self.leaves.server_config(host).await.map(Arc::new) };
        self.kept.try_get_with_by_ref(host.name(), sign).await
    }
}
