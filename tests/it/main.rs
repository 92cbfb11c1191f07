//! The real app against loopback peers. One binary, one file a subject; `world` is the harness.

mod documents;
mod layers;
mod road;
mod world;
