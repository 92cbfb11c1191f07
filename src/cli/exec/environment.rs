//! What the child's environment says about proxies and roots.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

/// Where clients look for their proxy. Some read the one case only, some the other.
const PROXY: [&str; 4] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"];

/// What would lead calls around the proxy or to another one: exceptions, and variables that some clients read before
/// the four above.
const AROUND: [&str; 14] = [
    "NO_PROXY",
    "no_proxy",
    "no_grpc_proxy",
    "ALL_PROXY",
    "all_proxy",
    "grpc_proxy",
    "WS_PROXY",
    "ws_proxy",
    "WSS_PROXY",
    "wss_proxy",
    "npm_config_noproxy",
    "npm_config_proxy",
    "npm_config_https_proxy",
    "AWS_NO_PROXY",
];

/// Where clients look for roots to trust, each for a file in PEM.
const ROOTS: [&str; 8] = [
    "SSL_CERT_FILE",                    // OpenSSL, Go, Rust, Ruby
    "NODE_EXTRA_CA_CERTS",              // Node
    "REQUESTS_CA_BUNDLE",               // Python's requests, pip
    "CURL_CA_BUNDLE",                   // curl
    "GIT_SSL_CAINFO",                   // git
    "AWS_CA_BUNDLE",                    // the AWS CLI and boto3
    "DENO_CERT",                        // Deno
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", // gRPC's C core
];

/// What is set and what is removed. Whatever is not named stays as it was inherited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    set: Vec<(&'static str, OsString)>,
    keys: BTreeSet<OsString>,
}

impl Changes {
    /// `proxy`: a URL with its credential. `bundle`: the roots to trust; without one, none of the variables is touched.
    pub fn new(proxy: &str, bundle: Option<&Path>) -> Changes {
        let mut set: Vec<(&str, OsString)> = PROXY.iter().map(|name| (*name, OsString::from(proxy))).collect();
        // Node's own fetch looks at the proxy variables only when it is told to.
        set.push(("NODE_USE_ENV_PROXY", OsString::from("1")));
        if let Some(path) = bundle {
            set.extend(ROOTS.iter().map(|name| (*name, path.as_os_str().to_owned())));
        }
        Changes { set, keys: BTreeSet::new() }
    }

    /// The same without these variables, which hold keys.
    pub fn without(self, keys: BTreeSet<OsString>) -> Changes {
        Changes { keys, ..self }
    }

    /// The names of the variables that held keys, for people; `None` when there is none.
    pub fn removed_keys(&self) -> Option<String> {
        let names: Vec<_> = self.keys.iter().map(|name| name.to_string_lossy()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// Changes what the command will inherit.
    pub fn apply(&self, command: &mut Command) {
        let around = AROUND.iter().map(OsStr::new);
        for name in around.chain(self.keys.iter().map(OsString::as_os_str)) {
            command.env_remove(name);
        }
        for (name, value) in &self.set {
            command.env::<&OsStr, &OsStr>(name.as_ref(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn after(changes: &Changes) -> BTreeMap<String, Option<String>> {
        let mut command = Command::new("true");
        changes.apply(&mut command);
        let text = |text: &OsStr| text.to_str().unwrap().to_owned();
        command.get_envs().map(|(name, value)| (text(name), value.map(text))).collect()
    }

    #[test]
    fn every_client_finds_the_proxy_and_none_an_exception() {
        let environment = after(&Changes::new("http://x:y@127.0.0.1:1", None));
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"] {
            assert_eq!(environment[name].as_deref(), Some("http://x:y@127.0.0.1:1"), "{name}");
        }
        for name in ["NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "npm_config_noproxy"] {
            assert_eq!(environment[name], None, "{name}");
        }
        assert_eq!(environment["NODE_USE_ENV_PROXY"].as_deref(), Some("1"));
        assert!(!environment.contains_key("SSL_CERT_FILE"), "no bundle, no change");
    }

    #[test]
    fn keys_are_removed_and_named() {
        let keys = BTreeSet::from(["B_KEY", "A_KEY"].map(OsString::from));
        let changes = Changes::new("http://x:y@127.0.0.1:1", None).without(keys);
        assert_eq!(changes.removed_keys().as_deref(), Some("A_KEY, B_KEY"));
        assert_eq!(after(&changes)["A_KEY"], None);
        assert_eq!(Changes::new("", None).removed_keys(), None);
    }

    #[test]
    fn every_client_finds_the_roots() {
        let environment = after(&Changes::new("http://x:y@127.0.0.1:1", Some(Path::new("/b.pem"))));
        for name in ROOTS {
            assert_eq!(environment[name].as_deref(), Some("/b.pem"), "{name}");
        }
    }
}
