//! A change of units: y → s·y leaves Gauss-Newton alone and changes a step of exponent κ by s^(1-κ).

use crate::common::{Batch, logarithmic, normal, parts, relative, with_spectrum};
use crate::methods::{EXPONENTS, family, first, told};
use crate::problems::{scaled, trained};
use hig::linalg::Mat;
use hig::objective::ExplicitJacobian;
use hig::spectral::{Filter, Route, Spectrum, filtered_inverse};
use hig::step::{
    AdaptiveHalfInverse, GaussNewtonLineSearch, LevenbergMarquardt, Method, ScaleInvariant,
    Spectral, Spring,
};
use proptest::prelude::*;

const DAMPING: f64 = 1e-3;

/// The first update at a scale of y.
fn update(method: &dyn Method, scale: f64) -> Vec<f64> {
    let problem = scaled(scale);
    let parameters = problem.initial_parameters(0);
    let at = Batch::new(parts(&problem), &problem.train, &parameters);
    first(method, &at).unwrap_or_else(|error| panic!("{} at {scale:e}: {error}", told(method)))
}

/// How far the step at a scale is from s^(1-κ) times that at 1, in units of what the route is good for.
fn deviation(place: usize, exponent: f64, scale: f64) -> (f64, String) {
    let ordinary = family(exponent, DAMPING).swap_remove(place);
    let extreme = Spectral {
        damping: (scale * scale * DAMPING).min(f64::MAX),
        ..ordinary.clone()
    };
    let expected = update(&ordinary, 1.0);
    let found: Vec<f64> = update(&extreme, scale)
        .iter()
        // In two factors, each of which is a number where their product is none.
        .map(|v| v * scale.powf(-0.5 * (1.0 - exponent)) * scale.powf(-0.5 * (1.0 - exponent)))
        .collect();
    // Without deflation Lanczos takes the rounding of small singular values along.
    let accuracy = if ordinary.decomposition.route == Route::Lanczos {
        1e-6
    } else {
        1e-8
    };
    (relative(&found, &expected) / accuracy, told(&ordinary))
}

#[test]
fn steps_of_the_family_scale_as_their_exponent_says() {
    for exponent in EXPONENTS {
        for scale in [1e-150, 1e-40, 1e-20, 1e20, 1e40, 1e150] {
            for place in 0..family(exponent, DAMPING).len() {
                let (deviation, told) = deviation(place, exponent, scale);
                assert!(
                    deviation < 1.0,
                    "{told} {exponent} at {scale:e}: {deviation:e}"
                );
            }
        }
    }
}

/// Where σ² and the loss are beyond all numbers, but the step is not.
#[test]
fn steps_without_damping_are_right_wherever_they_are_numbers() {
    for exponent in [0.0, 0.5, 1.0] {
        for scale in [1e-290, 1e-200, 1e200, 1e300] {
            for place in 0..family(exponent, DAMPING).len() {
                let told = told(&family(exponent, DAMPING)[place]);
                if told.contains("damp") {
                    continue;
                }
                let (deviation, told) = deviation(place, exponent, scale);
                assert!(
                    deviation < 1.0,
                    "{told} {exponent} at {scale:e}: {deviation:e}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_scale_and_any_exponent(
        decade in -160.0_f64..160.0,
        exponent in -0.8_f64..1.0,
        place in 0_usize..9,
    ) {
        let place = place.min(family(exponent, DAMPING).len() - 1);
        let scale = 10_f64.powf(decade);
        // λ is in the units of σ², and must be a number.
        prop_assume!(!told(&family(exponent, DAMPING)[place]).contains("damp") || decade.abs() < 150.0);
        let (deviation, told) = deviation(place, exponent, scale);
        prop_assert!(deviation < 1.0, "{} {} at {:e}: {:e}", told, exponent, scale, deviation);
    }
}

/// Steps in the units of the loss do not depend on the units of y at all.
#[test]
fn methods_in_the_units_of_the_loss_do_not_see_the_scale() {
    let methods: [(Box<dyn Method>, f64); 5] = [
        (
            Box::new(GaussNewtonLineSearch {
                cutoff: 1e-2,
                ..Default::default()
            }),
            150.0,
        ),
        (Box::new(ScaleInvariant::default()), 150.0),
        (Box::new(LevenbergMarquardt::default()), 140.0),
        (
            Box::new(Spring {
                damping: 1e-4,
                ..Default::default()
            }),
            140.0,
        ),
        (Box::new(AdaptiveHalfInverse::default()), 140.0),
    ];
    for (method, most) in methods {
        let expected = update(method.as_ref(), 1.0);
        for decade in [-most, -30.0, 30.0, most] {
            let found = update(method.as_ref(), 10_f64.powf(decade));
            let deviation = relative(&found, &expected);
            assert!(
                deviation < 1e-8,
                "{} at 1e{decade}: {deviation:e}",
                method.name()
            );
        }
    }
}

#[test]
fn trainings_in_the_units_of_the_loss_go_the_same_way_at_any_scale() {
    let methods: [Box<dyn Method>; 3] = [
        Box::new(LevenbergMarquardt::default()),
        Box::new(GaussNewtonLineSearch::default()),
        Box::new(AdaptiveHalfInverse::default()),
    ];
    for method in methods {
        let ordinary = trained(&scaled(1.0), method.as_ref(), 5);
        for scale in [1e-120, 1e120] {
            let extreme = trained(&scaled(scale), method.as_ref(), 5);
            let fall = extreme.train_loss / scale / scale / ordinary.train_loss;
            assert!(
                (fall - 1.0).abs() < 1e-3,
                "{} at {scale:e}: {fall}",
                method.name()
            );
        }
    }
}

/// What is built of the decomposition alone: J⁺ and K^(-3/4)·g of a matrix times s.
#[test]
fn inverses_scale_as_their_exponent_says() {
    let j = with_spectrum(5, 8, &logarithmic(5, 1e-2), 1);
    let g = normal(5, 1, 2).col_as_slice(0).to_vec();
    let times = |scale: f64, m: &Mat<f64>| faer::Scale(scale) * m;
    let flat = |m: &Mat<f64>| hig::linalg::stack(m.as_ref());
    for scale in [1e-300, 1e-150, 1e150, 1e300_f64] {
        for exponent in [0.0, 0.5, 1.0] {
            let filter = Filter::truncated(exponent, 1e-6);
            let inverse =
                |j: &Mat<f64>| filtered_inverse(&ExplicitJacobian::new(j), &filter).unwrap();
            let found = times(scale.powf(exponent), &inverse(&times(scale, &j)));
            let deviation = relative(&flat(&found), &flat(&inverse(&j)));
            assert!(deviation < 1e-12, "{exponent} at {scale:e}: {deviation:e}");

            let k = &j * j.transpose();
            let weights = |k: &Mat<f64>| {
                let parts = Spectrum::of_gram(k, &g, &filter).unwrap();
                parts.sample_weights(&filter).unwrap()
            };
            let found = weights(&times(scale, &k));
            let power = scale.powf(0.5 * (1.0 + exponent));
            let found: Vec<f64> = found.iter().map(|c| power * c).collect();
            let deviation = relative(&found, &weights(&k));
            assert!(
                deviation < 1e-9,
                "K, {exponent} at {scale:e}: {deviation:e}"
            );
        }
    }
}
