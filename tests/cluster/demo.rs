//! `veilwarden demo` with a cluster.

use crate::control_plane::ControlPlane;
use crate::process::Process;
use crate::until::until;
use crate::veilwarden::BINARY;
use crate::workload::Team;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

pub async fn the_demo_works_with_a_kubeconfig(cluster: &ControlPlane) {
    let directory = TempDir::with_prefix_in("demo-", env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    // In a whole cluster a controller makes this one; the demo takes it when none is named.
    Team::existing(cluster, "default").service_account("default").await;
    let kubeconfig = cluster.admin_kubeconfig();
    let arguments = ["demo", "--kubeconfig", &kubeconfig.display().to_string(), "--once"].map(str::to_owned);
    let mut demo = Process::start(directory.path(), "demo", Path::new(BINARY), &arguments, |command| {
        command.env_clear().env("HOME", directory.path());
    });
    let status = until("the demo ends", Duration::from_secs(30), async || demo.ended()).await;
    assert!(status.success(), "{status}\n{}\n{}", demo.stdout(), demo.stderr());
}
