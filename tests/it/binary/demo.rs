//! The end of `demo`, whichever way it is asked for.

use rustix::process::Signal;

use crate::world::process::{End, Process, VEILWARDEN, command};
use crate::world::until;

#[tokio::test]
async fn each_signal_ends_it_and_leaves_nothing_behind() {
    for (signal, said) in
        [(Signal::TERM, "Try it"), (Signal::INT, "Try it"), (Signal::HUP, "Try it"), (Signal::TERM, "1.")]
    {
        let directory = tempfile::tempdir().unwrap();
        let left = || std::fs::read_dir(directory.path()).unwrap().count();
        let mut demo = command(VEILWARDEN);
        demo.arg("demo").env("TMPDIR", directory.path());
        let mut process = Process::of(demo);
        until("its first words", || process.stdout().contains(said)).await;
        assert_eq!(left(), 1);
        process.signal(signal);
        let end = process.end().await;
        // In the middle of its calls nobody can say that all went as they should.
        let ended = if said == "1." { matches!(end, End::Exit(0 | 1)) } else { end == End::Exit(0) };
        assert!(ended, "{signal:?}: {end:?}: {}", process.stderr());
        assert_eq!(left(), 0, "{signal:?}");
    }
}
