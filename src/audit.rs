//! The audit trail: exactly one JSON line a call, through a bounded queue that never blocks one.

mod batch;
mod counts;
mod line;
mod output;
pub mod record;
pub mod trail;
mod visible;
pub mod writer;

pub use record::{Outcome, Record};
pub use trail::{Place, Trail};
pub use visible::visible;
pub use writer::Writer;
