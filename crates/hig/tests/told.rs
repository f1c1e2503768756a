//! What an update tells of itself: its spectrum, and how many directions carry it.

mod common;

use common::{Batch, jacobi_svd, parts};
use hig::Result;
use hig::diagnostics;
use hig::linalg::Mat;
use hig::objective::ExplicitJacobian;
use hig::spectral::{Decomposition, Filter, Route};
use hig::step::methods;
use hig::systems::{LinearOscillators, MlpSettings, System, Toy, systems};
use hig::trainer::{Budget, Evaluation, Flow, LastBatch, Observer, Progress, Training, train};
use std::collections::BTreeSet;

/// What the observers are told.
#[derive(Default)]
struct Seen {
    spectra: Vec<Vec<f64>>,
    rows: Vec<usize>,
    batch_losses: Vec<f64>,
    unchanged: Vec<bool>,
}

impl Observer for Seen {
    fn progress(&mut self, now: &Progress<'_>) -> Result<Flow> {
        self.unchanged.push(now.unchanged);
        Ok(Flow::Continue)
    }
    fn evaluation(&mut self, now: &Evaluation<'_>) -> Result<Flow> {
        self.spectra.push(now.spectrum.to_vec());
        self.rows.push(now.rows);
        self.batch_losses.push(now.batch_loss);
        Ok(Flow::Continue)
    }
}

/// σ of √C·J of a batch by an independent SVD, or of J alone.
fn reference(at: &Batch<'_>, weighted: bool) -> Vec<f64> {
    let mut jacobian = at.jacobian();
    if weighted {
        let target = at.batch().target.as_ref();
        let curvature = at.parts().loss.curvature(at.y().as_ref(), target);
        let samples = curvature.nrows();
        // The problem counts by the mean of its samples.
        let scale = 1.0 / samples as f64;
        for r in 0..jacobian.nrows() {
            let root = (scale * curvature[(r % samples, r / samples)]).sqrt();
            jacobian.row_mut(r).iter_mut().for_each(|v| *v *= root);
        }
    }
    let mut sigma = jacobi_svd(&jacobian).1;
    sigma.sort_by(|a, b| b.total_cmp(a));
    sigma
}

#[test]
fn steps_that_decompose_tell_the_spectrum_of_their_batch_and_the_others_none() {
    let system = LinearOscillators {
        samples: 6,
        test_samples: 4,
        network: MlpSettings::tanh(vec![4]),
        ..LinearOscillators::default()
    };
    let problem = system.problem(0);
    let start = problem.initial_parameters(0);
    let at = Batch::new(parts(&problem), &problem.train, &start);
    for method in methods() {
        let mut step = method.start().unwrap();
        let told = step.step(&*at, method.learning_rate()).unwrap().spectrum;
        let weighted = match method.name() {
            "gn" | "hig" => false,
            "lm" | "gn-line-search" | "spring" | "prime-sr" | "adaptive-hig" => true,
            _ => {
                assert!(told.is_empty(), "{}", method.name());
                continue;
            }
        };
        let expected = reference(&at, weighted);
        assert_eq!(told.len(), expected.len(), "{}", method.name());
        let top = expected[0];
        for (found, expected) in told.iter().zip(&expected) {
            let close = (found - expected).abs() <= 1e-7 * top;
            assert!(close, "{}: {found} {expected}", method.name());
        }
    }
}

#[test]
fn observers_are_told_of_the_update_before_an_evaluation() {
    let problem = Toy::default().problem(0);
    let start = problem.initial_parameters(0);
    let method = hig::step::Spectral::half_inverse();
    let training = Training {
        batch: 100,
        last_batch: LastBatch::Short,
        evaluate_every: 1,
        ..Training::default()
    };
    let mut seen = Seen::default();
    let budget = Budget::updates(3);
    let observers: &mut [&mut dyn Observer] = &mut [&mut seen];
    train(&problem, &method, start, &training, budget, 0, observers).unwrap();
    // 256 samples are two batches of 100 and one of 56, each with two outputs and 30 parameters.
    assert_eq!(seen.rows, [0, 200, 200, 112]);
    assert!(seen.batch_losses[0].is_nan());
    assert!(seen.batch_losses[1..].iter().all(|loss| loss.is_finite()));
    let lengths: Vec<usize> = seen.spectra.iter().map(Vec::len).collect();
    assert_eq!(lengths, [0, 30, 30, 30]);
    assert_eq!(seen.unchanged, [false; 3]);
}

#[test]
fn an_update_of_zero_is_told_apart() {
    let (problem, start) = common::cliff();
    let mut seen = Seen::default();
    let method = hig::step::GaussNewtonLineSearch {
        halvings: 0,
        learning_rate: 1e3,
        ..Default::default()
    };
    let training = Training {
        batch: problem.train.len(),
        ..Training::default()
    };
    let budget = Budget::updates(1);
    let observers: &mut [&mut dyn Observer] = &mut [&mut seen];
    let outcome = train(
        &problem,
        &method,
        start.clone(),
        &training,
        budget,
        0,
        observers,
    )
    .unwrap();
    assert_eq!(outcome.parameters, start);
    assert_eq!(seen.unchanged, [true]);
}

/// The names that a table of docs/diagnostics.md has in its first column.
fn names_in_the_document() -> BTreeSet<&'static str> {
    let document = include_str!("../../../docs/diagnostics.md");
    let begin = "`steps.csv`, what a step tells of itself:";
    let table = document.split_once(begin).unwrap().1.trim_start();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let first = rows.map(|row| row.split('|').nth(1).unwrap());
    first
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn what_steps_tell_is_what_the_list_and_the_document_say() {
    let listed: BTreeSet<&str> = diagnostics::ALL.iter().map(|d| d.name).collect();
    assert_eq!(listed.len(), diagnostics::ALL.len());
    let mut told = BTreeSet::new();
    for system in systems() {
        let mut system = system.boxed();
        system.set("samples", "12").unwrap();
        system.set("test_samples", "2").unwrap();
        if system.has("measurements") {
            system.set("measurements", "6").unwrap();
        }
        common::quick_fields(system.as_mut());
        let problem = system.problem(0);
        let start = problem.initial_parameters(0);
        for method in methods() {
            if method.name() == "sip" && problem.through_physics().is_none() {
                continue;
            }
            for (setting, value) in [("route", "auto"), ("route", "lanczos"), ("sketch", "1")] {
                let mut method = method.boxed();
                if method.has(setting) && method.name() != "gd" {
                    method.set(setting, value).unwrap();
                }
                let mut step = method.start().unwrap();
                let at = problem.objective.linearize(&problem.train, &start).unwrap();
                let update = step.step(at.as_ref(), method.learning_rate()).unwrap();
                told.extend(update.diagnostics.iter().map(|(name, _)| *name));
                // What is told of the last update only.
                let moved = start.iter().zip(&update.delta).map(|(p, d)| p + d);
                let moved: Vec<f64> = moved.collect();
                let at = problem.objective.linearize(&problem.train, &moved).unwrap();
                if let Ok(update) = step.step(at.as_ref(), method.learning_rate()) {
                    told.extend(update.diagnostics.iter().map(|(name, _)| *name));
                }
            }
        }
    }
    assert_eq!(told, listed);
    assert_eq!(names_in_the_document(), listed);
}

#[test]
fn participation_counts_the_directions_of_a_step_on_every_route() {
    let diagonal = |sigma: [f64; 3]| {
        ExplicitJacobian::new(&Mat::from_fn(
            3,
            3,
            |i, j| if i == j { sigma[i] } else { 0.0 },
        ))
    };
    let newton = Filter::truncated(1.0, 1e-6);
    for route in [Route::Gram, Route::Normal, Route::Svd, Route::Lanczos] {
        let of = |sigma: [f64; 3], g: [f64; 3]| {
            let jacobian = diagonal(sigma);
            Decomposition::of(&jacobian, &g, &newton, route, 1e-9)
                .unwrap()
                .participation(&newton)
        };
        // Components g/σ along the singular directions.
        let cases = [
            (of([4.0, 2.0, 1.0], [4.0, 2.0, 1.0]), 3.0),
            (of([4.0, 2.0, 1.0], [0.0, 2.0, 0.0]), 1.0),
            (of([4.0, 2.0, 1.0], [4.0, 4.0, 0.0]), 25.0 / 17.0),
            // Far below the range of a fourth power.
            (of([4.0, 2.0, 1.0], [4e-120, 2e-120, 1e-120]), 3.0),
        ];
        for (found, expected) in cases {
            assert!(
                (found - expected).abs() < 1e-9,
                "{route:?}: {found} {expected}"
            );
        }
    }
}
