//! What the memory of repeated updates costs. One test, alone in its process: the faults of all threads
//! count.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use hig::step::{Method, Step, method};
use hig::systems::system;
use hig::trainer::compute;

/// Pages that were touched for the first time, or again after they had been given back.
fn faults() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, numbers) = text.rsplit_once(')').unwrap();
    numbers.split_whitespace().nth(7).unwrap().parse().unwrap()
}

/// Page faults an update, once some have been made.
fn of_updates(name: &str, by: &str) -> f64 {
    const UPDATES: u32 = 20;
    let problem = system(name).unwrap().problem(0);
    let parameters = problem.initial_parameters(0);
    let batch = problem.train.select(&(0..16).collect::<Vec<_>>());
    let mut step = method(by).unwrap().start().unwrap();
    let mut update = || {
        let objective = problem.objective.as_ref();
        compute(objective, &batch, &parameters, step.as_mut(), 1e-3).unwrap();
    };
    (0..5).for_each(|_| update());
    let before = faults();
    (0..UPDATES).for_each(|_| update());
    (faults() - before) as f64 / f64::from(UPDATES)
}

#[test]
fn repeated_updates_keep_their_memory() {
    for name in [
        "linear-oscillators",
        "nonlinear-oscillators",
        "quantum-dipole",
        "poisson",
    ] {
        for by in ["hig", "gn"] {
            let found = of_updates(name, by);
            assert!(found < 8.0, "{name}, {by}: {found} page faults an update");
        }
    }
}
