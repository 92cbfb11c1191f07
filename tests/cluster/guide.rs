//! The documents, followed to the letter: what they say to type is typed into a shell, in order, against a real cluster.
//!
//! It needs `kubectl` with a cluster of one node or more that has two images already: `veilwarden:v0.2.0`, and under the
//! name `curlimages/curl:8.17.0` anything with a shell and curl. The cluster may be any: only `kubectl` is used.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::markdown::{Block, Document, root};
use crate::transcript::Transcript;

/// Those that say what to type into a cluster. Each begins with a cluster in which there is nothing of ours.
const DOCUMENTS: [&str; 5] = [
    "docs/kubernetes-usage-guide.md",
    "README.md",
    "docs/managed-clusters.md",
    "docs/pods.md",
    "docs/forward-proxy.md",
];

/// The variable that names `kubectl`; it decides whether these tests run.
const KUBECTL: &str = "VEILWARDEN_KUBECTL";

/// From the empty cluster to the end of the block with `mark=first-allowed-call`.
const A_MINUTE: Duration = Duration::from_secs(60);

/// A whole document, rollouts and all.
const PATIENCE: &str = "900";

/// Whatever became of a document, the next one finds nothing of it.
const CLEAN_UP: &str = "\
set +e
kubectl delete -k deploy/kubernetes/examples/quickstart --ignore-not-found --timeout=180s >&2
kubectl delete namespace my-team --ignore-not-found --timeout=180s >&2";

/// The tests, or none where no cluster is named.
pub fn trials() -> Vec<Trial> {
    let Some(kubectl) = std::env::var_os(KUBECTL).map(PathBuf::from) else { return Vec::new() };
    let trial = |name: &str, test: fn(&Path), kubectl: PathBuf| {
        Trial::test(format!("guide::{name}"), move || {
            test(&kubectl);
            Ok(())
        })
    };
    vec![trial("the_documents_are_followed_to_the_letter", the_documents_are_followed_to_the_letter, kubectl)]
}

fn the_documents_are_followed_to_the_letter(kubectl: &Path) {
    for path in DOCUMENTS {
        let document = Document::read(path);
        let blocks = document.blocks();
        let transcript = Transcript::of(&type_in(kubectl, &script(&blocks)));
        if let Some(block) = blocks.iter().find(|block| block.attribute("mark") == Some("first-allowed-call")) {
            let took = transcript.until(block);
            println!("{path}: from the empty cluster to the first allowed call: {:.1} s", took.as_secs_f64());
            assert!(took < A_MINUTE, "a newcomer's machine needs {took:?}");
        }
        transcript.assert_agrees(&document, &blocks);
    }
}

/// One script of a document's blocks: those that name a file are written to it, those that are typed are run.
fn script(blocks: &[Block]) -> String {
    let mut script = format!("set -euo pipefail\ntrap '{CLEAN_UP}' EXIT\n{}", Transcript::begin());
    for block in blocks {
        if let Some(file) = block.attribute("file") {
            script.push_str(&format!(
                "mkdir -p \"$(dirname {file})\"\ncat >{file} <<'END OF FILE'\n{}END OF FILE\n",
                block.text
            ));
        }
        let typed = match block.test() {
            Some("cluster") => block.text.clone(),
            Some("pod") => format!(
                "IN_POD=$(cat <<'END OF SCRIPT'\n{}END OF SCRIPT\n)\nkubectl exec my-app --namespace quickstart -- sh -c \"$IN_POD\"\n",
                block.text
            ),
            _ => continue,
        };
        script.push_str(&Transcript::around(block, &typed));
    }
    script
}

/// Types it in a copy of the checkout, since it writes files there. Returns what was printed.
fn type_in(kubectl: &Path, script: &str) -> String {
    let checkout = checkout();
    // `timeout` makes a process group of its own and ends all of it.
    let shell = Command::new("timeout")
        .args(["--kill-after=10", PATIENCE, "bash", "-c", script])
        .current_dir(checkout.path())
        .env("PATH", path(kubectl))
        .env("HOME", checkout.path())
        .stdin(Stdio::null())
        .output()
        .expect("timeout and bash are there");
    let (stdout, stderr) = (String::from_utf8_lossy(&shell.stdout), String::from_utf8_lossy(&shell.stderr));
    assert!(shell.status.success(), "{}\n{stdout}\n{stderr}", shell.status);
    stdout.into_owned()
}

/// What `kubectl apply -k` reads.
fn checkout() -> TempDir {
    let directory = TempDir::with_prefix_in("guide-", env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let copied = Command::new("cp")
        .arg("-r")
        .args([root().join("deploy"), root().join("policies")])
        .arg(directory.path())
        .status();
    assert!(copied.expect("cp is there").success());
    directory
}

/// `kubectl` and `veilwarden` first, as somebody has them who has installed both.
fn path(kubectl: &Path) -> OsString {
    let veilwarden = Path::new(crate::veilwarden::BINARY);
    let own = [kubectl, veilwarden].into_iter().filter_map(Path::parent).map(Path::to_owned);
    let rest = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(own.chain(std::env::split_paths(&rest))).expect("paths without colons")
}
