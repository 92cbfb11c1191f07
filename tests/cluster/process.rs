//! A child process that cannot outlive the test, however the test ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// The shell becomes the program (same pid) and leaves a watcher behind that reads a pipe from us. When we die, even by
/// SIGKILL, the pipe ends and the watcher kills the program: a `Drop` alone would not run then.
const DIES_WITH_US: &str = r#"exec 3<&0; { read -r _ <&3; kill -KILL $$; } & exec "$@" 3<&- </dev/null"#;

/// A running program with its two output files. Dropping it kills it and waits for its end.
pub struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts `program` with `arguments`; its output goes to `directory/name.out` and `directory/name.err`, which are
    /// appended to when the same name starts again. `adjust` may change the environment.
    pub fn start(
        directory: &Path,
        name: &str,
        program: &Path,
        arguments: &[String],
        adjust: impl FnOnce(&mut Command),
    ) -> Self {
        let stdout = directory.join(format!("{name}.out"));
        let stderr = directory.join(format!("{name}.err"));
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", DIES_WITH_US, "sh"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(append_to(&stdout))
            .stderr(append_to(&stderr));
        adjust(&mut command);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { child, stdout, stderr }
    }

    /// How the program ended, or `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child can be asked")
    }

    /// What the program has written to standard output so far.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What the program has written to standard error so far.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // ends the watcher
        self.child.kill().ok(); // fails only if it has ended already
        self.child.wait().ok();
    }
}

fn append_to(path: &Path) -> File {
    File::options().create(true).append(true).open(path).expect("the test's directory is ours")
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
