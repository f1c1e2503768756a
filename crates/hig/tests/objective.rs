//! Objectives: what a linearised batch answers, and a loss without network and physics.

mod common;

use common::*;
use hig::data::Dataset;
use hig::linalg::{Mat, MatRef, Scratch, Symmetric, stack};
use hig::loss::{Infidelity, Loss, SquaredError};
use hig::network::{Activation, ParameterView};
use hig::objective::{
    ExplicitJacobian, Jacobian, Linearization, Linearized, Objective, Reduction, whitened,
};
use hig::step::{
    GaussNewtonLineSearch, LevenbergMarquardt, Method, ScaleInvariant, Spectral, methods,
};
use hig::systems::{
    BurgersControl, CartPoleSwingUp, FieldPoints, FluidControl, HeatField, KsCorrection,
    MlpSettings, ParameterEstimation, PendulumSwingUp, System, WakeFlowCorrection,
};
use hig::trainer::{Budget, Evaluation, Flow, Observer, Outcome, Stop, Training, train};
use hig::{Error, Problem, Result};

/// Everything that can be asked of a batch, answered in bits.
type Question = (&'static str, fn(&dyn Linearized) -> Vec<u64>);

fn vector(answer: Result<Vec<f64>>) -> Vec<u64> {
    bits(&answer.unwrap())
}

fn whole(answer: Result<Symmetric>) -> Vec<u64> {
    bits(&entries(&answer.unwrap().complete()))
}

/// Some numbers for each row, and each column, of J.
fn w(at: &dyn Jacobian) -> Vec<f64> {
    normal_vector(at.rows(), 19)
}

fn v(at: &dyn Jacobian) -> Vec<f64> {
    normal_vector(at.columns(), 18)
}

fn elsewhere(at: &dyn Linearized) -> Vec<f64> {
    at.parameters().iter().map(|p| 1.1 * p + 0.01).collect()
}

const QUESTIONS: [Question; 19] = [
    ("gradient", |at| vector(at.gradient())),
    ("gram", |at| whole(at.gram())),
    ("vjp", |at| vector(at.vjp(&w(at)))),
    ("jvp", |at| vector(at.jvp(&v(at)))),
    ("physics rows", |at| {
        let parts = at.through_physics();
        parts.map_or_else(Vec::new, |at| bits(&entries(at.physics_rows().unwrap())))
    }),
    ("loss", |at| bits(&[at.loss(), at.mean_loss()])),
    ("cotangent", |at| bits(at.cotangent())),
    ("curvature", |at| vector(at.curvature())),
    ("normal", |at| whole(at.normal())),
    ("images", |at| {
        whole(at.image_gram(normal(at.rows(), 3, 20).as_ref()))
    }),
    ("normal images", |at| {
        whole(at.normal_image_gram(normal(at.columns(), 3, 21).as_ref()))
    }),
    ("transposed", |at| bits(&entries(&at.transposed().unwrap()))),
    ("formed", |at| {
        let parts = at.through_physics();
        parts.map_or_else(Vec::new, |at| {
            bits(&entries(&at.jacobian().unwrap().formed()))
        })
    }),
    ("scaled rows", |at| {
        let scaled = at.scaled_rows(&w(at)).unwrap();
        vector(scaled.jvp(&v(at)))
    }),
    ("whitened", |at| {
        let (scaled, residual) = whitened(at).unwrap();
        vector(scaled.vjp(&residual))
    }),
    ("loss elsewhere", |at| {
        bits(&[at.loss_at(&elsewhere(at)).unwrap()])
    }),
    ("outputs", |at| bits(&at.outputs())),
    ("outputs elsewhere", |at| {
        vector(at.outputs_at(&elsewhere(at)))
    }),
    ("moved", |at| {
        let place = elsewhere(at);
        let moved = at.moved(&place).unwrap();
        [vector(moved.gradient()), whole(moved.gram())].concat()
    }),
];

fn each_small_batch(mut visit: impl FnMut(&str, &Problem, &[f64])) {
    for (widths, problem) in small_problems(Activation::Tanh) {
        let numbers = normal_vector(problem.parameter_count(), 17);
        let at: Vec<f64> = numbers.iter().map(|v| 0.7 * v).collect();
        visit(&format!("{widths:?}"), &problem, &at);
    }
}

/// The same, batches with the network in the loop, and the residuals of a field.
fn each_batch(mut visit: impl FnMut(&str, &Problem, &[f64])) {
    each_small_batch(&mut visit);
    let cart_pole = CartPoleSwingUp {
        poles: 2,
        steps: 4,
        samples: 5,
        test_samples: 2,
        network: MlpSettings::tanh(vec![4]),
        ..CartPoleSwingUp::default()
    };
    let pendulum = PendulumSwingUp {
        steps: 3,
        samples: 4,
        test_samples: 2,
        network: MlpSettings::tanh(vec![3]),
        ..PendulumSwingUp::default()
    };
    let heat = HeatField {
        points: FieldPoints {
            samples: 9,
            boundary: 0.4,
            test_samples: 2,
            ..FieldPoints::default()
        },
        network: MlpSettings::tanh(vec![4, 3]),
        ..HeatField::default()
    };
    let estimation = ParameterEstimation {
        steps: 4,
        every: 2,
        samples: 4,
        test_samples: 2,
        network: MlpSettings::tanh(vec![3]),
        ..ParameterEstimation::default()
    };
    let burgers = BurgersControl {
        points: 6,
        steps: 3,
        substeps: 1,
        effort: 0.1,
        samples: 4,
        test_samples: 2,
        network: MlpSettings::tanh(vec![3]),
        ..BurgersControl::default()
    };
    let corrected = KsCorrection {
        points: 6,
        length: 6.0,
        finer: 1,
        steps: 2,
        samples: 4,
        test_samples: 2,
        channels: vec![2],
        kernel: 3,
        ..KsCorrection::default()
    };
    let fluid = FluidControl {
        grid: 4,
        steps: 2,
        patch: 2,
        channels: vec![2],
        samples: 4,
        test_samples: 2,
        ..FluidControl::default()
    };
    let wake = WakeFlowCorrection {
        grid: 8,
        dt: 5.0,
        finer: 1,
        spin_up: 2,
        steps: 1,
        simulations: 2,
        samples: 2,
        test_samples: 2,
        channels: vec![1],
        ..WakeFlowCorrection::default()
    };
    for problem in [
        corrected.problem(0),
        fluid.problem(0),
        wake.problem(0),
        cart_pole.problem(0),
        pendulum.problem(0),
        burgers.problem(0),
        estimation.problem(0),
        heat.problem(0),
    ] {
        let numbers = normal_vector(problem.parameter_count(), 17);
        visit("in the loop, or a field", &problem, &numbers);
    }
}

/// Asks a fresh batch in an order, and compares each answer with that of a batch asked nothing else.
fn assert_order(name: &str, problem: &Problem, at: &[f64], alone: &[Vec<u64>], order: &[usize]) {
    let batch = problem.objective.linearize(&problem.train, at).unwrap();
    for &q in order {
        let (question, ask) = QUESTIONS[q];
        let same = ask(batch.as_ref()) == alone[q];
        assert!(same, "{name}: {question} in {order:?}");
    }
}

/// All orders of the numbers below `count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else {
        return vec![Vec::new()];
    };
    let with_last = |order: Vec<usize>| {
        (0..count).map(move |place| {
            let mut order = order.clone();
            order.insert(place, last);
            order
        })
    };
    orders(last).into_iter().flat_map(with_last).collect()
}

#[test]
fn answers_do_not_depend_on_what_was_asked_before() {
    // Those that the passes of a training begin with, in every order.
    let first = orders(5);
    assert_eq!(first.len(), 120);
    each_batch(|name, problem, at| {
        let ask = |(_, ask): &Question| {
            ask(problem
                .objective
                .linearize(&problem.train, at)
                .unwrap()
                .as_ref())
        };
        let alone: Vec<Vec<u64>> = QUESTIONS.iter().map(ask).collect();
        for order in &first {
            assert_order(name, problem, at, &alone, order);
        }
        // The others in pairs, the same question twice included.
        for a in 0..QUESTIONS.len() {
            for b in 0..QUESTIONS.len() {
                assert_order(name, problem, at, &alone, &[a, b]);
            }
        }
        let all: Vec<usize> = (0..QUESTIONS.len()).collect();
        let back: Vec<usize> = all.iter().rev().copied().collect();
        assert_order(name, problem, at, &alone, &[&all[..], &back, &all].concat());
    });
}

/// What a batch answers of y, against the objective and against J.
fn assert_outputs(name: &str, problem: &Problem, at: &[f64]) {
    let (objective, samples) = (&problem.objective, &problem.train);
    let whole = |at: &[f64]| stack(objective.outputs(at, samples).unwrap().as_ref());
    let batch = objective.linearize(samples, at).unwrap();
    assert_eq!(bits(&batch.outputs()), bits(&whole(at)), "{name}");
    let v = normal_vector(at.len(), 23);
    let step = 1e-5;
    let [ahead, behind] = [step, -step].map(|step| -> Vec<f64> {
        let delta: Vec<f64> = v.iter().map(|v| step * v).collect();
        let moved: Vec<f64> = at.iter().zip(&delta).map(|(p, d)| p + d).collect();
        let found = batch.outputs_after(&delta).unwrap();
        assert_eq!(bits(&found), bits(&whole(&moved)), "{name}");
        found
    });
    let pairs = ahead.iter().zip(&behind);
    let slope: Vec<f64> = pairs.map(|(a, b)| (a - b) / (2.0 * step)).collect();
    let error = relative(&slope, &batch.jvp(&v).unwrap());
    assert!(error <= 1e-7, "{name}: {error:e}");
}

#[test]
fn outputs_elsewhere_are_those_of_the_objective_and_their_slope_is_j() {
    each_batch(assert_outputs);
    for (name, problem) in [("plane", plane()), ("growth", growth())] {
        assert_outputs(name, &problem, &problem.initial_parameters(0));
    }
}

/// A Jacobian times numbers for its rows, against the dense product.
fn assert_scaled(name: &str, at: &dyn Jacobian, j: &Mat<f64>, factors: &[f64]) {
    let scaled = at.scaled_rows(factors).unwrap();
    let expected = Mat::from_fn(j.nrows(), j.ncols(), |i, k| factors[i] * j[(i, k)]);
    let transposed = transpose(&expected);
    let close = |what: &str, found: &Mat<f64>, expected: &Mat<f64>| {
        let error = relative_matrix(found, expected);
        assert!(error <= 1e-13, "{name}, {what}: {error:e}");
    };
    let column = |vector: Vec<f64>| Mat::from_fn(vector.len(), 1, |i, _| vector[i]);
    assert_eq!((scaled.rows(), scaled.columns()), (j.nrows(), j.ncols()));
    let found = scaled.transposed().unwrap();
    close("Jᵀ", &found, &transposed);
    let (w, v) = (normal(j.nrows(), 3, 1), normal(j.ncols(), 3, 2));
    let (first_w, first_v) = (w.col_as_slice(0), v.col_as_slice(0));
    let found = column(scaled.vjp(first_w).unwrap());
    close("vjp", &found, &column(times(&transposed, first_w)));
    let found = column(scaled.jvp(first_v).unwrap());
    close("jvp", &found, &column(times(&expected, first_v)));
    let square = |m: &Mat<f64>| multiply(&transpose(m), m);
    let found = scaled.gram().unwrap().complete();
    close("K", &found, &square(&transposed));
    let found = scaled.normal().unwrap().complete();
    close("JᵀJ", &found, &square(&expected));
    let found = scaled.image_gram(w.as_ref()).unwrap().complete();
    close("images", &found, &square(&multiply(&transposed, &w)));
    let found = scaled.normal_image_gram(v.as_ref()).unwrap().complete();
    close("normal images", &found, &square(&multiply(&expected, &v)));
}

#[test]
fn scaled_rows_are_a_diagonal_times_the_jacobian_in_every_product() {
    each_small_batch(|name, problem, at| {
        let batch = Batch::new(parts(problem), &problem.train, at);
        let j = batch.jacobian();
        // Of both signs, and one of them 0.
        let mut factors = normal_vector(j.nrows(), 5);
        factors[1] = 0.0;
        let of_network = Linearization::jacobian(&batch).unwrap();
        let explicit = ExplicitJacobian::new(&j);
        let rows = transpose(&j);
        let borrowed = ExplicitJacobian::borrowed(rows.as_ref());
        let jacobians: [&dyn Jacobian; 4] = [&*batch, &of_network, &explicit, &borrowed];
        for (which, jacobian) in jacobians.into_iter().enumerate() {
            // Before and after K was asked for.
            for _ in 0..2 {
                assert_scaled(&format!("{name} {which}"), jacobian, &j, &factors);
                jacobian.gram().unwrap();
            }
            let once = jacobian.scaled_rows(&factors).unwrap();
            let scaled = Mat::from_fn(j.nrows(), j.ncols(), |i, k| factors[i] * j[(i, k)]);
            let again = normal_vector(j.nrows(), 6);
            assert_scaled(
                &format!("{name} {which} twice"),
                once.as_ref(),
                &scaled,
                &again,
            );
        }
    });
}

/// A curve y(x; θ) without network and physics, with its own derivatives.
trait Curve: Send + Sync {
    /// Names and start of θ.
    fn start(&self) -> Vec<(&'static str, f64)>;
    /// Width of x.
    fn inputs(&self) -> usize;
    fn value(&self, x: &[f64], at: &[f64]) -> f64;
    fn slope(&self, x: &[f64], at: &[f64]) -> Vec<f64>;
}

/// θ·x: linear least squares.
struct Plane;

impl Curve for Plane {
    fn start(&self) -> Vec<(&'static str, f64)> {
        vec![("a", 0.3), ("b", -0.2), ("c", 0.9)]
    }
    fn inputs(&self) -> usize {
        3
    }
    fn value(&self, x: &[f64], at: &[f64]) -> f64 {
        dot(x, at)
    }
    fn slope(&self, x: &[f64], _: &[f64]) -> Vec<f64> {
        x.to_vec()
    }
}

/// a·exp(b·x) + c.
struct Growth;

impl Curve for Growth {
    fn start(&self) -> Vec<(&'static str, f64)> {
        vec![("size", 0.5), ("rate", 0.3), ("offset", 0.0)]
    }
    fn inputs(&self) -> usize {
        1
    }
    fn value(&self, x: &[f64], at: &[f64]) -> f64 {
        at[0] * (at[1] * x[0]).exp() + at[2]
    }
    fn slope(&self, x: &[f64], at: &[f64]) -> Vec<f64> {
        let growth = (at[1] * x[0]).exp();
        vec![growth, at[0] * x[0] * growth, 1.0]
    }
}

/// ½·mean (y(x; θ) - ŷ)².
struct Fit<C>(C);

impl<C: Curve> Fit<C> {
    fn residuals(&self, samples: &Dataset, at: &[f64]) -> Vec<f64> {
        let residual = |s| self.0.value(&row(&samples.input, s), at) - samples.target[(s, 0)];
        (0..samples.len()).map(residual).collect()
    }
}

fn row(matrix: &Mat<f64>, i: usize) -> Vec<f64> {
    (0..matrix.ncols()).map(|j| matrix[(i, j)]).collect()
}

impl<C: Curve> Objective for Fit<C> {
    fn parameters(&self) -> Vec<ParameterView> {
        let names = self.0.start().into_iter().enumerate();
        let view = |(i, (name, _)): (usize, (&str, f64))| ParameterView {
            name: name.into(),
            shape: vec![1],
            range: i..i + 1,
        };
        names.map(view).collect()
    }

    fn initial(&self, _: u64) -> Vec<f64> {
        self.0.start().iter().map(|(_, value)| *value).collect()
    }

    fn rows(&self, samples: usize) -> usize {
        samples
    }

    fn pass_numbers(&self, samples: usize) -> usize {
        samples * self.0.start().len()
    }

    fn check_samples(&self, samples: &Dataset) -> Result<()> {
        samples.check(self.0.inputs(), 0, 1)
    }

    fn outputs(&self, at: &[f64], samples: &Dataset) -> Result<Mat<f64>> {
        let value = |s, _| self.0.value(&row(&samples.input, s), at);
        Ok(Mat::from_fn(samples.len(), 1, value))
    }

    fn loss(&self, at: &[f64], samples: &Dataset) -> Result<f64> {
        let residuals = self.residuals(samples, at);
        Ok(0.5 * dot(&residuals, &residuals) / samples.len() as f64)
    }

    fn linearize<'a>(
        &'a self,
        batch: &'a Dataset,
        at: &'a [f64],
    ) -> Result<Box<dyn Linearized + 'a>> {
        let slopes: Vec<Vec<f64>> = (0..batch.len())
            .map(|s| self.0.slope(&row(&batch.input, s), at))
            .collect();
        let j = Mat::from_fn(batch.len(), at.len(), |i, k| slopes[i][k]);
        let residuals = self.residuals(batch, at);
        Ok(Box::new(Fitted {
            fit: self,
            batch,
            at,
            jacobian: ExplicitJacobian::new(&j),
            loss: self.loss(at, batch)?,
            cotangent: residuals.iter().map(|r| r / batch.len() as f64).collect(),
        }))
    }
}

struct Fitted<'a, C> {
    fit: &'a Fit<C>,
    batch: &'a Dataset,
    at: &'a [f64],
    jacobian: ExplicitJacobian,
    loss: f64,
    cotangent: Vec<f64>,
}

impl<C: Curve> Jacobian for Fitted<'_, C> {
    fn rows(&self) -> usize {
        self.jacobian.rows()
    }
    fn columns(&self) -> usize {
        self.jacobian.columns()
    }
    fn vjp_into(&self, w: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        self.jacobian.vjp_into(w, target, scratch)
    }
    fn jvp_into(&self, v: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        self.jacobian.jvp_into(v, target, scratch)
    }
    fn gram(&self) -> Result<Symmetric> {
        self.jacobian.gram()
    }
    fn image_gram(&self, w: MatRef<'_, f64>) -> Result<Symmetric> {
        self.jacobian.image_gram(w)
    }
    fn normal(&self) -> Result<Symmetric> {
        self.jacobian.normal()
    }
    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Result<Symmetric> {
        self.jacobian.normal_image_gram(v)
    }
    fn transposed(&self) -> Result<Mat<f64>> {
        self.jacobian.transposed()
    }
    fn scaled_rows<'s>(&'s self, factors: &[f64]) -> Result<Box<dyn Jacobian + 's>> {
        self.jacobian.scaled_rows(factors)
    }
}

impl<C: Curve> Linearized for Fitted<'_, C> {
    fn parameters(&self) -> &[f64] {
        self.at
    }
    fn loss(&self) -> f64 {
        self.loss
    }
    fn mean_loss(&self) -> f64 {
        self.loss
    }
    fn cotangent(&self) -> &[f64] {
        &self.cotangent
    }
    fn curvature(&self) -> Result<Vec<f64>> {
        Ok(vec![1.0 / self.batch.len() as f64; self.batch.len()])
    }
    fn gradient(&self) -> Result<Vec<f64>> {
        self.vjp(&self.cotangent)
    }
    fn loss_at(&self, parameters: &[f64]) -> Result<f64> {
        self.fit.loss(parameters, self.batch)
    }
    fn outputs(&self) -> Vec<f64> {
        stack(self.fit.outputs(self.at, self.batch).unwrap().as_ref())
    }
    fn outputs_at(&self, parameters: &[f64]) -> Result<Vec<f64>> {
        Ok(stack(self.fit.outputs(parameters, self.batch)?.as_ref()))
    }
    fn moved<'s>(&'s self, parameters: &'s [f64]) -> Result<Box<dyn Linearized + 's>> {
        self.fit.linearize(self.batch, parameters)
    }
}

const SAMPLES: usize = 20;

/// Samples that no plane goes through.
fn plane() -> Problem {
    let samples = |seed| Dataset {
        input: normal(SAMPLES, 3, seed),
        state: Mat::zeros(SAMPLES, 0),
        target: normal(SAMPLES, 1, seed + 1),
    };
    Problem::of(samples(31), samples(33), Fit(Plane))
}

/// Samples of 1.3·exp(0.8·x) - 0.4.
fn growth() -> Problem {
    let samples = |shift: f64| {
        let x = move |i: usize| (i as f64 + shift) / SAMPLES as f64;
        Dataset {
            input: Mat::from_fn(SAMPLES, 1, |i, _| x(i)),
            state: Mat::zeros(SAMPLES, 0),
            target: Mat::from_fn(SAMPLES, 1, |i, _| 1.3 * (0.8 * x(i)).exp() - 0.4),
        }
    };
    Problem::of(samples(0.0), samples(0.5), Fit(Growth))
}

fn trained(problem: &Problem, method: &dyn Method, batch: usize, updates: usize) -> Outcome {
    let training = Training {
        batch,
        ..Training::default()
    };
    let start = problem.initial_parameters(0);
    let budget = Budget::updates(updates);
    train(problem, method, start, &training, budget, 0, &mut []).unwrap()
}

#[test]
fn every_method_that_sees_the_whole_objective_trains_one_without_network_and_physics() {
    let mut names = Vec::new();
    for problem in [plane(), growth()] {
        let start = problem.initial_parameters(0);
        let before = loss_of(&problem, &start, &problem.train);
        for method in methods() {
            // They ask for more than a whole objective tells.
            if ["sip", "kron-hig"].contains(&method.name()) {
                continue;
            }
            let outcome = trained(&problem, method.as_ref(), SAMPLES, 60);
            let name = method.name();
            assert!(
                matches!(outcome.stop, Stop::Budget),
                "{name}: {}",
                outcome.stop
            );
            let after = outcome.train_loss;
            assert!(after < before, "{name}: {before} to {after}");
            assert_eq!(
                after.to_bits(),
                loss_of(&problem, &outcome.parameters, &problem.train).to_bits()
            );
            names.push(name);
        }
    }
    assert_eq!(names.len(), 2 * (methods().len() - 2));
}

#[test]
fn mini_batches_of_such_an_objective_are_trained_too() {
    let problem = growth();
    let before = loss_of(&problem, &problem.initial_parameters(0), &problem.train);
    for name in ["adam", "lm", "adaptive-hig"] {
        let method = hig::step::method(name).unwrap();
        let outcome = trained(&problem, method.as_ref(), 6, 60);
        assert!(matches!(outcome.stop, Stop::Budget), "{}", outcome.stop);
        assert!(
            outcome.train_loss < before,
            "{name}: {}",
            outcome.train_loss
        );
        assert!((outcome.epochs - 18.0).abs() <= 1e-12);
    }
}

/// The solution of the normal equations of a plane.
fn solution(samples: &Dataset) -> Vec<f64> {
    let a = &samples.input;
    let right = times(&transpose(a), samples.target.col_as_slice(0));
    solve(&multiply(&transpose(a), a), &right)
}

#[test]
fn linear_least_squares_are_solved_in_one_update_or_a_few() {
    let problem = plane();
    let expected = solution(&problem.train);
    let cases: [(Box<dyn Method>, usize); 4] = [
        (
            Box::new(Spectral {
                // The gradient in y is that of a mean.
                learning_rate: (SAMPLES as f64).into(),
                ..Spectral::gauss_newton()
            }),
            1,
        ),
        (Box::new(GaussNewtonLineSearch::default()), 1),
        (
            Box::new(LevenbergMarquardt {
                damping: 1e-14,
                ..LevenbergMarquardt::default()
            }),
            1,
        ),
        (Box::new(LevenbergMarquardt::default()), 6),
    ];
    for (method, updates) in cases {
        let outcome = trained(&problem, method.as_ref(), SAMPLES, updates);
        let error = relative(&outcome.parameters, &expected);
        assert!(error <= 1e-8, "{}: {error:e}", method.name());
    }
}

#[test]
fn an_exponential_is_found_again() {
    for name in ["lm", "gn-line-search", "adaptive-hig"] {
        let method = hig::step::method(name).unwrap();
        let outcome = trained(&growth(), method.as_ref(), SAMPLES, 60);
        let error = relative(&outcome.parameters, &[1.3, 0.8, -0.4]);
        assert!(error <= 1e-5, "{name}: {error:e}");
    }
}

/// Counts what a training tells.
#[derive(Default)]
struct Heard(usize);

impl Observer for Heard {
    fn evaluation(&mut self, _: &Evaluation<'_>) -> Result<Flow> {
        self.0 += 1;
        Ok(Flow::Continue)
    }
}

/// Tries one update, which must be refused before anything was evaluated.
fn refused(problem: &Problem, method: &dyn Method, training: &Training, words: &[&str]) {
    let mut heard = Heard::default();
    let start = problem.initial_parameters(0);
    let budget = Budget::updates(1);
    let result = train(
        problem,
        method,
        start,
        training,
        budget,
        0,
        &mut [&mut heard],
    );
    assert_eq!(heard.0, 0, "refused too late");
    assert_message(result, words);
}

#[test]
fn a_method_that_needs_the_parts_is_refused_before_the_first_update() {
    let problem = plane();
    let training = Training {
        batch: SAMPLES,
        ..Training::default()
    };
    let method = ScaleInvariant::default();
    refused(
        &problem,
        &method,
        &training,
        &["method = sip", "behind a network"],
    );
    // The same by the step itself, asked behind the trainer's back.
    let start = problem.initial_parameters(0);
    let at = problem.objective.linearize(&problem.train, &start).unwrap();
    let step = method.start().unwrap().step(at.as_ref(), 1.0);
    assert_message(step, &["method", "behind a network"]);
    assert!(problem.through_physics().is_none());
}

#[test]
fn what_does_not_fit_such_an_objective_is_refused_before_the_first_update() {
    let ordinary = Training {
        batch: SAMPLES,
        ..Training::default()
    };
    let lm = LevenbergMarquardt::default();
    let mut problem = plane();
    problem.test.input = Mat::zeros(SAMPLES, 2);
    refused(
        &problem,
        &lm,
        &ordinary,
        &["test input", "20 x 2", "20 x 3"],
    );
    let mut problem = plane();
    problem.train.target[(4, 0)] = f64::NAN;
    refused(&problem, &lm, &ordinary, &["training target", "row 4"]);
    let small = Training {
        memory_limit: 1e-7,
        ..ordinary
    };
    refused(&plane(), &lm, &small, &["memory_limit", "20 x 3"]);
}

#[test]
fn a_reduction_is_the_mean_or_the_sum_of_its_samples() {
    let losses = [1.0, 2.5, -0.5, 5.0];
    assert_eq!(Reduction::Mean.loss(&losses), 2.0);
    assert_eq!(Reduction::Sum.loss(&losses), 8.0);
    assert_eq!(Reduction::Mean.weight(4), 0.25);
    assert_eq!(Reduction::Sum.weight(4), 1.0);
    assert_eq!(Reduction::default(), Reduction::Mean);
    // 4 samples with 2 outputs, component by component.
    let of_samples = Mat::from_fn(4, 2, |s, i| (1 + s + 10 * i) as f64);
    let stacked = [1.0, 2.0, 3.0, 4.0, 11.0, 12.0, 13.0, 14.0];
    assert_eq!(Reduction::Sum.rows(&of_samples), stacked);
    assert_eq!(Reduction::Mean.rows(&of_samples), stacked.map(|v| 0.25 * v));
}

#[test]
fn losses_of_single_samples_are_their_closed_forms() {
    let (y, target) = (normal(6, 4, 1), normal(6, 4, 2));
    let weights = [2.0, 0.5, 7.0, 1.0];
    let weighted = |plain: SquaredError| plain.weighted(weights.to_vec()).unwrap();
    let squares = |s: usize, weights: [f64; 4]| -> f64 {
        let parts = (0..4).map(|i| weights[i] * (y[(s, i)] - target[(s, i)]).powi(2));
        parts.sum()
    };
    for (loss, factor, weights) in [
        (SquaredError::sum(), 1.0, [1.0; 4]),
        (SquaredError::half(), 0.5, [1.0; 4]),
        (weighted(SquaredError::sum()), 1.0, weights),
        (weighted(SquaredError::half()), 0.5, weights),
    ] {
        let found = loss.values(y.as_ref(), target.as_ref());
        let slopes = loss.cotangents(y.as_ref(), target.as_ref());
        let curvature = loss.curvature(y.as_ref(), target.as_ref());
        assert_eq!(found.len(), 6);
        for (s, found) in found.iter().enumerate() {
            let expected = factor * squares(s, weights);
            assert!((found / expected - 1.0).abs() <= 1e-14);
            for (i, weight) in weights.iter().enumerate() {
                let slope = 2.0 * factor * weight * (y[(s, i)] - target[(s, i)]);
                assert!((slopes[(s, i)] - slope).abs() <= 1e-14 * slope.abs());
                assert_eq!(curvature[(s, i)], 2.0 * factor * weight);
            }
        }
    }
    // |⟨ŷ|y⟩|² of two complex components, written out.
    let found = Infidelity.values(y.as_ref(), target.as_ref());
    for (s, found) in found.iter().enumerate() {
        let at = |m: &Mat<f64>, i| m[(s, i)];
        let re: f64 = (0..4).map(|i| at(&target, i) * at(&y, i)).sum();
        let im = (0..2).map(|j| {
            at(&target, 2 * j) * at(&y, 2 * j + 1) - at(&target, 2 * j + 1) * at(&y, 2 * j)
        });
        let im: f64 = im.sum();
        assert!((found - (1.0 - re * re - im * im)).abs() <= 1e-13);
    }
}

#[test]
fn a_batch_counts_by_the_reduction_of_its_objective() {
    let loss = SquaredError::half().weighted(vec![2.0, 0.5, 7.0, 1.0]);
    let loss = loss.unwrap();
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let (_, mut problem) = small_problems(Activation::Tanh).swap_remove(1);
        parts_mut(&mut problem).loss = Box::new(loss.clone());
        parts_mut(&mut problem).reduction = reduction;
        let at = normal_vector(problem.parameter_count(), 3);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let (y, target) = (batch.y().as_ref(), problem.train.target.as_ref());
        let samples = problem.train.len() as f64;
        let weight = match reduction {
            Reduction::Mean => 1.0 / samples,
            Reduction::Sum => 1.0,
        };
        let sum: f64 = loss.values(y, target).iter().sum();
        assert!((batch.loss() / (weight * sum) - 1.0).abs() <= 1e-14);
        assert!((batch.mean_loss() / (sum / samples) - 1.0).abs() <= 1e-14);
        assert!((batch.loss_at(&at) / (weight * sum) - 1.0).abs() <= 1e-13);
        // Those who judge a training see the mean, whatever an update counts.
        let judged = loss_of(&problem, &at, &problem.train);
        assert!((judged / (sum / samples) - 1.0).abs() <= 1e-13);
        let scaled = |m: &Mat<f64>| stack((faer::Scale(weight) * m).as_ref());
        let slopes = scaled(&loss.cotangents(y, target));
        assert!(relative(batch.cotangent(), &slopes) <= 1e-15);
        let curvature = scaled(&loss.curvature(y, target));
        assert!(relative(&batch.curvature(), &curvature) <= 1e-15);
    }
}

#[test]
fn the_parts_of_a_problem_can_be_replaced() {
    let (_, mut problem) = small_problems(Activation::Tanh).swap_remove(0);
    let at = problem.initial_parameters(1);
    let before = loss_of(&problem, &at, &problem.train);
    parts_mut(&mut problem).loss = Box::new(SquaredError::sum());
    assert!((loss_of(&problem, &at, &problem.train) / (2.0 * before) - 1.0).abs() <= 1e-14);
    let weights = SquaredError::sum().weighted(vec![1.0; 3]).unwrap();
    parts_mut(&mut problem).loss = Box::new(weights);
    assert!(matches!(problem.check(), Err(Error::Shape { .. })));
    assert!(plane().through_physics_mut().is_none());
}
