//! What the kernel says of a process: memory, descriptors, time on a processor.

use std::fs;

/// A running process of this machine.
#[derive(Copy, Clone, Debug)]
pub struct Process(pub u32);

impl Process {
    /// Bytes of memory that are resident.
    pub fn resident_bytes(self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Open descriptors.
    pub fn descriptors(self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0)).unwrap().count()
    }

    /// Nanoseconds that its threads have run, in the kernel and outside.
    pub fn processor_ns(self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).unwrap();
        tasks
            .map(|task| {
                let text = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
                text.split(' ').next().unwrap().parse::<u64>().unwrap()
            })
            .sum()
    }

    /// Clock ticks (10 ms) that it has run outside the kernel, and inside.
    pub fn user_and_system_ticks(self) -> (u64, u64) {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap();
        // The name, in parentheses, may hold anything; what follows is numbers, `state` first.
        let rest = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        (fields[11].parse().unwrap(), fields[12].parse().unwrap())
    }
}
