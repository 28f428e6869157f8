//! Counts the instructions of one case: this program again, under callgrind, in a process of its own.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::cases::{Case, Round};

/// Everything that is counted happens inside of this function. Callgrind knows it by its name.
#[inline(never)]
fn counted_part(round: &mut dyn Round) {
    round.run();
    // Without something behind it the call above would be a jump, and this function be over before it.
    std::hint::black_box(());
}

/// Plays a case, in the process that callgrind watches.
pub(crate) fn play(case: &Case) {
    let mut round = (case.make)();
    for _ in 0..case.before {
        round.prepare();
        round.run();
    }
    for _ in 0..case.rounds {
        round.prepare();
        counted_part(&mut *round);
    }
    round.check();
}

/// Where callgrind writes what it has counted of a case.
pub(crate) fn output(case: &Case) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("instructions-{}.out", case.name))
}

/// Instructions per operation of each case, counted `times` times. As many cases at a time as there are
/// processors: what else a machine does is not counted.
pub(crate) fn count_all(cases: &[&Case], times: usize) -> Result<Vec<Vec<u64>>, String> {
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(vec![Vec::new(); cases.len()]);
    let work = || -> Result<(), String> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(&case) = cases.get(index / times) else { return Ok(()) };
            let count = count(case, index % times)?;
            counts
                .lock()
                .expect("nobody panics with it")
                .get_mut(index / times)
                .expect("a case")
                .push(count);
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
    })?;
    Ok(counts.into_inner().expect("nobody panics with it"))
}

/// Instructions per operation, rounded. The first count leaves its file for who wants to look.
fn count(case: &Case, time: usize) -> Result<u64, String> {
    let mut path = output(case);
    if time > 0 {
        path.set_extension(format!("{time}.out"));
    }
    let program = env::current_exe().map_err(|error| format!("where am I? {error}"))?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*counted_part*"])
        .arg(format!("--callgrind-out-file={}", path.display()))
        .arg(program)
        .args(["--play", case.name])
        // The environment lies on the stack: a longer one moves everything there is.
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .output()
        .map_err(|error| format!("valgrind does not start ({error}): apt-get install valgrind"))?;
    if !run.status.success() {
        let said = String::from_utf8_lossy(&run.stderr);
        return Err(format!("{} fails under callgrind:\n{said}", case.name));
    }
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    if time > 0 {
        // It is there no longer, or will be overwritten.
        let _ = fs::remove_file(&path);
    }
    let total: Option<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("totals: "))
        .find_map(|total| total.trim().parse().ok());
    let operations = u64::from(case.rounds) * case.operations;
    match total {
        Some(total) if total > 0 => Ok((total + operations / 2) / operations),
        _ => Err(format!("callgrind has counted nothing of {}: {}", case.name, path.display())),
    }
}
