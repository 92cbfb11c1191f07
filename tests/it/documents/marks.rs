//! Every block says how it is tested, and is.

use std::collections::BTreeSet;

use super::markdown::{self, Block, Document};
use crate::programs::{LANGUAGES, Program};
use crate::snippets;
use crate::world::World;
use crate::world::kubernetes::token;

/// How a block that is typed or run is tested. Those of the second table cannot be, each for a reason.
const TESTED: [&str; 6] = ["local", "cluster", "pod", "client", "clients", "snippet"];
const UNTESTED: [(&str, &str, &str); 2] = [
    (
        "docker",
        "docs/kubernetes-usage-guide.md",
        "scripts/test_k8s_e2e.sh does the same where there is a Docker daemon",
    ),
    ("cloud", "docs/managed-clusters.md", "it needs an account at the provider"),
];

fn is_typed_or_run(block: &Block) -> bool {
    ["bash", "console", "go", "js", "python", "sh", "shell"].contains(&block.language.as_str())
}

#[test]
fn every_block_says_how_it_is_tested() {
    let mut seen = BTreeSet::new();
    for document in markdown::all() {
        for block in document.blocks() {
            let at = document.at(block.line);
            let Some(test) = block.test() else {
                assert!(!is_typed_or_run(&block), "{at}: nobody runs it");
                continue;
            };
            let untested = UNTESTED.iter().find(|(name, path, _)| *name == test && document.path.ends_with(path));
            assert!(TESTED.contains(&test) || untested.is_some(), "{at}: test={test}");
            seen.insert(test.to_owned());
        }
    }
    assert_eq!(seen.len(), TESTED.len() + UNTESTED.len(), "{seen:?}");
}

#[tokio::test]
async fn each_calling_program_of_the_guide_works() {
    let world = World::new().await.kubernetes().await.route_to_a("api.github.com", "KEY_A").start().await;
    let good = world.kubernetes.as_ref().unwrap().token.clone();
    let mut languages = BTreeSet::new();
    for block in Document::read("docs/kubernetes-usage-guide.md").blocks() {
        if block.test() != Some("client") {
            continue;
        }
        let (language, file) = match block.language.as_str() {
            "sh" => ("curl", "call.sh"),
            "go" => ("go", "call.go"),
            "python" => ("python", "call.py"),
            "js" => ("node", "call.mjs"),
            other => panic!("nobody knows how to run {other}"),
        };
        languages.insert(language);
        assert_eq!(block.text, snippets::program(language).await, "the guide and `snippet` differ: {language}");
        let expired = token("old", "veilwarden", -60);
        let Some(mut program) = Program::start(language, file, &block.text, world.proxy, &expired) else { continue };
        program.prints("401 TOKEN_EXPIRED").await;
        program.renew_token(&good);
        program.prints("200").await;
        assert_eq!(world.a.last().headers("x-key"), [world.canary_a()], "{language}");
    }
    assert_eq!(languages, BTreeSet::from(LANGUAGES));
}
