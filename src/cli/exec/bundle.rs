//! One file with the system's roots and ours, since most variables that name roots replace the system's.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tempfile::TempDir;

/// A directory that nobody else can write to. It is removed when this is dropped.
#[derive(Debug)]
pub struct Bundle {
    _directory: TempDir,
    path: PathBuf,
}

impl Bundle {
    /// Writes the system's roots (`SSL_CERT_FILE` and `SSL_CERT_DIR` honoured) and those of `ca_file` (PEM).
    ///
    /// # Errors
    /// `ca_file` holds no certificate, or there is no place for the bundle.
    pub fn write(ca_file: &Path) -> Result<Bundle> {
        let own = || format!("--ca-file {}", ca_file.display());
        let certificates: Vec<_> =
            CertificateDer::pem_file_iter(ca_file).with_context(own)?.collect::<Result<_, _>>().with_context(own)?;
        anyhow::ensure!(!certificates.is_empty(), "{}: holds no PEM certificate", own());
        Self::of(&certificates)
    }

    /// The same for certificates that stand in no file.
    ///
    /// # Errors
    /// There is no place for the bundle.
    pub fn of(own: &[CertificateDer<'_>]) -> Result<Bundle> {
        let system = rustls_native_certs::load_native_certs().certs;
        let text: String = system.iter().chain(own).map(pem).collect();
        let directory = directory()?;
        let path = directory.path().join("roots.pem");
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(Bundle { _directory: directory, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A directory that only this user may enter.
///
/// # Errors
/// There is no place for it.
pub fn directory() -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("veilwarden-exec-").permissions(Permissions::from_mode(0o700));
    builder.tempdir().context("no place for certificates; TMPDIR names a directory to write to")
}

/// RFC 7468.
fn pem(certificate: &CertificateDer<'_>) -> String {
    let encoded = STANDARD.encode(certificate);
    let lines: Vec<&str> = (0..encoded.len()).step_by(64).map(|at| &encoded[at..encoded.len().min(at + 64)]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_holds_the_ca_and_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let ca = rcgen::CertificateParams::new(vec!["ca.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, ca.pem()).unwrap();
        let bundle = Bundle::write(&file).unwrap();
        let path = bundle.path().to_owned();
        let inside: Vec<_> = CertificateDer::pem_file_iter(&path).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(inside.last(), Some(ca.der()));
        assert_eq!(path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        drop(bundle);
        assert!(!path.parent().unwrap().exists());
    }

    #[test]
    fn a_file_without_a_certificate_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "nothing\n").unwrap();
        for path in [&empty, &folder.path().join("absent.pem")] {
            let error = format!("{:#}", Bundle::write(path).unwrap_err());
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }
}
