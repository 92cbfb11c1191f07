//! Reads a policy directory and finds what is wrong with it, before anything is decided by it.
//!
//! [`Bundle`] is what the files say. `program` is the parsed policy as facts, and the checks beside it find all
//! mistakes at once: [`names`], [`calls`], [`rules`], [`recursion`]. None of them knows the interpreter; `policy::rego`
//! makes the facts and asks for the checks.

mod bundle;
pub(crate) mod calls;
mod data;
mod files;
pub(crate) mod names;
mod problem;
pub(crate) mod program;
pub(crate) mod recursion;
pub(crate) mod rules;
mod text;
mod unique;

pub use bundle::{Bundle, Source};
pub(crate) use problem::did_you_mean;
pub use problem::{Place, Problem, Problems};
