//! Links, tests, make targets, configuration keys: whatever is named exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::markdown::{self, Document, codes, root};
use super::sources;

#[test]
fn every_link_leads_somewhere() {
    let mut followed = 0;
    for document in markdown::all() {
        for (line, link) in document.links() {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let directory = document.path.parent().unwrap_or(Path::new(""));
            let target = if file.is_empty() { document.path.clone() } else { directory.join(file) };
            assert!(root().join(&target).exists(), "{}: {link} does not exist", document.at(line));
            if !anchor.is_empty() {
                let anchors = Document::read(&target).anchors();
                assert!(anchors.iter().any(|known| known == anchor), "{}: {link}: {anchors:?}", document.at(line));
            }
            followed += 1;
        }
    }
    assert!(followed > 20, "only {followed} links were found");
}

/// Five words or more: hardly a key of the configuration has as many.
fn is_test_name(span: &str) -> bool {
    let words: Vec<_> = span.split('_').collect();
    let plain = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    words.len() >= 5 && words.iter().all(plain) && !span.starts_with("veilwarden_")
}

#[test]
fn every_test_that_holds_a_promise_exists() {
    let sources = sources(&["src", "tests"]);
    let keys = configuration_keys();
    let is_key = |span: &str| keys.iter().any(|key| key.rsplit('.').next() == Some(span));
    let mut named = 0;
    for document in markdown::all() {
        let spans = document.code_spans().into_iter();
        for (line, name) in spans.filter(|(_, span)| is_test_name(span) && !is_key(span)) {
            assert!(sources.contains(&format!("fn {name}(")), "{}: there is no test {name}", document.at(line));
            named += 1;
        }
    }
    assert!(named > 40, "only {named} names were found");
}

#[test]
fn every_make_target_that_is_named_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    for document in markdown::all() {
        for (line, text) in document.prose() {
            let spans = codes(text).into_iter().chain(text.strip_prefix("    "));
            let targets = spans.filter_map(|span| span.strip_prefix("make ")?.split(' ').next());
            for target in targets {
                let rule = format!("\n{target}:");
                assert!(makefile.contains(&rule), "{}: there is no make {target}", document.at(line));
            }
        }
    }
}

/// The keys of `docs/configuration.md`, which is generated: `routes[].timeouts.idle`.
fn configuration_keys() -> BTreeSet<String> {
    let page = Document::read("docs/configuration.md");
    let mut keys = BTreeSet::new();
    let mut section = String::new();
    for (_, line) in page.prose() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.to_owned();
        } else if let Some(row) = line.strip_prefix("| `") {
            let key = row.split('`').next().unwrap_or_default();
            keys.insert(if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") });
        }
    }
    keys
}

#[test]
fn every_configuration_key_that_is_named_exists() {
    let keys = configuration_keys();
    let sections: BTreeSet<_> = keys.iter().filter_map(|key| key.split_once('.')).map(|(section, _)| section).collect();
    let mut named = 0;
    for document in markdown::all() {
        for (line, span) in document.code_spans() {
            let key = span.split([':', ' ']).next().unwrap_or_default();
            let Some((section, rest)) = key.split_once('.') else { continue };
            let is_file = ["json", "jsonl", "md", "rego", "rs", "yaml"].contains(&rest);
            if sections.contains(section)
                && !is_file
                && rest.bytes().all(|b| b.is_ascii_lowercase() || b"._[]".contains(&b))
            {
                assert!(keys.contains(key), "{}: there is no key {key}", document.at(line));
                named += 1;
            }
        }
    }
    assert!(named > 20, "only {named} keys were found");
}
