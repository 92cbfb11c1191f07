//! What must hold whatever bytes arrive: one function for each reader of bytes that others send.
//!
//! A function takes any bytes and panics when a property is broken. Fuzzers call it (`fuzz/`, `make fuzz`), the tests
//! below run it over the corpora in `fuzz/corpus`. The module is there for those two alone: by `cfg(fuzzing)`, which
//! cargo-fuzz sets, and not by a feature, which any package in a build could switch on for all of it.

mod config;
mod connect;
mod doppler;
mod fields;
mod gate;
mod host;
mod jwt;
mod path;
mod redactor;
mod reference;
mod review;
mod template;

pub use config::config;
pub use connect::connect;
pub use doppler::doppler;
pub use fields::fields;
pub use gate::gate;
pub use host::host;
pub use jwt::jwt;
pub use path::path;
pub use redactor::redactor;
pub use review::review;
pub use template::template;

/// Judges any bytes; panics when something does not hold.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its corpus and of its fuzzer.
pub const TARGETS: [(&str, Target); 11] = [
    ("config", config),
    ("connect", connect),
    ("doppler", doppler),
    ("fields", fields),
    ("gate", gate),
    ("host", host),
    ("jwt", jwt),
    ("path", path),
    ("redactor", redactor),
    ("review", review),
    ("template", template),
];

/// The bytes as text up to the first that is none, since most readers take nothing else.
fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn directory() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
    }

    fn entries(directory: &Path) -> Vec<PathBuf> {
        let read = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        read.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn every_corpus_holds() {
        let mut broken = Vec::new();
        for (name, target) in TARGETS {
            let inputs = entries(&directory().join("corpus").join(name));
            assert!(inputs.len() >= 5, "{name} has {} inputs", inputs.len());
            for input in inputs {
                let bytes = fs::read(&input).unwrap();
                if std::panic::catch_unwind(|| target(&bytes)).is_err() {
                    broken.push(input);
                }
            }
        }
        assert!(broken.is_empty(), "what was said of these stands above: {broken:#?}");
    }

    /// What readers stumble over.
    const PIECES: [&str; 16] =
        ["\r\n", "\n", "\0", " ", ":", ";", "/", "..", "%2f", "%", ".", ",", "\"", "{", "}}", "canary-0123456789"];

    #[derive(Debug, Clone)]
    enum Damage {
        Replace(Index, u8),
        Insert(Index, &'static str),
        Remove(Index, usize),
        Repeat(Index, usize),
    }

    fn damage() -> impl Strategy<Value = Damage> {
        prop_oneof![
            (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
            (any::<Index>(), proptest::sample::select(&PIECES[..])).prop_map(|(at, piece)| Damage::Insert(at, piece)),
            (any::<Index>(), 1usize..9).prop_map(|(at, length)| Damage::Remove(at, length)),
            (any::<Index>(), 1usize..60).prop_map(|(at, length)| Damage::Repeat(at, length)),
        ]
    }

    fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
        for damage in damages {
            let place = |at: &Index| at.index(bytes.len().max(1)).min(bytes.len());
            let slice = |at: &Index, length: usize| place(at)..(place(at) + length).min(bytes.len());
            match damage {
                Damage::Replace(at, byte) => drop(bytes.splice(slice(at, 1), [*byte])),
                Damage::Insert(at, piece) => drop(bytes.splice(slice(at, 0), piece.bytes())),
                Damage::Remove(at, length) => drop(bytes.drain(slice(at, *length))),
                Damage::Repeat(at, length) => {
                    let again = bytes[slice(at, *length)].to_vec();
                    drop(bytes.splice(slice(at, 0), again));
                }
            }
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_damaged_corpus_holds(target: Index, input: Index, damages in vec(damage(), 1..6)) {
            let (name, target) = TARGETS[target.index(TARGETS.len())];
            let inputs = entries(&directory().join("corpus").join(name));
            target(&damaged(fs::read(&inputs[input.index(inputs.len())]).unwrap(), &damages));
        }
    }

    #[test]
    fn every_target_has_a_fuzzer_and_a_corpus_and_there_is_no_other() {
        let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let stems = |directory: &str| -> BTreeSet<String> {
            let stem = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
            entries(&self::directory().join(directory)).iter().map(stem).collect()
        };
        assert_eq!(stems("corpus"), names);
        assert_eq!(stems("fuzz_targets"), names);
        let manifest = fs::read_to_string(directory().join("Cargo.toml")).unwrap();
        for name in &names {
            let source = fs::read_to_string(directory().join(format!("fuzz_targets/{name}.rs"))).unwrap();
            assert!(source.contains(&format!("veilwarden::fuzz::{name}(data)")), "{name}");
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), names.len());
        let told = fs::read_to_string(directory().join("../CONTRIBUTING.md")).unwrap();
        let untold: Vec<_> = names.iter().filter(|name| !told.contains(&format!("`{name}`"))).collect();
        assert!(untold.is_empty(), "not in CONTRIBUTING.md: {untold:?}");
    }
}
