//! A module uses only those above it in lib.rs; heavy dependencies have one door each.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every source file: its path below `src`, and its text without the tests at its bottom.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    let code = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    };
    paths.iter().map(|path| (name(path), code(path))).collect()
}

fn order() -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.split(';').next().map(str::to_owned)).collect()
}

/// The first name behind every `crate::`, also those inside `use crate::{a::b, c}`.
fn used_modules(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut name = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    name.push(c);
                }
            }
            found.extend(name.split(',').map(|part| part.trim().split(':').next().unwrap_or_default().to_owned()));
        } else {
            found.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found.retain(|name| name.chars().next().is_some_and(char::is_lowercase));
    found
}

#[test]
fn a_module_uses_only_those_above_it() {
    let order = order();
    assert!(order.len() > 10, "lib.rs was not read: {order:?}");
    let rank = |name: &str| order.iter().position(|module| module == name);
    let mut arrows = 0;
    for (file, code) in files() {
        let module = file.split(['/', '.']).next().unwrap().to_owned();
        let Some(own) = rank(&module) else { continue };
        for used in used_modules(&code) {
            if let Some(other) = rank(&used) {
                arrows += 1;
                assert!(other <= own, "{file} uses crate::{used}, which stands below {module} in lib.rs");
            }
        }
    }
    assert!(arrows > 50, "only {arrows} arrows were found");
}

#[test]
fn heavy_dependencies_have_their_doors() {
    for (word, doors) in [
        ("regorus::", &["policy/rego"][..]),
        ("kube::", &["authn/", "cli/demo/token.rs"]),
        ("jsonwebtoken::", &["authn/jwks/"]),
        ("prometheus_client", &["metrics"]),
        ("clap::", &["cli/args"]),
        ("serde_saphyr", &["config/", "policy/loader"]),
        ("hyper_util::client", &["upstream", "client"]),
        ("moka::", &["authn/", "limits/", "secrets/", "ca.rs"]),
        ("rcgen::", &["ca/", "authn/played/", "client/played.rs"]),
        ("x509_parser", &["ca/"]),
        (".credential()", &["stages/", "pipeline.rs"]),
        ("upstreams.relay(", &["server/forward/relay.rs"]),
        ("Relay::new(", &["stages/authenticated.rs"]),
        (
            ".expose_secret(",
            &["request/credential.rs", "route/template.rs", "redact/memory.rs", "secrets", "authn/", "config/"],
        ),
        ("flate2::", &["redact/", "fuzz/redactor/codings.rs"]),
        (".into_outgoing(", &["upstream.rs", "upstream/websocket.rs", "stages/tests/"]),
        ("WebSocket::new(", &["stages/authenticated.rs"]),
        ("upstreams.open(", &["pipeline.rs"]),
    ] {
        let mut uses = 0;
        for (file, code) in files() {
            if code.contains(word) {
                uses += 1;
                assert!(
                    doors.iter().any(|door| file.starts_with(door)),
                    "{file} uses {word}, whose doors are {doors:?}"
                );
            }
        }
        assert!(uses > 0, "{word} is used nowhere: the table is out of date");
    }
}

#[test]
fn the_stages_keep_their_fields_to_themselves() {
    for (file, code) in
        files().into_iter().filter(|(file, _)| file.starts_with("stages/") && !file.contains("received"))
    {
        for state in ["Authenticated", "Authorized", "Prepared"] {
            if let Some((_, body)) = code.split_once(&format!("pub struct {state}<B> {{")) {
                let fields = body.split('}').next().unwrap();
                assert!(!fields.contains("pub "), "{file}: {state} has a public field");
            }
        }
    }
}
