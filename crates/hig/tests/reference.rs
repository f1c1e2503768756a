//! The reference update written again from the formulas: network and simulators in dual numbers,
//! the dense Jacobian, the independent SVD. Whole trainings must follow it.

mod common;

use common::reference_direction;
use hig::Problem;
use hig::linalg::Mat;
use hig::network::Activation;
use hig::spectral::DecompositionSettings;
use hig::step::Spectral;
use hig::systems::{
    LinearOscillators, MlpSettings, NonlinearOscillators, Poisson, QuantumDipole, System, Toy,
};
use hig::trainer::{Budget, Evaluation, Flow, Observer, Order, Training, train};
use num_dual::{DualNum, DualSVec64};

const UPDATES: usize = 20;
const DIRECTIONS: usize = 8;
type Dual = DualSVec64<DIRECTIONS>;

/// Weights row-major (out × in), then biases, layer by layer.
fn network(widths: &[usize], relu: bool, parameters: &[Dual], input: &[f64]) -> Vec<Dual> {
    let mut values: Vec<Dual> = input.iter().map(|v| Dual::from(*v)).collect();
    let mut at = 0;
    for (l, pair) in widths.windows(2).enumerate() {
        let (inputs, outputs) = (pair[0], pair[1]);
        let biases = at + inputs * outputs;
        let mut next = Vec::new();
        for o in 0..outputs {
            let mut sum = parameters[biases + o];
            for (i, v) in values.iter().enumerate() {
                sum += parameters[at + o * inputs + i] * v;
            }
            let last = l + 2 == widths.len();
            next.push(match (last, relu) {
                (true, _) => sum,
                (false, true) if sum.re <= 0.0 => Dual::from(0.0),
                (false, true) => sum,
                (false, false) => sum.tanh(),
            });
        }
        at = biases + outputs;
        values = next;
    }
    values
}

fn runge_kutta(
    rate: impl Fn(&[Dual], Dual) -> Vec<Dual>,
    start: &[f64],
    controls: &[Dual],
    dt: f64,
) -> Vec<Dual> {
    let mut x: Vec<Dual> = start.iter().map(|v| Dual::from(*v)).collect();
    let moved = |x: &[Dual], k: &[Dual], h: f64| -> Vec<Dual> {
        x.iter().zip(k).map(|(x, k)| *x + *k * h).collect()
    };
    for u in controls {
        let k1 = rate(&x, *u);
        let k2 = rate(&moved(&x, &k1, dt / 2.0), *u);
        let k3 = rate(&moved(&x, &k2, dt / 2.0), *u);
        let k4 = rate(&moved(&x, &k3, dt), *u);
        for i in 0..x.len() {
            x[i] += (k1[i] + k2[i] * 2.0 + k3[i] * 2.0 + k4[i]) * (dt / 6.0);
        }
    }
    x
}

/// Two masses: positions, then velocities.
fn two_masses(spring: fn(Dual) -> Dual, strength: f64) -> impl Fn(&[Dual], Dual) -> Vec<Dual> {
    move |x, u| {
        let pull = spring(x[1] - x[0]);
        vec![x[2], x[3], pull - x[0], -pull - x[1] + u * strength]
    }
}

type Complex = (Dual, Dual);

fn times(a: Complex, b: Complex) -> Complex {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

fn minus(a: Complex, b: Complex) -> Complex {
    (a.0 - b.0, a.1 - b.1)
}

fn over(a: Complex, b: Complex) -> Complex {
    let size = b.0 * b.0 + b.1 * b.1;
    let (re, im) = times(a, (b.0, -b.1));
    (re / size, im / size)
}

/// Crank-Nicolson in the well [0, 2] by Gaussian elimination on a dense matrix; returns
/// re₀, im₀, re₁, …
fn schroedinger(points: usize, controls: &[Dual], dt: f64) -> Vec<Dual> {
    let (inside, spacing) = (points - 2, 2.0 / (points - 1) as f64);
    let zero = (Dual::from(0.0), Dual::from(0.0));
    let ground = |j: usize| {
        let phase = std::f64::consts::PI * (j + 1) as f64 / (inside + 1) as f64;
        (2.0 / (inside + 1) as f64).sqrt() * phase.sin()
    };
    let mut psi: Vec<Complex> = (0..inside)
        .map(|j| (Dual::from(ground(j)), Dual::from(0.0)))
        .collect();
    for u in controls {
        let hamiltonian = |i: usize, j: usize| match i.abs_diff(j) {
            0 => *u * ((i + 1) as f64 * spacing) + 2.0 / (spacing * spacing),
            1 => Dual::from(-1.0 / (spacing * spacing)),
            _ => Dual::from(0.0),
        };
        let mut left = vec![vec![zero; inside]; inside];
        let mut right = vec![zero; inside];
        for i in 0..inside {
            for j in 0..inside {
                let unit = f64::from(i == j);
                let half = hamiltonian(i, j) * (dt / 2.0);
                left[i][j] = (Dual::from(unit), half);
                let part = times((Dual::from(unit), -half), psi[j]);
                right[i] = (right[i].0 + part.0, right[i].1 + part.1);
            }
        }
        for pivot in 0..inside {
            let (done, rest) = left.split_at_mut(pivot + 1);
            for (offset, row) in rest.iter_mut().enumerate() {
                let factor = over(row[pivot], done[pivot][pivot]);
                for (entry, above) in row.iter_mut().zip(&done[pivot]).skip(pivot) {
                    *entry = minus(*entry, times(factor, *above));
                }
                let changed = pivot + 1 + offset;
                right[changed] = minus(right[changed], times(factor, right[pivot]));
            }
        }
        for row in (0..inside).rev() {
            let known = left[row].iter().zip(&psi).skip(row + 1);
            let sum = known.fold(right[row], |sum, (l, x)| minus(sum, times(*l, *x)));
            psi[row] = over(sum, left[row][row]);
        }
    }
    psi.into_iter().flat_map(|(re, im)| [re, im]).collect()
}

/// State and control of one sample to y.
type Physics<'a> = dyn Fn(&[f64], &[Dual]) -> Vec<Dual> + 'a;

/// Loss of one sample and its gradient in y.
type SampleLoss = fn(&[f64], &[f64]) -> (f64, Vec<f64>);

fn squares(factor: f64, y: &[f64], target: &[f64]) -> (f64, Vec<f64>) {
    let residuals: Vec<f64> = y.iter().zip(target).map(|(a, b)| a - b).collect();
    let loss = factor * residuals.iter().map(|r| r * r).sum::<f64>();
    (loss, residuals.iter().map(|r| 2.0 * factor * r).collect())
}

fn infidelity(y: &[f64], target: &[f64]) -> (f64, Vec<f64>) {
    let (mut re, mut im) = (0.0, 0.0);
    for (a, t) in y.chunks(2).zip(target.chunks(2)) {
        re += t[0] * a[0] + t[1] * a[1];
        im += t[0] * a[1] - t[1] * a[0];
    }
    let gradient = target.chunks(2).flat_map(|t| {
        [
            -2.0 * (re * t[0] - im * t[1]),
            -2.0 * (re * t[1] + im * t[0]),
        ]
    });
    (1.0 - re * re - im * im, gradient.collect())
}

struct Reference<'a> {
    widths: &'a [usize],
    relu: bool,
    physics: &'a Physics<'a>,
    loss: SampleLoss,
    /// 1 / samples for the mean, 1 for the sum.
    scale: f64,
    method: Spectral,
}

impl Reference<'_> {
    /// Mean losses before each update, over the whole data set as one batch.
    fn losses(&self, problem: &Problem, mut parameters: Vec<f64>) -> Vec<f64> {
        let row = |m: &Mat<f64>, s: usize| -> Vec<f64> { m.row(s).iter().copied().collect() };
        let data = &problem.train;
        let p = parameters.len();
        let mut losses = Vec::new();
        for _ in 0..=UPDATES {
            let (mut jacobian, mut g, mut total) = (Vec::new(), Vec::new(), 0.0);
            for s in 0..data.len() {
                let (input, state) = (row(&data.input, s), row(&data.state, s));
                let first_row = jacobian.len();
                for first in (0..p).step_by(DIRECTIONS) {
                    let seeded: Vec<Dual> = parameters
                        .iter()
                        .enumerate()
                        .map(|(i, v)| match i.checked_sub(first) {
                            Some(k) if k < DIRECTIONS => Dual::from_re(*v).derivative(k),
                            _ => Dual::from_re(*v),
                        })
                        .collect();
                    let controls = network(self.widths, self.relu, &seeded, &input);
                    let y = (self.physics)(&state, &controls);
                    if first == 0 {
                        jacobian.resize(first_row + y.len(), vec![0.0; p]);
                        let values: Vec<f64> = y.iter().map(|v| v.re).collect();
                        let (loss, gradient) = (self.loss)(&values, &row(&data.target, s));
                        total += loss;
                        g.extend(gradient.iter().map(|v| v * self.scale));
                    }
                    for (i, v) in y.iter().enumerate() {
                        if let Some(slopes) = &v.eps.0 {
                            for k in 0..DIRECTIONS.min(p - first) {
                                jacobian[first_row + i][first + k] = slopes[k];
                            }
                        }
                    }
                }
            }
            losses.push(total / data.len() as f64);
            let jacobian = Mat::from_fn(jacobian.len(), p, |i, j| jacobian[i][j]);
            let Spectral {
                exponent,
                cutoff,
                learning_rate,
                ..
            } = self.method;
            let direction = reference_direction(&jacobian, &g, |sigma, largest| {
                if sigma > cutoff * largest {
                    sigma.powf(-exponent)
                } else {
                    0.0
                }
            });
            for (parameter, d) in parameters.iter_mut().zip(direction) {
                *parameter -= learning_rate.factor() * d;
            }
        }
        losses
    }
}

#[derive(Default)]
struct Losses(Vec<f64>);

impl Observer for Losses {
    fn evaluation(&mut self, now: &Evaluation<'_>) -> hig::Result<Flow> {
        self.0.push(now.train_loss);
        Ok(Flow::Continue)
    }
}

/// Trains and compares; `updates` says how far the comparison is well-conditioned.
fn follows(system: &dyn System, reference: &Reference<'_>, updates: usize) {
    let problem = system.problem(1);
    let start = problem.initial_parameters(1);
    let expected = reference.losses(&problem, start.clone());
    let training = Training {
        batch: problem.train.len(),
        order: Order::Fixed,
        evaluate_every: 1,
        ..Training::default()
    };
    let mut losses = Losses::default();
    let budget = Budget::updates(UPDATES);
    train(
        &problem,
        &reference.method,
        start,
        &training,
        budget,
        1,
        &mut [&mut losses],
    )
    .unwrap();
    assert_eq!(losses.0.len(), UPDATES + 1);
    for (update, (ours, theirs)) in losses.0.iter().zip(&expected).enumerate().take(updates + 1) {
        let error = (ours - theirs).abs() / theirs.abs();
        assert!(
            error < 1e-6,
            "{}, update {update}: {ours:e}, reference {theirs:e} ({error:e})",
            system.name()
        );
    }
    let lowest = losses.0.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(lowest < losses.0[0], "{} does not learn", system.name());
}

fn half_inverse(learning_rate: f64, cutoff: f64) -> Spectral {
    Spectral {
        learning_rate: learning_rate.into(),
        cutoff,
        ..Spectral::half_inverse()
    }
}

// The spectrum of the toy's Jacobian goes on across every cut-off: a singular value that one
// computation keeps and another drops changes the step by a part of its own size, and at λ = 0.01 the
// difference grows about tenfold every four updates. The other systems agree to 1e-12 throughout.
#[test]
fn the_toy_problem_follows_the_reference_until_the_truncation_is_ambiguous() {
    for (lambda, updates) in [(1.0, UPDATES), (0.01, 10)] {
        let system = Toy {
            lambda,
            samples: 24,
            ..Toy::default()
        };
        let reference = Reference {
            widths: &[1, 7, 2],
            relu: false,
            physics: &|_, u| vec![u[0], u[1] * lambda],
            loss: |y, target| squares(0.5, y, target),
            scale: 1.0 / 24.0,
            method: Spectral {
                decomposition: DecompositionSettings::accurate(1e-9),
                ..half_inverse(1.0, 1e-5)
            },
        };
        follows(&system, &reference, updates);
    }
}

#[test]
fn linear_oscillators_follow_the_reference() {
    let system = LinearOscillators {
        samples: 8,
        network: MlpSettings::tanh(vec![12, 12]),
        ..LinearOscillators::default()
    };
    let rate = two_masses(|stretch| stretch * 0.2, 1.0);
    let reference = Reference {
        widths: &[4, 12, 12, 24],
        relu: false,
        physics: &|state, u| runge_kutta(&rate, state, u, 0.5),
        loss: |y, target| squares(1.0, y, target),
        scale: 1.0 / 8.0,
        method: half_inverse(1.0, 1e-10),
    };
    follows(&system, &reference, UPDATES);
}

#[test]
fn nonlinear_oscillators_follow_the_reference() {
    let system = NonlinearOscillators {
        samples: 8,
        network: MlpSettings::new(vec![12, 12], Activation::Relu),
        steps: 48,
        ..NonlinearOscillators::default()
    };
    let rate = two_masses(|stretch| stretch * stretch * stretch, 3.0);
    let reference = Reference {
        widths: &[4, 12, 12, 48],
        relu: true,
        physics: &|state, u| runge_kutta(&rate, state, u, 0.125),
        loss: |y, target| squares(1.0, y, target),
        scale: 1.0 / 8.0,
        method: half_inverse(1.0, 1e-6),
    };
    follows(&system, &reference, UPDATES);
}

#[test]
fn the_poisson_problem_follows_the_reference() {
    let system = Poisson {
        grid: 5,
        samples: 4,
        hidden: vec![16, 20],
        ..Poisson::default()
    };
    let reference = Reference {
        widths: &[25, 16, 20, 25],
        relu: false,
        physics: &|_, u| {
            let at = |i: i32, j: i32| match (i, j) {
                (0..5, 0..5) => u[(5 * i + j) as usize],
                _ => Dual::from(0.0),
            };
            let place = |k: i32| (k / 5, k % 5);
            (0..25)
                .map(place)
                .map(|(i, j)| {
                    let around = at(i - 1, j) + at(i + 1, j) + at(i, j - 1) + at(i, j + 1);
                    around - at(i, j) * 4.0
                })
                .collect()
        },
        loss: |y, target| squares(0.5, y, target),
        scale: 1.0,
        method: half_inverse(0.01, 1e-5),
    };
    follows(&system, &reference, UPDATES);
}

#[test]
fn the_quantum_dipole_follows_the_reference() {
    let system = QuantumDipole {
        points: 8,
        steps: 24,
        samples: 4,
        network: MlpSettings::tanh(vec![10, 10]),
        ..QuantumDipole::default()
    };
    let reference = Reference {
        widths: &[12, 10, 10, 24],
        relu: false,
        physics: &|_, u| schroedinger(8, u, 0.05),
        loss: infidelity,
        scale: 1.0 / 4.0,
        method: half_inverse(0.5, 1e-5),
    };
    follows(&system, &reference, UPDATES);
}
