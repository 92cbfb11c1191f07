//! Constant load from both nodes while something happens.

use std::time::Duration;

use crate::caller::{self, PROXY, Pod, TOKEN};
use crate::kubectl;
use crate::scene::{HOST, Scene, TEAM};
use crate::until::until;

/// One pod on each node that calls all the time: a new connection, then eight calls on one that is kept.
pub struct Load {
    pods: Vec<String>,
}

/// What became of the calls.
#[derive(Debug)]
pub struct Sum {
    pub calls: usize,
    /// Those that were not answered with 200, as curl tells: status, exit code, time.
    pub failed: Vec<String>,
}

impl Sum {
    /// As many as a person wants to read.
    pub fn first_failures(&self) -> &[String] {
        &self.failed[..self.failed.len().min(20)]
    }
}

impl Load {
    pub fn start(scene: &Scene, name: &str) -> Load {
        let script = script();
        let names = scene.nodes.iter().enumerate().map(|(number, node)| {
            let pod = format!("{name}-{}", number + 1);
            // One that a failed run left has seen things that are none of this test's.
            kubectl::run(&["delete", "pod", "--namespace", TEAM, &pod, "--ignore-not-found", "--wait=true"]);
            Pod { node: Some(node), script: Some(&script), ..Pod::new(TEAM, &pod, "caller") }.create();
            pod
        });
        let load = Load { pods: names.collect() };
        load.pods.iter().for_each(|pod| caller::wrote(TEAM, pod, "200", Duration::from_secs(120)));
        load
    }

    /// Waits until every pod has made this many calls more.
    pub fn goes_on(&self, calls: usize) {
        for pod in &self.pods {
            let before = caller::log(TEAM, pod).lines().count();
            until("the load goes on", Duration::from_secs(120), || {
                (caller::log(TEAM, pod).lines().count() >= before + calls).then_some(())
            });
        }
    }

    /// Ends the load and adds up.
    pub fn stop(self) -> Sum {
        let mut sum = Sum { calls: 0, failed: Vec::new() };
        for pod in &self.pods {
            let log = caller::log(TEAM, pod);
            // The last line may be half written.
            let lines: Vec<&str> =
                log.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::trim).collect();
            assert!(!lines.is_empty(), "{pod} has no log any more");
            sum.calls += lines.len();
            sum.failed.extend(lines.into_iter().filter(|line| !line.starts_with("200 0 ")).map(str::to_owned));
            kubectl::run(&["delete", "pod", "--namespace", TEAM, pod, "--wait=false"]);
        }
        sum
    }
}

/// One line a call: status, curl's exit code, seconds since the epoch. The pause leaves processor time to the cluster.
fn script() -> String {
    format!(
        r#"token() {{ cat {TOKEN}; }}
while :; do
    curl --silent --output /dev/null --max-time 30 --write-out '%{{http_code}} %{{exitcode}} ' --header "Authorization: Bearer $(token)" --header 'X-Upstream-Host: {HOST}' {PROXY}/allowed/load
    date +%s
    curl --silent --output /dev/null --max-time 60 --write-out "%{{http_code}} %{{exitcode}} $(date +%s)\n" --header "Authorization: Bearer $(token)" --header 'X-Upstream-Host: {HOST}' "{PROXY}/allowed/kept?[1-8]"
    sleep 0.1
done"#
    )
}
