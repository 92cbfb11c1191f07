//! Injected secrets do not come back: answers are searched for them, and they are masked at equal length.
//!
//! A seat belt. It finds a secret in the spellings of [`spelling`], not one that an upstream has turned into something
//! else on purpose.

use std::sync::Arc;

pub mod body;
mod coding;
mod filter;
pub mod frames;
pub mod head;
mod memory;
mod needles;
mod seen;
mod spelling;
mod stream;

pub use body::Body;
pub use coding::Unreadable;
pub use frames::Frames;
pub use memory::Memory;
pub use needles::Needles;
pub use stream::Stream;

/// `redact`: what happens when an upstream sends a secret back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redaction {
    Redact,
    Block,
    Off,
}

/// What the answer to one call is searched for, and what finding it means.
#[derive(Debug, Clone)]
pub struct Watch {
    pub needles: Arc<Needles>,
    /// The answer ends there instead of being masked.
    pub block: bool,
}

/// The secret came back on a route that blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the upstream sent the secret back")]
pub struct Reflected;

impl Watch {
    /// A secret has been seen: whether the answer may go on, masked.
    fn allow(&self) -> Result<(), Reflected> {
        if self.block { Err(Reflected) } else { Ok(()) }
    }
}
