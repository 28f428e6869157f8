//! What a process uses, as /proc tells it: CPU and memory, its descendants included.
//!
//! CPU time is the figure that other load on the machine disturbs least. It is read per thread from
//! `schedstat`, in nanoseconds; `stat` counts in hundredths of a second.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fs, io};

use super::clock::{Clock, SECOND, seconds};

/// How often memory is looked at, for a peak.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(10);
/// How often its children are looked for meanwhile, in nanoseconds: that reads all of /proc.
const FAMILY_INTERVAL: u64 = SECOND;

/// A running process.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    id: u32,
    /// Servers such as nginx do their work in children.
    has_family: bool,
}

impl Process {
    /// The process with this id and its descendants.
    ///
    /// # Errors
    /// When there is none that /proc tells of.
    pub(super) fn family(id: u32) -> Result<Self, String> {
        let process = Self { id, has_family: true };
        match process.cpu_seconds() {
            Some(_) => Ok(process),
            None => Err(format!("there is no process {id} that /proc tells of (--server-pid)")),
        }
    }

    /// This process alone.
    pub(super) fn own() -> Self {
        Self { id: std::process::id(), has_family: false }
    }

    /// Itself and its descendants.
    fn members(self) -> Vec<u32> {
        let mut members = vec![self.id];
        if !self.has_family {
            return members;
        }
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            if let Some(parent) = parse_parent(&stat) {
                children.entry(parent).or_default().push(id);
            }
        }
        let mut looked = 0;
        while let Some(&parent) = members.get(looked) {
            members.extend(children.remove(&parent).unwrap_or_default());
            looked += 1;
        }
        members
    }

    /// Seconds of CPU that the threads alive have used, in user space and in the kernel; `None` when there
    /// are none.
    pub(super) fn cpu_seconds(self) -> Option<f64> {
        self.cpu_by_thread().into_values().reduce(|sum, one| sum + one)
    }

    /// The same, by thread.
    pub(super) fn cpu_by_thread(self) -> HashMap<OsString, f64> {
        let mut threads = HashMap::new();
        for member in self.members() {
            let stat = fs::read_to_string(format!("/proc/{member}/stat")).unwrap_or_default();
            // What has ended, and nobody has asked how, has no threads to speak of.
            if parse_state(&stat) == Some('Z') {
                continue;
            }
            let tasks = fs::read_dir(format!("/proc/{member}/task")).into_iter().flatten();
            for task in tasks.flatten() {
                let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                let nanoseconds = text.split(' ').next().and_then(|number| number.parse().ok());
                threads.insert(task.file_name(), seconds(nanoseconds.unwrap_or(0)));
            }
        }
        threads
    }

    /// Bytes of memory of its own that are resident, without files. What a family shares is divided.
    /// `None` when not all of it can be seen.
    pub(super) fn memory_bytes(self) -> Option<f64> {
        memory_of(&self.members())
    }
}

/// Bytes of memory of these processes together.
fn memory_of(members: &[u32]) -> Option<f64> {
    // Adding proportional sizes takes a walk through the page tables: for families only.
    let (file, field) = match members.len() {
        1 => ("status", "RssAnon:"),
        _ => ("smaps_rollup", "Pss_Anon:"),
    };
    let read = |member: &u32| fs::read_to_string(format!("/proc/{member}/{file}"));
    sum_memory(members.iter().map(read), field)
}

/// The sum of a field; `None` when there is none, or one is withheld: then it would be of a part. A process that
/// has ended meanwhile has no memory.
fn sum_memory(texts: impl Iterator<Item = io::Result<String>>, field: &str) -> Option<f64> {
    let mut sum = None;
    for text in texts {
        match text {
            Ok(text) => {
                if let Some(kilobytes) = parse_field(&text, field) {
                    *sum.get_or_insert(0.0) += kilobytes * 1024.0;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
            Err(_) => (),
        }
    }
    sum
}

/// The parent in a line of /proc/PID/stat, whose second field may hold anything but ends with `)`.
fn parse_parent(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// The state in such a line.
fn parse_state(stat: &str) -> Option<char> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.trim_start().chars().next()
}

fn parse_field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Watches the memory of a process from a thread of its own.
pub(super) struct Watch {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<(u64, f64)>>>,
}

impl Watch {
    /// Begins to look.
    pub(super) fn start(process: Process, clock: Clock) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let look = move || {
            let (mut samples, mut found) = (Vec::new(), clock.now());
            let mut members = process.members();
            while !seen.load(Ordering::Relaxed) {
                let now = clock.now();
                if now - found > FAMILY_INTERVAL {
                    (members, found) = (process.members(), now);
                }
                if let Some(bytes) = memory_of(&members) {
                    samples.push((now, bytes));
                }
                std::thread::sleep(SAMPLE_INTERVAL);
            }
            samples
        };
        Self { is_over, thread: Some(std::thread::spawn(look)) }
    }

    /// Times and bytes, in order.
    pub(super) fn stop(mut self) -> Vec<(u64, f64)> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_cpu_and_memory() {
        let own = Process::own();
        let before = own.cpu_seconds().unwrap();
        let block = vec![1_u8; 64 << 20];
        let after = own.cpu_seconds().unwrap();
        assert!(own.memory_bytes().unwrap() > 64e6, "{}", block.iter().map(|_| 1).sum::<i32>());
        assert!(after > before);
    }

    #[test]
    fn memory_of_which_a_part_is_withheld_is_not_known() {
        let seen = || Ok("Pss:  9 kB\nPss_Anon:  2 kB\n".to_owned());
        let failed = |kind: io::ErrorKind| Err(kind.into());
        let sum = |texts: Vec<io::Result<String>>| sum_memory(texts.into_iter(), "Pss_Anon:");
        assert_eq!(sum(vec![seen(), seen()]), Some(4096.0));
        assert_eq!(sum(vec![seen(), failed(io::ErrorKind::NotFound)]), Some(2048.0));
        assert_eq!(sum(vec![seen(), failed(io::ErrorKind::PermissionDenied)]), None);
        assert_eq!(sum(vec![failed(io::ErrorKind::NotFound)]), None);
    }

    #[test]
    fn a_child_is_of_the_family_and_nobody_else() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let family = Process::family(std::process::id()).unwrap().members();
        let alone = Process::own().members();
        let stranger = Process::family(child.id()).unwrap().members();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(family.contains(&child.id()));
        assert_eq!((alone.len(), stranger), (1, vec![child.id()]));
    }

    #[test]
    fn a_process_that_is_not_there_is_refused() {
        assert!(Process::family(u32::MAX).unwrap_err().contains("--server-pid"));
    }

    #[test]
    fn a_process_that_has_ended_uses_nothing_even_if_nobody_has_asked_how() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::family(child.id()).unwrap();
        child.kill().unwrap();
        let clock = Clock::start();
        while process.cpu_seconds().is_some() {
            assert!(clock.now() < 10 * SECOND);
        }
        child.wait().unwrap();
        assert_eq!(process.cpu_seconds(), None);
    }

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parse_parent("12 (a) b) c) S 7 1 1"), Some(7));
        assert_eq!(parse_parent(""), None);
        assert_eq!(parse_state("12 (a) b) Z 7 1 1"), Some('Z'));
    }

    #[test]
    fn a_watch_sees_memory_come() {
        let watch = Watch::start(Process::own(), Clock::start());
        std::thread::sleep(SAMPLE_INTERVAL * 3);
        let samples = watch.stop();
        assert!(!samples.is_empty() && samples.is_sorted_by_key(|&(time, _)| time));
    }
}
