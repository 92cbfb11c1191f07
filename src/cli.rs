//! The subcommands.

pub mod args;
pub mod ca;
pub mod check;
pub mod demo;
pub mod echo;
pub mod exec;
pub mod init;
pub mod install;
pub mod log;
pub mod panics;
pub mod serve;
mod signals;
pub mod snippet;
pub mod standard;
