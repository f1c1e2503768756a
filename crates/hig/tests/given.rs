//! Steps for those who have J or K as a matrix, against an independent SVD.

mod common;

use common::*;
use hig::Error;
use hig::linalg::{Mat, MatRef};
use hig::objective::ExplicitJacobian;
use hig::spectral::{Decomposition, Filter, Route, Spectrum, Treatment, filtered_inverse};

const SHAPES: [(usize, usize); 3] = [(9, 23), (23, 9), (40, 61)];

fn half() -> Filter {
    Filter::truncated(0.5, 1e-4)
}

#[test]
fn a_step_from_k_alone_is_the_step_from_j() {
    for (n, p) in SHAPES {
        let sigma = logarithmic(n.min(p), 3e-4);
        let (j, g) = (with_spectrum(n, p, &sigma, 5), normal_vector(n, 7));
        let k = multiply(&j, &transpose(&j));
        for filter in [
            half(),
            Filter::truncated(1.0, 1e-3),
            Filter {
                exponent: 0.5,
                treatment: Treatment::Damp { damping: 1e-6 },
            },
        ] {
            let parts = Spectrum::of_gram(&k, &g, &filter).unwrap();
            let c = parts.sample_weights(&filter).unwrap();
            let expected = reference_direction(&j, &g, |s, top| filter.weight(s, top));
            let error = relative(&times(&transpose(&j), &c), &expected);
            assert!(error < 1e-6, "{n} x {p} {filter:?}: {error:e}");
        }
    }
}

#[test]
fn what_rounding_leaves_of_a_singular_k_counts_as_zero() {
    let (n, p) = (30, 50);
    let mut sigma = logarithmic(20, 1e-3);
    sigma.extend([0.0; 10]);
    let (j, g) = (with_spectrum(n, p, &sigma, 5), normal_vector(n, 7));
    let filter = Filter::truncated(1.0, 0.0);
    let parts = Spectrum::of_gram(&multiply(&j, &transpose(&j)), &g, &filter).unwrap();
    assert_eq!(parts.rank(0.0), 20);
    let c = parts.sample_weights(&filter).unwrap();
    let expected = reference_direction(&j, &g, |s, top| if s > 1e-6 * top { 1.0 / s } else { 0.0 });
    assert!(relative(&times(&transpose(&j), &c), &expected) < 1e-6);
}

#[test]
fn the_filtered_inverse_applied_to_g_is_the_step() {
    for (n, p) in SHAPES {
        let sigma = logarithmic(n.min(p), 7e-7);
        let (j, g) = (with_spectrum(n, p, &sigma, 5), normal_vector(n, 7));
        let inverse = filtered_inverse(&ExplicitJacobian::new(&j), &half()).unwrap();
        assert_eq!((inverse.nrows(), inverse.ncols()), (p, n));
        let expected = reference_direction(&j, &g, |s, top| half().weight(s, top));
        let error = relative(&times(&inverse, &g), &expected);
        assert!(error < 1e-10, "{n} x {p}: {error:e}");
    }
    // Moore and Penrose: J·J⁺·J = J.
    let j = with_spectrum(12, 20, &logarithmic(12, 1e-3), 5);
    let newton = Filter::truncated(1.0, 1e-6);
    let inverse = filtered_inverse(&ExplicitJacobian::new(&j), &newton).unwrap();
    assert!(relative_matrix(&multiply(&j, &multiply(&inverse, &j)), &j) < 1e-12);
}

#[test]
fn a_borrowed_jacobian_gives_the_bits_of_a_copied_one() {
    let (j, g) = (normal(20, 33, 1), normal_vector(20, 2));
    let rows: Vec<f64> = entries(&transpose(&j));
    let borrowed = ExplicitJacobian::borrowed(MatRef::from_column_major_slice(&rows, 33, 20));
    let copied = ExplicitJacobian::new(&j);
    for route in [Route::Gram, Route::Normal, Route::Svd, Route::Lanczos] {
        let a = Decomposition::of(&borrowed, &g, &half(), route, 1e-8).unwrap();
        let b = Decomposition::of(&copied, &g, &half(), route, 1e-8).unwrap();
        let step = a.direction(&half()).unwrap();
        assert_eq!(step, b.direction(&half()).unwrap(), "{route}");
    }
}

#[test]
fn what_is_no_gram_matrix_is_refused_with_the_place() {
    let symmetric = |i: usize, j: usize| if i == j { 4.0 } else { 1.0 };
    let with = |odd: f64| {
        let entry = |i: usize, j: usize| symmetric(i, j) + if (i, j) == (0, 2) { odd } else { 0.0 };
        Mat::from_fn(3, 3, entry)
    };
    for odd in [1e-3, -2.0, 1e300] {
        let refused = Spectrum::of_gram(&with(odd), &[1.0; 3], &half()).unwrap_err();
        let message = refused.to_string();
        assert!(message.contains("not symmetric"), "{message}");
        assert!(message.contains("1 at row 2, column 0, and "), "{message}");
        assert!(message.contains("at row 0, column 2"), "{message}");
    }
    for odd in [f64::INFINITY, f64::NAN] {
        let message = Spectrum::of_gram(&with(odd), &[1.0; 3], &half())
            .unwrap_err()
            .to_string();
        assert!(message.contains("at row 0, column 2"), "{message}");
    }
    // Rounding of single precision, in any units.
    for scale in [1e-290, 1.0, 1e290] {
        let k = Mat::from_fn(3, 3, |i, j| scale * with(1e-7)[(i, j)]);
        Spectrum::of_gram(&k, &[1.0; 3], &half()).unwrap();
    }
    let zeros = Mat::zeros(3, 3);
    Spectrum::of_gram(&zeros, &[1.0; 3], &half()).unwrap();
    let oblong = Spectrum::of_gram(&Mat::zeros(3, 2), &[1.0; 3], &half()).unwrap_err();
    assert!(oblong.to_string().contains("3 x 2"), "{oblong}");
    let short = Spectrum::of_gram(&with(0.0), &[1.0; 2], &half()).unwrap_err();
    assert!(
        short.to_string().contains("length 2, expected length 3"),
        "{short}"
    );
}

#[test]
fn nan_is_refused() {
    let k = Mat::from_fn(3, 3, |i, j| if i == 2 && j == 1 { f64::NAN } else { 1.0 });
    let refused = Spectrum::of_gram(&k, &[1.0; 3], &half()).unwrap_err();
    assert!(matches!(refused, Error::Decomposition { .. }), "{refused}");
    let inverse = filtered_inverse(&ExplicitJacobian::new(&k), &half());
    assert!(matches!(inverse, Err(Error::Decomposition { .. })));
}
