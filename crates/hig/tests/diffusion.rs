//! Diffusion on a circle against its closed form.

mod common;

use common::normal;
use hig::linalg::Mat;
use hig::physics::{Diffusion, PlaneDiffusion, Simulator, check::check};
use std::f64::consts::TAU;

#[test]
fn a_wave_keeps_its_shape_and_shrinks_by_the_known_factor() {
    for (points, diffused) in [(1, 2.0), (8, 0.5), (9, 1.0), (64, 8.0)] {
        let diffusion = Diffusion::new(points, diffused);
        for waves in 0..=points / 2 {
            let number = TAU * waves as f64 / points as f64;
            for phase in [0.0, 0.7] {
                let wave = Mat::from_fn(1, points, |_, i| (number * i as f64 + phase).cos());
                let left = (-diffused * number * number).exp();
                let expected = faer::Scale(left) * &wave;
                let error = diffusion.apply(wave.as_ref()) - expected;
                assert!(error.norm_max() < 1e-14, "{waves} waves of {points}");
            }
        }
    }
}

#[test]
fn heat_is_conserved_and_two_diffusions_are_one() {
    let fields = normal(3, 12, 1);
    let once = Diffusion::new(12, 1.5).apply(fields.as_ref());
    for s in 0..3 {
        let heat = |fields: &Mat<f64>| fields.row(s).iter().sum::<f64>();
        assert!((heat(&once) - heat(&fields)).abs() < 1e-13);
    }
    let first = Diffusion::new(12, 1.0).apply(fields.as_ref());
    let both = Diffusion::new(12, 0.5).apply(first.as_ref());
    assert!((&both - &once).norm_max() < 1e-14);
}

#[test]
fn derivatives_pass_the_public_check() {
    let diffusion = Diffusion::new(16, 2.0);
    assert_eq!(diffusion.widths().control, 16);
    let report = check(
        &diffusion,
        Mat::zeros(4, 0).as_ref(),
        normal(4, 16, 3).as_ref(),
    )
    .unwrap();
    assert!(report.finite_difference < 1e-8, "{report:?}");
    assert!(
        report.adjoint_identity < 1e-14 && report.rows < 1e-14,
        "{report:?}"
    );
}

/// A wave across and down, of a sample of each phase.
fn plane_wave(points: usize, (across, down): (usize, usize), phase: f64) -> Mat<f64> {
    let number = |waves: usize, place: usize| TAU * (waves * place) as f64 / points as f64;
    Mat::from_fn(1, points * points, |_, i| {
        let (row, column) = (i / points, i % points);
        (number(across, column) + number(down, row) + phase).cos()
    })
}

#[test]
fn a_wave_in_a_plane_shrinks_by_the_factors_of_both_its_wave_numbers() {
    for points in [1, 6, 7] {
        let plane = PlaneDiffusion::new(points, 0.8, 1e-6);
        for waves in [(0, 0), (1, 0), (0, 2), (2, 1), (3, 3)] {
            let of = |waves: usize| {
                // Of waves beyond the shortest, the points tell the one that they cannot be told from.
                let waves = waves % points;
                let number = TAU * waves.min(points - waves) as f64 / points as f64;
                (-0.8 * number * number).exp()
            };
            let wave = plane_wave(points, waves, 0.4);
            let expected = faer::Scale(of(waves.0) * of(waves.1)) * &wave;
            let error = (plane.apply(wave.as_ref()) - expected).norm_max();
            assert!(error < 1e-14, "{waves:?} of {points}: {error}");
        }
    }
}

#[test]
fn a_plane_keeps_the_mean_of_its_state_and_passes_the_public_check() {
    let plane = PlaneDiffusion::new(5, 0.3, 1e-6);
    let (state, control) = (normal(4, 25, 1), normal(4, 25, 2));
    let y = plane.simulate(state.as_ref(), control.as_ref()).unwrap();
    let mean = |fields: &Mat<f64>, s: usize| fields.row(s).iter().sum::<f64>() / 25.0;
    for s in 0..4 {
        assert!((mean(&y, s) - mean(&state, s)).abs() < 1e-14);
    }
    let report = check(&plane, state.as_ref(), control.as_ref()).unwrap();
    assert!(report.faults().is_empty(), "{report:?}");
    assert!(report.adjoint_identity < 1e-14 && report.rows < 1e-14);
}

#[test]
fn the_inverse_finds_what_is_certain_and_leaves_alone_what_is_not() {
    let (points, diffused) = (16, 3.0);
    let at = |uncertainty: f64, control: &Mat<f64>, y: &Mat<f64>| {
        let plane = PlaneDiffusion::new(points, diffused, uncertainty);
        let state = Mat::zeros(y.nrows(), points * points);
        let found = plane.inverse(state.as_ref(), control.as_ref(), y.as_ref());
        found.unwrap().unwrap()
    };
    // A slow wave, of which much is left, and a fast one, of which exp(-3·(6π/8)²·2) = 3e-15 is.
    let (slow, fast) = (
        plane_wave(points, (1, 1), 0.3),
        plane_wave(points, (6, 6), 1.1),
    );
    let plane = PlaneDiffusion::new(points, diffused, 1e-6);
    let seen = |field: &Mat<f64>| plane.apply(field.as_ref());
    let nothing = Mat::zeros(1, points * points);
    let both = &slow + &fast;
    let found = at(1e-6, &nothing, &seen(&both));
    assert!(
        (&found - &slow).norm_max() < 1e-4,
        "{}",
        (&found - &slow).norm_max()
    );
    // From a first guess, what is missing is added.
    let guess = faer::Scale(0.6) * &slow + &fast;
    let found = at(1e-6, &guess, &seen(&slow));
    assert!((&found - (&slow + &fast)).norm_max() < 1e-4);
    // The less is uncertain, the more is found.
    let error = |uncertainty| {
        let middle = plane_wave(points, (3, 2), 0.2);
        (at(uncertainty, &nothing, &seen(&middle)) - &middle).norm_max()
    };
    let errors = [3.0, 0.3, 1e-2, 1e-6].map(error);
    assert!(
        errors.windows(2).all(|pair| pair[1] < pair[0]),
        "{errors:?}"
    );
    // s/(s² + ε²) of a wave of root mean square s/√2.
    let left = (-diffused * (TAU / 16.0_f64).powi(2) * 13.0).exp();
    let noise = 0.3 * left / 2.0_f64.sqrt();
    let expected = noise * noise / (left * left + noise * noise);
    let middle = plane_wave(points, (3, 2), 0.2).norm_max();
    assert!((errors[1] / (expected * middle) - 1.0).abs() < 1e-9);
}
