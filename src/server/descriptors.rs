//! Open files: how many there may be, and what to do when there are no more.

use std::fs::File;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::seldom::Seldom;
use crate::config::Limits;

/// Open files beside connections: the runtime's, logs, the admin listener's connections, files and stores that are read.
const OTHERS: u64 = 512;

/// Raises the limit of open files to what the system allows this process, and returns it; `None`: there is none.
pub fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// How many open files these limits can need: a connection of each caller, one to an upstream for each call.
pub fn needed(limits: &Limits) -> u64 {
    (limits.max_connections + limits.max_concurrent_requests) as u64 + OTHERS
}

/// Whether accepting failed because there are no descriptors, or no memory for one: accept(2).
pub(super) fn are_out(error: &io::Error) -> bool {
    let short = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| short.contains(&errno))
}

/// Descriptors are the process', so one listener says it for all.
static TOLD: Seldom = Seldom::new();

/// A descriptor kept back. Lent, it lets one connection be accepted that would wait otherwise, its peer in the dark.
#[derive(Debug)]
pub(super) struct Spare {
    file: Option<File>,
}

impl Spare {
    pub fn new() -> Spare {
        let mut spare = Spare { file: None };
        spare.take_back();
        spare
    }

    pub fn lend(&mut self, error: &io::Error) {
        if TOLD.now() {
            tracing::error!(%error, "no open files are left: connections are closed as they come; see limits and ulimit -n");
        }
        self.file = None;
    }

    /// Others may have been faster; then there is none until one is free.
    pub fn take_back(&mut self) {
        self.file = File::open("/dev/null").ok();
    }
}
