//! How many threads work, as far as the machine lets them.

use crate::error::Refused;
use anyhow::{Result, anyhow};
use std::fs;
use std::thread::available_parallelism;

/// Threads that may be asked for where the machine has few cores.
const MANY: usize = 256;

/// Bytes of addresses that a thread reserves beside what products of matrices do: its stack, and a piece of
/// the heap of its own.
const THREAD: u64 = 66 << 20;
/// Bytes of addresses of the program, a moderate problem, and the thread that hears of signals.
const PROGRAM: u64 = 250 << 20;

/// Starts the threads of everything that follows: as many as are asked for, or as there are cores.
///
/// # Errors
/// A count that makes no sense, or that the system does not let begin.
pub fn use_threads(asked: Option<usize>) -> Result<()> {
    let cores = available_parallelism().map_or(1, usize::from);
    let (name, count) = match (asked, variable()) {
        (Some(count), _) => ("--threads", Some(count)),
        (None, Some(count)) => (VARIABLE, Some(count)),
        (None, None) => ("", None),
    };
    let most = MANY.max(4 * cores);
    if let Some(count) = count.filter(|count| !(1..=most).contains(count)) {
        return Err(Refused::because(format_args!(
            "{name} {count}: expected at least 1 and at most {most}, a few for each of the {cores} cores"
        )));
    }
    let wanted = count.unwrap_or(cores);
    let count = match address_space().and_then(|limit| within(limit, wanted, largest_cache())) {
        None => wanted,
        Some(0) => {
            tracing::warn!(
                "the limit on address space (ulimit -v) may leave no room for one thread, which reserves \
                 {} MiB here beside the {} MiB of the program: where memory runs out raise it",
                reserved(largest_cache()) >> 20,
                PROGRAM >> 20
            );
            1
        }
        Some(fitting) => {
            tracing::warn!(
                "the limit on address space (ulimit -v) leaves room for {fitting} of {wanted} threads; \
                 results do not depend on their number"
            );
            fitting
        }
    };
    let started = rayon::ThreadPoolBuilder::new()
        .num_threads(count)
        .build_global();
    started.map_err(|error| {
        anyhow!(
            "{count} threads cannot be started ({error}); name fewer with --threads, or raise the limit \
             on processes (ulimit -u)"
        )
    })
}

/// What asks every program that uses the same library for a number of threads; 0 asks for nothing.
const VARIABLE: &str = "RAYON_NUM_THREADS";

fn variable() -> Option<usize> {
    let count = std::env::var(VARIABLE).ok()?.parse().ok()?;
    (count > 0).then_some(count)
}

/// The threads that fit into a limit, where these are fewer than are wanted.
fn within(limit: u64, wanted: usize, cache: u64) -> Option<usize> {
    let fitting = limit.saturating_sub(PROGRAM) / reserved(cache);
    let fitting = usize::try_from(fitting).unwrap_or(usize::MAX);
    (fitting < wanted).then_some(fitting)
}

/// Bytes of addresses of a thread. Products of matrices reserve two times the largest cache, of which small ones never
/// touch any.
fn reserved(cache: u64) -> u64 {
    THREAD + 2 * cache
}

/// Bytes of addresses that the process may have; none where it may have any, or where it is not told.
fn address_space() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max address space"));
    line?.split_whitespace().next()?.parse().ok()
}

/// Bytes of the largest cache; a few million where it is not told.
fn largest_cache() -> u64 {
    let size = |index: usize| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
        let text = fs::read_to_string(path).ok()?;
        Some(text.trim().strip_suffix('K')?.parse::<u64>().ok()? << 10)
    };
    (0..5).filter_map(size).max().unwrap_or(4 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_threads_work_as_a_limit_has_room_for() {
        const MIB: u64 = 1 << 20;
        assert_eq!(within(u64::MAX, 256, 32 * MIB), None);
        assert_eq!(within(PROGRAM + 130 * MIB, 2, 32 * MIB), Some(1));
        assert_eq!(within(PROGRAM + 3 * 130 * MIB, 2, 32 * MIB), None);
        assert_eq!(within(0, 8, 32 * MIB), Some(0));
        assert_eq!(within(PROGRAM + 2048 * MIB, 16, 300 * MIB), Some(3));
        assert!(largest_cache() > 0);
    }
}
