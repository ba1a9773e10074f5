//! What a run costs: process CPU time, wall time, and by how much resident memory rose.

use std::time::Instant;

use serde::Serialize;

/// The cost of one run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    /// CPU time of all threads of the process, milliseconds.
    pub cpu_ms: f64,
    /// Wall time, milliseconds.
    pub wall_ms: f64,
    /// Highest resident memory during the run less that before it, MiB. Nothing where the system does not say.
    pub peak_mib: Option<f64>,
}

fn cpu_ms() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for a timespec, and the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// A figure of /proc/self/status, MiB.
fn status_mib(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// Resident memory, after the high-water mark was set back to it. Memory that is free but kept is handed back first.
fn reset_peak() -> Option<f64> {
    #[cfg(target_env = "gnu")]
    // SAFETY: glibc's malloc_trim takes any pad and touches only free memory.
    unsafe {
        libc::malloc_trim(0)
    };
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    status_mib("VmRSS")
}

/// Runs `work` once. With `memory` the run is for its memory: the marks cost time.
pub fn measured<T>(memory: bool, work: impl FnOnce() -> T) -> (Cost, T) {
    let before = if memory { reset_peak() } else { None };
    let (wall, cpu) = (Instant::now(), cpu_ms());
    let result = work();
    let (cpu_ms, wall_ms) = (cpu_ms() - cpu, wall.elapsed().as_secs_f64() * 1e3);
    let peak_mib = before.and_then(|before| Some((status_mib("VmHWM")? - before).max(0.0)));
    (Cost { cpu_ms, wall_ms, peak_mib }, result)
}
