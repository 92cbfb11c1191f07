//! Whom we trust when we call out.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, RootCertStore, crypto};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::Error;

/// TLS 1.2 and 1.3 with Mozilla's roots (a scratch image has no others), the system's (`SSL_CERT_FILE` and
/// `SSL_CERT_DIR` honoured, read once), and those of `ca_file` (PEM) where one is given. ALPN is left empty, and
/// no client certificate is offered.
///
/// The provider is named, never looked up: a second one that some dependency brings must not change what we use.
pub fn tls_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, Error> {
    // Some hundred kilobytes, which all configurations without a file of their own share.
    let mut roots = Arc::clone(common_roots());
    if let Some(path) = ca_file {
        add_ca_file(Arc::make_mut(&mut roots), path)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn common_roots() -> &'static Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::debug!(%error, "some of the system's root certificates cannot be read");
        }
        roots.add_parsable_certificates(native.certs);
        Arc::new(roots)
    })
}

fn add_ca_file(roots: &mut RootCertStore, path: &Path) -> Result<(), Error> {
    let refused = |reason: String| Error::CaFile { path: path.display().to_string(), reason };
    let mut found = false;
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| refused(error.to_string()))? {
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
        found = true;
    }
    if found { Ok(()) } else { Err(refused("holds no PEM certificate".to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_without_a_certificate_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "nothing here\n").unwrap();
        for path in [&empty, &folder.path().join("absent.pem")] {
            let error = tls_config(Some(path)).unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn no_protocol_is_announced_and_mozillas_roots_are_inside() {
        assert!(tls_config(None).unwrap().alpn_protocols.is_empty());
        assert!(common_roots().len() >= webpki_roots::TLS_SERVER_ROOTS.len());
    }
}
