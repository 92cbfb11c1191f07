//! The states a call passes through. Their fields are private and each step consumes the last state, so a call
//! that was not authorised has no way to become one that can be sent.

mod authenticated;
mod authorized;
mod connection;
mod destination;
mod prepared;
mod received;
#[cfg(test)]
mod tests;
mod tunnel;
mod websocket;

pub use authenticated::Authenticated;
pub use authorized::{Authorized, Rules};
pub use connection::Connection;
pub use destination::{Addressee, Destination, local_host};
pub use prepared::Prepared;
pub use received::{Arrival, Received};
pub use tunnel::{Opened, Relay, Tunnel};
pub use websocket::WebSocket;
