//! The documents are true: examples are run, tables compared with the sources, links followed.

mod acceptance;
mod copies;
mod examples;
mod ledger;
mod marks;
mod markdown;
mod names;
mod output;
mod shell;
mod tables;

use std::fs;
use std::path::Path;

pub use examples::object;
use markdown::root;
pub use shell::is_there;

/// Every source file below these directories, in one text.
fn sources(directories: &[&str]) -> String {
    fn read(directory: &Path, all: &mut String) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, all);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                all.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut all = String::new();
    directories.iter().for_each(|directory| read(&root().join(directory), &mut all));
    all
}
