//! Group K: what many peers, or one that asks for too much, can take from others.

mod calls;
mod connections;
mod health;
mod memory;
mod ports;
mod shares;
mod silence;
