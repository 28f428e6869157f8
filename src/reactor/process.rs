//! What Linux says of this process: a few small files below `/proc/self`, read when an operator asks.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::counters::Process;

/// Bytes of a page of memory, as `statm` counts it. Larger ones exist where nobody has asked for them yet.
const PAGE_BYTES: u64 = 4_096;
/// Microseconds in a tick of `stat`: Linux shows 100 a second to every program, whatever it counts in.
const TICK_US: u64 = 10_000;

/// What there is to know; 0 what there is not.
pub(super) fn look() -> Process {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    // Since Linux 6.2 the size of this directory is the number of descriptors. Before that it is 0, and to count
    // them one by one would hold up a worker that has a million.
    let descriptors = fs::metadata("/proc/self/fd").map_or(0, |directory| directory.size());
    let descriptors_max = rlimit::Resource::NOFILE.get().map_or(0, |(soft, _)| soft);
    Process {
        descriptors,
        descriptors_max,
        resident_bytes: resident_pages(&read("statm")) * PAGE_BYTES,
        processor_us: processor_ticks(&read("stat")) * TICK_US,
    }
}

/// The second number of `statm` (proc_pid_statm(5)).
fn resident_pages(statm: &str) -> u64 {
    number(statm.split_ascii_whitespace().nth(1))
}

/// `utime` and `stime`: fields 14 and 15 of `stat` (proc_pid_stat(5)). The second, the program's name in parentheses,
/// may have anything in it.
fn processor_ticks(stat: &str) -> u64 {
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    number(fields.next()) + number(fields.next())
}

fn number(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 30 0 0 20 0 9 0 100 1000000";
        assert_eq!(processor_ticks(stat), 280);
        assert_eq!((processor_ticks(""), resident_pages("")), (0, 0));
        assert_eq!(resident_pages("5000 1200 900 1 0 300 0\n"), 1_200);
    }

    #[test]
    fn this_process_has_memory_and_may_have_descriptors() {
        let process = look();
        assert!(process.resident_bytes > 1 << 20, "{process:?}");
        assert!(process.descriptors_max > 0, "{process:?}");
    }
}
