//! Where a call comes from, as the socket itself tells.

use std::fmt;
use std::net::IpAddr;

/// The other end of a caller's connection: never a credential, only what is known beside one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// An IPv4 address in its own form, not mapped into IPv6.
    Ip(IpAddr),
    /// A process on this machine, by the user that it ran as when it connected (`SO_PEERCRED`, unix(7)).
    Unix { uid: u32 },
}

impl Source {
    /// `None`: a Unix socket's peer has no address.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Source::Ip(ip) => Some(ip),
            Source::Unix { .. } => None,
        }
    }

    /// `None`: a network says nothing of users.
    pub fn uid(self) -> Option<u32> {
        match self {
            Source::Ip(_) => None,
            Source::Unix { uid } => Some(uid),
        }
    }
}

impl From<IpAddr> for Source {
    fn from(ip: IpAddr) -> Source {
        Source::Ip(ip.to_canonical())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Ip(ip) => ip.fmt(f),
            Source::Unix { uid } => write!(f, "the user {uid} over a Unix socket"),
        }
    }
}
