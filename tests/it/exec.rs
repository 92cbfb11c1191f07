//! `veilwarden exec`: a command whose calls go through veilwarden. The veilwarden at the other end is played here.

mod child;
mod private;
mod relay;

use std::path::Path;

use crate::world::process::{Process, file};
use crate::world::recorder::Recorder;

/// Runs `sh -c SCRIPT` below `exec --via`, with the token `a.b.c` in a file of the directory.
fn via(upstream: &Recorder, directory: &Path, flags: &[&str], script: &str) -> Process {
    via_with(upstream, directory, flags, script, &[])
}

fn via_with(
    upstream: &Recorder,
    directory: &Path,
    flags: &[&str],
    script: &str,
    environment: &[(&str, &str)],
) -> Process {
    let token = directory.join("token");
    if !token.exists() {
        file(directory, "token", "a.b.c\n");
    }
    let url = format!("http://{}", upstream.address);
    let first = ["exec", "--via", &url, "--token-file", token.to_str().unwrap()];
    Process::spawn(&[&first, flags, &["--", "sh", "-c", script]].concat(), environment)
}
