//! `forward` and `state_dir`.

use std::path::PathBuf;

use super::mistakes::Report;
use super::overrides::Outside;
use super::place::Place;
use super::raw;
use crate::ca::Source;

/// Forward mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Whether CONNECT and absolute-form requests are taken.
    pub enabled: bool,
    /// `None`: no CA is given, and there is no place to make one.
    pub ca: Option<Source>,
    /// Whether changed files of the CA are taken up. No key says so: only a CA whose files are deleted on purpose is never
    /// looked at again.
    pub reread: bool,
}

/// The `forward` section; `state_dir` is the file's key of that name.
pub(super) fn forward(file: &raw::Forward, state_dir: &str, outside: &Outside, report: &mut Report) -> Forward {
    let place = Place::of("forward");
    let ca = match (file.ca_cert_file.as_str(), file.ca_key_file.as_str()) {
        ("", "") => state_directory(state_dir, outside).map(|state_dir| Source::Made { state_dir }),
        ("", _) => {
            report.add(&place.key("ca_key_file"), "needs ca_cert_file beside it");
            None
        }
        (_, "") => {
            report.add(&place.key("ca_cert_file"), "needs ca_key_file beside it");
            None
        }
        (cert, key) => Some(Source::Given { cert: PathBuf::from(cert), key: PathBuf::from(key) }),
    };
    Forward { enabled: file.enabled, ca, reread: true }
}

/// Flag, variable, file; then what systemd (systemd.exec(5)) and the XDG base directories say.
pub(super) fn state_directory(file: &str, outside: &Outside) -> Option<PathBuf> {
    let given = outside.or_file("--state-dir", outside.flags.state_dir.as_deref(), "state_dir", file).value;
    if !given.is_empty() {
        return Some(PathBuf::from(given));
    }
    let variable = |name| outside.variable(name).map(|given| given.value);
    if let Some(first) = variable("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(PathBuf::from)) {
        return Some(first);
    }
    // A path that is not absolute counts as unset there.
    let absolute = |path: String| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let home = || variable("HOME").and_then(absolute).map(|home| home.join(".local/state"));
    variable("XDG_STATE_HOME").and_then(absolute).or_else(home).map(|base| base.join("veilwarden"))
}
