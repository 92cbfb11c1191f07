//! The audit trail: exactly one JSON line a call, through a bounded queue that never blocks one.

mod line;
pub mod record;
mod visible;
pub mod writer;

pub use record::{Outcome, Record};
pub use visible::visible;
pub use writer::{Place, Trail, Writer};
