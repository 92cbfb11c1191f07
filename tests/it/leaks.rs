//! Section N of the hostile cases: every family of scenarios with secrets of its own, and then a search for each of
//! them, in many forms, in everything that the proxy wrote, and for credentials in everything that an upstream got.

mod debug;
mod exec;
mod faults;
mod metrics;
mod process;
mod search;
mod stage;
mod text;
mod walk;
mod ways;
