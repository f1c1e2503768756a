//! Random combinations of rows against their expectation and variance, and against the dense J.

mod common;

use common::*;
use hig::data::{Purpose, random};
use hig::linalg::{Mat, MatRef, stack};
use hig::network::Activation;
use hig::objective::{Consumes, ExplicitJacobian, Jacobian, Sketch};
use hig::settings::Settings;
use hig::spectral::{Decomposition, DecompositionSettings, Filter, Route};
use hig::step::{LevenbergMarquardt, Method, Spectral, Step, Update, methods};
use hig::systems::{LinearOscillators, MlpSettings, Poisson, QuantumDipole, System};
use hig::trainer::{Budget, Training, consumption, train};
use hig::{Problem, Result};

/// S written out (n_s × n).
fn dense(sketch: &Sketch) -> Mat<f64> {
    let (b, weights) = (sketch.samples(), sketch.weights());
    let mut s = Mat::zeros(weights.nrows(), b * weights.ncols());
    for row in 0..weights.nrows() {
        for component in 0..weights.ncols() {
            s[(row, component * b + row % b)] = weights[(row, component)];
        }
    }
    s
}

fn signs(samples: usize, components: usize, rows: usize, seed: u64) -> Sketch {
    Sketch::signs(
        samples,
        components,
        rows,
        &mut random(seed, Purpose::Sketch),
    )
}

#[test]
fn the_mean_of_its_square_is_the_identity() {
    let (b, d, m, draws) = (2, 5, 3, 4000);
    let mut stream = random(11, Purpose::Sketch);
    let n = b * d;
    let (mut sum, mut squares) = (Mat::<f64>::zeros(n, n), Mat::<f64>::zeros(n, n));
    for _ in 0..draws {
        let s = dense(&Sketch::signs(b, d, m, &mut stream));
        let square = multiply(&transpose(&s), &s);
        for j in 0..n {
            for i in 0..n {
                sum[(i, j)] += square[(i, j)];
                squares[(i, j)] += square[(i, j)].powi(2);
            }
        }
    }
    let draws = f64::from(draws);
    for j in 0..n {
        for i in 0..n {
            let (mean, square) = (sum[(i, j)] / draws, squares[(i, j)] / draws);
            if i == j {
                assert!((mean - 1.0).abs() < 1e-12 && (square - 1.0).abs() < 1e-12);
            } else if i % b != j % b {
                assert_eq!((mean, square), (0.0, 0.0), "samples are combined");
            } else {
                // Of a mean with variance 1/m, five standard deviations.
                assert!(mean.abs() < 5.0 / (m as f64 * draws).sqrt(), "{mean}");
                assert!((square * m as f64 - 1.0).abs() < 0.15, "{square}");
            }
        }
    }
}

#[test]
fn the_sketched_matrix_has_the_variance_of_its_formula() {
    let (d, m, draws) = (6, 2, 20_000);
    let a = normal(d, 2, 5);
    let column = |k: usize| a.col_as_slice(k);
    let exact = |k: usize, l: usize| dot(column(k), column(l));
    let mut stream = random(3, Purpose::Sketch);
    let pairs = [(0, 0), (0, 1), (1, 1)];
    let mut moments = [(0.0, 0.0); 3];
    for _ in 0..draws {
        let sketch = Sketch::signs(1, d, m, &mut stream);
        let images = [sketch.apply(column(0)), sketch.apply(column(1))];
        for ((k, l), (mean, square)) in pairs.into_iter().zip(&mut moments) {
            let entry = dot(&images[k], &images[l]);
            *mean += entry / f64::from(draws);
            *square += entry * entry / f64::from(draws);
        }
    }
    for ((k, l), (mean, square)) in pairs.into_iter().zip(moments) {
        let quartic = column(k).iter().zip(column(l));
        let quartic: f64 = quartic.map(|(a, b)| (a * b).powi(2)).sum();
        let sum = exact(k, k) * exact(l, l) + exact(k, l).powi(2) - 2.0 * quartic;
        let variance = sum / m as f64;
        let error = (variance / f64::from(draws)).sqrt();
        assert!((mean - exact(k, l)).abs() < 5.0 * error, "{k}{l}: {mean}");
        let found = square - mean * mean;
        assert!(
            (found / variance - 1.0).abs() < 0.06,
            "{found} for {variance}"
        );
    }
}

/// Every question to a Jacobian against a dense one.
fn assert_is(jacobian: &dyn Jacobian, expected: &Mat<f64>, tolerance: f64, name: &str) {
    let (n, p) = (expected.nrows(), expected.ncols());
    assert_eq!((jacobian.rows(), jacobian.columns()), (n, p), "{name}");
    let (w, v) = (normal(n, 3, 8), normal(p, 3, 9));
    let (w, v) = (w.as_ref(), v.as_ref());
    let column = |m: MatRef<'_, f64>| stack(m.subcols(0, 1));
    let (one_w, one_v) = (column(w), column(v));
    let back = jacobian.vjp(&one_w).unwrap();
    assert!(
        relative(&back, &times(&transpose(expected), &one_w)) <= tolerance,
        "{name} vjp"
    );
    let ahead = jacobian.jvp(&one_v).unwrap();
    assert!(
        relative(&ahead, &times(expected, &one_v)) <= tolerance,
        "{name} jvp"
    );
    let square = |m: &Mat<f64>| multiply(&transpose(m), m);
    let of = |k: hig::Result<hig::linalg::Symmetric>| k.unwrap().complete();
    let transposed = transpose(expected);
    for (what, found, dense) in [
        ("gram", of(jacobian.gram()), square(&transposed)),
        ("normal", of(jacobian.normal()), square(expected)),
        (
            "images",
            of(jacobian.image_gram(w)),
            square(&multiply(&transposed, &w.to_owned())),
        ),
        (
            "normal images",
            of(jacobian.normal_image_gram(v)),
            square(&multiply(expected, &v.to_owned())),
        ),
        (
            "transposed",
            jacobian.transposed().unwrap(),
            transposed.clone(),
        ),
    ] {
        let error = relative_matrix(&found, &dense);
        assert!(error <= tolerance, "{name} {what}: {error:e}");
    }
}

fn problems() -> Vec<(&'static str, Problem)> {
    let mut all: Vec<(&str, Problem)> = small_problems(Activation::Tanh)
        .into_iter()
        .map(|(_, problem)| ("small", problem))
        .collect();
    let poisson = Poisson {
        grid: 4,
        samples: 3,
        test_samples: 1,
        hidden: vec![7],
        ..Poisson::default()
    };
    let dipole = QuantumDipole {
        points: 6,
        steps: 10,
        samples: 3,
        test_samples: 1,
        network: MlpSettings::tanh(vec![5]),
        ..QuantumDipole::default()
    };
    all.push(("poisson", poisson.problem(2)));
    all.push(("dipole", dipole.problem(2)));
    all
}

#[test]
fn combined_rows_are_the_sketch_times_the_jacobian() {
    for (name, problem) in problems() {
        let numbers = normal_vector(problem.parameter_count(), 4);
        let at: Vec<f64> = numbers.iter().map(|v| 0.5 * v).collect();
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let samples = problem.train.len();
        let d = batch.rows() / samples;
        let roots: Vec<f64> = batch.curvature().into_iter().map(f64::sqrt).collect();
        for m in [1, d.div_ceil(2)] {
            let sketch = signs(samples, d, m, 6).weighted(&roots);
            let outputs = |moved: &[f64]| {
                let y = problem.objective.outputs(moved, &problem.train).unwrap();
                sketch.apply(&stack(y.as_ref()))
            };
            let differences = difference_jacobian(&at, 1e-5, outputs);
            let combined = batch.combined_rows(&sketch).unwrap();
            let found = transpose(&combined.transposed().unwrap());
            let error = relative_matrix(&found, &differences);
            assert!(error <= 2e-7, "{name}: {error:e}");
            let product = multiply(&dense(&sketch), &batch.jacobian());
            assert_is(combined.as_ref(), &product, 1e-11, name);
            // An objective that says nothing of combinations has them of the formed J.
            let formed = ExplicitJacobian::new(&batch.jacobian());
            let combined = formed.combined_rows(&sketch).unwrap();
            assert_is(combined.as_ref(), &product, 1e-11, name);
            // And so has a J whose rows are there already.
            let jacobian = (*batch).jacobian().unwrap();
            let combined = jacobian.combined_rows(&sketch).unwrap();
            assert_is(combined.as_ref(), &product, 1e-11, name);
        }
    }
}

#[test]
fn products_alone_are_those_of_the_rows() {
    for (name, problem) in problems() {
        let at = normal_vector(problem.parameter_count(), 4);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let factors: Vec<f64> = (0..batch.rows()).map(|i| 1.0 + 0.1 * i as f64).collect();
        let mut expected = batch.jacobian();
        for (i, factor) in factors.iter().enumerate() {
            (0..expected.ncols()).for_each(|j| expected[(i, j)] *= factor);
        }
        let products = batch.by_products(&factors).unwrap();
        assert_is(products.as_ref(), &expected, 1e-11, name);
        let twice = products.scaled_rows(&vec![2.0; factors.len()]).unwrap();
        assert_is(twice.as_ref(), &(2.0 * &expected), 1e-11, name);
    }
}

#[test]
fn rotated_rows_have_the_steps_of_all_rows() {
    // Orthogonal blocks change no step of the family.
    for (name, problem) in problems() {
        let at = normal_vector(problem.parameter_count(), 4);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let samples = problem.train.len();
        let d = batch.rows() / samples;
        let blocks: Vec<Mat<f64>> = (0..samples).map(|s| orthonormal(d, d, s as u64)).collect();
        let weights = Mat::from_fn(d * samples, d, |row, j| {
            blocks[row % samples][(row / samples, j)]
        });
        let sketch = Sketch::new(weights, samples);
        let combined = batch.combined_rows(&sketch).unwrap();
        let g = batch.cotangent();
        for exponent in [0.0, 0.5, 1.0] {
            let filter = Filter::truncated(exponent, 1e-3);
            let direction = |jacobian: &dyn Jacobian, g: &[f64]| {
                let parts = Decomposition::of(jacobian, g, &filter, Route::Svd, 1e-9).unwrap();
                parts.direction(&filter).unwrap()
            };
            let all = direction(&*batch, g);
            let error = relative(&direction(combined.as_ref(), &sketch.apply(g)), &all);
            assert!(error <= 1e-8, "{name} {exponent}: {error:e}");
        }
        let w = normal_vector(sketch.rows(), 1);
        let forth = dot(&sketch.apply(g), &w);
        assert!(
            (forth - dot(g, &sketch.apply_transposed(&w))).abs() <= 1e-12 * forth.abs().max(1.0)
        );
    }
}

fn oscillators() -> Problem {
    LinearOscillators {
        samples: 64,
        test_samples: 8,
        network: MlpSettings::tanh(vec![12, 12]),
        ..LinearOscillators::default()
    }
    .problem(0)
}

/// All methods that decompose, with so many combinations a sample.
fn sketched(kept: usize) -> Vec<Box<dyn Method>> {
    let keeps = |mut method: Box<dyn Method>| {
        let has = method.set("sketch", &kept.to_string()).is_ok() && method.name() != "gd";
        has.then_some(method)
    };
    let all: Vec<_> = methods().into_iter().filter_map(keeps).collect();
    assert_eq!(all.len(), 7);
    all
}

fn trained(problem: &Problem, method: &dyn Method, seed: u64) -> Result<Vec<f64>> {
    let training = Training {
        batch: 16,
        ..Training::default()
    };
    let start = problem.initial_parameters(1);
    let budget = Budget::updates(6);
    let outcome = train(problem, method, start, &training, budget, seed, &mut [])?;
    assert_eq!(outcome.updates, 6, "{}: {}", method.name(), outcome.stop);
    Ok(outcome.last_parameters)
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads_and_do_on_the_seed() {
    let problem = oscillators();
    for method in sketched(2) {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let work = || bits(&trained(&problem, method.as_ref(), 3).unwrap());
            pool.build().unwrap().install(work)
        };
        assert_eq!(on(1), on(3), "{}", method.name());
    }
}

fn told(update: &Update, name: &str) -> Option<f64> {
    let found = update.diagnostics.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value)
}

#[test]
fn combinations_are_fresh_for_every_batch_and_belong_to_the_seed() {
    let problem = oscillators();
    let at = problem.initial_parameters(1);
    let batch = Batch::new(parts(&problem), &problem.train, &at);
    for method in sketched(2) {
        let started = |seed| {
            let mut step = method.start().unwrap();
            step.begin(seed, &problem.objective.parameters());
            step
        };
        let update = |step: &mut dyn Step| step.step(&*batch, 0.1).unwrap();
        let (mut step, mut same, mut other) = (started(5), started(5), started(6));
        let first = update(step.as_mut());
        assert_eq!(told(&first, "rows"), Some(128.0), "{}", method.name());
        assert_eq!(bits(&first.delta), bits(&update(same.as_mut()).delta));
        assert_ne!(bits(&first.delta), bits(&update(other.as_mut()).delta));
        if method.name() == "hig" {
            // It remembers nothing else.
            assert_ne!(bits(&first.delta), bits(&update(step.as_mut()).delta));
        }
    }
}

#[test]
fn accepted_steps_lower_the_loss_of_all_rows() {
    let problem = oscillators();
    let start = problem.initial_parameters(1);
    for name in ["lm", "gn-line-search"] {
        let mut method = hig::step::method(name).unwrap();
        method.set("sketch", "1").unwrap();
        let (mut step, mut at, mut moved) = (method.start().unwrap(), start.clone(), 0);
        for _ in 0..12 {
            let batch = Batch::new(parts(&problem), &problem.train, &at);
            let update = step.step(&*batch, 1.0).unwrap();
            let next: Vec<f64> = at.iter().zip(&update.delta).map(|(a, d)| a + d).collect();
            if update.delta.iter().any(|d| *d != 0.0) {
                moved += 1;
                assert!(batch.loss_at(&next) < batch.loss(), "{name}");
            }
            at = next;
        }
        assert!(moved > 3, "{name}: {moved}");
    }
}

#[test]
fn what_is_told_and_refused_is_that_of_the_combinations() {
    let problem = Poisson {
        samples: 64,
        test_samples: 4,
        ..Poisson::default()
    }
    .problem(0);
    let mut method = Spectral::half_inverse();
    method.decomposition.sketch = 8.into();
    let training = Training {
        batch: 64,
        ..Training::default()
    };
    let p = problem.parameter_count();
    let consumed = |method: &Spectral| consumption(&problem, method, &training);
    assert_eq!(consumed(&method), (Consumes::Gram, 512, p));
    // All rows of that batch need more than this: 4096² numbers are 128 MiB.
    let small = Training {
        memory_limit: 0.1,
        ..training.clone()
    };
    let one = |method: &dyn Method, training: &Training| {
        let start = problem.initial_parameters(0);
        let budget = Budget::updates(1);
        train(&problem, method, start, training, budget, 0, &mut [])
    };
    method.decomposition.route = Route::Gram;
    assert_eq!(one(&method, &small).unwrap().updates, 1);
    method.decomposition.sketch = 0.into();
    assert_message(one(&method, &small), &["4096"]);

    method.decomposition.sketch = 65.into();
    assert_message(one(&method, &training), &["sketch", "65", "at most 64"]);
    let mut gradient = Spectral::gradient_descent();
    gradient.decomposition.sketch = 1.into();
    assert_message(one(&gradient, &training), &["sketch", "gradient descent"]);
    assert_message(method.set("sketch", "-1"), &["sketch"]);
}

#[test]
fn auto_keeps_few_rows_and_combines_many() {
    let problem = Poisson {
        samples: 64,
        test_samples: 4,
        ..Poisson::default()
    }
    .problem(0);
    let mut method = Spectral::half_inverse();
    let p = problem.parameter_count();
    let mut seen = |batch: usize, sketch: &str| {
        method.set("sketch", sketch).unwrap();
        let training = Training {
            batch,
            ..Training::default()
        };
        let (consumes, rows, columns) = consumption(&problem, &method, &training);
        assert_eq!((consumes, columns), (Consumes::Gram, p));
        let at = problem.initial_parameters(1);
        let samples = problem.train.select(&(0..batch).collect::<Vec<_>>());
        let batch = Batch::new(parts(&problem), &samples, &at);
        let update = method.start().unwrap().step(&*batch, 0.1).unwrap();
        let told = told(&update, "rows").map_or(batch.rows(), |rows| rows as usize);
        assert_eq!(rows, told);
        rows
    };
    assert_eq!(
        [seen(4, "auto"), seen(5, "auto"), seen(64, "auto")],
        [256, 80, 1024]
    );
    assert_eq!([seen(5, "16"), seen(5, "0")], [80, 320]);
}

#[test]
fn the_length_of_an_adaptive_step_is_that_of_all_rows() {
    let problem = Poisson {
        samples: 16,
        test_samples: 4,
        ..Poisson::default()
    }
    .problem(0);
    let at = problem.initial_parameters(1);
    let batch = Batch::new(parts(&problem), &problem.train, &at);
    for sketch in ["8", "auto"] {
        let mut method = hig::step::method("adaptive-hig").unwrap();
        method.set("sketch", sketch).unwrap();
        let update = method.start().unwrap().step(&*batch, 1.0).unwrap();
        assert!(told(&update, "gain_ratio").unwrap() > 0.0);
        // At the minimum of ½|r + t·AΔθ|² along the step t is 1: r·AΔθ = -|AΔθ|².
        let image = batch.jvp(&update.delta);
        let curvature = batch.curvature();
        let terms = image.iter().zip(batch.cotangent()).zip(&curvature);
        let (slope, square) = terms.fold((0.0, 0.0), |(slope, square), ((i, g), c)| {
            (slope + g * i, square + c * i * i)
        });
        assert!((slope + square).abs() < 1e-9 * square, "{slope} {square}");
    }
}

#[test]
fn a_bound_on_vectors_is_kept_and_no_error() {
    let problem = Poisson {
        samples: 16,
        test_samples: 4,
        ..Poisson::default()
    }
    .problem(0);
    let at = problem.initial_parameters(1);
    let batch = Batch::new(parts(&problem), &problem.train, &at);
    let update = |vectors| {
        let decomposition = DecompositionSettings {
            vectors,
            ..DecompositionSettings::accurate(1e-9)
        };
        let method = Spectral {
            cutoff: 1e-2,
            decomposition,
            ..Spectral::half_inverse()
        };
        let consumes = method.consumes(1024, problem.parameter_count(), usize::MAX);
        match vectors {
            0 => assert_eq!(consumes, Consumes::Gram),
            _ => assert_eq!(consumes, Consumes::Products { vectors }),
        }
        method.start().unwrap().step(&*batch, 1.0).unwrap()
    };
    let exact = update(0).delta;
    let mut before = f64::INFINITY;
    // With 31 the products of 64 rows a sample are asked for, with 200 the rows.
    for vectors in [1, 5, 31, 200] {
        let found = update(vectors);
        let error = relative(&found.delta, &exact);
        assert_eq!(told(&found, "vectors"), Some(vectors as f64));
        if vectors > 2 {
            let told = told(&found, "error").unwrap();
            assert!(told > 1e-9 && told.is_finite(), "{vectors}: {told}");
        }
        assert!(error < before, "{vectors} vectors: {error} after {before}");
        before = error;
    }
    assert!(before < 0.1, "{before}");
    let mut method = LevenbergMarquardt::default();
    method.set("vectors", "20").unwrap();
    let update = method.start().unwrap().step(&*batch, 1.0).unwrap();
    assert!(batch.loss_at(&moved(&at, &update.delta)) < batch.loss());
}

fn moved(at: &[f64], delta: &[f64]) -> Vec<f64> {
    at.iter().zip(delta).map(|(a, d)| a + d).collect()
}
