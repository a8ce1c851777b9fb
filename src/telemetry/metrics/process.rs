//! `process_*`: what the kernel says about the process, under the names every Prometheus client uses.

use std::fs;

use crate::telemetry::exposition::{Kind, Page};

/// Clock ticks a second in `/proc/self/stat`: USER_HZ, 100 on every architecture that Rust's Linux targets have.
const TICKS: f64 = 100.0;

/// Writes the `process_*` families; what `/proc` does not tell is left out.
pub(super) fn write(page: &mut Page) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some((cpu, started)) = parse_stat(&stat) {
        page.family(Kind::Counter, "process_cpu_seconds_total", "CPU time, user and system.").value(&[], cpu);
        let boot = fs::read_to_string("/proc/stat").ok().and_then(|stat| field(&stat, "btime ")).unwrap_or(0);
        page.family(Kind::Gauge, "process_start_time_seconds", "Start, in seconds since the epoch.")
            .value(&[], boot as f64 + started);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kib) = field(&status, "VmRSS:") {
        page.family(Kind::Gauge, "process_resident_memory_bytes", "Memory resident.").count(&[], kib << 10);
    }
    if let Some(kib) = field(&status, "VmSize:") {
        page.family(Kind::Gauge, "process_virtual_memory_bytes", "Address space.").count(&[], kib << 10);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The directory being read is one of them.
        let open = open.count().saturating_sub(1);
        page.family(Kind::Gauge, "process_open_fds", "Files and sockets open.").count(&[], open as u64);
    }
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        page.family(Kind::Gauge, "process_max_fds", "Files and sockets allowed.").count(&[], limit);
    }
}

/// CPU seconds and start in seconds after boot. The command's name may hold spaces and brackets (proc(5)), so fields
/// are counted from the last bracket.
fn parse_stat(stat: &str) -> Option<(f64, f64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let user: f64 = fields.nth(11)?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    let started: f64 = fields.nth(6)?.parse().ok()?;
    Some(((user + system) / TICKS, started / TICKS))
}

/// The number after `name` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_brackets_and_spaces_shifts_no_field() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 4 0 1234 1000000 200 0\n";
        assert_eq!(parse_stat(stat), Some((2.0, 12.34)));
        assert_eq!(parse_stat("junk"), None);
    }

    #[test]
    fn a_field_is_found_by_its_name() {
        assert_eq!(field("VmPeak:\t 9 kB\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12));
        assert_eq!(field("VmPeak:\t 9 kB\n", "VmRSS:"), None);
    }
}
