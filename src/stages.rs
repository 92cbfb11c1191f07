//! The states a call passes through. Their fields are private and each step consumes the last state, so a call
//! that was not authorised has no way to become one that can be sent.

mod authenticated;
mod authorized;
mod destination;
mod prepared;
mod received;

pub use authenticated::Authenticated;
pub use authorized::{Authorized, Rules};
pub use destination::{Destination, names_local_host};
pub use prepared::Prepared;
pub use received::{Arrival, Received};
