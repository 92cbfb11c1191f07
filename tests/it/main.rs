//! The real app against loopback peers. One binary, one file a subject; `world` is the harness.

mod documents;
mod fields;
mod framing;
mod hosts;
mod layers;
mod mutations;
mod road;
mod rows;
mod targets;
mod world;
