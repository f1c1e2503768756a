//! The linearised batch against finite differences and against itself.

mod common;

use common::*;
use hig::Problem;
use hig::linalg::{Mat, MatRef, stack, unstack};
use hig::loss::{Loss, SquaredError};
use hig::network::Activation;
use hig::objective::{Jacobian, Reduction};
use hig::settings::Choice;
use hig::systems::{LinearOscillators, MlpSettings, System, Toy};
use proptest::prelude::*;

fn parameters(problem: &Problem, seed: u64) -> Vec<f64> {
    let numbers = normal_vector(problem.parameter_count(), seed);
    numbers.iter().map(|v| 0.7 * v).collect()
}

/// Calls `visit` with every small problem at parameters whose biases are not zero.
fn everywhere(mut visit: impl FnMut(&str, &[usize], Activation, &Problem, &[f64])) {
    for &activation in Activation::VALUES {
        let name = activation.name();
        for (widths, problem) in small_problems(activation) {
            let at = parameters(&problem, 17);
            visit(
                &format!("{name} {widths:?}"),
                &widths,
                activation,
                &problem,
                &at,
            );
        }
    }
}

#[test]
fn the_network_is_the_perceptron_written_out() {
    everywhere(|name, widths, activation, problem, at| {
        let input = &problem.train.input;
        let found = parts(problem).network.predict(at, input.as_ref());
        let (expected, _) = perceptron(widths, activation, at, input);
        assert!(relative_matrix(&found, &expected) <= 1e-14, "{name}");
    });
}

#[test]
fn the_jacobian_agrees_with_finite_differences() {
    everywhere(|name, widths, activation, problem, at| {
        let step = 1e-5;
        let (_, nearest) = perceptron(widths, activation, at, &problem.train.input);
        assert!(
            activation != Activation::Relu || nearest > 100.0 * step,
            "{name}: a kink at {nearest}"
        );
        let found = Batch::new(parts(problem), &problem.train, at).jacobian();
        let expected = difference_jacobian(at, step, |moved| {
            stack(
                problem
                    .objective
                    .outputs(moved, &problem.train)
                    .unwrap()
                    .as_ref(),
            )
        });
        let error = relative_matrix(&found, &expected);
        assert!(error <= 1e-8, "{name}: {error:e}");
    });
}

#[test]
fn the_gradient_agrees_with_finite_differences_of_the_loss() {
    everywhere(|name, _, _, problem, at| {
        let found = Batch::new(parts(problem), &problem.train, at).gradient();
        let expected = difference_jacobian(at, 1e-5, |moved| {
            vec![loss_of(problem, moved, &problem.train)]
        });
        let error = relative(&found, &entries(&expected));
        assert!(error <= 1e-8, "{name}: {error:e}");
    });
}

#[test]
fn products_agree_with_the_dense_jacobian_before_and_after_it_was_asked_for() {
    everywhere(|name, _, _, problem, at| {
        let batch = Batch::new(parts(problem), &problem.train, at);
        let v = normal_vector(batch.columns(), 18);
        let w = normal_vector(batch.rows(), 19);
        let before = (batch.jvp(&v), batch.vjp(&w), batch.gradient());
        let j = batch.jacobian();
        let after = (batch.jvp(&v), batch.vjp(&w), batch.gradient());
        let expected = (
            times(&j, &v),
            times(&transpose(&j), &w),
            times(&transpose(&j), batch.cotangent()),
        );
        for found in [before, after] {
            assert!(relative(&found.0, &expected.0) <= 1e-13, "{name} jvp");
            assert!(relative(&found.1, &expected.1) <= 1e-13, "{name} vjp");
            assert!(relative(&found.2, &expected.2) <= 1e-13, "{name} gradient");
        }
    });
}

/// max |K - J·Jᵀ| over max |J·Jᵀ|.
fn gram_error(problem: &Problem, at: &[f64]) -> f64 {
    let batch = Batch::new(parts(problem), &problem.train, at);
    let (k, j) = (batch.gram(), batch.jacobian());
    let expected = multiply(&j, &transpose(&j));
    let largest = entries(&expected)
        .iter()
        .fold(0.0_f64, |m, v| m.max(v.abs()));
    let pairs = entries(&k).into_iter().zip(entries(&expected));
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!((0..k.ncols()).all(|j| (0..j).all(|i| k[(i, j)] == k[(j, i)])));
    worst / largest
}

#[test]
fn the_gram_matrix_is_the_jacobian_times_its_transpose() {
    everywhere(|name, _, _, problem, at| {
        let error = gram_error(problem, at);
        assert!(error <= 1e-13, "{name}: {error:e}");
    });
}

#[test]
fn the_gram_matrix_is_right_for_batches_that_do_not_fit_its_blocks() {
    let chain = |masses: usize, samples: usize| {
        LinearOscillators {
            masses,
            samples,
            steps: 4,
            network: MlpSettings::tanh(vec![5, 3]),
            test_samples: 1,
            ..LinearOscillators::default()
        }
        .problem(1)
    };
    let toy = |samples: usize| {
        Toy {
            samples,
            test_samples: 1,
            ..Toy::default()
        }
        .problem(1)
    };
    // n = 256, 260, 308, 300; then 126, 258, 600.
    let mut problems: Vec<Problem> = [(2, 64), (2, 65), (2, 77), (3, 50)]
        .map(|(masses, samples)| chain(masses, samples))
        .into();
    problems.extend([63, 129, 300].map(toy));
    for problem in problems {
        let error = gram_error(&problem, &parameters(&problem, 23));
        assert!(error <= 1e-13, "{} samples: {error:e}", problem.train.len());
    }
}

#[test]
fn rows_are_stacked_component_by_component() {
    let (_, problem) = small_problems(Activation::Tanh).swap_remove(1);
    let at = parameters(&problem, 29);
    let whole = Batch::new(parts(&problem), &problem.train, &at).jacobian();
    let samples = problem.train.len();
    for s in [0, 4, samples - 1] {
        let alone = problem.train.select(&[s]);
        let part = Batch::new(parts(&problem), &alone, &at).jacobian();
        for component in 0..part.nrows() {
            for c in 0..part.ncols() {
                let (a, b) = (whole[(component * samples + s, c)], part[(component, c)]);
                assert!((a - b).abs() <= 1e-13 * (1.0 + b.abs()));
            }
        }
    }
}

#[test]
fn the_loss_is_the_batch_mean_of_the_samples_losses() {
    everywhere(|name, _, _, problem, at| {
        let mean = (0..problem.train.len())
            .map(|s| loss_of(problem, at, &problem.train.select(&[s])))
            .sum::<f64>()
            / problem.train.len() as f64;
        let batch = Batch::new(parts(problem), &problem.train, at);
        assert!((batch.loss() / mean - 1.0).abs() <= 1e-13, "{name}");
        assert!((batch.loss_at(at) / mean - 1.0).abs() <= 1e-13, "{name}");
    });
}

#[test]
fn a_summed_batch_is_its_mean_times_its_samples() {
    for &activation in Activation::VALUES {
        let name = activation.name();
        let problems = small_problems(activation).into_iter();
        for ((widths, averaged), (_, mut summed)) in problems.zip(small_problems(activation)) {
            let name = format!("{name} {widths:?}");
            parts_mut(&mut summed).reduction = Reduction::Sum;
            let at = parameters(&averaged, 17);
            let [mean, sum] =
                [&averaged, &summed].map(|p| Batch::new(parts(p), &averaged.train, &at));
            let samples = averaged.train.len() as f64;
            let scaled = |values: &[f64]| values.iter().map(|v| samples * v).collect::<Vec<_>>();
            assert!(
                (sum.loss() / mean.loss() / samples - 1.0).abs() <= 1e-14,
                "{name}"
            );
            assert!(
                (sum.loss_at(&at) / sum.loss() - 1.0).abs() <= 1e-13,
                "{name}"
            );
            assert!(
                relative(sum.cotangent(), &scaled(mean.cotangent())) <= 1e-14,
                "{name}"
            );
            assert!(
                relative(&sum.gradient(), &scaled(&mean.gradient())) <= 1e-13,
                "{name}"
            );
            assert_eq!(
                entries(&sum.jacobian()),
                entries(&mean.jacobian()),
                "{name}"
            );
        }
    }
}

#[test]
fn the_loss_of_many_samples_is_their_mean() {
    for samples in [255, 256, 257, 700] {
        let problem = Toy {
            samples,
            test_samples: 1,
            ..Toy::default()
        }
        .problem(1);
        let at = parameters(&problem, 33);
        let y = problem.objective.outputs(&at, &problem.train).unwrap();
        let target = &problem.train.target;
        let squares = entries(&y).into_iter().zip(entries(target));
        let sum: f64 = squares.map(|(a, b)| 0.5 * (a - b).powi(2)).sum();
        let error = loss_of(&problem, &at, &problem.train) / (sum / samples as f64) - 1.0;
        assert!(error.abs() <= 1e-13, "{samples}: {error:e}");
    }
}

#[test]
fn products_by_the_rows_of_the_physics_are_those_of_its_record() {
    everywhere(|name, _, _, problem, at| {
        let batch = Batch::new(parts(problem), &problem.train, at);
        let w = normal(batch.rows(), 1, 20).col_as_slice(0).to_vec();
        let v = normal(batch.columns(), 1, 21).col_as_slice(0).to_vec();
        let (network, physics) = (&parts(problem).network, &parts(problem).physics);
        let state = problem.train.state.as_ref();
        let record = physics.record(state, batch.control().as_ref()).unwrap();
        let cotangent = unstack(&w, problem.train.len());
        let du = record.vjp(cotangent.as_ref()).unwrap();
        let vjp = entries(&network.vjp(at, batch.activations(), du.as_ref()));
        let tangent = network.jvp(at, batch.activations(), &v);
        let jvp = stack(record.jvp(tangent.as_ref()).unwrap().as_ref());
        let errors = (
            relative(&batch.vjp(&w), &vjp),
            relative(&batch.jvp(&v), &jvp),
        );
        assert!(errors.0 <= 1e-13 && errors.1 <= 1e-13, "{name}: {errors:?}");
    });
}

#[test]
fn scaled_rows_are_rows_of_the_jacobian_times_a_number() {
    everywhere(|name, _, _, problem, at| {
        let batch = Batch::new(parts(problem), &problem.train, at);
        let scale: Vec<f64> = (0..batch.rows()).map(|i| 0.5 + (i as f64).sin()).collect();
        let scaled = batch.scaled_rows(&scale).unwrap();
        let j = batch.jacobian();
        let expected = Mat::from_fn(j.nrows(), j.ncols(), |i, k| scale[i] * j[(i, k)]);
        let found = transpose(&scaled.transposed().unwrap());
        let error = relative_matrix(&found, &expected);
        assert!(error <= 1e-13, "{name}: {error:e}");
        let v = normal(batch.columns(), 1, 21).col_as_slice(0).to_vec();
        let product = hig::linalg::apply(expected.as_ref(), &v);
        assert!(
            relative(&scaled.jvp(&v).unwrap(), &product) <= 1e-12,
            "{name}"
        );
    });
}

#[test]
fn a_weighted_loss_is_the_sum_written_out_with_its_own_gradient() {
    let weights = vec![0.5, 2.0, 3.0, 7.0];
    let (_, mut problem) = small_problems(Activation::Tanh).swap_remove(1);
    let at = parameters(&problem, 31);
    for (factor, plain) in [(1.0, SquaredError::sum()), (0.5, SquaredError::half())] {
        let loss = plain.weighted(weights.clone()).unwrap();
        parts_mut(&mut problem).loss = Box::new(loss.clone());
        let y = problem.objective.outputs(&at, &problem.train).unwrap();
        let target = &problem.train.target;
        let mut expected = 0.0;
        for s in 0..y.nrows() {
            for (i, weight) in weights.iter().enumerate() {
                expected += factor * weight * (y[(s, i)] - target[(s, i)]).powi(2);
            }
        }
        expected /= y.nrows() as f64;
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        assert!((batch.loss() / expected - 1.0).abs() <= 1e-13);

        let differences = difference_jacobian(&at, 1e-5, |moved| vec![batch.loss_at(moved)]);
        assert!(relative(&batch.gradient(), &entries(&differences)) <= 1e-8);

        let moved = &y + &loss.newton(y.as_ref(), target.as_ref());
        assert!(mean(&loss, &moved, target) <= 1e-28);
    }
}

#[test]
fn weights_that_are_not_positive_are_refused() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let result = SquaredError::sum().weighted(vec![1.0, bad]);
        assert_message(result, &["weights", &bad.to_string(), "above 0"]);
    }
}

#[test]
fn the_default_newton_step_of_a_loss_is_minus_its_samples_gradients() {
    struct Cubic;
    impl Loss for Cubic {
        fn values(&self, y: MatRef<'_, f64>, _: MatRef<'_, f64>) -> Vec<f64> {
            y.col(0).iter().map(|v| v * v * v).collect()
        }
        fn cotangents(&self, y: MatRef<'_, f64>, _: MatRef<'_, f64>) -> Mat<f64> {
            Mat::from_fn(y.nrows(), 1, |i, _| 3.0 * y[(i, 0)].powi(2))
        }
    }
    let y = normal(5, 1, 37);
    let step = Cubic.newton(y.as_ref(), y.as_ref());
    for i in 0..5 {
        assert!((step[(i, 0)] + 3.0 * y[(i, 0)].powi(2)).abs() <= 1e-14);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn products_are_adjoint_to_each_other(
        seed in any::<u64>(),
        activation in 0..Activation::VALUES.len(),
        which in 0_usize..4,
    ) {
        let activation = Activation::VALUES[activation];
        let (_, problem) = small_problems(activation).swap_remove(which);
        let at = parameters(&problem, seed);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let v = normal_vector(batch.columns(), seed ^ 1);
        let w = normal_vector(batch.rows(), seed ^ 2);
        let (jv, jw) = (batch.jvp(&v), batch.vjp(&w));
        let scale = (dot(&jv, &jv) * dot(&w, &w)).sqrt() + (dot(&jw, &jw) * dot(&v, &v)).sqrt();
        prop_assert!((dot(&jv, &w) - dot(&v, &jw)).abs() <= 1e-13 * scale);
    }
}
