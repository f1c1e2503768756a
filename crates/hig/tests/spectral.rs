//! The spectral step against an independent SVD and closed forms.

mod common;

use common::*;
use hig::Error;
use hig::linalg::Mat;
use hig::objective::ExplicitJacobian;
use hig::spectral::{Decomposition, Filter, Route, Treatment};
use proptest::prelude::*;

const EXPONENTS: [f64; 6] = [-1.0, -0.5, 0.0, 0.5, 0.75, 1.0];
const ROUTES: [Route; 4] = [Route::Svd, Route::Gram, Route::Normal, Route::Auto];
const SHAPES: [(usize, usize); 4] = [(9, 23), (23, 9), (14, 14), (40, 61)];
const EXACT: f64 = 1e-12;

fn decompose<'j>(
    j: &'j ExplicitJacobian,
    g: &[f64],
    filter: &Filter,
    route: Route,
) -> Decomposition<'j> {
    Decomposition::of(j, g, filter, route, EXACT).unwrap()
}

fn direction(j: &Mat<f64>, g: &[f64], filter: &Filter, route: Route) -> Vec<f64> {
    let j = ExplicitJacobian::new(j);
    decompose(&j, g, filter, route).direction(filter).unwrap()
}

/// A copy of the filter's definition: (σ, σ_max) to f(σ).
fn weight(filter: Filter) -> impl Fn(f64, f64) -> f64 {
    let power = move |s: f64| s.powf(-filter.exponent);
    move |s, top| match filter.treatment {
        Treatment::Truncate { cutoff } if s <= cutoff * top => 0.0,
        Treatment::Truncate { .. } => power(s),
        Treatment::Clamp { cutoff } => power(s.max(cutoff * top)),
        Treatment::Damp { damping } => s * (s * s + damping).powf(-0.5 * (1.0 + filter.exponent)),
    }
}

fn with_treatment(exponent: f64, treatment: Treatment) -> Filter {
    Filter {
        exponent,
        treatment,
    }
}

/// Singular values down to `smallest` and, where `below` says so, a third as many far below it.
fn spectrum(count: usize, smallest: f64, below: bool) -> Vec<f64> {
    let dropped = if below { count / 3 } else { 0 };
    let mut sigma = logarithmic(count - dropped, smallest);
    sigma.extend((0..dropped).map(|k| smallest * 0.2 * 0.1_f64.powi(k as i32)));
    sigma
}

fn assert_routes(j: &Mat<f64>, g: &[f64], filter: Filter, routes: &[Route], tolerance: f64) {
    let expected = reference_direction(j, g, weight(filter));
    for &route in routes {
        let error = relative(&direction(j, g, &filter, route), &expected);
        let (n, p) = (j.nrows(), j.ncols());
        assert!(
            error <= tolerance,
            "{route:?} {n} x {p} {filter:?}: {error:e}"
        );
    }
}

#[test]
fn truncated_directions_agree_with_the_jacobi_svd_for_conditions_up_to_the_cutoff() {
    for (n, p) in SHAPES {
        for (k, cutoff) in [0.3, 1e-2, 1e-4, 1e-5].into_iter().enumerate() {
            for below in [false, true] {
                let sigma = spectrum(n.min(p), 2.0 * cutoff, below);
                let j = with_spectrum(n, p, &sigma, 10 * n as u64 + k as u64);
                let g = normal_vector(n, 5);
                for exponent in EXPONENTS {
                    let filter = Filter::truncated(exponent, cutoff);
                    assert_routes(&j, &g, filter, &ROUTES, 1e-10);
                }
            }
        }
    }
}

#[test]
fn random_matrices_agree_with_the_jacobi_svd() {
    for (n, p) in SHAPES {
        let (j, g) = (normal(n, p, 21), normal_vector(n, 22));
        for exponent in EXPONENTS {
            assert_routes(&j, &g, Filter::truncated(exponent, 1e-5), &ROUTES, 1e-10);
        }
    }
}

/// The default accuracy for a spectrum down to the cutoff, with and without a tail below it.
fn assert_default_accuracy(cutoff: f64) {
    for (n, p) in SHAPES {
        for below in [false, true] {
            let j = with_spectrum(n, p, &spectrum(n.min(p), 1.5 * cutoff, below), 31);
            let g = normal_vector(n, 32);
            let explicit = ExplicitJacobian::new(&j);
            for exponent in EXPONENTS {
                let filter = Filter::truncated(exponent, cutoff);
                let expected = reference_direction(&j, &g, weight(filter));
                for route in ROUTES {
                    let parts = Decomposition::of(&explicit, &g, &filter, route, 1e-6).unwrap();
                    let error = relative(&parts.direction(&filter).unwrap(), &expected);
                    assert!(
                        error <= 1e-6,
                        "{route:?} {n} x {p} tail {below} exponent {exponent}: {error:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_default_accuracy_is_kept_for_conditions_up_to_a_million() {
    assert_default_accuracy(1e-6);
}

#[test]
fn the_default_accuracy_is_kept_where_the_automatic_route_replaces_the_svd_by_deflation() {
    assert_default_accuracy(1e-8);
    assert_default_accuracy(1e-9);
}

#[test]
fn clamped_directions_agree_with_the_jacobi_svd() {
    for (n, p) in SHAPES {
        let j = with_spectrum(n, p, &logarithmic(n.min(p), 1e-3), 41);
        let g = normal_vector(n, 42);
        // The other Gram matrix has null directions, which clamping would weight.
        let small = if n <= p { Route::Gram } else { Route::Normal };
        for exponent in EXPONENTS {
            let filter = with_treatment(exponent, Treatment::Clamp { cutoff: 0.05 });
            assert_routes(&j, &g, filter, &[Route::Svd, Route::Auto, small], 1e-10);
        }
    }
}

/// The Gram matrix of the longer side has eigenvalues that are nothing but rounding.
#[test]
fn what_is_beyond_the_shorter_side_is_zero_and_has_no_weight() {
    let filter = with_treatment(0.5, Treatment::Clamp { cutoff: 0.05 });
    for seed in 0..40 {
        for (n, p) in [(12, 27), (27, 12), (5, 60)] {
            let j = with_spectrum(n, p, &logarithmic(n.min(p), 1e-3), seed);
            let g = normal_vector(n, seed + 1);
            let expected = reference_direction(&j, &g, weight(filter));
            for route in [Route::Gram, Route::Normal] {
                let explicit = ExplicitJacobian::new(&j);
                let parts = Decomposition::of(&explicit, &g, &filter, route, 1e-3).unwrap();
                let beyond = parts.singular_values().iter().skip(n.min(p));
                assert!(beyond.clone().all(|sigma| *sigma == 0.0), "{beyond:?}");
                let error = relative(&parts.direction(&filter).unwrap(), &expected);
                assert!(error <= 1e-3, "{route:?} {n} x {p}, seed {seed}: {error:e}");
            }
        }
    }
}

#[test]
fn damped_directions_agree_with_the_jacobi_svd() {
    for (n, p) in SHAPES {
        let j = with_spectrum(n, p, &spectrum(n.min(p), 1e-4, true), 51);
        let g = normal_vector(n, 52);
        for exponent in EXPONENTS {
            for damping in [1e-4, 1e-1, 10.0] {
                let filter = with_treatment(exponent, Treatment::Damp { damping });
                assert_routes(&j, &g, filter, &ROUTES, 1e-10);
            }
        }
    }
}

#[test]
fn damped_gauss_newton_solves_the_damped_normal_equations() {
    for (n, p) in SHAPES {
        let (j, g, damping) = (normal(n, p, 61), normal_vector(n, 62), 0.3);
        let mut k = multiply(&j, &transpose(&j));
        for i in 0..n {
            k[(i, i)] += damping;
        }
        let expected = times(&transpose(&j), &solve(&k, &g));
        for route in ROUTES {
            let filter = with_treatment(1.0, Treatment::Damp { damping });
            let error = relative(&direction(&j, &g, &filter, route), &expected);
            assert!(error <= 1e-11, "{route:?} {n} x {p}: {error:e}");
        }
    }
}

#[test]
fn exponent_one_reaches_the_right_hand_side_where_the_rows_are_independent() {
    for (n, p) in [(9, 23), (14, 14), (1, 5)] {
        let j = with_spectrum(n, p, &logarithmic(n, 1e-3), 71);
        let g = normal_vector(n, 72);
        for route in ROUTES {
            let filter = Filter::truncated(1.0, 1e-5);
            let reached = times(&j, &direction(&j, &g, &filter, route));
            assert!(relative(&reached, &g) <= 1e-10, "{route:?} {n} x {p}");
        }
    }
}

#[test]
fn exponent_one_leaves_a_residual_orthogonal_to_the_columns() {
    let j = with_spectrum(23, 9, &logarithmic(9, 1e-3), 73);
    let g = normal_vector(23, 74);
    for route in ROUTES {
        let step = direction(&j, &g, &Filter::truncated(1.0, 1e-5), route);
        let residual: Vec<f64> = times(&j, &step)
            .iter()
            .zip(&g)
            .map(|(a, b)| a - b)
            .collect();
        let along = times(&transpose(&j), &residual);
        // Relative to what cancels: JᵀJ·step and Jᵀ·g, where σ_max = 1.
        let size = dot(&step, &step).sqrt() + dot(&g, &g).sqrt();
        assert!(dot(&along, &along).sqrt() <= 1e-12 * size, "{route:?}");
    }
}

#[test]
fn exponent_minus_one_without_cutoff_is_the_transpose() {
    for (n, p) in SHAPES {
        let j = with_spectrum(n, p, &logarithmic(n.min(p), 1e-7), 81);
        let g = normal_vector(n, 82);
        let expected = times(&transpose(&j), &g);
        for route in ROUTES {
            let found = direction(&j, &g, &Filter::truncated(-1.0, 0.0), route);
            assert!(relative(&found, &expected) <= 1e-12, "{route:?} {n} x {p}");
        }
    }
}

#[test]
fn exponent_zero_moves_the_output_along_an_orthogonal_projection() {
    let j = with_spectrum(9, 23, &logarithmic(9, 1e-3), 83);
    let g = normal_vector(9, 84);
    for route in ROUTES {
        let step = direction(&j, &g, &Filter::truncated(0.0, 1e-5), route);
        let error = (dot(&step, &step) / dot(&g, &g) - 1.0).abs();
        assert!(error <= 1e-10, "{route:?}: {error:e}");
    }
}

#[test]
fn a_singular_value_at_the_cutoff_is_dropped_and_one_above_is_kept() {
    let diagonal = [1.0, 0.5, 0.25];
    let j = Mat::from_fn(3, 3, |i, k| if i == k { diagonal[i] } else { 0.0 });
    let g = [1.0, 1.0, 1.0];
    for route in ROUTES {
        let at = direction(&j, &g, &Filter::truncated(1.0, 0.25), route);
        assert!(relative(&at, &[1.0, 2.0, 0.0]) <= 1e-14, "{route:?}");
        let below = direction(&j, &g, &Filter::truncated(1.0, 0.25 * (1.0 - 1e-6)), route);
        assert!(relative(&below, &[1.0, 2.0, 4.0]) <= 1e-14, "{route:?}");
    }
}

#[test]
fn the_rank_counts_singular_values_strictly_above_the_cutoff() {
    let j = Mat::from_fn(3, 5, |i, k| if i == k { [4.0, 2.0, 1.0][i] } else { 0.0 });
    let j = ExplicitJacobian::new(&j);
    for route in ROUTES {
        let parts = decompose(&j, &[1.0; 3], &Filter::truncated(0.5, 1e-3), route);
        let ranks = [0.0, 0.2, 0.25, 0.4, 0.5, 0.9].map(|cutoff| parts.rank(cutoff));
        assert_eq!(ranks, [3, 3, 2, 2, 1, 1], "{route:?}");
    }
}

#[test]
fn singular_values_come_in_order_and_agree_with_the_jacobi_svd() {
    for (n, p) in SHAPES {
        let j = with_spectrum(n, p, &logarithmic(n.min(p), 1e-4), 91);
        let mut expected = jacobi_svd(&j).1;
        expected.sort_by(|a, b| b.total_cmp(a));
        let j = ExplicitJacobian::new(&j);
        for route in ROUTES {
            let filter = Filter::truncated(0.5, 1e-5);
            let parts = decompose(&j, &vec![1.0; n], &filter, route);
            let found = parts.singular_values();
            for (a, b) in found.iter().zip(&expected) {
                assert!((a / b - 1.0).abs() <= 1e-10, "{route:?} {a} {b}");
            }
            assert!(found.is_sorted_by(|a, b| a >= b), "{route:?}");
        }
    }
}

#[test]
fn rank_deficient_matrices_agree_with_the_jacobi_svd() {
    for (n, p) in SHAPES {
        for rank in [1, 3, 8] {
            let j = with_spectrum(n, p, &logarithmic(rank, 1e-2), 100 + rank as u64);
            let g = normal_vector(n, 101);
            for exponent in EXPONENTS {
                assert_routes(&j, &g, Filter::truncated(exponent, 1e-5), &ROUTES, 1e-10);
            }
        }
    }
}

#[test]
fn duplicated_rows_agree_with_the_jacobi_svd() {
    let half = normal(6, 15, 111);
    let j = Mat::from_fn(12, 15, |i, k| half[(i % 6, k)]);
    let g = normal_vector(12, 112);
    for exponent in EXPONENTS {
        assert_routes(&j, &g, Filter::truncated(exponent, 1e-5), &ROUTES, 1e-10);
    }
}

#[test]
fn a_zero_matrix_gives_a_zero_step() {
    for (n, p) in [(1, 1), (3, 5), (5, 3), (4, 4)] {
        let (j, g) = (Mat::zeros(n, p), vec![1.0; n]);
        for route in ROUTES {
            for exponent in EXPONENTS {
                for treatment in [
                    Treatment::Truncate { cutoff: 0.0 },
                    Treatment::Truncate { cutoff: 1e-6 },
                    Treatment::Clamp { cutoff: 1e-6 },
                    Treatment::Damp { damping: 1e-6 },
                    Treatment::Damp { damping: 0.0 },
                ] {
                    let filter = with_treatment(exponent, treatment);
                    let step = direction(&j, &g, &filter, route);
                    assert_eq!(step, vec![0.0; p], "{route:?} {filter:?}");
                }
            }
        }
    }
}

#[test]
fn one_number_one_row_and_one_column_have_closed_forms() {
    let row = [3.0, -2.0, 6.0];
    for exponent in EXPONENTS {
        let filter = Filter::truncated(exponent, 1e-5);
        // Length 7: f(7)/7 along the row.
        let slope = 7.0_f64.powf(-exponent) / 7.0;
        for route in ROUTES {
            let found = direction(&Mat::from_fn(1, 1, |_, _| -4.0), &[2.0], &filter, route);
            let expected = [-2.0 * 4.0_f64.powf(-exponent)];
            assert!(relative(&found, &expected) <= 1e-14, "{route:?}");

            let j = Mat::from_fn(1, 3, |_, k| row[k]);
            let expected = row.map(|v| 2.0 * slope * v);
            let found = direction(&j, &[2.0], &filter, route);
            assert!(relative(&found, &expected) <= 1e-14, "{route:?}");

            let j = Mat::from_fn(3, 1, |i, _| row[i]);
            let expected = [slope * dot(&row, &[1.0, 2.0, 3.0])];
            let found = direction(&j, &[1.0, 2.0, 3.0], &filter, route);
            assert!(relative(&found, &expected) <= 1e-13, "{route:?}");
        }
    }
}

#[test]
fn scaling_the_matrix_scales_the_direction_by_a_power() {
    let (n, p) = (8, 13);
    let j = with_spectrum(n, p, &logarithmic(n, 1e-2), 121);
    let g = normal_vector(n, 122);
    for scale in [1e-3_f64, 7.0, -2.0, 1e100, 1e-150] {
        let scaled = Mat::from_fn(n, p, |i, k| scale * j[(i, k)]);
        for exponent in EXPONENTS {
            let filter = Filter::truncated(exponent, 1e-5);
            let factor = scale.signum() * scale.abs().powf(-exponent);
            for route in ROUTES {
                let before = direction(&j, &g, &filter, route);
                let after = direction(&scaled, &g, &filter, route);
                let undone: Vec<f64> = after.iter().map(|v| v / factor).collect();
                let error = relative(&undone, &before);
                assert!(
                    error <= 1e-10,
                    "{route:?} scale {scale:e} exponent {exponent}: {error:e}"
                );
            }
        }
    }
}

#[test]
fn orthogonal_maps_of_output_and_parameters_carry_over_to_the_direction() {
    let (n, p) = (8, 13);
    let j = with_spectrum(n, p, &logarithmic(n, 1e-3), 131);
    let g = normal_vector(n, 132);
    let (left, right) = (orthonormal(n, n, 133), orthonormal(p, p, 134));
    let mapped = multiply(&multiply(&left, &j), &transpose(&right));
    let mapped_g = times(&left, &g);
    for exponent in EXPONENTS {
        let filter = Filter::truncated(exponent, 1e-5);
        for route in ROUTES {
            let expected = times(&right, &direction(&j, &g, &filter, route));
            let found = direction(&mapped, &mapped_g, &filter, route);
            assert!(relative(&found, &expected) <= 1e-10, "{route:?}");
        }
    }
}

#[test]
fn the_direction_is_linear_in_g() {
    let j = with_spectrum(8, 13, &logarithmic(8, 1e-3), 141);
    let (a, b) = (normal_vector(8, 142), normal_vector(8, 143));
    let mixed: Vec<f64> = a.iter().zip(&b).map(|(a, b)| 2.0 * a - 3.0 * b).collect();
    let filter = Filter::truncated(0.5, 1e-5);
    for route in ROUTES {
        let [a, b, found] = [&a, &b, &mixed].map(|g| direction(&j, g, &filter, route));
        let expected: Vec<f64> = a.iter().zip(&b).map(|(a, b)| 2.0 * a - 3.0 * b).collect();
        assert!(relative(&found, &expected) <= 1e-12, "{route:?}");
    }
}

#[test]
fn a_matrix_that_is_not_finite_is_refused() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for (n, p) in [(1, 1), (4, 7), (7, 4), (30, 30)] {
            for place in [(0, 0), (n - 1, p - 1), (n / 2, 0)] {
                let mut j = normal(n, p, 151);
                j[place] = bad;
                let j = ExplicitJacobian::new(&j);
                for route in ROUTES {
                    let filter = Filter::truncated(0.5, 1e-6);
                    let result = Decomposition::of(&j, &vec![1.0; n], &filter, route, 1e-6);
                    assert!(
                        matches!(result, Err(Error::Decomposition { .. })),
                        "{route:?} {n} x {p} {bad} at {place:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn one_decomposition_answers_every_exponent_as_separate_ones_do() {
    for (n, p) in SHAPES {
        let j = with_spectrum(n, p, &logarithmic(n.min(p), 1e-4), 161);
        let (explicit, g) = (ExplicitJacobian::new(&j), normal_vector(n, 162));
        for route in ROUTES {
            let shared = decompose(&explicit, &g, &Filter::truncated(0.5, 1e-5), route);
            for exponent in EXPONENTS {
                // No singular value is so close to a cut-off that rounding decides.
                for cutoff in [1e-5, 1.2e-2] {
                    let filter = Filter::truncated(exponent, cutoff);
                    let found = shared.direction(&filter).unwrap();
                    let own = direction(&j, &g, &filter, route);
                    let error = relative(&found, &own);
                    assert!(error <= 1e-10, "{route:?} {n} x {p}: {error:e}");
                }
            }
        }
    }
}

#[test]
fn automatic_route_takes_the_smaller_gram_matrix_or_the_svd() {
    let truncated = Filter::truncated(0.5, 1e-6);
    let clamped = with_treatment(0.5, Treatment::Clamp { cutoff: 1e-6 });
    for ((n, p), filter, expected) in [
        ((3, 8), truncated, Route::Gram),
        ((8, 3), truncated, Route::Normal),
        ((3, 8), clamped, Route::Svd),
        ((3, 8), Filter::truncated(0.5, 0.0), Route::Svd),
    ] {
        let j = ExplicitJacobian::new(&normal(n, p, 171));
        let parts = decompose(&j, &vec![1.0; n], &filter, Route::Auto);
        assert_eq!(parts.route(), expected);
    }
}

proptest! {
    #[test]
    fn routes_agree_on_random_small_matrices(
        n in 1_usize..10,
        p in 1_usize..10,
        seed in any::<u64>(),
        exponent in -1.0_f64..=1.0,
    ) {
        let cutoff = 1e-2;
        let (j, g) = (normal(n, p, seed), normal_vector(n, seed ^ 1));
        let sigma = jacobi_svd(&j).1;
        let top = sigma.iter().fold(0.0_f64, |a, b| a.max(*b));
        // At the cutoff itself rounding decides.
        prop_assume!(sigma.iter().all(|s| (s / (cutoff * top) - 1.0).abs() > 1e-6));
        let filter = Filter::truncated(exponent, cutoff);
        let expected = reference_direction(&j, &g, weight(filter));
        for route in ROUTES {
            let error = relative(&direction(&j, &g, &filter, route), &expected);
            prop_assert!(error <= 1e-10, "{:?}: {:e}", route, error);
        }
    }
}
