//! `veilwarden exec` at trace level: neither the secret nor the command's password is in what it writes.

use crate::world::canary::{Canary, assert_absent};
use crate::world::process::{End, Process, VEILWARDEN, command, file};
use crate::world::recorder::Recorder;
use crate::world::tls::Authority;

#[tokio::test]
async fn n01_exec_keeps_the_secret_from_the_command_and_from_its_log() {
    let secret = "exec-canary/5b1e\"quoted\"\\==";
    let (upstream, directory, authority) = (Recorder::start().await, tempfile::tempdir().unwrap(), Authority::new());
    let front = authority.front("a.test", upstream.address).await;
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (ca_file, key) = (authority.file(directory.path()), file(directory.path(), "key", secret));
    let text = format!(
        "log: {{level: trace}}\nsecrets: [{{id: KEY, file: {key}}}]\n\
         routes:\n  - {{upstream_host: a.test, upstream_address: \"{}\", ca_file: {}, secret_id: KEY, inject_header: X-Key, header_value_template: \"{{{{secret}}}}\"}}\n\
         policy: {{engine: config, default_allow: true}}\naudit: {{output: {}}}\n",
        front.address,
        ca_file.display(),
        path("audit.jsonl"),
    );
    let config = file(directory.path(), "veilwarden.yaml", text);
    std::fs::create_dir(path("tmp")).unwrap();
    let script = "curl -sS https://a.test/good; curl -sS https://b.test/none; env; cat $SSL_CERT_FILE; sed n /proc/$PPID/cmdline; exit 0";
    let mut exec = command(VEILWARDEN);
    exec.args(["exec", "--config", &config, "--log-file", &path("log"), "--", "sh", "-c", script]);
    exec.env("TMPDIR", path("tmp"));
    let mut process = Process::of(exec);
    assert_eq!(process.end().await, End::Exit(0), "{}", process.stderr());
    assert_eq!(upstream.last().headers("x-key"), [secret]);

    let canaries = [Canary::new("the secret", secret)];
    assert_absent(&canaries, process.stdout(), "what the command sees");
    assert_absent(&canaries, process.stderr(), "standard error");
    let password = process.stdout().lines().find_map(|line| {
        let (user, _) = line.strip_prefix("HTTPS_PROXY=http://")?.split_once('@')?;
        Some(user.split_once(':')?.1.to_owned())
    });
    let password = Canary::new("the command's password", &password.expect("the command's proxy"));
    let canaries = [canaries[0].clone(), password];
    for name in ["log", "audit.jsonl"] {
        let text = std::fs::read(path(name)).unwrap();
        assert!(!text.is_empty(), "{name} is empty");
        assert_absent(&canaries, text, name);
    }
    assert_absent(&canaries[1..], upstream.everything(), "what the upstream got");
}
