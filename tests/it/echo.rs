//! `veilwarden echo`, the test upstream, as a program of its own.

use rustix::process::Signal;
use serde_json::Value;

use crate::world::process::{End, Process, curl};
use crate::world::tls::Authority;
use crate::world::until;

/// Starts it; the URL is the one that it says.
async fn start(arguments: &[&str]) -> (Process, String) {
    let process = Process::spawn(&[&["echo", "--listen", "127.0.0.1:0"], arguments].concat(), &[]);
    let line = || process.stdout().lines().find_map(|line| line.strip_prefix("echo listens on ").map(str::to_owned));
    until("echo to listen", || line().is_some()).await;
    let url = line().unwrap();
    (process, url)
}

#[tokio::test]
async fn it_answers_over_tls_and_shows_digests_of_what_is_masked() {
    let (directory, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let [certificate, key] = authority.certify("localhost", directory.path());
    let (_process, url) =
        start(&["--tls-cert-file", &certificate, "--tls-key-file", &key, "--mask", "Authorization"]).await;
    let port = url.strip_prefix("https://127.0.0.1:").expect("the scheme and the port");
    let (ca, url) = (authority.file(directory.path()).display().to_string(), format!("https://localhost:{port}/a?b"));
    let answer = curl(&["-sS", "--cacert", &ca, "-H", "Authorization: abc", "-H", "X-Other: abc", &url]).await;
    let seen: Value = serde_json::from_str(&answer).expect(&answer);
    assert_eq!(seen["path"], "/a?b");
    assert_eq!(seen["headers"]["x-other"], "abc");
    // FIPS 180-4, "abc".
    let digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(seen["headers"]["authorization"], digest);
}

#[tokio::test]
async fn a_signal_ends_it_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut process, _) = start(&[]).await;
        process.signal(signal);
        assert_eq!(process.end().await, End::Exit(0));
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_told_by_a_good_one() {
    let mut process = Process::spawn(&["echo", "--listen", "nonsense"], &[("ECHO_ADDR", " ")]);
    assert_eq!(process.end().await, End::Exit(1));
    let said = process.stderr();
    assert!(said.contains("\"nonsense\"") && said.contains("127.0.0.1:9090"), "{said}");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let [certificate, key] = Authority::new().certify("localhost", directory.path());
    for (certificate, key, named) in
        [("absent.pem", key.as_str(), "absent.pem"), (&certificate, "absent.key", "absent.key")]
    {
        let mut process = Process::spawn(&["echo", "--tls-cert-file", certificate, "--tls-key-file", key], &[]);
        assert_eq!(process.end().await, End::Exit(1));
        assert!(process.stderr().contains(named), "{}", process.stderr());
    }
}
