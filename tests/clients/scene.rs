//! veilwarden as the page configures it, in front of played upstreams, and a shell for whoever calls through it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::apis::{Apis, HOSTS};
use crate::document::{ClientsPage, Program, Way};
use crate::output::agrees;
use crate::servers::Server;

const VEILWARDEN: &str = env!("CARGO_BIN_EXE_veilwarden");
const SESSION_SECRET: &str = "a-session-secret-for-the-clients";
/// What the page calls the proxy's address.
const DOCUMENTED: &str = "127.0.0.1:8088";
/// What it calls the command that runs a program.
const COMMAND: &str = "COMMAND";
/// A whole program, its compiler included; in seconds.
const PATIENCE: &str = "120";

/// Everything that a program needs around it.
pub struct Scene {
    proxy: Proxy,
    _servers: [Server; 3],
    /// Where the installed clients lie.
    clients: PathBuf,
    before: Vec<(Way, String)>,
    directory: TempDir, // after the process that reads in it
}

/// A running veilwarden; it ends with this.
struct Proxy {
    process: Child,
    address: String,
    log: PathBuf,
}

impl Scene {
    /// Starts the upstreams and veilwarden. The upstreams live as long as the runtime.
    pub async fn set(page: &ClientsPage, clients: PathBuf) -> Scene {
        let directory = TempDir::new().expect("a directory");
        let apis = Apis::start(directory.path()).await;
        let at = directory.path();
        let servers = [
            Server::nginx(at, &apis.certificate),
            Server::haproxy(at, &apis.certificate),
            Server::websockets(&clients.join("bin/python3"), &apis.certificate),
        ];
        let config = directory.path().join("veilwarden.yaml");
        fs::write(&config, configuration(&page.configuration, &apis, &servers)).expect("our directory");
        fs::create_dir(directory.path().join("bin")).expect("our directory");
        symlink(VEILWARDEN, directory.path().join("bin/veilwarden")).expect("our directory");
        let before = [Way::Proxy, Way::BaseUrl, Way::Exec].map(|way| (way, page.before(way))).into();
        Scene { proxy: Proxy::start(directory.path(), &config), _servers: servers, clients, before, directory }
    }

    /// Types what the page says to type before, runs the program, and compares what it prints.
    pub fn run(&self, program: &Program, way: Way) {
        let Program { name, language, text, at, .. } = program;
        let directory = TempDir::new_in(self.directory.path()).expect("a directory");
        let (file, command) = match language.as_str() {
            "sh" => ("call.sh", "sh call.sh"),
            "python" => ("call.py", "python3 call.py"),
            "js" => ("call.mjs", "node call.mjs"),
            "go" => ("call.go", "go run call.go"),
            other => panic!("{at}: nobody knows how to run {other}"),
        };
        fs::write(directory.path().join(file), text.replace(DOCUMENTED, &self.proxy.address)).expect("our directory");
        fs::copy(self.directory.path().join("veilwarden.yaml"), directory.path().join("veilwarden.yaml"))
            .expect("ours");
        let before = self.before.iter().filter(|(of, _)| *of == way).map(|(_, text)| text.as_str()).collect::<String>();
        // What is typed before either names the command, or the command follows.
        let typed = match before.contains(COMMAND) {
            true => before.replace(COMMAND, command),
            false => before + command,
        };
        let script = format!("set -eu\n{typed}\n").replace(DOCUMENTED, &self.proxy.address);
        let output = self.shell(directory.path(), &script);
        let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(
            output.status.success() && agrees(&printed, &program.prints),
            "{at}: {name}, {}\n{script}\nprints\n{printed}\nand not\n{}\non stderr:\n{said}",
            output.status,
            program.prints
        );
    }

    /// What curl says through the proxy to the server `host`, which has to go well.
    pub fn curl(&self, host: &str, path: &str, options: &str) -> String {
        let directory = TempDir::new_in(self.directory.path()).expect("a directory");
        let config = self.directory.path().join("veilwarden.yaml");
        fs::copy(config, directory.path().join("veilwarden.yaml")).expect("our directory");
        let before = self.before.iter().find(|(of, _)| *of == Way::Proxy).map_or("", |(_, text)| text);
        let script = format!("set -eu\n{before}curl -fsS -m 60 {options} https://{host}{path}\n");
        let output = self.shell(directory.path(), &script.replace(DOCUMENTED, &self.proxy.address));
        assert!(output.status.success(), "{host}{path}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// How many bytes `veilwarden.yaml` has in every program's directory.
    pub fn configuration_length(&self) -> u64 {
        fs::metadata(self.directory.path().join("veilwarden.yaml")).expect("it was written").len()
    }

    /// A newcomer's shell: the clients and veilwarden are in its PATH, and of this process' environment nothing else.
    fn shell(&self, directory: &Path, script: &str) -> Output {
        let path = std::env::var("PATH").expect("there is a PATH");
        let bin = self.directory.path().join("bin");
        let mut shell = Command::new("timeout");
        shell.args([PATIENCE, "sh", "-c", script]).current_dir(directory).stdin(Stdio::null()).env_clear();
        shell.env("PATH", format!("{}:{}:{path}", bin.display(), self.clients.join("bin").display()));
        shell.env("HOME", directory).env("VEILWARDEN_SESSION_SECRET", SESSION_SECRET);
        shell.env("XDG_STATE_HOME", self.directory.path().join("state"));
        // Node looks for packages beside the program and above it.
        symlink(self.clients.join("node_modules"), directory.join("node_modules")).expect("our directory");
        for name in ["GOCACHE", "GOMODCACHE"] {
            let value = Command::new("go").args(["env", name]).output().map(|output| output.stdout).unwrap_or_default();
            shell.env(name, String::from_utf8_lossy(&value).trim());
        }
        shell.output().expect("timeout is there")
    }

    /// The log of veilwarden, when something went wrong.
    pub fn say_why(&self, failed: bool) {
        if failed {
            eprintln!("the log of veilwarden:\n{}", fs::read_to_string(&self.proxy.log).unwrap_or_default());
        }
    }
}

/// The page's configuration, with each host where it is played, and routes to the real servers.
fn configuration(documented: &str, apis: &Apis, servers: &[Server]) -> String {
    let mut text = documented.to_owned();
    for (host, ..) in HOSTS {
        let line = format!("upstream_host: {host}\n");
        assert!(text.contains(&line), "the page has no route to {host}");
        let played = format!("    upstream_address: {}\n    ca_file: {}\n", apis.address, apis.ca_file.display());
        text = text.replace(&line, &(line.clone() + &played));
    }
    for Server { host, address, .. } in servers {
        let played = format!("    upstream_address: {address}\n    ca_file: {}\n", apis.ca_file.display());
        let line = format!("upstream_host: {host}\n");
        if text.contains(&line) {
            text = text.replace(&line, &(line.clone() + &played));
        } else {
            let injection =
                "    secret_id: REALTIME\n    inject_header: X-Key\n    header_value_template: \"{{secret}}\"\n";
            text = text.replace("routes:\n", &format!("routes:\n  - {line}{played}{injection}"));
        }
    }
    text.replace(DOCUMENTED, "127.0.0.1:0") + "admin_listen: off\n"
}

impl Proxy {
    fn start(directory: &Path, config: &Path) -> Proxy {
        let log = directory.join("veilwarden.log");
        let file = fs::File::create(&log).expect("our directory");
        let mut process = Command::new(VEILWARDEN)
            .args(["serve", "--config"])
            .arg(config)
            .env_clear()
            .env("VEILWARDEN_SESSION_SECRET", SESSION_SECRET)
            .env("XDG_STATE_HOME", directory.join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("it starts");
        let begun = Instant::now();
        let address = loop {
            let text = fs::read_to_string(&log).unwrap_or_default();
            if let Some(address) = text.lines().find_map(ready) {
                break address;
            }
            let ended = process.try_wait().expect("our own child can be asked");
            assert!(ended.is_none() && begun.elapsed() < Duration::from_secs(20), "veilwarden is not ready:\n{text}");
            std::thread::sleep(Duration::from_millis(20));
        };
        Proxy { process, address, log }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill(); // fails only if it has ended already
        let _ = self.process.wait();
    }
}

fn ready(line: &str) -> Option<String> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let first = |listen: &serde_json::Value| listen.as_str().or_else(|| listen[0].as_str()).map(str::to_owned);
    (line["message"] == "ready").then(|| first(&line["listen"]))?
}
