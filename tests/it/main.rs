//! The real app against loopback peers. One binary, one file a subject; `world` is the harness.

mod answers;
mod binary;
mod documents;
mod fields;
mod framing;
mod hosts;
mod identity;
mod layers;
mod leaks;
mod lifecycle;
mod mutations;
mod pods;
mod policy;
mod road;
mod rows;
mod stalls;
mod stores;
mod targets;
mod world;
