//! Counts what a case takes: this program again, under callgrind, in a process of its own.

use std::collections::BTreeMap;
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

/// What one operation takes.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Cost {
    /// Instructions, those of the C library included.
    pub(crate) instructions: f64,
    /// Calls of `malloc` and its like. An allocation more is easily lost among the instructions.
    pub(crate) allocations: f64,
}

/// What callgrind calls the functions that allocate.
const ALLOCATORS: [&str; 5] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];

/// The cost of each case, counted `times` times. As many cases at a time as there are processors: what else a
/// machine does is not counted.
pub(crate) fn count_all(cases: &[&Case], times: usize) -> Result<Vec<Vec<Cost>>, String> {
    let next = AtomicUsize::new(0);
    let costs = Mutex::new(vec![Vec::new(); cases.len()]);
    let work = || -> Result<(), String> {
        loop {
            let (index, time) = {
                let number = next.fetch_add(1, Ordering::Relaxed);
                (number / times, number % times)
            };
            let Some(&case) = cases.get(index) else { return Ok(()) };
            let cost = count(case, time)?;
            costs.lock().expect("nobody panics with it")[index].push(cost);
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
    })?;
    Ok(costs.into_inner().expect("nobody panics with it"))
}

/// Counts a case. The first time leaves its file for who wants to look.
fn count(case: &Case, time: usize) -> Result<Cost, String> {
    let mut path = output(case);
    if time > 0 {
        path.set_extension(format!("{time}.out"));
    }
    let program = env::current_exe().map_err(|error| format!("where am I? {error}"))?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*counted_part*"])
        .args(["--dump-instr=yes", "--compress-strings=no", "--compress-pos=no"])
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
        // If it stays, it is overwritten by the next one.
        let _ = fs::remove_file(&path);
    }
    let operations = f64::from(case.rounds) * f64::from(case.operations);
    let per_operation = |count: u64| count as f64 / operations;
    match instructions(&text) {
        Some(total) if total > 0 => Ok(Cost {
            instructions: per_operation(total).round(),
            allocations: (per_operation(allocations(&text)) * 100.0).round() / 100.0,
        }),
        _ => Err(format!("callgrind has counted nothing of {}: {}", case.name, path.display())),
    }
}

/// Instructions in all.
fn instructions(text: &str) -> Option<u64> {
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "))?;
    total.trim().parse().ok()
}

/// Calls of allocators: how often the first instruction of each was executed. (What callgrind says of calls
/// includes those before anything was counted.)
fn allocations(text: &str) -> u64 {
    let mut executed: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    let mut function = "";
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = name;
        } else if line.starts_with("calls=") {
            // The cost of what was called is on a line of its own, and counted where it was spent.
            lines.next();
        } else if let Some(position) = line.strip_prefix("0x")
            && ALLOCATORS.contains(&function)
        {
            let mut words = position.split(' ');
            let address = words.next().and_then(|word| u64::from_str_radix(word, 16).ok());
            // Between the two is a line number.
            let count = words.nth(1).and_then(|word| word.parse::<u64>().ok());
            if let (Some(address), Some(count)) = (address, count) {
                *executed.entry((function, address)).or_default() += count;
            }
        }
    }
    let first = |name: &'static str| executed.range((name, 0)..=(name, u64::MAX)).next();
    ALLOCATORS.into_iter().filter_map(first).map(|(_, count)| count).sum()
}
