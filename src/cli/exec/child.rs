//! The command that is run: started, told what we are told, waited for.

use std::io;
use std::process::Command;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpgrp, kill_process, wait, waitpid};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::signals::Signals;

/// What a shell says of a command that a signal has ended.
const SIGNALLED: i32 = 128;

/// Signals that are meant for the command when we get them.
const PASSED_ON: [Signal; 4] = [Signal::TERM, Signal::HUP, Signal::USR1, Signal::USR2];
/// The same, but a terminal gives them to everybody in its foreground by itself.
const FROM_TERMINAL: [Signal; 2] = [Signal::INT, Signal::QUIT];

/// All that a command hears of by us. What was ignored when we began (`nohup`) stays so, for the command too.
pub fn signals() -> impl Iterator<Item = Signal> {
    let ignored = ignored();
    PASSED_ON.into_iter().chain(FROM_TERMINAL).filter(move |number| ignored >> (number.as_raw() - 1) & 1 == 0)
}

/// A bit for each signal, the first one's lowest (proc_pid_status(5)).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// A running command. It stays in our process group and keeps our terminal, so that a shell's job control moves both.
pub struct Child {
    pid: Pid,
    ended: tokio::signal::unix::Signal,
    signals: Signals,
}

impl Child {
    /// Starts the command, which gets those of [`signals`] that come from now on.
    ///
    /// # Errors
    /// As `execve`.
    pub fn spawn(mut command: Command, signals: Signals) -> io::Result<Child> {
        let ended = signal(SignalKind::child())?;
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Child { pid, ended, signals })
    }

    /// Waits for the end of the command: its exit status, or 128 and the signal's number.
    ///
    /// # Errors
    /// None that a kernel gives.
    pub async fn wait(mut self) -> io::Result<u8> {
        loop {
            // Looked at first: it may have ended before the first signal could be heard.
            if let Some(status) = self.reap()? {
                return Ok(status);
            }
            tokio::select! {
                _ = self.ended.recv() => {}
                number = self.signals.next() => self.pass_on(number),
            }
        }
    }

    /// Only here is the command waited for, so its number is its own as long as this has not returned a status.
    fn reap(&self) -> io::Result<Option<u8>> {
        if rustix::process::getpid().as_raw_pid() == 1 {
            return self.reap_orphans();
        }
        let ended = waitpid(Some(self.pid), WaitOptions::NOHANG)?;
        Ok(ended.and_then(|(_, status)| exit_status(status)))
    }

    /// As a container's first process we inherit whatever lost its parent.
    fn reap_orphans(&self) -> io::Result<Option<u8>> {
        while let Some((pid, status)) = wait(WaitOptions::NOHANG)? {
            if pid == self.pid {
                return Ok(exit_status(status));
            }
        }
        Ok(None)
    }

    fn pass_on(&self, number: Signal) {
        if FROM_TERMINAL.contains(&number) && in_foreground() {
            return;
        }
        // It may be ending just now.
        let _ = kill_process(self.pid, number);
    }
}

/// 127 when there is no such program, 126 when it cannot be run.
pub fn status_of_failed_start(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}

/// 128 and its number.
pub fn status_of_signal(number: Signal) -> u8 {
    u8::try_from(SIGNALLED + number.as_raw()).unwrap_or(u8::MAX)
}

fn exit_status(status: WaitStatus) -> Option<u8> {
    let signalled = status.terminating_signal().map(|number| SIGNALLED + number);
    status.exit_status().or(signalled).and_then(|status| u8::try_from(status).ok())
}

/// Whether our terminal, if there is one, gives its signals to our process group.
fn in_foreground() -> bool {
    let Ok(terminal) = std::fs::File::open("/dev/tty") else { return false };
    rustix::termios::tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp())
}
