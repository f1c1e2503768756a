//! The matrix-free route against an independent SVD, and the choice between routes.

mod common;

use common::{
    Batch, logarithmic, loss_of, normal, parts, reference_direction, relative, with_spectrum,
};
use hig::linalg::{Mat, MatRef, Scratch, Symmetric};
use hig::objective::{Consumes, ExplicitJacobian, Jacobian};
use hig::spectral::{Decomposition, DecompositionSettings, Filter, Route, Treatment};
use hig::step::{LevenbergMarquardt, Method, Spectral};
use hig::systems::{Poisson, System};
use hig::trainer::{Budget, Training, consumption, train};
use hig::{Error, Result};
use proptest::prelude::*;

fn column(n: usize, seed: u64) -> Vec<f64> {
    normal(n, 1, seed).col_as_slice(0).to_vec()
}

/// True and estimated error of a Lanczos step, and the number of its vectors.
fn errors(j: &Mat<f64>, g: &[f64], filter: &Filter, tolerance: f64) -> (f64, f64, usize) {
    let jacobian = ExplicitJacobian::new(j);
    let parts = Decomposition::of(&jacobian, g, filter, Route::Lanczos, tolerance).unwrap();
    let exact = reference_direction(j, g, |sigma, largest| filter.weight(sigma, largest));
    let (vectors, estimate) = parts.krylov().unwrap();
    let error = relative(&parts.direction(filter).unwrap(), &exact);
    (error, estimate, vectors)
}

#[test]
fn the_estimate_bounds_the_error_and_the_error_falls_with_the_tolerance() {
    let (n, p) = (160, 240);
    let g = column(n, 4);
    for smallest in [1e-1, 1e-2, 1e-3] {
        let j = with_spectrum(n, p, &logarithmic(n, smallest), 3);
        for exponent in [-0.5, 0.0, 0.5, 1.0] {
            let filter = Filter::truncated(exponent, 0.7 * smallest);
            let mut before = 0;
            for tolerance in [1e-1, 1e-2, 1e-3, 1e-5] {
                let (error, estimate, vectors) = errors(&j, &g, &filter, tolerance);
                let case = format!("s {smallest}, κ {exponent}, asked {tolerance}: {error:e}");
                assert!(estimate <= tolerance, "{case} estimated {estimate:e}");
                assert!(error <= 2.0 * tolerance + 1e-9, "{case}");
                assert!(
                    error <= 1.5 * estimate + 1e-9,
                    "{case} estimated {estimate:e}"
                );
                assert!(
                    vectors >= before,
                    "{case}: {vectors} after {before} vectors"
                );
                before = vectors;
            }
        }
    }
}

#[test]
fn a_fast_falling_spectrum_needs_few_products() {
    // 20 singular values of one size, the rest below the cut-off: K acts like a matrix of rank 20.
    let n = 300;
    let spectrum: Vec<f64> = (0..n)
        .map(|i| if i < 20 { 1.0 - 0.02 * i as f64 } else { 1e-9 })
        .collect();
    let j = with_spectrum(n, 320, &spectrum, 8);
    let (error, _, vectors) = errors(&j, &column(n, 2), &Filter::truncated(0.5, 1e-6), 1e-8);
    assert!(vectors <= 60, "{vectors} vectors");
    assert!(error <= 1e-7, "{error:e}");
}

#[test]
fn directions_below_the_cutoff_get_nothing() {
    let n = 120;
    let spectrum: Vec<f64> = (0..n)
        .map(|i| if i < 60 { 1.0 / (1.0 + i as f64) } else { 1e-4 })
        .collect();
    let j = with_spectrum(n, 150, &spectrum, 5);
    let filter = Filter::truncated(0.5, 1e-3);
    let (error, _, _) = errors(&j, &column(n, 6), &filter, 1e-6);
    assert!(error <= 1e-6, "{error:e}");
}

#[test]
fn long_runs_keep_their_accuracy() {
    // Without repaired orthogonality copies of the largest singular values would fill the space.
    let n = 240;
    let j = with_spectrum(n, 250, &logarithmic(n, 1e-4), 1);
    let (error, _, vectors) = errors(&j, &column(n, 3), &Filter::truncated(0.5, 0.5e-4), 1e-6);
    assert!(error <= 1e-5, "{error:e} after {vectors} vectors");
    assert!(vectors <= n, "{vectors} vectors in {n} dimensions");
}

#[test]
fn damped_steps_and_later_questions() {
    let (n, p) = (100, 80);
    let j = with_spectrum(n, p, &logarithmic(p, 1e-3), 9);
    let g = column(n, 1);
    let jacobian = ExplicitJacobian::new(&j);
    let damped = |exponent, damping| Filter {
        exponent,
        treatment: Treatment::Damp { damping },
    };
    let asked = damped(1.0, 1e-4);
    let parts = Decomposition::of(&jacobian, &g, &asked, Route::Lanczos, 1e-8).unwrap();
    for filter in [asked, damped(1.0, 1e-2), damped(0.5, 1e-3)] {
        let exact = reference_direction(&j, &g, |sigma, largest| filter.weight(sigma, largest));
        let error = relative(&parts.direction(&filter).unwrap(), &exact);
        assert!(error <= 1e-7, "{filter:?}: {error:e}");
    }
}

#[test]
fn what_is_degenerate_ends_in_a_defined_step() {
    let filter = Filter::truncated(0.5, 1e-6);
    let direction = |j: &Mat<f64>, g: &[f64]| {
        let jacobian = ExplicitJacobian::new(j);
        let parts = Decomposition::of(&jacobian, g, &filter, Route::Lanczos, 1e-3).unwrap();
        parts.direction(&filter).unwrap()
    };
    assert_eq!(direction(&Mat::zeros(5, 7), &[1.0; 5]), [0.0; 7]);
    let j = with_spectrum(5, 7, &[1.0, 0.5, 0.2, 0.1, 0.1], 2);
    assert_eq!(direction(&j, &[0.0; 5]), [0.0; 7]);
    let one = Mat::from_fn(1, 3, |_, j| j as f64);
    let exact = reference_direction(&one, &[2.0], |s, l| filter.weight(s, l));
    assert!(relative(&direction(&one, &[2.0]), &exact) < 1e-14);
    // A batch that consists of one sample twice.
    let twice = Mat::from_fn(6, 9, |i, k| ((i % 3) as f64 * 1.3 + k as f64).sin());
    let g = [0.3, -0.2, 0.5, 0.3, -0.2, 0.5];
    let exact = reference_direction(&twice, &g, |s, l| filter.weight(s, l));
    assert!(relative(&direction(&twice, &g), &exact) < 1e-9);
    // f(cσ) = f(σ)/√c, where squares of squares would overflow.
    let g = column(5, 3);
    let whole = direction(&j, &g);
    for scale in [1e-140_f64, 1e140] {
        let scaled = direction(&Mat::from_fn(5, 7, |i, k| scale * j[(i, k)]), &g);
        let expected: Vec<f64> = whole.iter().map(|v| v / scale.sqrt()).collect();
        let ratio: Vec<f64> = scaled.iter().zip(&expected).map(|(a, b)| a / b).collect();
        assert!(ratio.iter().all(|r| (r - 1.0).abs() < 1e-9), "{ratio:?}");
    }
}

#[test]
fn what_is_not_finite_is_an_error() {
    let mut j = with_spectrum(5, 7, &[1.0, 0.5, 0.2, 0.1, 0.1], 2);
    j[(2, 2)] = f64::NAN;
    let filter = Filter::truncated(0.5, 1e-6);
    let jacobian = ExplicitJacobian::new(&j);
    let error = Decomposition::of(&jacobian, &[1.0; 5], &filter, Route::Lanczos, 1e-3).unwrap_err();
    assert!(matches!(error, Error::Decomposition { .. }), "{error}");
    assert!(error.to_string().contains("not finite"), "{error}");
}

/// Products only: whoever asks for a matrix fails the test.
struct ProductsOnly(ExplicitJacobian);

impl Jacobian for ProductsOnly {
    fn rows(&self) -> usize {
        self.0.rows()
    }
    fn columns(&self) -> usize {
        self.0.columns()
    }
    fn vjp_into(&self, w: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        self.0.vjp_into(w, target, scratch)
    }
    fn jvp_into(&self, v: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        self.0.jvp_into(v, target, scratch)
    }
    fn gram(&self) -> Result<Symmetric> {
        panic!("K was formed")
    }
    fn image_gram(&self, _: MatRef<'_, f64>) -> Result<Symmetric> {
        panic!("images were formed")
    }
    fn normal(&self) -> Result<Symmetric> {
        panic!("JᵀJ was formed")
    }
    fn normal_image_gram(&self, _: MatRef<'_, f64>) -> Result<Symmetric> {
        panic!("images were formed")
    }
    fn transposed(&self) -> Result<Mat<f64>> {
        panic!("J was formed")
    }
    fn scaled_rows<'s>(&'s self, _: &[f64]) -> Result<Box<dyn Jacobian + 's>> {
        panic!("a J of ordinary size was scaled")
    }
}

#[test]
fn neither_k_nor_j_is_formed() {
    let j = with_spectrum(40, 60, &logarithmic(40, 1e-2), 4);
    let g = column(40, 5);
    let jacobian = ProductsOnly(ExplicitJacobian::new(&j));
    let filter = Filter::truncated(0.5, 1e-6);
    let parts = Decomposition::of(&jacobian, &g, &filter, Route::Lanczos, 1e-6).unwrap();
    let exact = reference_direction(&j, &g, |s, l| filter.weight(s, l));
    assert!(relative(&parts.direction(&filter).unwrap(), &exact) < 1e-6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_shape_to_any_tolerance(
        n in 1_usize..60,
        p in 1_usize..60,
        smallest in -3.0_f64..0.0,
        exponent in -1.0_f64..1.0,
        tolerance in -6.0_f64..-1.0,
        seed in 0_u64..1000,
    ) {
        let (smallest, tolerance) = (10f64.powf(smallest), 10f64.powf(tolerance));
        let j = with_spectrum(n, p, &logarithmic(n.min(p), smallest), seed);
        let filter = Filter::truncated(exponent, 0.5 * smallest);
        let (error, estimate, vectors) = errors(&j, &column(n, seed + 1), &filter, tolerance);
        prop_assert!(estimate <= tolerance);
        prop_assert!(error <= 3.0 * tolerance + 1e-8, "{error:e} for {tolerance:e}");
        prop_assert!(vectors <= n);
    }
}

#[test]
fn auto_goes_by_size_and_memory() {
    let filter = Filter::truncated(0.5, 1e-6);
    let auto = |n, p, memory| Route::Auto.resolve(&filter, n, p, memory);
    assert_eq!(auto(512, 3000, usize::MAX), Route::Gram);
    assert_eq!(auto(3000, 512, usize::MAX), Route::Normal);
    assert_eq!(auto(100_000, 1_000_000, usize::MAX), Route::Lanczos);
    assert_eq!(auto(100_000, 512, usize::MAX), Route::Normal);
    assert_eq!(auto(512, 3000, 4 * 512 * 512), Route::Gram);
    assert_eq!(auto(512, 3000, 4 * 512 * 512 - 1), Route::Lanczos);
    assert_eq!(Route::Gram.resolve(&filter, 512, 3000, 1), Route::Gram);
    let clamped = Filter {
        exponent: 0.5,
        treatment: Treatment::Clamp { cutoff: 1e-6 },
    };
    assert_eq!(Route::Auto.resolve(&clamped, 512, 3000, 1), Route::Svd);
}

#[test]
fn a_small_memory_limit_makes_training_matrix_free() {
    let problem = Poisson {
        samples: 16,
        ..Poisson::default()
    }
    .problem(0);
    let method = Spectral {
        learning_rate: 0.02.into(),
        ..Spectral::half_inverse()
    };
    let large = Training {
        batch: 16,
        ..Training::default()
    };
    // K alone, 1024 × 1024, has 8 MiB.
    let small = Training {
        memory_limit: 0.025,
        ..large.clone()
    };
    let consumed = |training| consumption(&problem, &method, training);
    let p = problem.parameter_count();
    assert_eq!(consumed(&large), (Consumes::Gram, 1024, p));
    let vectors = Consumes::VECTORS;
    assert_eq!(consumed(&small), (Consumes::Products { vectors }, 1024, p));

    let start = problem.initial_parameters(0);
    let losses = [&large, &small].map(|training| {
        let budget = Budget::updates(3);
        let outcome = train(
            &problem,
            &method,
            start.clone(),
            training,
            budget,
            0,
            &mut [],
        );
        outcome.unwrap().train_loss
    });
    assert!((losses[0] / losses[1] - 1.0).abs() < 0.2, "{losses:?}");
}

#[test]
fn every_spectral_method_trains_without_matrices() {
    let problem = Poisson {
        samples: 8,
        ..Poisson::default()
    }
    .problem(0);
    let start = problem.initial_parameters(0);
    let route = Route::Lanczos;
    let methods: [Box<dyn Method>; 3] = [
        Box::new(Spectral {
            decomposition: DecompositionSettings::by(route),
            learning_rate: 0.02.into(),
            ..Spectral::half_inverse()
        }),
        Box::new(Spectral {
            decomposition: DecompositionSettings::by(route),
            learning_rate: 0.02.into(),
            ..Spectral::gauss_newton()
        }),
        Box::new(LevenbergMarquardt {
            decomposition: DecompositionSettings::by(route),
            ..LevenbergMarquardt::default()
        }),
    ];
    for method in methods {
        let training = Training {
            batch: 8,
            ..Training::default()
        };
        let before = loss_of(&problem, &start, &problem.train);
        let outcome = train(
            &problem,
            method.as_ref(),
            start.clone(),
            &training,
            Budget::updates(8),
            0,
            &mut [],
        )
        .unwrap();
        assert!(
            outcome.train_loss < before,
            "{}: {} from {before}",
            method.name(),
            outcome.train_loss
        );
    }
}

#[test]
fn products_agree_with_the_gram_matrix() {
    let problem = Poisson {
        samples: 4,
        ..Poisson::default()
    }
    .problem(0);
    let parameters = problem.initial_parameters(1);
    let at = Batch::new(parts(&problem), &problem.train, &parameters);
    let w = column(at.rows(), 2);
    let exact = hig::linalg::apply(at.gram().as_ref(), &w);
    assert!(relative(&at.jvp(&at.vjp(&w)), &exact) < 1e-12);
}
