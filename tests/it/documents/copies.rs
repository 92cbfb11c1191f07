//! What stands in two places is the same in both.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::markdown::{Document, root};
use crate::world::World;
use crate::world::process::{End, run};

/// What a command line of `veilwarden` prints.
async fn printed(line: &str) -> String {
    let arguments: Vec<_> = line.split_whitespace().skip(1).collect();
    let (end, stdout, stderr) = run(&arguments, &[]).await;
    assert_eq!(end, End::Exit(0), "{line}: {stderr}");
    stdout + "\n"
}

#[tokio::test]
async fn pods_to_copy_are_what_snippet_prints() {
    let document = Document::read("docs/pods.md");
    let blocks = document.blocks();
    let mut compared = 0;
    for (index, block) in blocks.iter().enumerate().filter(|(_, block)| block.test() == Some("snippet")) {
        assert_eq!(blocks[index + 1].text, printed(&block.text).await, "{}", document.at(block.line));
        compared += 1;
    }
    assert_eq!(compared, blocks.iter().filter(|block| block.language == "yaml").count(), "a block has no command");
    assert!(compared > 4, "only {compared} blocks");
}

const QUICK_START: &str = "deploy/kubernetes/examples/quickstart";

#[tokio::test]
async fn the_quick_starts_pod_is_what_snippet_prints() {
    let file = fs::read_to_string(root().join(QUICK_START).join("my-app.yaml")).unwrap();
    assert_eq!(
        file,
        printed("veilwarden snippet pod --upstream echo.quickstart.svc.cluster.local --path /v1/models").await
    );
}

#[tokio::test]
async fn the_quick_starts_policy_loads_and_denies_strangers() {
    let guide = Document::read("docs/kubernetes-usage-guide.md").blocks();
    let policies = guide.iter().filter(|block| block.language == "rego").map(|block| block.text.clone());
    let shipped = fs::read_to_string(root().join(QUICK_START).join("quickstart.rego")).unwrap();
    let policies: Vec<_> = policies.chain([shipped]).collect();
    assert_eq!(policies.len(), 3);
    for policy in policies {
        let world = World::new().await.kubernetes().await.rego(&policy).start().await;
        let answer = world.get("a.test").await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "POLICY_DENIED"), "{policy}");
    }
}

#[tokio::test]
async fn the_policy_for_the_hosts_of_a_wildcard_allows_what_it_says() {
    let blocks = Document::read("docs/policies.md").blocks();
    let policy = blocks.iter().find(|block| block.text.contains("%s.example.com")).expect("the policy");
    let world = World::new().await.kubernetes().await.rego(&policy.text).route_to_a("\"*.example.com\"", "KEY_A");
    let world = world.start().await;
    for (host, status) in [("status", 200), ("docs", 200), ("prod", 200), ("other", 403), ("prod-2", 403)] {
        let answer = world.get(&format!("{host}.example.com")).await;
        assert_eq!(answer.status, status, "{host}: {answer:?}");
    }
}

/// Where a link of a document leads, as a path from the project's directory.
fn target(from: &Path, link: &str) -> PathBuf {
    let mut target = from.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(link.split('#').next().unwrap_or_default()).components() {
        match part {
            Component::ParentDir => drop(target.pop()),
            part => target.push(part),
        }
    }
    target
}

/// Else the book would have a link to a page that is not in it.
#[test]
fn no_page_of_the_book_links_to_one_outside_of_it() {
    let summary = Document::read("docs/SUMMARY.md");
    let book: BTreeSet<_> = summary.links().iter().map(|(_, link)| target(&summary.path, link)).collect();
    for page in book.iter().map(Document::read) {
        for (line, link) in page.links().into_iter().filter(|(_, link)| !link.contains("://") && !link.starts_with('#'))
        {
            let target = target(&page.path, link);
            let is_page = target.extension().is_some_and(|extension| extension == "md");
            assert!(!is_page || book.contains(&target), "{}: docs/SUMMARY.md lacks {link}", page.at(line));
        }
    }
}

#[test]
fn the_summary_has_every_page_once() {
    let summary = Document::read("docs/SUMMARY.md");
    let mut listed = BTreeSet::new();
    for (line, link) in summary.links() {
        assert!(listed.insert(link.to_owned()), "{}: twice", summary.at(line));
    }
    let pages = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let pages: BTreeSet<_> =
        pages.map(|name| name.into_string().unwrap()).filter(|name| name.ends_with(".md")).collect();
    for page in pages.iter().filter(|page| *page != "SUMMARY.md") {
        assert!(listed.contains(page), "docs/SUMMARY.md lacks {page}");
    }
    let beside = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for page in beside.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "md")) {
        assert!(listed.contains(&format!("../{page}")), "docs/SUMMARY.md lacks {page}");
    }
}
