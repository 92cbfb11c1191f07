use std::fs;

use super::*;

/// The output, as it is when the path has not been looked at for a while.
fn later(mut output: Output) -> Output {
    let watched = output.path.as_mut().expect("a regular file is watched");
    watched.looked = Instant::now().checked_sub(LOOK);
    output
}

fn write(output: &mut Output, line: &str) -> bool {
    let anew = output.prepare().unwrap();
    assert_eq!(output.write(line.as_bytes()).unwrap(), line.len());
    anew
}

#[test]
fn a_file_that_was_renamed_or_removed_is_followed_by_a_new_one() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let mut output = Output::file(&path).unwrap();
    write(&mut output, "first\n");
    fs::rename(&path, home.path().join("old")).unwrap();
    let mut output = later(output);
    assert!(write(&mut output, "second\n"), "a line that was begun has to be begun anew");
    assert_eq!(fs::read_to_string(home.path().join("old")).unwrap(), "first\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "second\n");
    fs::remove_file(&path).unwrap();
    let mut output = later(output);
    assert!(write(&mut output, "third\n"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "third\n");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let mut output = later(output);
    assert!(!write(&mut output, "fourth\n"), "it is the same file");
}

#[test]
fn a_file_that_was_emptied_goes_on_from_its_beginning() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let mut output = Output::file(&path).unwrap();
    write(&mut output, "first\nsec");
    fs::write(&path, "").unwrap();
    let mut output = later(output);
    assert!(write(&mut output, "second\n"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "second\n");
}

#[test]
fn after_a_failure_it_is_looked_at_once_whether_the_file_was_emptied() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let mut output = Output::file(&path).unwrap();
    write(&mut output, "first\nsec");
    output.sink = Box::new(File::open(&path).unwrap());
    output.write(b"ond\n").unwrap_err();
    fs::write(&path, "").unwrap();
    assert!(output.prepare().unwrap(), "the rest alone would be no record");
}

#[test]
fn a_new_file_that_cannot_be_opened_is_an_output_that_fails_until_it_can() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("logs");
    let path = directory.join("audit.jsonl");
    fs::create_dir(&directory).unwrap();
    let mut output = later(Output::file(&path).unwrap());
    fs::rename(&directory, home.path().join("moved")).unwrap();
    for _ in 0..2 {
        assert_eq!(output.prepare().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
    fs::create_dir(&directory).unwrap();
    assert!(write(&mut output, "line\n"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "line\n");
}

#[test]
fn a_file_that_ends_inside_a_line_gets_an_end_of_line_first() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    for (there, expected) in
        [("", "line\nline\n"), ("{\"torn", "{\"torn\nline\nline\n"), ("whole\n", "whole\nline\nline\n")]
    {
        fs::write(&path, there).unwrap();
        let mut output = Output::file(&path).unwrap();
        assert!(!write(&mut output, "line\n"));
        assert!(!write(&mut output, "line\n"));
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }
}

#[test]
fn what_is_no_regular_file_is_not_looked_at() {
    assert!(Output::file(Path::new("/dev/null")).unwrap().path.is_none());
}
