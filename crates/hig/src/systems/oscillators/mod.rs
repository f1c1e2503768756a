//! Control of coupled oscillators: the network reads the initial state and answers a force over
//! time on the last mass; the state at the end should be the initial one.

mod linear;
mod nonlinear;

pub use linear::LinearOscillators;
pub use nonlinear::NonlinearOscillators;

use super::Picture;
use super::picture::{self, Lines};
use crate::data::{Dataset, Purpose, random};
use crate::linalg::matrix::Mat;
use crate::loss::SquaredError;
use crate::network::Network;
use crate::physics::{Equations, OscillatorChain, RungeKutta4, Spring};
use crate::problem::Problem;
use rand_distr::{Distribution, Uniform};

/// Initial states uniform in [0, 1], which are also the targets.
fn uniform_states(samples: usize, masses: usize, seed: u64, purpose: Purpose) -> Dataset {
    let uniform = Uniform::new(0.0, 1.0).expect("finite bounds");
    let mut random = random(seed, purpose);
    let state = Mat::from_fn(samples, 2 * masses, |_, _| uniform.sample(&mut random));
    Dataset {
        input: state.clone(),
        target: state.clone(),
        state,
    }
}

/// The problem of steering a chain back to where it started, for (training, test) samples.
fn steering<S: Spring + 'static>(
    chain: OscillatorChain<S>,
    (steps, dt): (usize, f64),
    (train, test): (usize, usize),
    network: Network,
    seed: u64,
) -> Problem {
    let masses = chain.masses;
    Problem::new(
        uniform_states(train, masses, seed, Purpose::Train),
        uniform_states(test, masses, seed, Purpose::Test),
        network,
        RungeKutta4::new(chain, steps, dt),
        SquaredError::sum(),
    )
}

/// The motion of one test sample and the force that steers it.
fn motion<S: Spring>(
    chain: OscillatorChain<S>,
    (steps, dt): (usize, f64),
    problem: &Problem,
    parameters: &[f64],
    sample: usize,
) -> Vec<Picture> {
    let chosen = problem.test.select(&[sample]);
    let row = |m: &Mat<f64>| -> Vec<f64> { m.row(0).iter().copied().collect() };
    let Some(parts) = problem.through_physics() else {
        return Vec::new();
    };
    let control = row(&parts.control(parameters, &chosen));
    let masses = chain.state_len() / 2;
    let states = RungeKutta4::new(chain, steps, dt).trajectory(&row(&chosen.state), &control);
    let times: Vec<f64> = (0..=steps).map(|k| k as f64 * dt).collect();
    let position = |i: usize| states.iter().map(|state| state[i]).collect();
    let (edges, held) = picture::held(dt, &control);
    let end = steps as f64 * dt;
    vec![
        Picture::Lines(Lines {
            title: "motion".into(),
            x: "time".into(),
            y: "position".into(),
            lines: (0..masses)
                .map(|i| (format!("mass {}", i + 1), times.clone(), position(i)))
                .collect(),
            points: (0..masses)
                .map(|i| (format!("target {}", i + 1), end, chosen.target[(0, i)]))
                .collect(),
        }),
        Picture::Lines(Lines {
            title: "control".into(),
            x: "time".into(),
            y: "force".into(),
            lines: vec![("force on the last mass".into(), edges, held)],
            points: Vec::new(),
        }),
    ]
}
