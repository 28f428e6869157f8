//! The machine that everything runs on, for who reads the figures elsewhere.

use std::fs;
use std::process::Command;

/// Processor, cores and kernel, as far as /proc tells.
pub(super) fn describe() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    // All there are: this process may be pinned to some of them.
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let cores = if cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores}, {} {}", std::env::consts::OS, kernel.trim())
}

/// Raises the limit of descriptors as far as it goes and checks that so many subscribers and publishers fit
/// below it.
///
/// # Errors
/// When they do not, with what to do.
pub(super) fn make_room(subscribers: usize, publishers: usize) -> Result<(), String> {
    /// Standard streams, polls, /proc.
    const OTHERS: u64 = 100;
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024);
    let connections = subscribers as u64 + publishers as u64;
    if connections + OTHERS > descriptors {
        let room = descriptors.saturating_sub(OTHERS + publishers as u64);
        if room == 0 {
            return Err(format!(
                "{publishers} connections that publish do not fit: this process may have {descriptors} \
                 descriptors. Use fewer --publishers, or raise the hard limit (ulimit -Hn)"
            ));
        }
        return Err(format!(
            "{connections} connections do not fit: this process may have {descriptors} descriptors. Use \
             --subscribers {room} or fewer, or raise the hard limit (ulimit -Hn)"
        ));
    }
    Ok(())
}

/// Gives the process's first thread, which has to be the caller, a low priority, for good; its other threads,
/// if they are there already, keep theirs. Whether that went well.
pub(super) fn yield_to_other_threads() -> bool {
    // On Linux a process's id is its first thread's, and priorities are by thread.
    let id = std::process::id().to_string();
    let renice = Command::new("renice").args(["-n", "10", "-p", &id]).output();
    renice.is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_connections_than_descriptors_are_refused_with_what_fits() {
        assert!(make_room(10, 1).is_ok());
        assert!(make_room(1_000_000_000, 1).unwrap_err().contains("--subscribers"));
        assert!(make_room(10, 1_000_000_000).unwrap_err().contains("fewer --publishers"));
    }

    #[test]
    fn a_machine_has_cores() {
        let described = describe();
        assert!(described.contains("core") && !described.contains("0 cores,"), "{described}");
    }
}
