//! The process metrics that Prometheus' client libraries have in common, read from `/proc/self`.

use std::fs;

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Registers what can be read at this moment; what cannot is left out.
pub fn register(registry: &mut Registry) {
    let mut gauge = |name: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            registry.register(name, help, ConstGauge::new(value));
        }
    };
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    gauge("process_resident_memory_bytes", "Resident memory", kilobytes(&status, "VmRSS:").map(|kb| kb * 1024.0));
    gauge("process_threads", "Threads", kilobytes(&status, "Threads:"));
    gauge(
        "process_open_fds",
        "Open file descriptors",
        fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count() as f64),
    );
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    gauge("process_max_fds", "Limit of open file descriptors", max_fds(&limits));
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some(seconds) = cpu_seconds(&stat) {
        registry.register("process_cpu_seconds", "CPU time used, user and system", ConstCounter::new(seconds));
    }
}

/// The first number behind a label of `/proc/self/status`.
fn kilobytes(status: &str, label: &str) -> Option<f64> {
    status.lines().find_map(|line| line.strip_prefix(label))?.split_whitespace().next()?.parse().ok()
}

fn max_fds(limits: &str) -> Option<f64> {
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

/// utime and stime of `/proc/self/stat`, in ticks of a hundredth of a second (USER_HZ on Linux).
fn cpu_seconds(stat: &str) -> Option<f64> {
    let after_name = stat.rsplit_once(')')?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let (user, system): (f64, f64) = (fields.get(11)?.parse().ok()?, fields.get(12)?.parse().ok()?);
    Some((user + system) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_proc_are_read() {
        assert_eq!(kilobytes("Name:\tx\nVmRSS:\t  1234 kB\n", "VmRSS:"), Some(1234.0));
        assert_eq!(
            max_fds("Max open files            1024                 4096                 files\n"),
            Some(1024.0)
        );
        assert_eq!(cpu_seconds("1 (a) b) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0"), Some(2.0));
        assert_eq!(cpu_seconds(""), None);
    }
}
