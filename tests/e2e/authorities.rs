//! The two CAs: that of forward mode, which callers trust, and that of the upstream, which only its route does.

use std::fs;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::kubectl;
use crate::scene;

/// The CA of forward mode, both in PEM.
pub struct Ca {
    pub certificate: String,
    pub key: String,
}

impl Ca {
    /// That of an installation which is there.
    pub fn in_use() -> Option<Ca> {
        kubectl::attempt(&["get", "secret", "--namespace", "veilwarden", "veilwarden-ca"]).succeeded.then(|| {
            let [certificate, key] = ["tls.crt", "tls.key"].map(|key| scene::value("veilwarden", "veilwarden-ca", key));
            Ca { certificate, key }
        })
    }

    /// A new one, made as the documents say.
    pub fn make() -> Ca {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let mut init = Command::new(env!("CARGO_BIN_EXE_veilwarden"));
        let output = init.args(["ca", "init", "--out-dir"]).arg(directory.path()).output().expect("it starts");
        assert!(output.status.success(), "veilwarden ca init: {output:?}");
        let [certificate, key] =
            ["ca.crt", "ca.key"].map(|name| fs::read_to_string(directory.path().join(name)).expect("it was made"));
        Ca { certificate, key }
    }
}

/// A CA's certificate, one of it for the upstream, and that one's key, all PEM.
pub fn upstream_certificates() -> [String; 3] {
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("no names");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Another name than the leaf's, which OpenSSL would take for self-signed.
    ca.distinguished_name.push(DnType::CommonName, "the upstream's CA");
    let root = ca.self_signed(&ca_key).expect("a certificate").pem();
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec![scene::HOST.to_owned()]).expect("a name");
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).expect("a certificate");
    [root, leaf.pem(), key.serialize_pem()]
}
