//! `veilwarden init`: a configuration to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use super::standard;

/// What is written. It works as it is, with the test upstream behind it.
const STARTER: &str = include_str!("init/veilwarden.yaml");

/// Writes the starter configuration, for its owner only: secrets may be put into it. A file that is there already is
/// kept unless `force` is set. Exits 0 or 1.
pub fn run(file: &Path, force: bool) -> ExitCode {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).create(true).truncate(true).create_new(!force);
    match options.open(file).and_then(|mut open| open.write_all(STARTER.as_bytes())) {
        Ok(()) => {
            standard::note(format_args!("{}: written; its first lines say what to do next", file.display()));
            ExitCode::SUCCESS
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let file = file.display();
            standard::complain(format_args!("{file}: is there already, and was kept; --force writes over it"));
            ExitCode::FAILURE
        }
        Err(error) => {
            standard::complain(format_args!("{}: {error}", file.display()));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Overrides};

    fn parsed(text: &str) -> Config {
        let environment = |_: &str| Some("a-value-of-a-variable".to_owned());
        let only = |name: &str| match name {
            "VEILWARDEN_SESSION_SECRET" | "OPENAI_API_KEY" | "GITHUB_TOKEN" => environment(name),
            _ => None,
        };
        Config::parse(text, Path::new("veilwarden.yaml"), &Overrides::default(), &only)
            .unwrap_or_else(|e| panic!("{e}"))
    }

    /// What is left when the comment signs before entries of lists are taken away.
    fn uncommented(text: &str) -> String {
        let line = |line: &str| match line.strip_prefix("  # ") {
            Some(entry) if entry.starts_with("- ") || entry.starts_with("  ") => format!("  {entry}\n"),
            _ => format!("{line}\n"),
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn the_starter_is_good_with_and_without_its_examples() {
        let starter = parsed(STARTER);
        assert_eq!((starter.routes.len(), starter.warnings.len()), (1, 0), "{:?}", starter.warnings);
        let whole = parsed(&uncommented(STARTER));
        assert_eq!((whole.routes.len(), whole.secrets.len()), (4, 4));
        assert!(whole.routes.iter().all(|route| route.local_name.is_some() && route.injection.is_some()));
    }

    #[test]
    fn a_file_that_is_there_is_kept_unless_forced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("veilwarden.yaml");
        std::fs::write(&file, "mine").unwrap();
        run(&file, false);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        run(&file, true);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), STARTER);
    }
}
