//! The network in the loop: derivatives, the open loop as a special case, and linear-quadratic control.

mod common;

use common::*;
use hig::data::Dataset;
use hig::linalg::{Mat, MatRef, Scratch};
use hig::loss::SquaredError;
use hig::network::{
    Activation, Boundary, Chain, Conv2d, Dense, Grid, Initializer, LayerMoments, Moments, Network,
    Unknown,
};
use hig::objective::{ClosedLoop, Linearized, Objective, Sketch, ThroughPhysics};
use hig::physics::{
    Differentiated, Equations, Real, RungeKutta4, SampleFunction, Simulator, Stepwise, Widths,
};
use hig::step::{Adam, GaussNewtonLineSearch, Method};
use hig::systems::{
    BurgersControl, CartPoleSwingUp, KsCorrection, MlpSettings, ParameterEstimation,
    PendulumSwingUp, System, Toy,
};
use hig::trainer::{Budget, Order, Returned, Training, train};
use hig::{Error, Problem, Result};

/// A direction, a product with the sample's input, and the time.
struct Sight;

impl SampleFunction for Sight {
    fn widths(&self) -> Widths {
        Widths {
            state: 2,
            control: 2,
            output: 4,
        }
    }
    fn evaluate<T: Real>(&self, beside: &[f64], x: &[T], y: &mut [T]) {
        y[0] = x[0].cos();
        y[1] = x[0].sin();
        y[2] = x[0] * x[1] * beside[0];
        y[3] = T::constant(beside[1]);
    }
}

/// Of two observed states a difference and an energy over that at the start.
struct Changes;

impl SampleFunction for Changes {
    fn widths(&self) -> Widths {
        Widths {
            state: 2,
            control: 4,
            output: 2,
        }
    }
    fn evaluate<T: Real>(&self, start: &[f64], x: &[T], y: &mut [T]) {
        y[0] = x[2] - x[0];
        y[1] = (x[3] * x[3] - x[2].cos()) / (2.0 + start[1] * start[1]);
    }
}

fn mlp(widths: &[usize]) -> Network {
    Network::mlp(widths, Activation::Tanh, Initializer::Glorot)
}

/// A problem of random samples with so many inputs and outputs.
fn problem(steered: ClosedLoop, samples: usize, inputs: usize, outputs: usize) -> Problem {
    let data = |seed| Dataset {
        input: normal(samples, inputs, seed),
        state: normal(samples, 2, seed + 1),
        target: normal(samples, outputs, seed + 2),
    };
    Problem::of(data(1), data(5), steered)
}

/// Small closed loops of every kind.
fn loops() -> Vec<(&'static str, Problem)> {
    let physics = |steps| RungeKutta4::new(Shaken, steps, 0.2);
    let half = SquaredError::half;
    let final_state = ClosedLoop::new(mlp(&[3, 4, 2]), physics(5), half());
    let one_step = ClosedLoop::new(mlp(&[2, 2]), physics(1), half()).summed();
    let several = ClosedLoop::new(mlp(&[2, 3, 3, 2]), physics(4), half());
    let weights = SquaredError::sum().weighted(vec![2.0, 0.3]).unwrap();
    let functions = ClosedLoop::new(mlp(&[4, 5, 2]), physics(6), weights)
        .seeing(Differentiated(Sight))
        .after(vec![3, 6])
        .unwrap()
        .observing(Differentiated(Changes));
    let cart_pole = CartPoleSwingUp {
        poles: 2,
        shrink: 0.7,
        rest: 0.2,
        steps: 4,
        dt: 0.1,
        samples: 9,
        test_samples: 2,
        network: MlpSettings::tanh(vec![4]),
        ..CartPoleSwingUp::default()
    };
    let pendulum = PendulumSwingUp {
        friction: 0.1,
        steps: 5,
        samples: 10,
        test_samples: 2,
        network: MlpSettings::tanh(vec![3]),
        ..PendulumSwingUp::default()
    };
    let estimation = ParameterEstimation {
        steps: 6,
        every: 2,
        missing: 0.3,
        samples: 9,
        test_samples: 2,
        network: MlpSettings::tanh(vec![3]),
        ..ParameterEstimation::default()
    };
    let alone = ParameterEstimation {
        learned_force: false,
        ..estimation.clone()
    };
    let burgers = BurgersControl {
        points: 7,
        steps: 4,
        dt: 0.05,
        effort: 0.3,
        samples: 9,
        test_samples: 2,
        network: MlpSettings::tanh(vec![4]),
        ..BurgersControl::default()
    };
    let corrected = KsCorrection {
        points: 8,
        length: 6.0,
        finer: 2,
        steps: 3,
        samples: 9,
        test_samples: 2,
        channels: vec![2],
        kernel: 3,
        ..KsCorrection::default()
    };
    vec![
        ("burgers", burgers.problem(0)),
        ("corrected", corrected.problem(0)),
        ("final state", problem(final_state, 9, 1, 2)),
        ("one step", problem(one_step, 3, 0, 2)),
        (
            "several states",
            problem(several.after(vec![1, 2, 4]).unwrap(), 8, 0, 6),
        ),
        ("functions", problem(functions, 11, 1, 2)),
        ("cart-pole", cart_pole.problem(0)),
        ("pendulum", pendulum.problem(0)),
        ("estimation", estimation.problem(0)),
        ("estimation alone", alone.problem(0)),
    ]
}

/// Parameters away from the start of a training.
fn place(problem: &Problem) -> Vec<f64> {
    let numbers = normal_vector(problem.parameter_count(), 17);
    numbers.iter().map(|v| 0.7 * v).collect()
}

fn each_loop(mut visit: impl FnMut(&str, &Problem, &[f64], &dyn Linearized)) {
    for (name, problem) in loops() {
        problem.check().unwrap();
        let at = place(&problem);
        let batch = problem.objective.linearize(&problem.train, &at).unwrap();
        visit(name, &problem, &at, batch.as_ref());
    }
}

#[test]
fn the_jacobian_is_that_of_differences_and_k_its_square() {
    each_loop(|name, problem, at, batch| {
        let found = transpose(&batch.transposed().unwrap());
        let samples = &problem.train;
        assert_eq!(found.nrows(), problem.objective.rows(samples.len()));
        let y = |at: &[f64]| entries(&problem.objective.outputs(at, samples).unwrap());
        let expected = difference_jacobian(at, 1e-5, y);
        let error = relative_matrix(&found, &expected);
        assert!(error <= 1e-7, "{name}: {error:e}");
        let k = batch.gram().unwrap().complete();
        let error = relative_matrix(&k, &multiply(&found, &transpose(&found)));
        assert!(error <= 1e-13, "{name}: {error:e}");
        let normal = batch.normal().unwrap().complete();
        let error = relative_matrix(&normal, &multiply(&transpose(&found), &found));
        assert!(error <= 1e-13, "{name}: {error:e}");
    });
}

#[test]
fn combined_rows_are_combinations_of_all_rows() {
    each_loop(|name, _, _, batch| {
        let samples = batch.samples().unwrap();
        let width = batch.rows() / samples;
        let sketch = Sketch::new(normal(2 * samples, width, 9), samples);
        let found = batch.combined_rows(&sketch).unwrap();
        // Asked before any row of J was, and again by the rows.
        let all = transpose(&batch.transposed().unwrap());
        let s = Mat::from_fn(2 * samples, batch.rows(), |r, c| {
            match r % samples == c % samples {
                true => sketch.weights()[(r, c / samples)],
                false => 0.0,
            }
        });
        let expected = multiply(&s, &all);
        let error = relative_matrix(&transpose(&found.transposed().unwrap()), &expected);
        assert!(error <= 1e-13, "{name}: {error:e}");
    });
}

#[test]
fn layer_moments_are_those_of_the_layers_rows() {
    each_loop(|name, _, at, batch| {
        // The diagonal of a layer of unknowns is that of the products with the probes.
        let samples = batch.samples().unwrap();
        let probe = normal(batch.rows(), 1, 4);
        let found = batch.layer_moments(probe.as_ref()).unwrap().unwrap();
        let j = transpose(&batch.transposed().unwrap());
        for of_layer in &found {
            let Moments::Diagonal(squares) = &of_layer.block else {
                continue;
            };
            for (place, square) in of_layer.range.clone().zip(squares) {
                let of_sample = |s: usize| -> f64 {
                    let rows = (s..batch.rows()).step_by(samples);
                    rows.map(|r| probe[(r, 0)] * j[(r, place)])
                        .sum::<f64>()
                        .powi(2)
                };
                let expected: f64 = (0..samples).map(of_sample).sum();
                let error = (square - expected).abs();
                assert!(error <= 1e-12 * expected, "{name}: {square} for {expected}");
            }
        }
        let of_unknowns = found
            .iter()
            .any(|l| matches!(l.block, Moments::Diagonal(_)));
        assert_eq!(of_unknowns, name.starts_with("estimation"), "{name}");
        assert_eq!(found.last().unwrap().range.end, at.len());
    });
}

#[test]
fn products_are_adjoint_and_the_gradient_is_that_of_the_loss() {
    each_loop(|name, problem, at, batch| {
        let (v, w) = (normal_vector(at.len(), 2), normal_vector(batch.rows(), 3));
        let (jv, jtw) = (batch.jvp(&v).unwrap(), batch.vjp(&w).unwrap());
        let difference = (dot(&jv, &w) - dot(&v, &jtw)).abs();
        let size = dot(&jv, &jv).sqrt() * dot(&w, &w).sqrt();
        assert!(difference <= 1e-13 * size, "{name}: {difference:e}");
        let forwards = relative(&batch.tangent(&v).unwrap(), &jv);
        assert!(forwards <= 1e-13, "{name}: {forwards:e} forwards");
        let gradient = batch.gradient().unwrap();
        let by_rows = batch.vjp(batch.cotangent()).unwrap();
        assert!(relative(&gradient, &by_rows) <= 1e-13, "{name}");
        let mean = |at: &[f64]| vec![problem.objective.loss(at, &problem.train).unwrap()];
        let slope = difference_jacobian(at, 1e-5, mean);
        let factor = batch.loss() / batch.mean_loss();
        let expected: Vec<f64> = entries(&slope).iter().map(|s| factor * s).collect();
        assert!(relative(&gradient, &expected) <= 1e-7, "{name}");
        let loss = problem.objective.loss(at, &problem.train).unwrap();
        assert!((loss / batch.mean_loss() - 1.0).abs() <= 1e-13, "{name}");
    });
}

/// Passes through the network with one number at a time, by the parts of the chain rule.
#[test]
fn the_motion_is_that_of_steps_taken_one_by_one() {
    let network = [3, 4, 2];
    let steered = ClosedLoop::new(
        mlp(&network),
        RungeKutta4::new(Shaken, 5, 0.2),
        SquaredError::half(),
    );
    let at = normal_vector(mlp(&network).parameter_count(), 3);
    let samples = problem(
        ClosedLoop::new(
            mlp(&network),
            RungeKutta4::new(Shaken, 5, 0.2),
            SquaredError::half(),
        ),
        7,
        1,
        2,
    )
    .train;
    let motion = steered.motion(&at, &samples).unwrap();
    assert_eq!((motion.states.len(), motion.controls.len()), (6, 5));
    for k in 0..5 {
        let seen = Mat::from_fn(7, 3, |s, j| match j {
            2 => samples.input[(s, 0)],
            j => motion.states[k][(s, j)],
        });
        let (expected, _) = perceptron(&network, Activation::Tanh, &at, &seen);
        assert!(relative_matrix(&motion.controls[k], &expected) <= 1e-13);
    }
    // The whole simulation with these controls.
    let controls = Mat::from_fn(7, 10, |s, j| motion.controls[j / 2][(s, j % 2)]);
    let open = RungeKutta4::new(Shaken, 5, 0.2);
    let y = open
        .simulate(samples.state.as_ref(), controls.as_ref())
        .unwrap();
    assert!(relative_matrix(&motion.states[5], &y) <= 1e-13);
    let found = steered.outputs(&at, &samples).unwrap();
    assert_eq!(entries(&found), entries(&motion.states[5]));
}

/// Without a sight of its own the network sees state, input and time in this order.
#[test]
fn a_network_that_knows_the_time_sees_it_last() {
    let timed = [4, 3, 2];
    let physics = || RungeKutta4::new(Shaken, 5, 0.2);
    let steered = ClosedLoop::new(mlp(&timed), physics(), SquaredError::half()).knowing_time();
    let at = normal_vector(mlp(&timed).parameter_count(), 3);
    let problem = problem(steered, 6, 1, 2);
    problem.check().unwrap();
    let again = ClosedLoop::new(mlp(&timed), physics(), SquaredError::half()).knowing_time();
    let motion = again.motion(&at, &problem.train).unwrap();
    for k in 0..5 {
        let seen = Mat::from_fn(6, 4, |s, j| match j {
            2 => problem.train.input[(s, 0)],
            3 => 0.2 * k as f64,
            j => motion.states[k][(s, j)],
        });
        let (expected, _) = perceptron(&timed, Activation::Tanh, &at, &seen);
        assert!(relative_matrix(&motion.controls[k], &expected) <= 1e-13);
    }
    let batch = problem.objective.linearize(&problem.train, &at).unwrap();
    let j = transpose(&batch.transposed().unwrap());
    let outputs = |at: &[f64]| entries(&problem.objective.outputs(at, &problem.train).unwrap());
    let expected = difference_jacobian(&at, 1e-5, outputs);
    assert!(relative_matrix(&j, &expected) <= 1e-7);
}

/// One component for each step, 1 at that step; or that times each component of the state.
#[derive(Clone)]
struct Clock {
    steps: usize,
    state: usize,
    of_state: bool,
}

impl SampleFunction for Clock {
    fn widths(&self) -> Widths {
        Widths {
            state: 1,
            control: self.state,
            output: match self.of_state {
                true => self.steps * self.state,
                false => self.steps,
            },
        }
    }
    fn evaluate<T: Real>(&self, time: &[f64], x: &[T], y: &mut [T]) {
        let step = time[0].round() as usize;
        y.fill(T::constant(0.0));
        match self.of_state {
            true => y[step * self.state..][..self.state].copy_from_slice(x),
            false => y[step] = T::constant(1.0),
        }
    }
}

/// Of a mass on a spring, in steps of 1.
struct Spring;

impl Equations for Spring {
    fn state_len(&self) -> usize {
        2
    }
    fn rate<T: Real>(&self, _: f64, x: &[T], u: &[T], rate: &mut [T]) {
        rate[0] = x[1];
        rate[1] = u[0] - x[0].sin();
    }
}

#[test]
fn a_network_that_ignores_the_state_is_the_open_loop() {
    let (steps, samples) = (6, 5);
    let physics = || RungeKutta4::new(Spring, steps, 1.0);
    let clock = Clock {
        steps,
        state: 2,
        of_state: false,
    };
    let closed = ClosedLoop::new(mlp(&[steps, 1]), physics(), SquaredError::half())
        .seeing(Differentiated(clock));
    // It reads a 1 and answers the controls of all steps at once.
    let open = ThroughPhysics::new(mlp(&[1, steps]), physics(), SquaredError::half());
    let data = |inputs: usize| Dataset {
        input: Mat::full(samples, inputs, 1.0),
        state: normal(samples, 2, 1),
        target: normal(samples, 2, 2),
    };
    let (inside, outside) = (data(0), data(1));
    // A weight for each step, and one bias; of the open loop's biases this is the one for all.
    let closed_at = normal_vector(steps + 1, 4);
    let bias = closed_at[steps];
    let open_at = [&closed_at[..steps], &vec![bias; steps]].concat();
    let a = closed.linearize(&inside, &closed_at).unwrap();
    let b = open.linearize(&outside, &open_at).unwrap();
    assert!(relative(&a.outputs(), &b.outputs()) <= 1e-14);
    assert!((a.loss() / b.loss() - 1.0).abs() <= 1e-14);
    let (j, of_all) = (
        transpose(&a.transposed().unwrap()),
        transpose(&b.transposed().unwrap()),
    );
    let expected = Mat::from_fn(2 * samples, steps + 1, |r, p| match p < steps {
        true => of_all[(r, p)],
        false => (0..steps).map(|k| of_all[(r, steps + k)]).sum(),
    });
    assert!(relative_matrix(&j, &expected) <= 1e-13);
    let (found, whole) = (a.gradient().unwrap(), b.gradient().unwrap());
    let sum: f64 = whole[steps..].iter().sum();
    assert!(relative(&found, &[&whole[..steps], &[sum]].concat()) <= 1e-13);
}

/// x' = A·x + B·u; behind x the state holds the control of the step before, so that it is observed.
#[derive(Clone)]
struct Linear {
    a: [[f64; 2]; 2],
    b: [f64; 2],
    steps: usize,
}

impl Stepwise for Linear {
    fn steps(&self) -> usize {
        self.steps
    }
    fn state_len(&self) -> usize {
        3
    }
    fn control_len(&self) -> usize {
        1
    }
    fn advance(&self, _: usize, x: MatRef<'_, f64>, u: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok(Mat::from_fn(x.nrows(), 3, |s, i| match i {
            2 => u[(s, 0)],
            i => self.a[i][0] * x[(s, 0)] + self.a[i][1] * x[(s, 1)] + self.b[i] * u[(s, 0)],
        }))
    }
    fn pull_back(
        &self,
        _: usize,
        _: (MatRef<'_, f64>, MatRef<'_, f64>),
        w: MatRef<'_, f64>,
    ) -> Result<(Mat<f64>, Mat<f64>)> {
        let before = Mat::from_fn(w.nrows(), 3, |r, i| match i {
            2 => 0.0,
            i => self.a[0][i] * w[(r, 0)] + self.a[1][i] * w[(r, 1)],
        });
        let during = Mat::from_fn(w.nrows(), 1, |r, _| {
            self.b[0] * w[(r, 0)] + self.b[1] * w[(r, 1)] + w[(r, 2)]
        });
        Ok((before, during))
    }
}

/// x' = factor·x + u.
struct Growth {
    steps: usize,
    factor: f64,
}

impl Stepwise for Growth {
    fn steps(&self) -> usize {
        self.steps
    }
    fn state_len(&self) -> usize {
        1
    }
    fn control_len(&self) -> usize {
        1
    }
    fn advance(&self, _: usize, x: MatRef<'_, f64>, u: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok(Mat::from_fn(x.nrows(), 1, |s, _| {
            self.factor * x[(s, 0)] + u[(s, 0)]
        }))
    }
    fn pull_back(
        &self,
        _: usize,
        _: (MatRef<'_, f64>, MatRef<'_, f64>),
        rows: MatRef<'_, f64>,
    ) -> Result<(Mat<f64>, Mat<f64>)> {
        let before = Mat::from_fn(rows.nrows(), 1, |r, _| self.factor * rows[(r, 0)]);
        Ok((before, rows.to_owned()))
    }
}

#[test]
fn sensitivities_grow_with_the_steps_that_are_left() {
    let steps = 7;
    let growth = Growth { steps, factor: 2.0 };
    let steered = ClosedLoop::new(mlp(&[1, 1]), growth, SquaredError::half());
    let samples = Dataset {
        input: Mat::zeros(3, 0),
        state: normal(3, 1, 1),
        target: Mat::zeros(3, 1),
    };
    // u = w·x: a step multiplies by 2 + w, and the state by what the network makes of it.
    for weight in [0.0, -0.5] {
        let found = steered
            .sensitivities(&[weight, 0.3], &samples)
            .unwrap()
            .unwrap();
        let expected: Vec<f64> = (1..steps)
            .map(|k| (2.0_f64 + weight).powi((steps - k) as i32))
            .collect();
        assert!(relative(&found, &expected) <= 1e-13, "{found:?}");
    }
    let none = steered.stopping_gradients();
    assert!(none.sensitivities(&[0.0, 0.0], &samples).unwrap().is_none());
}

/// With stopped gradients the rows are those of a network that goes on seeing what it saw.
#[test]
fn stopped_gradients_go_through_the_physics_alone() {
    let widths = [3, 4, 2];
    let physics = || RungeKutta4::new(Shaken, 5, 0.2);
    let steered = || ClosedLoop::new(mlp(&widths), physics(), SquaredError::half());
    let problem = problem(steered().stopping_gradients(), 6, 1, 2);
    let at = place(&problem);
    let motion = steered().motion(&at, &problem.train).unwrap();
    let frozen = |at: &[f64]| {
        let mut controls = Mat::zeros(6, 10);
        for k in 0..5 {
            let seen = Mat::from_fn(6, 3, |s, j| match j {
                2 => problem.train.input[(s, 0)],
                j => motion.states[k][(s, j)],
            });
            let u = mlp(&widths).predict(at, seen.as_ref());
            controls.as_mut().subcols_mut(2 * k, 2).copy_from(&u);
        }
        let start = problem.train.state.as_ref();
        entries(&physics().simulate(start, controls.as_ref()).unwrap())
    };
    let expected = difference_jacobian(&at, 1e-5, frozen);
    let batch = problem.objective.linearize(&problem.train, &at).unwrap();
    let j = transpose(&batch.transposed().unwrap());
    assert!(relative_matrix(&j, &expected) <= 1e-7);
    let by_rows = batch.vjp(batch.cotangent()).unwrap();
    assert!(relative(&batch.gradient().unwrap(), &by_rows) <= 1e-13);
    // The motion is the same, its derivative is not.
    let whole = steered();
    let full = whole.linearize(&problem.train, &at).unwrap();
    assert_eq!(bits(&full.outputs()), bits(&batch.outputs()));
    let full = transpose(&full.transposed().unwrap());
    assert!(relative_matrix(&j, &full) > 1e-2);
}

type Square = [[f64; 2]; 2];

fn product(a: &Square, b: &Square) -> Square {
    [0, 1].map(|i| [0, 1].map(|j| a[i][0] * b[0][j] + a[i][1] * b[1][j]))
}

/// The gains K_t of the best control u = K_t·x of `Linear` for ½ Σ_t (x_{t+1}ᵀ·Q·x_{t+1} + r·u_t²), and
/// S with the best cost ½ x₀ᵀ·S·x₀, by the Riccati recursion from the last step to the first.
fn riccati(linear: &Linear, q: [f64; 2], r: f64) -> (Vec<[f64; 2]>, Square) {
    let (a, b) = (&linear.a, linear.b);
    let transposed = [0, 1].map(|i| [0, 1].map(|j| a[j][i]));
    let mut left = [[0.0; 2]; 2];
    let mut gains = Vec::new();
    for _ in 0..linear.steps {
        let w = [
            [q[0] + left[0][0], left[0][1]],
            [left[1][0], q[1] + left[1][1]],
        ];
        let bw = [0, 1].map(|j| b[0] * w[0][j] + b[1] * w[1][j]);
        let curvature = r + bw[0] * b[0] + bw[1] * b[1];
        let gain = [0, 1].map(|j| -(bw[0] * a[0][j] + bw[1] * a[1][j]) / curvature);
        let closed = [0, 1].map(|i| [0, 1].map(|j| a[i][j] + b[i] * gain[j]));
        left = product(&transposed, &product(&w, &closed));
        gains.push(gain);
    }
    gains.reverse();
    (gains, left)
}

#[test]
fn linear_quadratic_control_is_the_riccati_solution() {
    let (steps, samples) = (6, 8);
    let linear = Linear {
        a: [[1.0, 0.3], [-0.2, 0.9]],
        b: [0.1, 0.4],
        steps,
    };
    let (q, r) = ([1.0, 0.5], 0.2);
    let (gains, left) = riccati(&linear, q, r);
    // A linear network that sees the state in a place of its own at each step: gains of each step.
    let clock = Clock {
        steps,
        state: 3,
        of_state: true,
    };
    let weights = [q[0], q[1], r].repeat(steps);
    let loss = SquaredError::half().weighted(weights).unwrap();
    let steered = |linear| {
        ClosedLoop::new(mlp(&[3 * steps, 1]), linear, loss.clone())
            .seeing(Differentiated(clock.clone()))
            .after((1..=steps).collect())
            .unwrap()
    };
    let start = normal(samples, 3, 5);
    let data = Dataset {
        input: Mat::zeros(samples, 0),
        state: Mat::from_fn(samples, 3, |s, j| if j < 2 { start[(s, j)] } else { 0.0 }),
        target: Mat::zeros(samples, 3 * steps),
    };
    let problem = Problem::of(data.clone(), data.clone(), steered(linear.clone()));
    let method = GaussNewtonLineSearch::default();
    let training = Training {
        batch: samples,
        ..Training::default()
    };
    let at = vec![0.0; 3 * steps + 1];
    let outcome = train(
        &problem,
        &method,
        at,
        &training,
        Budget::updates(60),
        0,
        &mut [],
    )
    .unwrap();
    let costs = (0..samples).map(|s| {
        let x = [start[(s, 0)], start[(s, 1)]];
        0.5 * (0..2)
            .map(|i| x[i] * (left[i][0] * x[0] + left[i][1] * x[1]))
            .sum::<f64>()
    });
    let best = costs.sum::<f64>() / samples as f64;
    let found = outcome.train_loss;
    assert!((found / best - 1.0).abs() <= 1e-12, "{found} for {best}");
    let motion = steered(linear).motion(&outcome.parameters, &data).unwrap();
    for (k, gain) in gains.iter().enumerate() {
        for s in 0..samples {
            let x = &motion.states[k];
            let best = gain[0] * x[(s, 0)] + gain[1] * x[(s, 1)];
            let error = (motion.controls[k][(s, 0)] - best).abs();
            assert!(error <= 1e-6, "step {k}, sample {s}: {error:e}");
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let system = CartPoleSwingUp {
        steps: 7,
        samples: 150,
        test_samples: 2,
        network: MlpSettings::tanh(vec![30, 30]),
        ..CartPoleSwingUp::default()
    };
    let problem = system.problem(1);
    let at = place(&problem);
    let answers = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let batch = problem.objective.linearize(&problem.train, &at).unwrap();
            let k = batch.gram().unwrap().complete();
            let loss = problem.objective.loss(&at, &problem.train).unwrap();
            let own = [loss, batch.loss()];
            [
                bits(&own),
                bits(&batch.gradient().unwrap()),
                bits(&entries(&k)),
            ]
            .concat()
        })
    };
    let one = answers(1);
    assert!(one == answers(2) && one == answers(5));
}

#[test]
fn rows_at_the_input_of_a_network_are_its_derivative_there() {
    let network = mlp(&[3, 5, 4, 2]);
    let (at, input) = (normal_vector(network.parameter_count(), 1), normal(6, 3, 2));
    let rows = normal(12, 2, 3);
    let values = network.forward(&at, input.as_ref());
    let found = network.input_rows(&at, &values, rows.as_ref(), &mut Scratch::new());
    let y = |x: &[f64]| {
        let x = MatRef::from_column_major_slice(x, 6, 3);
        let y = network.predict(&at, x);
        let weighted = (0..12).map(|r| (0..2).map(|j| rows[(r, j)] * y[(r % 6, j)]).sum());
        weighted.collect::<Vec<f64>>()
    };
    let slopes = difference_jacobian(&entries(&input), 1e-6, y);
    let expected = Mat::from_fn(12, 3, |r, j| slopes[(r, j * 6 + r % 6)]);
    assert!(relative_matrix(&found, &expected) <= 1e-8);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let physics = || RungeKutta4::new(Shaken, 3, 0.2);
    let steered = |widths: &[usize]| ClosedLoop::new(mlp(widths), physics(), SquaredError::half());
    let refused = |steered: ClosedLoop, parts: &[&str]| assert_message(steered.check(), parts);
    refused(steered(&[2, 3]), &["network output", "width 3", "width 2"]);
    refused(steered(&[1, 2]), &["network input", "width 1", "width 2"]);
    refused(
        steered(&[2, 2]).knowing_time(),
        &["network input", "width 2", "width 3", "the time"],
    );
    refused(
        steered(&[3, 2]).seeing(Differentiated(Sight)),
        &["network input", "width 3", "width 4"],
    );
    refused(
        steered(&[2, 2]).observing(Differentiated(Changes)),
        &["observation", "width 4", "width 2"],
    );
    for steps in [vec![], vec![0, 2], vec![2, 2], vec![3, 1], vec![4]] {
        let found = steered(&[2, 2]).after(steps);
        assert_message(found.map(|_| ()), &["observed steps", "from 1 to 3"]);
    }
    let fits = problem(steered(&[3, 2]), 4, 1, 2);
    fits.check().unwrap();
    let wrong = problem(steered(&[3, 2]), 4, 2, 2);
    assert!(matches!(wrong.check(), Err(Error::Shape { .. })));
    // A state that grows beyond all numbers is told with its step and sample.
    let mut far = fits.train.clone();
    far.state[(2, 1)] = 1e300;
    let at = vec![1.0; fits.parameter_count()];
    let batch = fits.objective.linearize(&far, &at).unwrap();
    assert_message(
        batch.check_finite(),
        &["after step", "sample of the batch 2"],
    );
}

/// Name, a loop that is made as often as wanted, and its numbers of inputs and outputs.
type Made = (&'static str, Box<dyn Fn() -> ClosedLoop>, usize, usize);

/// Loops of seven steps.
fn long_loops() -> Vec<Made> {
    let physics = || RungeKutta4::new(Shaken, 7, 0.2);
    let network = |inputs| mlp(&[inputs, 4, 2]);
    let several = move || {
        let made = ClosedLoop::new(network(2), physics(), SquaredError::half());
        made.after(vec![1, 2, 5, 7]).unwrap()
    };
    let functions = move || {
        ClosedLoop::new(network(4), physics(), SquaredError::sum())
            .seeing(Differentiated(Sight))
            .after(vec![3, 7])
            .unwrap()
            .observing(Differentiated(Changes))
    };
    let line = |channels, outputs| {
        let (height, width) = (1, 2);
        let grid = Grid {
            channels,
            height,
            width,
        };
        Conv2d::along(grid, outputs, 3, Boundary::Periodic)
    };
    let several_by = move |chain: Chain| {
        let network = Network::new(2, chain, Initializer::Glorot).unwrap();
        let made = ClosedLoop::new(network, physics(), SquaredError::half());
        made.after(vec![1, 2, 5, 7]).unwrap()
    };
    vec![
        (
            "final state",
            Box::new(move || ClosedLoop::new(network(2), physics(), SquaredError::half()).summed()),
            0,
            2,
        ),
        ("several states", Box::new(several), 0, 8),
        ("functions", Box::new(functions), 1, 2),
        (
            "stopped",
            Box::new(move || several().stopping_gradients()),
            0,
            8,
        ),
        (
            "convolutions",
            Box::new(move || {
                let network = Chain::new().then(line(1, 3)).then(Activation::Tanh);
                several_by(network.then(line(3, 1)))
            }),
            0,
            8,
        ),
        (
            "a convolution before a dense layer",
            Box::new(move || {
                let network = Chain::new().then(line(1, 3)).then(Activation::Tanh);
                let (inputs, outputs) = (6, 2);
                several_by(network.then(Dense { inputs, outputs }))
            }),
            0,
            8,
        ),
        (
            "a wide layer beside an unknown",
            Box::new(move || {
                let network = mlp(&[2, 200, 1]).beside(vec![Unknown::free("push", 0.3)]);
                ClosedLoop::new(network.unwrap(), physics(), SquaredError::half())
            }),
            0,
            2,
        ),
    ]
}

/// The numbers of what stands for a layer, one matrix after the other.
fn block(of_layer: LayerMoments) -> Vec<f64> {
    match of_layer.block {
        Moments::Kronecker { inputs, outputs } => [inputs, outputs]
            .into_iter()
            .flat_map(|side| entries(&side.complete()))
            .collect(),
        Moments::Diagonal(squares) => squares,
    }
}

#[test]
fn what_is_computed_once_more_is_what_would_have_been_held() {
    for (name, made, inputs, outputs) in long_loops() {
        let whole = problem(made(), 9, inputs, outputs);
        let at = place(&whole);
        let held = whole.objective.linearize(&whole.train, &at).unwrap();
        for steps in [1, 2, 3, 6, 7, 20] {
            let parted = problem(made().holding(steps), 9, inputs, outputs);
            let batch = parted.objective.linearize(&parted.train, &at).unwrap();
            // Values have the same bits; only sums over steps may have another order.
            assert_eq!(bits(&batch.outputs()), bits(&held.outputs()), "{name}");
            assert_eq!(batch.loss().to_bits(), held.loss().to_bits(), "{name}");
            batch.check_finite().unwrap();
            let near = |a: &[f64], b: &[f64], what: &str| {
                assert!(relative(a, b) <= 1e-13, "{name}, {steps} held: {what}");
            };
            let gradients = (batch.gradient().unwrap(), held.gradient().unwrap());
            near(&gradients.0, &gradients.1, "gradient");
            let v = normal_vector(at.len(), 14);
            let forwards = batch.tangent(&v).unwrap();
            near(&forwards, &held.jvp(&v).unwrap(), "forwards");
            let k = |at: &dyn Linearized| entries(&at.gram().unwrap().complete());
            near(&k(batch.as_ref()), &k(held.as_ref()), "K");
            let j = |at: &dyn Linearized| entries(&at.transposed().unwrap());
            near(&j(batch.as_ref()), &j(held.as_ref()), "J");
            let scaled = |at: &dyn Linearized| {
                let factors = normal_vector(at.rows(), 6);
                entries(&at.scaled_rows(&factors).unwrap().transposed().unwrap())
            };
            near(
                &scaled(batch.as_ref()),
                &scaled(held.as_ref()),
                "scaled rows",
            );
            let sketch = Sketch::new(normal(18, outputs, 8), 9);
            let combined = |at: &dyn Linearized| {
                entries(&at.combined_rows(&sketch).unwrap().transposed().unwrap())
            };
            near(
                &combined(batch.as_ref()),
                &combined(held.as_ref()),
                "combined rows",
            );
            let moved = normal_vector(at.len(), 12);
            let moved = |at: &dyn Linearized| at.moved(&moved).unwrap().gradient().unwrap();
            near(&moved(batch.as_ref()), &moved(held.as_ref()), "elsewhere");
            let probe = normal(held.rows(), 2, 4);
            let moments = |at: &dyn Linearized| at.layer_moments(probe.as_ref()).unwrap().unwrap();
            let pairs = moments(batch.as_ref()).into_iter();
            for (of_parts, of_all) in pairs.zip(moments(held.as_ref())) {
                assert_eq!(of_parts.range, of_all.range, "{name}");
                let numbers = (block(of_parts), block(of_all));
                // Those of a wide side have gone through its eigenvectors.
                let error = relative(&numbers.0, &numbers.1);
                assert!(error <= 1e-12, "{name}, {steps} held: moments, {error:e}");
            }
            let sensitivities = |problem: &Problem| {
                let objective = &problem.objective;
                objective.sensitivities(&at, &problem.test).unwrap()
            };
            assert_eq!(sensitivities(&parted), sensitivities(&whole), "{name}");
        }
    }
}

#[test]
fn a_state_that_overflows_is_told_with_its_first_step() {
    let made = ClosedLoop::new(
        mlp(&[2, 4, 2]),
        RungeKutta4::new(Shaken, 7, 0.2),
        SquaredError::half(),
    );
    let parted = problem(made.holding(2), 3, 0, 2);
    let mut at = place(&parted);
    at.iter_mut().for_each(|v| *v *= 1e200);
    let told = parted.objective.linearize(&parted.train, &at);
    let told = told.and_then(|batch| batch.check_finite());
    assert_message(told, &["after step", "sample"]);
}

#[test]
fn a_nearer_horizon_is_a_shorter_simulation() {
    let (long, short) = (RungeKutta4::new(Shaken, 7, 0.2), |steps| {
        RungeKutta4::new(Shaken, steps, 0.2)
    });
    let several = ClosedLoop::new(mlp(&[2, 4, 2]), long, SquaredError::half());
    let several = problem(several.after(vec![2, 5, 7]).unwrap(), 9, 0, 6);
    let final_state = ClosedLoop::new(mlp(&[2, 4, 2]), short(7), SquaredError::half());
    let final_state = problem(final_state, 9, 0, 2);
    let at = place(&several);
    assert_eq!(several.objective.steps(), Some(7));
    for steps in 1..=7 {
        // Of the observed states those until the horizon, or the state there for the first of them.
        let observed: Vec<usize> = [2, 5, 7]
            .into_iter()
            .filter(|step| *step <= steps)
            .collect();
        let observed = if observed.is_empty() {
            vec![steps]
        } else {
            observed
        };
        let count = 2 * observed.len();
        let alone = ClosedLoop::new(mlp(&[2, 4, 2]), short(steps), SquaredError::half());
        let mut alone = problem(alone.after(observed).unwrap(), 9, 0, count);
        alone.train.target = several.train.target.as_ref().subcols(0, count).to_owned();
        let expected = alone.objective.linearize(&alone.train, &at).unwrap();
        let found = several
            .objective
            .linearize_within(steps, &several.train, &at);
        let found = found.unwrap();
        assert_eq!(
            bits(&found.outputs()[..9 * count]),
            bits(&expected.outputs())
        );
        assert!((found.loss() / expected.loss() - 1.0).abs() <= 1e-13);
        assert_eq!(
            bits(&found.gradient().unwrap()),
            bits(&expected.gradient().unwrap())
        );
        let v = normal_vector(at.len(), 3);
        let forwards = relative(&found.tangent(&v).unwrap(), &found.jvp(&v).unwrap());
        assert!(forwards <= 1e-13, "{forwards:e} forwards");
        let rows = transpose(&found.transposed().unwrap());
        let shorter = transpose(&expected.transposed().unwrap());
        for i in 0..rows.nrows() {
            for j in 0..rows.ncols() {
                let entry = if i < shorter.nrows() {
                    shorter[(i, j)]
                } else {
                    0.0
                };
                assert!((rows[(i, j)] - entry).abs() <= 1e-14 * shorter.norm_max());
            }
        }
        let elsewhere: Vec<f64> = at.iter().map(|v| 0.9 * v).collect();
        let losses = (
            found.loss_at(&elsewhere).unwrap(),
            expected.loss_at(&elsewhere).unwrap(),
        );
        assert!((losses.0 / losses.1 - 1.0).abs() <= 1e-13);
        let moved = found.moved(&elsewhere).unwrap().loss();
        assert!((moved / losses.1 - 1.0).abs() <= 1e-13);

        let found = final_state
            .objective
            .linearize_within(steps, &final_state.train, &at);
        let alone = ClosedLoop::new(mlp(&[2, 4, 2]), short(steps), SquaredError::half());
        let alone = problem(alone, 9, 0, 2);
        let expected = alone.objective.linearize(&alone.train, &at).unwrap();
        assert_eq!(bits(&found.unwrap().outputs()), bits(&expected.outputs()));
    }
}

#[test]
fn a_horizon_that_grows_begins_near_and_ends_with_all_steps() {
    let physics = RungeKutta4::new(Shaken, 10, 0.1);
    let made = ClosedLoop::new(mlp(&[2, 4, 2]), physics, SquaredError::half());
    let problem = problem(made, 8, 0, 2);
    let training = Training {
        batch: 8,
        order: Order::Fixed,
        first_horizon: 0.3,
        horizon_updates: 5,
        returned: Returned::Last,
        ..Training::default()
    };
    let (method, start) = (Adam::default(), place(&problem));
    let budget = Budget::updates(7);
    let found = train(
        &problem,
        &method,
        start.clone(),
        &training,
        budget,
        0,
        &mut [],
    )
    .unwrap();
    let mut expected = start.clone();
    let mut step = method.start().unwrap();
    step.begin(0, &problem.objective.parameters());
    // 3 and then 7 more in 5 updates, upwards.
    for steps in [3, 5, 6, 8, 9, 10, 10] {
        let objective = &problem.objective;
        let at = expected.clone();
        let batch = objective
            .linearize_within(steps, &problem.train, &at)
            .unwrap();
        let update = step.step(batch.as_ref(), method.learning_rate()).unwrap();
        let pairs = expected.iter_mut().zip(&update.delta);
        pairs.for_each(|(p, d)| *p += d);
    }
    assert_eq!(bits(&found.parameters), bits(&expected));

    let toy = Toy::default().problem(0);
    let start = toy.initial_parameters(0);
    let refused = train(&toy, &method, start, &training, budget, 0, &mut []);
    assert_message(refused, &["first_horizon", "0.3", "time steps"]);
}
