//! The page that says which test proves what.

use super::markdown::{Document, codes, root};
use super::sources;

/// What stands before the name of a test in pods.
const END_TO_END: &str = "e2e::";

/// What a row claims: every name in its last cell that is not a command or a path.
fn tests_named(cell: &str) -> Vec<&str> {
    codes(cell)
        .into_iter()
        .filter(|span| !span.contains([' ', '/', '.', '-']))
        .filter(|span| span.contains('_'))
        .collect()
}

#[test]
fn every_point_of_the_design_has_a_proof_that_exists() {
    let page = Document::read("docs/acceptance.md");
    let checklist = page.table("| | the design's point | proven by |");
    let criteria = page.table("| | the design's criterion | proven by |");
    let ways_in = page.table("| way in | documented in | proven by |");
    assert_eq!((checklist.len(), criteria.len()), (11, 8));
    let sources = sources(&["src", "tests"]);
    let has_end_to_end = root().join("tests/e2e").is_dir();
    for row in checklist.iter().chain(&criteria).chain(&ways_in) {
        let named = tests_named(&row[2]);
        assert!(!named.is_empty() || row[2].contains("`make test`") || row[2].contains("`.ci/run`"), "{row:?}");
        for name in named {
            let function = name.strip_prefix(END_TO_END);
            if function.is_none() || has_end_to_end {
                let function = function.unwrap_or(name);
                assert!(sources.contains(&format!("fn {function}(")), "there is no test {name}");
            }
        }
    }
}
