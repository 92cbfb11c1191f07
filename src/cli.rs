//! The command line: what can be typed, and the subcommands behind it.

pub mod args;
