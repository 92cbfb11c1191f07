//! Ways in.

use proptest::test_runner::TestRng;

use super::Kind;
use crate::plan::{Form, pick};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    Reverse,
    Absolute,
    Tunnel,
    /// Absolute-form, or CONNECT, to a relay of `veilwarden exec --via`.
    Relay,
    RelayTunnel,
    H2c,
    TunnelH2,
}

/// How often each is taken. The last two are HTTP/2, where there are neither WebSockets nor pipelines.
const WAYS: [(u32, Way); 7] = [
    (31, Way::Reverse),
    (13, Way::Absolute),
    (18, Way::Tunnel),
    (6, Way::Relay),
    (5, Way::RelayTunnel),
    (18, Way::H2c),
    (9, Way::TunnelH2),
];
const HTTP1: usize = 5;

impl Way {
    pub fn throw(dice: &mut TestRng, form: Form) -> Way {
        pick(dice, if form == Form::Call { &WAYS } else { &WAYS[..HTTP1] })
    }

    /// Where it leads.
    pub fn kinds(self, form: Form) -> &'static [(u32, Kind)] {
        use Kind::{Clear, H2, Socket, Tls};
        match (self, form) {
            (Way::Absolute | Way::Relay, _) => &[(1, Clear)],
            (Way::Reverse | Way::H2c, Form::Socket) => &[(1, Clear), (1, Socket)],
            (Way::Reverse | Way::H2c, _) => &[(3, Clear), (3, Tls), (3, H2), (1, Socket)],
            (_, Form::Socket) => &[(1, Socket)],
            (Way::Tunnel | Way::RelayTunnel, _) => &[(3, Tls), (3, H2), (1, Socket)],
            // A tunnel to a route with WebSockets has no HTTP/2.
            (Way::TunnelH2, _) => &[(1, Tls), (1, H2)],
        }
    }

    pub fn is_http2(self) -> bool {
        matches!(self, Way::H2c | Way::TunnelH2)
    }

    pub fn is_tunnel(self) -> bool {
        matches!(self, Way::Tunnel | Way::RelayTunnel | Way::TunnelH2)
    }

    pub fn is_relayed(self) -> bool {
        matches!(self, Way::Relay | Way::RelayTunnel)
    }
}
