//! The real app against loopback peers. One binary, one file a subject; `world` is the harness.

mod answers;
mod binary;
mod identity;
mod layers;
mod leaks;
mod lifecycle;
mod policy;
mod road;
mod stores;
mod world;
