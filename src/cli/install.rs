//! `veilwarden install`: the program copies itself, for containers whose image does not have it.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::NamedTempFile;

use super::standard;

/// Everybody may run it, nobody may change it.
const MODE: u32 = 0o555;

/// Writes a copy of the running program as `veilwarden` into `directory`, in the place of one that is there: another
/// container sees the old one or the new one, never a part.
///
/// # Errors
/// The directory is not there or cannot be written to.
pub fn run(directory: &Path) -> Result<()> {
    let place = directory.join("veilwarden");
    copy(&place, directory).with_context(|| format!("the program cannot be copied to {}", place.display()))?;
    standard::note(format_args!("{}: written", place.display()));
    Ok(())
}

fn copy(place: &Path, directory: &Path) -> io::Result<()> {
    let mut program = File::open(std::env::current_exe()?)?;
    let mut copy = NamedTempFile::new_in(directory)?;
    io::copy(&mut program, &mut copy)?;
    copy.as_file().set_permissions(Permissions::from_mode(MODE))?;
    copy.persist(place)?;
    Ok(())
}
