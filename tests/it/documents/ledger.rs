//! The ledger of known failures: every row has an answer, and every test that is one exists.

use std::collections::BTreeSet;

use super::markdown::{Document, codes};
use super::sources;

const HEAD: &str = "| known failure | what it was | here |";

/// Whether the answer admits what no test holds, and says more than the word.
fn admits(answer: &str) -> bool {
    ["**Open**", "**Elsewhere**"].iter().any(|word| answer.contains(word)) && answer.len() > 60
}

/// Names of tests: words joined by underscores, no path and no file.
fn tests(answer: &str) -> Vec<&str> {
    let is_name = |span: &&str| {
        span.contains('_') && span.bytes().all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    codes(answer).into_iter().filter(is_name).collect()
}

/// The ids of public lists in a text: `CVE-…`, `RUSTSEC-…`, `GHSA-…`, `VU#…`.
fn ids(text: &str) -> Vec<&str> {
    let words = text.split([' ', ',', ';', '(', ')']);
    words.filter(|word| ["CVE-", "RUSTSEC-", "GHSA-", "VU#"].iter().any(|list| word.starts_with(list))).collect()
}

/// `CVE-2023-44487`: a year of four digits and a number of at least four; the same for RUSTSEC.
fn is_well_formed(id: &str) -> bool {
    let Some((_, number)) = id.split_once('-').filter(|(list, _)| ["CVE", "RUSTSEC"].contains(list)) else {
        return true;
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    number.split_once('-').is_some_and(|(year, n)| year.len() == 4 && digits(year) && n.len() >= 4 && digits(n))
}

#[test]
fn every_known_failure_is_held_by_a_test_or_admitted() {
    let page = Document::read("docs/ledger.md");
    let sources = sources(&["src", "tests"]);
    let rows: Vec<Vec<String>> = page.tables(HEAD).into_iter().flatten().collect();
    assert!(rows.len() >= 60, "only {} rows", rows.len());
    let mut listed = BTreeSet::new();
    for row in &rows {
        let [failure, _, answer] = &row[..] else { panic!("three cells: {row:?}") };
        for id in ids(failure) {
            assert!(is_well_formed(id), "{id} is no id");
            assert!(listed.insert(id), "{id} stands in two rows");
        }
        let named = tests(answer);
        assert!(!named.is_empty() || admits(answer), "{failure}: neither a test nor a reason");
        for name in named {
            assert!(sources.contains(&format!("fn {name}(")), "{failure}: there is no test {name}");
        }
    }
    assert!(listed.len() > 100, "only {} ids", listed.len());
}
