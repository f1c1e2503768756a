//! Diffusion on a circle against its closed form.

mod common;

use common::normal;
use hig::linalg::Mat;
use hig::physics::{Diffusion, Simulator, check::check};
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
