//! The full step of a method with a fixed learning rate, and the rate that follows from it.

use hig::Problem;
use hig::objective::Linearized;
use hig::settings::Settings;
use hig::step::{Method, Spectral};
use hig::systems::{recommended, system};
use hig::trainer::{Batches, Budget, train};
use proptest::prelude::*;

/// A problem whose y is linear in θ, so that the quadratic model is the loss.
fn linear() -> Problem {
    let mut system = system("heat-inversion").unwrap();
    for (name, value) in [("hidden", ""), ("samples", "12"), ("points", "8")] {
        system.set(name, value).unwrap();
    }
    system.problem(3)
}

fn told(diagnostics: &[(&'static str, f64)], quantity: &str) -> Option<f64> {
    let mut told = diagnostics.iter();
    told.find(|(name, _)| *name == quantity).map(|(_, v)| *v)
}

/// The first update of a method and its full step, on all training samples.
fn first(method: &dyn Method, problem: &Problem, rate: f64) -> (f64, f64, Option<f64>) {
    let at = problem.initial_parameters(0);
    let batch = problem.objective.linearize(&problem.train, &at).unwrap();
    let update = method.start().unwrap().step(batch.as_ref(), rate).unwrap();
    let after = batch.loss_after(&update.delta).unwrap();
    let full = told(&update.diagnostics, "full_step");
    (batch.loss(), after, full)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn where_the_model_is_exact_a_step_lowers_the_loss_up_to_twice_the_full_one_and_raises_it_beyond(
        exponent in -0.9..1.0_f64,
        cutoff in 1e-6..1e-2_f64,
        part in 0.01..1.99_f64,
    ) {
        let problem = linear();
        let method = Spectral { exponent, cutoff, ..Spectral::half_inverse() };
        let (before, _, full) = first(&method, &problem, 1.0);
        let full = full.unwrap();
        let (_, lower, again) = first(&method, &problem, part * full);
        prop_assert_eq!(again, Some(full));
        prop_assert!(lower < before);
        let least = first(&method, &problem, full).1;
        prop_assert!(least <= lower * (1.0 + 1e-9));
        let (_, higher, _) = first(&method, &problem, (4.0 - part) * full);
        prop_assert!(higher > before);
        // The loss is a parabola about the full step.
        let mirrored = first(&method, &problem, (2.0 - part) * full).1;
        prop_assert!((mirrored - lower).abs() < 1e-6 * before);
    }
}

#[test]
fn a_full_gauss_newton_step_on_a_mean_of_squares_is_half_the_batch() {
    let problem = linear();
    let (_, _, full) = first(&Spectral::gauss_newton(), &problem, 1.0);
    let half = 0.5 * problem.train.len() as f64;
    assert!((full.unwrap() / half - 1.0).abs() < 1e-6);
}

#[test]
fn a_rate_that_is_found_is_a_part_of_the_full_step_on_other_samples() {
    for name in ["gd", "hig", "gn"] {
        let system = system("nonlinear-oscillators").unwrap();
        let problem = system.problem(1);
        let (mut auto, mut training) = recommended(system.as_ref(), name).unwrap();
        training.batch = 4;
        let fixed = auto.boxed();
        auto.set("learning_rate", "auto").unwrap();
        assert_eq!(auto.learning_rate(), 1.0);
        let mut at = problem.initial_parameters(1);
        let mut batches = Batches::new(&problem, &training, 1);
        let mut step = auto.start().unwrap();
        let (mut lengths, mut sums) = (Vec::new(), (0.0, 0.0));
        let mut last: Option<Vec<f64>> = None;
        for update in 0..12 {
            let batch = batches.next_batch(&at);
            let here = problem.objective.linearize(&batch, &at).unwrap();
            let found = step.step(here.as_ref(), 0.5).unwrap();
            let direction = fixed
                .start()
                .unwrap()
                .step(here.as_ref(), -1.0)
                .unwrap()
                .delta;
            if update < 8 {
                if let Some(last) = &last {
                    let (slope, bend) = model(here.as_ref(), last);
                    sums = (sums.0 + slope, sums.1 + bend);
                }
                let (slope, bend) = model(here.as_ref(), &direction);
                lengths.push(slope / bend);
                last = Some(direction.iter().map(|d| slope / bend * d).collect());
            }
            let mut sorted = lengths.clone();
            sorted.sort_by(f64::total_cmp);
            let own = sorted[sorted.len() / 2];
            let part = if update == 0 { 0.03 } else { sums.0 / sums.1 };
            let others = own * part.clamp(0.03, 1.0);
            assert_near(told(&found.diagnostics, "full_step").unwrap(), own);
            let on_others = told(&found.diagnostics, "full_step_of_others");
            assert_near(on_others.unwrap(), others);
            for (taken, whole) in found.delta.iter().zip(&direction) {
                let expected = -0.5 * 0.3 * others * whole;
                assert!((taken - expected).abs() <= 1e-9 * expected.abs(), "{name}");
            }
            drop(here);
            at.iter_mut().zip(&found.delta).for_each(|(p, d)| *p += d);
        }
    }
}

fn assert_near(found: f64, expected: f64) {
    assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
}

/// gᵀJd and (Jd)ᵀC(Jd).
fn model(at: &dyn Linearized, direction: &[f64]) -> (f64, f64) {
    let image = at.jvp(direction).unwrap();
    let curvature = at.curvature().unwrap();
    let slope = at.cotangent().iter().zip(&image).map(|(g, i)| g * i).sum();
    let bend = image.iter().zip(&curvature).map(|(i, c)| c * i * i).sum();
    (slope, bend)
}

#[test]
fn a_rate_that_is_found_trains_every_system_at_any_batch() {
    for (name, batches, updates) in [
        ("toy", vec![1, 8, 256], 60),
        ("linear-oscillators", vec![1, 32], 60),
        ("nonlinear-oscillators", vec![1, 16], 60),
        ("quantum-dipole", vec![2], 40),
        ("heat-inversion", vec![1, 2, 8], 100),
    ] {
        for batch in batches {
            for seed in 100..102 {
                let system = system(name).unwrap();
                let problem = system.problem(seed);
                let (mut method, mut training) = recommended(system.as_ref(), "hig").unwrap();
                method.set("learning_rate", "auto").unwrap();
                training.batch = batch;
                training.set("returned", "last").unwrap();
                let start = problem.initial_parameters(seed);
                let before = problem.objective.loss(&start, &problem.train).unwrap();
                let budget = Budget::updates(updates);
                let outcome = train(
                    &problem,
                    method.as_ref(),
                    start,
                    &training,
                    budget,
                    seed,
                    &mut [],
                )
                .unwrap();
                let after = outcome.last.train;
                assert!(
                    after < 1.2 * before,
                    "{name}, batch {batch}: {before} to {after}"
                );
            }
        }
    }
}
