//! `veilwarden install`: the program takes itself to where another container runs it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::process::Command;

use crate::world::process::{self, End};

#[tokio::test]
async fn a_copy_runs_and_takes_the_place_of_what_was_there() {
    let directory = tempfile::tempdir().unwrap();
    let (copy, elsewhere) = (directory.path().join("veilwarden"), directory.path().join("elsewhere"));
    fs::write(&elsewhere, "kept").unwrap();
    symlink(&elsewhere, &copy).unwrap();
    for turn in ["in the place of a link", "in its own place"] {
        let (end, out, err) = process::run(&["install", directory.path().to_str().unwrap()], &[]).await;
        assert_eq!((end, out), (End::Exit(0), format!("{}: written", copy.display())), "{turn}: {err}");
        let metadata = copy.symlink_metadata().unwrap();
        assert!(metadata.is_file() && metadata.mode() & 0o7777 == 0o555, "{turn}: {metadata:?}");
        let version = Command::new(&copy).arg("version").output().unwrap().stdout;
        assert_eq!(String::from_utf8(version).unwrap(), format!("veilwarden {}\n", env!("CARGO_PKG_VERSION")));
    }
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "kept", "no link is followed");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing else is left behind");
}

#[tokio::test]
async fn without_the_directory_it_says_where_it_could_not_go() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let (end, out, err) = process::run(&["install", missing.to_str().unwrap()], &[]).await;
    assert_eq!((end, out.as_str()), (End::Exit(1), ""));
    assert!(
        err.contains(&format!("the program cannot be copied to {}", missing.join("veilwarden").display())),
        "{err}"
    );
}
