//! Reading the few files that the configuration itself needs.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use secrecy::SecretString;
use zeroize::Zeroizing;

/// The largest configuration file, in bytes.
const LARGEST_CONFIG: u64 = 1 << 20;
/// The largest file that holds one secret, in bytes.
const LARGEST_SECRET: u64 = 64 << 10;

/// The configuration file's text; it may hold secrets, so it is wiped when dropped. The error is the text for a person.
pub(super) fn config(path: &Path) -> Result<Zeroizing<String>, String> {
    match read(path, LARGEST_CONFIG) {
        Err(Failure::Missing) => {
            Err("there is no such file; name one with --config, or start with examples/minimal.yaml".to_owned())
        }
        other => other.map_err(|failure| failure.text(LARGEST_CONFIG)),
    }
}

/// A secret from a file; one newline at its end is not part of it.
pub(super) fn secret(path: &Path) -> Result<SecretString, String> {
    let failed = |failure: Failure| format!("cannot read {}: {}", path.display(), failure.text(LARGEST_SECRET));
    let text = read(path, LARGEST_SECRET).map_err(failed)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(SecretString::from(text.strip_suffix('\r').unwrap_or(text)))
}

enum Failure {
    Missing,
    TooLarge,
    NotUtf8 { line: usize },
    Other(std::io::Error),
}

impl Failure {
    fn text(&self, largest: u64) -> String {
        match self {
            Failure::Missing => "there is no such file".to_owned(),
            Failure::TooLarge => format!("larger than {} KiB", largest >> 10),
            Failure::NotUtf8 { line } => format!("not UTF-8 text (line {line})"),
            Failure::Other(error) => match error.kind() {
                ErrorKind::PermissionDenied => {
                    "permission denied; the user that runs veilwarden must be able to read it".to_owned()
                }
                ErrorKind::IsADirectory => "this is a directory".to_owned(),
                _ => error.to_string(),
            },
        }
    }
}

fn read(path: &Path, largest: u64) -> Result<Zeroizing<String>, Failure> {
    let file = File::open(path).map_err(Failure::from)?;
    // Room for all that may come: a buffer that grew would leave pieces of a secret behind.
    let known = file.metadata().map_or(0, |metadata| metadata.len()).min(largest);
    let mut bytes = Zeroizing::new(Vec::with_capacity(known as usize + 1));
    file.take(largest + 1).read_to_end(&mut bytes).map_err(Failure::from)?;
    if bytes.len() as u64 > largest {
        return Err(Failure::TooLarge);
    }
    let bytes = std::mem::take(&mut *bytes);
    String::from_utf8(bytes).map(Zeroizing::new).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let bytes = Zeroizing::new(error.into_bytes());
        Failure::NotUtf8 { line: memchr::memchr_iter(b'\n', &bytes[..good]).count() + 1 }
    })
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == ErrorKind::NotFound { Failure::Missing } else { Failure::Other(error) }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn l07_a_file_that_cannot_be_read_says_why() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("v.yaml");
        assert!(config(&path).unwrap_err().starts_with("there is no such file; name one with --config"));
        assert_eq!(config(dir.path()).unwrap_err(), "this is a directory");
        assert_eq!(config(Path::new("/proc/self/mem")).unwrap_err(), "Input/output error (os error 5)");
        std::fs::write(&path, "a: b\nc: \u{e9}\n".chars().map(|c| c as u8).collect::<Vec<u8>>()).expect("written");
        assert_eq!(config(&path).unwrap_err(), "not UTF-8 text (line 2)");
        std::fs::write(&path, " ".repeat(LARGEST_CONFIG as usize + 1)).expect("written");
        assert_eq!(config(&path).unwrap_err(), "larger than 1024 KiB");
        std::fs::write(&path, " ".repeat(LARGEST_CONFIG as usize)).expect("written");
        assert!(config(&path).is_ok());
    }

    #[test]
    fn a_secret_loses_one_newline() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("secret");
        for (text, secret_text) in [("a b", "a b"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("", "")] {
            std::fs::write(&path, text).expect("written");
            assert_eq!(secret(&path).expect("readable").expose_secret(), secret_text, "{text:?}");
        }
    }
}
