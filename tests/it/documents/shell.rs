//! Runs a document's shell blocks, as its reader would.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use super::markdown::{Block, Document};
use super::output::agrees;

/// The binary that these tests were built with.
pub const VEILWARDEN: &str = env!("CARGO_BIN_EXE_veilwarden");

/// The first line of a block that is written to the file it names.
const CONFIG: &str = "# veilwarden.yaml\n";
/// What a line of the script's output says before each block's own.
const MARK: &str = "=== line ";

/// One block that is run, and what the document says that it prints.
struct Example {
    line: usize,
    expected: Option<String>,
}

/// Runs the blocks with `test=local`, one after the other in one shell, in a directory of their own with the
/// configurations before them. Each that is followed by a `text` block must print what that says.
pub fn run(document: &Document) {
    let blocks = document.blocks();
    let (script, examples) = script(&blocks);
    assert!(!examples.is_empty(), "{}: nothing is run", document.path.display());
    let output = execute(&script);
    for Example { line, expected } in examples {
        let Some(expected) = expected else { continue };
        let at = document.at(line);
        let printed = output.get(&line).unwrap_or_else(|| panic!("{at}: was not reached"));
        assert!(agrees(printed, &expected), "{at} prints\n{printed}\nand not\n{expected}\nthe script:\n{script}");
    }
}

fn script(blocks: &[Block]) -> (String, Vec<Example>) {
    // Whatever happens, what the script started ends with it.
    let mut script = "set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n".to_owned();
    let mut examples = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        if block.language == "yaml" && block.text.starts_with(CONFIG) {
            script.push_str(&format!("cat > veilwarden.yaml <<'END OF FILE'\n{}END OF FILE\n", block.text));
        }
        if block.test() == Some("local") {
            script.push_str(&format!("echo '{MARK}{}'\n{}", block.line, block.text));
            let expected = blocks.get(index + 1).filter(|next| next.language == "text");
            examples.push(Example { line: block.line, expected: expected.map(|next| next.text.clone()) });
        }
    }
    let [listen, admin, echo] = free_ports();
    for (documented, free) in [(8088, listen), (8089, admin), (9090, echo)] {
        script = script.replace(&format!("127.0.0.1:{documented}"), &format!("127.0.0.1:{free}"));
    }
    let defaults = [("VEILWARDEN_LISTEN", listen), ("VEILWARDEN_ADMIN_LISTEN", admin), ("ECHO_ADDR", echo)];
    let exports = defaults.map(|(name, port)| format!("export {name}=127.0.0.1:{port}\n")).concat();
    (exports + &script, examples)
}

/// What was printed, by the line of the block that printed it.
fn execute(script: &str) -> HashMap<usize, String> {
    let directory = tempfile::tempdir().unwrap();
    let programs = Path::new(VEILWARDEN).parent().unwrap().display();
    let path = std::env::var("PATH").unwrap_or_default();
    // `timeout` makes a process group of its own and ends all of it.
    let shell = Command::new("timeout")
        .args(["--kill-after=5", "60", "bash", "-c", script])
        .current_dir(directory.path())
        .env_clear()
        .env("PATH", format!("{programs}:{path}"))
        .env("HOME", directory.path())
        .stdin(Stdio::null())
        .output()
        .expect("timeout and bash are there");
    let (stdout, stderr) = (String::from_utf8_lossy(&shell.stdout), String::from_utf8_lossy(&shell.stderr));
    assert!(shell.status.success(), "{}\n{stdout}\n{stderr}\n{script}", shell.status);
    let parts = stdout.split(MARK).skip(1).filter_map(|part| part.split_once('\n'));
    parts.map(|(line, printed)| (line.parse().unwrap(), printed.to_owned())).collect()
}

/// Whether a program is in `PATH`.
pub fn is_there(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|directory| directory.join(program).is_file())
}

/// Ports that were free a moment ago; all are held until the last is found, so that they differ.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
