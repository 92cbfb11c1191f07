//! The real app against loopback peers. One binary, one file a subject; `world` is the harness.

mod answers;
mod binary;
mod clusters;
mod deploy;
mod documents;
mod echo;
mod fields;
mod framing;
mod hosts;
mod http2;
mod identity;
mod jwks;
mod layers;
mod leaks;
mod lifecycle;
mod mutations;
mod pods;
mod policy;
mod programs;
mod road;
mod rows;
mod snippets;
mod stalls;
mod stores;
mod targets;
mod world;
