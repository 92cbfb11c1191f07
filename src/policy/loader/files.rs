//! Finds the files of a policy: recursively, following symbolic links, bounded in number, depth and size.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Problem;

/// Directory entries looked at, in all.
const MAX_ENTRIES: usize = 10_000;
/// Directories below the first.
const MAX_DEPTH: usize = 32;
/// One `.rego` file, the interpreter's own limit.
const MAX_MODULE_BYTES: u64 = 1 << 20;
/// All data files together.
const MAX_DATA_BYTES: u64 = 32 << 20;

/// A file that belongs to the policy.
pub(super) struct Found {
    pub file: String,
    pub role: Role,
    pub bytes: Vec<u8>,
}

/// What a file is for.
pub(super) enum Role {
    Module,
    /// `below` are the names of the directories it lies in, from the policy's own directory down.
    Data {
        below: Vec<String>,
        format: Format,
    },
}

/// How a data file is written.
#[derive(Clone, Copy)]
pub(super) enum Format {
    Json,
    Yaml,
}

/// All files of the policy at `path`, in order of their paths; what cannot be read becomes a problem.
pub(super) fn find(path: &Path, problems: &mut Vec<Problem>) -> Vec<Found> {
    let mut search = Search { found: Vec::new(), entries: 0, data_bytes: 0, problems };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => search.directory(path, &mut Vec::new(), &mut Vec::new()),
        Ok(metadata) => search.file(path, &metadata, &[]),
        Err(error) => search.refuse(path, format!("cannot be read: {error}")),
    }
    search.found
}

struct Search<'a> {
    found: Vec<Found>,
    entries: usize,
    data_bytes: u64,
    problems: &'a mut Vec<Problem>,
}

impl Search<'_> {
    fn refuse(&mut self, path: &Path, message: impl Into<String>) {
        self.problems.push(Problem::whole(path.display().to_string(), message));
    }

    /// `inside` are the real paths of the directories being walked, which a symbolic link must not lead back to.
    fn directory(&mut self, path: &Path, below: &mut Vec<String>, inside: &mut Vec<PathBuf>) {
        let (real, entries) = match fs::canonicalize(path).and_then(|real| Ok((real, entries_of(path)?))) {
            Ok(listing) => listing,
            Err(error) => return self.refuse(path, format!("cannot be read: {error}")),
        };
        if inside.contains(&real) {
            return self.refuse(path, "a symbolic link leads back to a directory above it");
        }
        if inside.len() > MAX_DEPTH {
            return self.refuse(path, format!("directories are nested deeper than {MAX_DEPTH}"));
        }
        inside.push(real);
        for name in entries {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                if self.entries == MAX_ENTRIES + 1 {
                    self.refuse(path, format!("more than {MAX_ENTRIES} files and directories"));
                }
                break;
            }
            self.entry(&path.join(&name), name, below, inside);
        }
        inside.pop();
    }

    fn entry(&mut self, path: &Path, name: String, below: &mut Vec<String>, inside: &mut Vec<PathBuf>) {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                below.push(name);
                self.directory(path, below, inside);
                below.pop();
            }
            Ok(metadata) => self.file(path, &metadata, below),
            Err(error) => self.refuse(path, format!("cannot be read: {error}")),
        }
    }

    fn file(&mut self, path: &Path, metadata: &Metadata, below: &[String]) {
        let Some(role) = role(path, below) else { return };
        if !metadata.is_file() {
            return self.refuse(path, "is not a regular file");
        }
        let limit = match role {
            Role::Module => MAX_MODULE_BYTES,
            Role::Data { .. } => MAX_DATA_BYTES - self.data_bytes,
        };
        match read_at_most(path, limit) {
            Ok(Some(bytes)) => {
                if let Role::Data { .. } = role {
                    self.data_bytes += bytes.len() as u64;
                }
                self.found.push(Found { file: path.display().to_string(), role, bytes });
            }
            Ok(None) => self.refuse(path, too_large(&role)),
            Err(error) => self.refuse(path, format!("cannot be read: {error}")),
        }
    }
}

/// The names in a directory, ordered, without those that begin with `..`.
fn entries_of(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)?.take(MAX_ENTRIES + 1) {
        let name = entry?.file_name();
        let name = name
            .into_string()
            .map_err(|name| io::Error::new(io::ErrorKind::InvalidData, format!("the name {name:?} is not UTF-8")))?;
        if !name.starts_with("..") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn role(path: &Path, below: &[String]) -> Option<Role> {
    let name = path.file_name()?.to_str()?;
    let data = |format| Some(Role::Data { below: below.to_vec(), format });
    match name {
        "data.json" => data(Format::Json),
        "data.yaml" | "data.yml" => data(Format::Yaml),
        _ if name.ends_with(".rego") && !name.ends_with("_test.rego") => Some(Role::Module),
        _ => None,
    }
}

/// The file's bytes, or `None` when there are more than `limit`. The size is not asked for beforehand: it could change.
fn read_at_most(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

fn too_large(role: &Role) -> String {
    match role {
        Role::Module => format!("a policy file may have {MAX_MODULE_BYTES} bytes"),
        Role::Data { .. } => format!("data files may have {MAX_DATA_BYTES} bytes together"),
    }
}
