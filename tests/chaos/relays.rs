//! The relays of `veilwarden exec --via`, one for each caller: a command that says which proxy it was given and then waits.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cast::{EVERYBODY, Who};
use crate::program::{Program, lines, search};
use crate::stage::Stage;

/// Ends when its standard input does, and with it the relay.
const COMMAND: &str = "echo \"$HTTPS_PROXY\"; exec cat";

/// What a command knows of its relay.
#[derive(Debug, Clone)]
pub struct Relay {
    pub address: SocketAddr,
    /// What `Proxy-Authorization` has to say.
    pub password: String,
}

pub struct Relays(Vec<(Child, Relay, JoinHandle<()>)>);

impl Relays {
    pub fn start(program: &Program, directory: &Path, stage: &Arc<Stage>) -> Relays {
        Relays(EVERYBODY.into_iter().map(|who| start(who, program, directory, stage)).collect())
    }

    pub fn relays(&self) -> Vec<Relay> {
        self.0.iter().map(|(_, relay, _)| relay.clone()).collect()
    }

    /// Ends the commands, and waits until all that was said of them was read.
    pub fn stop(self) {
        for (mut child, relay, reader) in self.0 {
            drop(child.stdin.take());
            let status = child.wait().expect("it ends");
            assert!(status.success(), "the relay {} ended with {status}", relay.address);
            reader.join().expect("a reader");
        }
    }
}

fn start(who: Who, program: &Program, directory: &Path, stage: &Arc<Stage>) -> (Child, Relay, JoinHandle<()>) {
    let file = directory.join(format!("credential-of-{}", who.name()));
    std::fs::write(&file, who.credential()).unwrap();
    let flag = if who.has_token() { "--token-file" } else { "--session-secret-file" };
    let mut command = Command::new(env!("CARGO_BIN_EXE_veilwarden"));
    command.args(["exec", "--via", &format!("http://{}", program.listen), flag]).arg(file);
    command.args(["--", "sh", "-c", COMMAND]);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("it starts");
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let parts = url.trim().strip_prefix("http://").and_then(|rest| rest.split_once('@'));
    let (user, address) = parts.unwrap_or_else(|| panic!("no relay: {url}"));
    let relay =
        Relay { address: address.parse().expect("an address"), password: format!("Basic {}", STANDARD.encode(user)) };
    let stage = Arc::clone(stage);
    let reader = lines(child.stderr.take().unwrap(), move |line| {
        search(&stage, &line, "what a relay says");
        stage.ledger.violation(format!("a relay says: {line}"));
    });
    (child, relay, reader)
}
