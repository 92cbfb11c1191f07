//! Secrets that the command could read by itself, since it runs as the same user as we do.

use std::fs::File;
use std::path::Path;

use memchr::memmem;

use crate::secrets::Source;

/// No chain of processes is longer.
const ANCESTORS: usize = 64;

/// One sentence for each secret whose source the command can read. `config`: the file that values stand in.
pub fn warnings(secrets: &[(String, Source)], config: &Path) -> Vec<String> {
    let processes = ancestors();
    let warning = |(id, source): &(String, Source)| {
        let place = match source {
            Source::File(path) => File::open(path).is_ok().then(|| path.display().to_string()),
            Source::Value(_) => File::open(config).is_ok().then(|| config.display().to_string()),
            Source::Env(name) => processes
                .iter()
                .find(|process| has_variable(process, name))
                .map(|process| format!("{name} in {process}/environ")),
            Source::Doppler { .. } => None,
        }?;
        Some(format!("the command can read the secret {id}: {place}"))
    };
    secrets.iter().filter_map(warning).collect()
}

/// The directories of our ancestors in /proc, the nearest first. We are not among them: our memory is our own.
fn ancestors() -> Vec<String> {
    let parent = |process: &String| {
        let status = std::fs::read_to_string(format!("{process}/status")).ok()?;
        let id: u32 = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
        (id > 0).then(|| format!("/proc/{id}"))
    };
    std::iter::successors(parent(&"/proc/self".to_owned()), parent).take(ANCESTORS).collect()
}

fn has_variable(process: &str, name: &str) -> bool {
    let Ok(environment) = std::fs::read(format!("{process}/environ")) else { return false };
    let assignment = format!("{name}=");
    environment.starts_with(assignment.as_bytes())
        || memmem::find(&environment, format!("\0{assignment}").as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn what_this_user_can_read_is_named_and_nothing_of_it_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (there, config) = (folder.path().join("key"), folder.path().join("veilwarden.yaml"));
        std::fs::write(&there, "canary").unwrap();
        std::fs::write(&config, "canary").unwrap();
        let secrets = [
            ("A".to_owned(), Source::File(there.clone())),
            ("B".to_owned(), Source::File(folder.path().join("absent"))),
            ("C".to_owned(), Source::Value(SecretString::from("canary"))),
            ("D".to_owned(), Source::Env("VEILWARDEN_TEST_OF_A_NAME_THAT_NOBODY_SET".to_owned())),
            ("E".to_owned(), Source::Doppler { project: None, config: None, name: "canary".to_owned() }),
        ];
        let said = warnings(&secrets, &config);
        let expected = [("A", &there), ("C", &config)]
            .map(|(id, path)| format!("the command can read the secret {id}: {}", path.display()));
        assert_eq!(said, expected);
    }

    #[test]
    fn a_variable_is_found_where_it_was_set() {
        // Whatever started this test has a PATH, and this user may read it; what begins alike is another variable.
        let processes = ancestors();
        assert!(processes.iter().any(|process| has_variable(process, "PATH")), "{processes:?}");
        assert!(!processes.iter().any(|process| has_variable(process, "PAT")), "{processes:?}");
    }
}
