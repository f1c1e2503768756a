//! Updates take their memory from what earlier ones returned, not anew from the operating system. One test, alone in
//! its process, on Linux, which counts the pages that a process is given.
#![cfg(target_os = "linux")]

use hig::step::Spectral;
use hig::systems::system;
use hig::trainer::{Budget, Training, train};
use std::fs::read_to_string;

/// Pages of memory that this process was given so far: the tenth number of its line of statistics.
fn pages() -> usize {
    let line = read_to_string("/proc/self/stat").unwrap();
    let behind_name = line.rsplit_once(')').unwrap().1;
    // The name is the second of them, the state the third.
    behind_name
        .split_whitespace()
        .nth(7)
        .unwrap()
        .parse()
        .unwrap()
}

/// Pages that so many updates of a system are given.
fn given(name: &str, batch: usize, updates: usize) -> usize {
    let problem = system(name).unwrap().problem(1);
    let training = Training {
        batch,
        ..Training::default()
    };
    let method = Spectral::half_inverse();
    let first = problem.initial_parameters(1);
    let before = pages();
    let budget = Budget::updates(updates);
    train(&problem, &method, first, &training, budget, 1, &mut []).unwrap();
    pages() - before
}

#[test]
fn updates_after_the_first_ones_are_given_no_matrix_anew() {
    // K has 512 rows; J has 512 × 2956 numbers, which would be 2956 pages more.
    let (name, batch, rows) = ("nonlinear-oscillators", 128, 512);
    given(name, batch, 20);
    let (few, many) = (given(name, batch, 10), given(name, batch, 50));
    let each = many.saturating_sub(few) / 40;
    let matrix = rows * rows * size_of::<f64>() / 4096;
    assert!(each < matrix / 2, "{each} pages an update, K has {matrix}");
}
