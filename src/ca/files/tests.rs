use std::os::unix::fs::PermissionsExt;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_ca_is_made_once_and_for_its_owner() {
    let home = tempfile::tempdir().unwrap();
    let state_dir = home.path().join("state/veilwarden");
    let source = Source::Made { state_dir: state_dir.clone() };
    assert!(source.read().unwrap().is_none() && !state_dir.exists());
    let made = source.read_or_make().unwrap().pem().to_owned();
    assert_eq!((mode(&state_dir), mode(&state_dir.join("ca.key"))), (0o700, 0o600));
    assert_eq!(source.read_or_make().unwrap().pem(), made);
    assert_eq!(source.read().unwrap().unwrap().pem(), made);
}

#[test]
fn starts_at_the_same_time_agree_on_one_ca() {
    let home = tempfile::tempdir().unwrap();
    let source = Source::Made { state_dir: home.path().join("state") };
    let start = |_| {
        let source = source.clone();
        std::thread::spawn(move || source.read_or_make().unwrap().pem().to_owned())
    };
    let starts: Vec<_> = (0..8).map(start).collect();
    let pems: Vec<String> = starts.into_iter().map(|start| start.join().unwrap()).collect();
    assert!(pems.iter().all(|pem| *pem == pems[0]));
}

#[test]
fn a_start_that_broke_off_leaves_nothing_that_counts() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(format!("ca.{}.new", std::process::id())), "half a k").unwrap();
    let source = Source::Made { state_dir: home.path().to_owned() };
    assert!(source.read().unwrap().is_none());
    assert!(source.read_or_make().is_ok());
}

#[test]
fn a_start_that_broke_off_between_the_two_files_is_ended_by_the_next() {
    let home = tempfile::tempdir().unwrap();
    let kept = Kept::within(home.path());
    let source = Source::Made { state_dir: home.path().to_owned() };
    let (cert, key) = Authority::make().unwrap();
    write(&kept.begun().cert, 0o644, cert.as_bytes()).unwrap();
    write(&kept.key, 0o600, key.as_bytes()).unwrap();
    assert!(source.read().unwrap().is_none());
    assert_eq!(source.read_or_make().unwrap().pem(), cert);
    assert_eq!(source.read().unwrap().unwrap().pem(), cert);
    assert!(!kept.begun().cert.exists());

    let (another, _) = Authority::make().unwrap();
    write(&kept.begun().cert, 0o644, another.as_bytes()).unwrap();
    fs::remove_file(&kept.cert).unwrap();
    assert!(matches!(source.read_or_make(), Err(Error::CertMissing { .. })), "the key is not this certificate's");
    fs::remove_file(&kept.key).unwrap();
    assert_ne!(source.read_or_make().unwrap().pem(), another, "whose key there never was");
}

#[test]
fn g26_a_key_or_directory_open_to_others_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let source = Source::Made { state_dir: home.path().to_owned() };
    source.read_or_make().unwrap();
    let key = home.path().join("ca.key");
    for (bad, fine) in [(0o604, false), (0o644, false), (0o601, false), (0o640, true), (0o440, true), (0o600, true)] {
        chmod(&key, bad);
        let read = source.read();
        assert_eq!(read.is_ok(), fine, "{bad:o}");
        if let Err(error) = read {
            assert!(error.to_string().contains("chmod o= "), "{error}");
        }
    }
    chmod(home.path(), 0o777);
    assert!(matches!(source.read(), Err(Error::DirectoryOpenToOthers { .. })));
    chmod(home.path(), 0o755);
    assert!(source.read().is_ok());
    fs::remove_file(&key).unwrap();
    assert!(matches!(source.read(), Err(Error::KeyMissing { .. })));
}

#[test]
fn a_ca_that_is_being_made_is_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let source = Source::Made { state_dir: home.path().to_owned() };
    source.read_or_make().unwrap();
    let (cert, elsewhere) = (home.path().join("ca.crt"), home.path().join("elsewhere"));
    fs::rename(&cert, &elsewhere).unwrap();
    assert!(matches!(source.read(), Err(Error::CertMissing { .. })));
    let making = lock(home.path()).unwrap();
    let other = std::thread::spawn(move || source.read().map(|found| found.is_some()));
    fs::rename(&elsewhere, &cert).unwrap();
    drop(making);
    assert!(other.join().unwrap().unwrap());
}

#[test]
fn what_the_system_says_is_repeated_and_a_want_of_descriptors_is_no_bad_file() {
    let said = |errno: Errno| failed(Path::new("/x"), &io::Error::from(errno));
    assert_eq!(said(Errno::IO).to_string(), "/x: Input/output error (os error 5)");
    for errno in [Errno::MFILE, Errno::NFILE] {
        assert!(matches!(said(errno), Error::NoOpenFiles { .. }), "{errno}");
    }
}

#[test]
fn given_files_are_read_and_never_made() {
    let home = tempfile::tempdir().unwrap();
    let Kept { cert, key } = Kept::within(home.path());
    let source = Source::Given { cert: cert.clone(), key: key.clone() };
    let missing = source.read_or_make().err().unwrap().to_string();
    assert!(missing.ends_with("there is no such file"), "{missing}");
    Kept { cert: cert.clone(), key: key.clone() }.make().unwrap();
    assert!(source.read_or_make().is_ok());
    fs::write(&cert, "x").unwrap();
    let error = source.read().err().unwrap().to_string();
    assert!(error.starts_with(&cert.display().to_string()), "{error}");
}
