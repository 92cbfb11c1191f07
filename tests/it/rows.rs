//! Every row of hostile-cases.md that this version answers for is proved by a test that names it, or stands in the
//! list of docs/hostile-cases.md with the reason why not yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The rows of each group. Numbers are stable; those that are missing were never given or were merged into others.
const ROWS: [(char, &[u8]); 14] = [
    (
        'A',
        &[
            1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18, 20, 21, 22, 23, 24, 26, 27, 28, 29, 30, 31, 32, 33,
            34, 35, 36, 37, 38, 39, 41, 43,
        ],
    ),
    ('B', &[1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19, 20, 22, 23]),
    ('C', &[1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23, 24, 25, 26, 27, 29, 30]),
    (
        'D',
        &[
            1, 4, 5, 6, 7, 8, 10, 11, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 33, 34,
            36, 37, 38,
        ],
    ),
    ('E', &[1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 16, 17, 18, 19, 20]),
    ('F', &[3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24, 26, 27, 28, 29, 31, 32, 33, 34]),
    ('G', &[1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 13, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]),
    (
        'H',
        &[
            1, 2, 3, 4, 6, 9, 11, 12, 13, 15, 16, 17, 18, 20, 21, 22, 23, 24, 25, 26, 28, 29, 30, 31, 32, 34, 35, 36,
            37, 38,
        ],
    ),
    ('I', &[1, 2, 4, 6, 8, 9, 10, 11, 12, 13]),
    ('J', &[1, 2, 3, 5, 6, 7, 8, 10, 12, 13, 14, 15, 16, 17, 19]),
    ('K', &[1, 2, 3, 5, 6, 8, 9, 10, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24]),
    ('L', &[1, 2, 3, 5, 7, 8, 9, 10, 11, 12]),
    ('M', &[1, 2, 3, 6, 7, 8, 9, 10]),
    ('N', &[1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]),
];

fn rows() -> BTreeSet<String> {
    ROWS.iter().flat_map(|(group, numbers)| numbers.iter().map(move |number| format!("{group}{number:02}"))).collect()
}

/// Every Rust file below a directory, but this one.
fn sources(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests/it/rows.rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// `A03` from `a03`; `None` for anything else.
fn id(word: &str) -> Option<String> {
    let [group, tens, ones] = word.as_bytes() else { return None };
    let fine = group.is_ascii_lowercase() && tens.is_ascii_digit() && ones.is_ascii_digit();
    fine.then(|| word.to_uppercase())
}

/// The ids in a test's name: `a03_x`, `b01_b02_x`, `c01_to_c11_x`.
fn ids_of_name(name: &str, rows: &BTreeSet<String>) -> Vec<String> {
    let words: Vec<&str> = name.split('_').collect();
    let mut ids: Vec<String> = words.iter().filter_map(|word| id(word)).collect();
    for range in words.windows(3).filter(|range| range[1] == "to") {
        if let (Some(first), Some(last)) = (id(range[0]), id(range[2])) {
            ids.extend(rows.range(first..=last).cloned());
        }
    }
    ids
}

/// The ids that tests name, in a function's name or at the start of a string (`"a03 two lines"`).
fn tested(rows: &BTreeSet<String>) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    sources(&root.join("src"), &mut texts);
    sources(&root.join("tests"), &mut texts);
    let mut found = BTreeSet::new();
    for text in &texts {
        let mut after_attribute = false;
        for line in text.lines().map(str::trim) {
            if let Some((_, name)) = line.split_once("fn ").filter(|_| after_attribute) {
                found.extend(ids_of_name(name.split('(').next().unwrap(), rows));
            }
            after_attribute = line.starts_with("#[") && (after_attribute || line.contains("test"));
            let strings = line.split('"').filter_map(|part| part.split_once(' ').and_then(|(word, _)| id(word)));
            found.extend(strings);
        }
    }
    found
}

/// The rows that wait, each with its reason, from the table in docs/hostile-cases.md.
fn later() -> BTreeMap<String, String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/hostile-cases.md")).unwrap();
    let table = text.split("\n## ").find(|section| section.starts_with("Later")).expect("a section \"Later\"");
    let mut list = BTreeMap::new();
    for cells in table.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>()) {
        let [_, row, reason, _] = &cells[..] else { continue };
        if id(&row.to_lowercase()).is_some() {
            let twice = list.insert(row.to_string(), reason.to_string());
            assert_eq!(twice, None, "{row} is listed twice");
        }
    }
    list
}

#[test]
fn every_row_is_tested_or_listed_with_a_reason() {
    let (rows, later) = (rows(), later());
    let tested = tested(&rows);
    assert!(tested.contains("A03") && tested.contains("C05") && later.len() > 5, "tests or list were not read");
    let missing: Vec<_> = rows.iter().filter(|row| !tested.contains(*row) && !later.contains_key(*row)).collect();
    assert!(missing.is_empty(), "neither tested nor listed: {missing:?}");
    for (row, reason) in &later {
        assert!(rows.contains(row), "{row} is listed and is no row");
        assert!(reason.len() > 15, "{row}: no reason");
    }
}
