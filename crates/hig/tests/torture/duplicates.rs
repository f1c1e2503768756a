//! Samples that are there more than once.
//!
//! With every sample there m times, J has its singular vectors, U's entries over √m, and √m times its
//! singular values; g of a mean is divided by m. So V·f(Σ)·Uᵀ·g becomes m^(-(1+κ)/2) of what it was,
//! and m^((1-κ)/2) where the losses are summed.

use crate::common::{Batch, parts, parts_mut, relative};
use crate::methods::{EXPONENTS, family, first, told};
use crate::problems::{SAMPLES, scaled};
use hig::Problem;
use hig::objective::Reduction;
use hig::spectral::{Route, TreatmentKind};
use hig::step::{
    AdaptiveHalfInverse, GaussNewtonLineSearch, LevenbergMarquardt, Method, PrimeSr, Spectral,
    Spring,
};

/// Every sample `times` times, in one batch.
fn update(method: &dyn Method, times: usize, reduction: Reduction) -> Vec<f64> {
    let mut problem: Problem = scaled(1.0);
    parts_mut(&mut problem).reduction = reduction;
    let places: Vec<usize> = (0..SAMPLES * times).map(|i| i / times).collect();
    let batch = problem.train.select(&places);
    let parameters = problem.initial_parameters(0);
    let at = Batch::new(parts(&problem), &batch, &parameters);
    first(method, &at).unwrap()
}

#[test]
fn duplicates_change_the_length_of_a_step_as_mathematics_says() {
    for exponent in EXPONENTS {
        // Clamping gives a weight to what duplicates add: directions of σ = 0.
        let family = family(exponent, 1e-3).into_iter();
        for once in family.filter(|m| m.treatment != TreatmentKind::Clamp) {
            for times in [2, 5] {
                let many = times as f64;
                let repeated = Spectral {
                    damping: many * once.damping,
                    ..once.clone()
                };
                for (reduction, power) in [
                    (Reduction::Mean, -0.5 * (1.0 + exponent)),
                    (Reduction::Sum, 0.5 * (1.0 - exponent)),
                ] {
                    let expected = update(&once, 1, reduction);
                    let found = update(&repeated, times, reduction);
                    let found: Vec<f64> = found.iter().map(|v| v / many.powf(power)).collect();
                    let deviation = relative(&found, &expected);
                    let told = told(&once);
                    // Without deflation Lanczos takes the rounding of small singular values along.
                    let accuracy = if once.decomposition.route == Route::Lanczos {
                        1e-6
                    } else {
                        1e-9
                    };
                    assert!(
                        deviation < accuracy,
                        "{told} {exponent} x {times}: {deviation:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn methods_in_the_units_of_the_loss_do_not_see_duplicates() {
    let methods: [Box<dyn Method>; 5] = [
        Box::new(GaussNewtonLineSearch {
            cutoff: 1e-2,
            ..Default::default()
        }),
        Box::new(LevenbergMarquardt::default()),
        Box::new(Spring {
            damping: 1e-4,
            ..Default::default()
        }),
        Box::new(PrimeSr {
            damping: 1e-4,
            ..Default::default()
        }),
        Box::new(AdaptiveHalfInverse::default()),
    ];
    for method in methods {
        let once = update(method.as_ref(), 1, Reduction::Mean);
        let twice = update(method.as_ref(), 2, Reduction::Mean);
        let deviation = relative(&twice, &once);
        assert!(deviation < 1e-9, "{}: {deviation:e}", method.name());
    }
}
