//! A network of the test's own, in which it may have every address and every name, and which ends with it.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;

use super::process::{command, file};

/// Says that the process is where it has to be, and which network that is not.
const OUTSIDE: &str = "VEILWARDEN_TEST_OUTSIDE";

/// Runs the body where `lo` is the only interface and this machine's name servers and hosts are unknown: this program runs
/// itself again, for the one test, in namespaces of its own. `test` is its whole name.
pub fn inside(test: &str, body: impl Future<Output = ()>) {
    if let Ok(outside) = std::env::var(OUTSIDE) {
        assert_ne!(network(), outside, "this is the machine's own network");
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(body);
        return;
    }
    let mut unshare = command("unshare");
    // Root of the machine has the right to it; others are given it in a namespace of users.
    if !rustix::process::getuid().is_root() {
        unshare.arg("--map-root-user");
    }
    unshare.args(["--net", "--mount", "--"]).arg(std::env::current_exe().unwrap());
    unshare.args([test, "--exact", "--ignored", "--nocapture"]).env(OUTSIDE, network());
    let output = unshare.output().expect("util-linux has unshare");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "in a namespace (which takes root, or a system that lets users have one):\n{said}"
    );
    assert!(said.contains("1 passed"), "{test} is no test:\n{said}");
}

/// The name of the network that this process is in.
fn network() -> String {
    std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string()
}

/// Gives `lo` these addresses, and makes 127.0.0.1 the only source of names, a played name server or nobody.
pub fn own(addresses: &[&str], search: &str) -> TempDir {
    let mut lines = String::from("link set lo up\n");
    for address in addresses {
        let bits = if address.parse::<IpAddr>().unwrap().is_ipv4() { 32 } else { 128 };
        lines.push_str(&format!("address add {address}/{bits} dev lo\n"));
    }
    let mut ip = command("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("iproute2 has ip");
    ip.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success(), "{lines}");
    let directory = tempfile::tempdir().unwrap();
    let resolver = format!("nameserver 127.0.0.1\nsearch {search}\noptions ndots:5 timeout:1 attempts:1\n");
    for (path, content) in [
        ("/etc/resolv.conf", &*resolver),
        ("/etc/hosts", "127.0.0.1 localhost\n"),
        ("/etc/nsswitch.conf", "hosts: files dns\n"),
    ] {
        let name = Path::new(path).file_name().unwrap().to_str().unwrap();
        let ours = file(directory.path(), name, content);
        assert!(command("mount").args(["--bind", &ours, path]).status().unwrap().success(), "{path}");
    }
    directory
}
