//! Oracles and matrices that the tests share; nothing here calls the code under test, but for what
//! [`batch`] makes shorter.
#![allow(dead_code, reason = "each test file uses its own part")]

mod batch;
pub mod oracle;

#[allow(unused_imports, reason = "each test file uses its own part")]
pub use batch::*;

use hig::data::{Dataset, Purpose, random};
use hig::linalg::Mat;
use hig::loss::SquaredError;
use hig::network::{Activation, Initializer, Network};
use hig::physics::{Differentiated, Equations, Real, SampleFunction, Widths};
use hig::systems::{LinearOscillators, MlpSettings, System, Toy};
use hig::{Error, Problem};
use rand_distr::{Distribution, StandardNormal};

/// Sizes that keep the steps of a field short, where a system is one of fields in the loop, and a plane small.
pub fn quick_fields(system: &mut dyn System) {
    let settings: &[(&str, &str)] = match system.name() {
        "burgers-control" | "ks-correction" => &[("steps", "2")],
        "heat-inversion-2d" => &[
            ("grid", "8"),
            ("channels", "2,2"),
            ("samples", "8"),
            ("test_samples", "4"),
        ],
        "fluid-control" => &[
            ("grid", "8"),
            ("steps", "2"),
            ("channels", "2,2"),
            ("samples", "8"),
        ],
        "wake-flow-correction" => &[
            ("grid", "8"),
            ("dt", "5"),
            ("finer", "2"),
            ("spin_up", "4"),
            ("simulations", "1"),
            ("samples", "2"),
            ("steps", "1"),
            ("channels", "2"),
        ],
        _ => &[],
    };
    for (name, value) in settings {
        system.set(name, value).unwrap();
    }
}

/// Standard normal entries.
pub fn normal(rows: usize, columns: usize, seed: u64) -> Mat<f64> {
    let mut random = random(seed, Purpose::Test);
    Mat::from_fn(rows, columns, |_, _| StandardNormal.sample(&mut random))
}

/// Orthonormal columns by two rounds of modified Gram-Schmidt.
pub fn orthonormal(rows: usize, columns: usize, seed: u64) -> Mat<f64> {
    let mut q = normal(rows, columns, seed);
    for _ in 0..2 {
        for j in 0..columns {
            for k in 0..j {
                let overlap = dot(q.col_as_slice(k), q.col_as_slice(j));
                for i in 0..rows {
                    q[(i, j)] -= overlap * q[(i, k)];
                }
            }
            let length = dot(q.col_as_slice(j), q.col_as_slice(j)).sqrt();
            for v in q.col_as_slice_mut(j) {
                *v /= length;
            }
        }
    }
    q
}

/// A matrix with the given singular values.
pub fn with_spectrum(rows: usize, columns: usize, sigma: &[f64], seed: u64) -> Mat<f64> {
    let u = orthonormal(rows, sigma.len(), seed);
    let v = orthonormal(columns, sigma.len(), seed + 1);
    Mat::from_fn(rows, columns, |i, j| {
        (0..sigma.len())
            .map(|k| u[(i, k)] * sigma[k] * v[(j, k)])
            .sum()
    })
}

/// Singular values spaced evenly on a logarithmic axis from 1 down to `smallest`.
pub fn logarithmic(count: usize, smallest: f64) -> Vec<f64> {
    (0..count)
        .map(|k| smallest.powf(k as f64 / (count - 1).max(1) as f64))
        .collect()
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    let difference: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    dot(&difference, &difference).sqrt()
}

/// |a - b| / |b|, or |a| where b is zero.
pub fn relative(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let size = dot(b, b).sqrt();
    distance(a, b) / if size > 0.0 { size } else { 1.0 }
}

/// The independent reference: one-sided Jacobi SVD (Hestenes 1958; Demmel and Veselic 1992 for its
/// accuracy). Returns U (n × r), σ and V (p × r), r = min(n, p), in no particular order.
pub fn jacobi_svd(matrix: &Mat<f64>) -> (Mat<f64>, Vec<f64>, Mat<f64>) {
    if matrix.nrows() < matrix.ncols() {
        let (v, sigma, u) = jacobi_svd(&matrix.transpose().to_owned());
        return (u, sigma, v);
    }
    let count = matrix.ncols();
    let mut a = matrix.clone();
    let mut v = Mat::<f64>::identity(count, count);
    for _ in 0..60 {
        let mut rotated = false;
        for i in 0..count {
            for j in i + 1..count {
                let (aii, ajj) = (
                    dot(a.col_as_slice(i), a.col_as_slice(i)),
                    dot(a.col_as_slice(j), a.col_as_slice(j)),
                );
                let aij = dot(a.col_as_slice(i), a.col_as_slice(j));
                if aij.abs() <= 1e-15 * (aii * ajj).sqrt() {
                    continue;
                }
                rotated = true;
                let zeta = (ajj - aii) / (2.0 * aij);
                let t = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                let c = 1.0 / (1.0 + t * t).sqrt();
                let s = c * t;
                for m in [&mut a, &mut v] {
                    for k in 0..m.nrows() {
                        let (x, y) = (m[(k, i)], m[(k, j)]);
                        m[(k, i)] = c * x - s * y;
                        m[(k, j)] = s * x + c * y;
                    }
                }
            }
        }
        if !rotated {
            break;
        }
    }
    let sigma: Vec<f64> = (0..count)
        .map(|j| dot(a.col_as_slice(j), a.col_as_slice(j)).sqrt())
        .collect();
    for (j, s) in sigma.iter().enumerate().filter(|(_, s)| **s > 0.0) {
        for value in a.col_as_slice_mut(j) {
            *value /= s;
        }
    }
    (a, sigma, v)
}

/// V·f(Σ)·Uᵀ·g with f given as a function of σ and σ_max, from the independent SVD.
pub fn reference_direction(
    jacobian: &Mat<f64>,
    g: &[f64],
    f: impl Fn(f64, f64) -> f64,
) -> Vec<f64> {
    let (u, sigma, v) = jacobi_svd(jacobian);
    let largest = sigma.iter().fold(0.0_f64, |a, b| a.max(*b));
    let mut direction = vec![0.0; jacobian.ncols()];
    for (k, s) in sigma.iter().enumerate() {
        let weight = f(*s, largest) * dot(u.col_as_slice(k), g);
        for (d, v) in direction.iter_mut().zip(v.col_as_slice(k)) {
            *d += weight * v;
        }
    }
    direction
}

/// A column of standard normal numbers.
pub fn normal_vector(length: usize, seed: u64) -> Vec<f64> {
    normal(length, 1, seed).col_as_slice(0).to_vec()
}

/// The textbook triple loop.
pub fn multiply(a: &Mat<f64>, b: &Mat<f64>) -> Mat<f64> {
    assert_eq!(a.ncols(), b.nrows());
    Mat::from_fn(a.nrows(), b.ncols(), |i, j| {
        (0..a.ncols()).map(|k| a[(i, k)] * b[(k, j)]).sum()
    })
}

pub fn transpose(a: &Mat<f64>) -> Mat<f64> {
    Mat::from_fn(a.ncols(), a.nrows(), |i, j| a[(j, i)])
}

pub fn times(a: &Mat<f64>, v: &[f64]) -> Vec<f64> {
    let v = Mat::from_fn(v.len(), 1, |i, _| v[i]);
    multiply(a, &v).col_as_slice(0).to_vec()
}

/// All entries, column by column.
pub fn entries(a: &Mat<f64>) -> Vec<f64> {
    (0..a.ncols())
        .flat_map(|j| a.col_as_slice(j).to_vec())
        .collect()
}

pub fn relative_matrix(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    assert_eq!((a.nrows(), a.ncols()), (b.nrows(), b.ncols()));
    relative(&entries(a), &entries(b))
}

pub fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Solves a·x = b by Gaussian elimination with row exchanges.
pub fn solve(a: &Mat<f64>, b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let (mut a, mut x) = (a.clone(), b.to_vec());
    for k in 0..n {
        let pivot = (k..n)
            .max_by(|i, j| a[(*i, k)].abs().total_cmp(&a[(*j, k)].abs()))
            .unwrap();
        x.swap(k, pivot);
        for j in 0..n {
            let kept = a[(k, j)];
            a[(k, j)] = a[(pivot, j)];
            a[(pivot, j)] = kept;
        }
        for i in k + 1..n {
            let factor = a[(i, k)] / a[(k, k)];
            for j in k..n {
                a[(i, j)] -= factor * a[(k, j)];
            }
            x[i] -= factor * x[k];
        }
    }
    for k in (0..n).rev() {
        let known: f64 = (k + 1..n).map(|j| a[(k, j)] * x[j]).sum();
        x[k] = (x[k] - known) / a[(k, k)];
    }
    x
}

/// Central differences of a vector function: one column for each component of `at`.
pub fn difference_jacobian(at: &[f64], step: f64, f: impl Fn(&[f64]) -> Vec<f64>) -> Mat<f64> {
    let columns: Vec<Vec<f64>> = (0..at.len())
        .map(|j| {
            let shifted = |sign: f64| {
                let mut moved = at.to_vec();
                moved[j] += sign * step;
                f(&moved)
            };
            let (ahead, behind) = (shifted(1.0), shifted(-1.0));
            let pairs = ahead.iter().zip(&behind);
            pairs.map(|(a, b)| (a - b) / (2.0 * step)).collect()
        })
        .collect();
    Mat::from_fn(columns[0].len(), columns.len(), |i, j| columns[j][i])
}

/// The slope of the line that fits log y over log x best.
pub fn logarithmic_slope(points: &[(f64, f64)]) -> f64 {
    let points: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = points.len() as f64;
    let (sx, sy) = points
        .iter()
        .fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
    let (mx, my) = (sx / count, sy / count);
    let covariance: f64 = points.iter().map(|(x, y)| (x - mx) * (y - my)).sum();
    covariance / points.iter().map(|(x, _)| (x - mx).powi(2)).sum::<f64>()
}

/// A multilayer perceptron written out neuron by neuron, with the smallest distance of a hidden
/// neuron's argument from 0 (where ReLU has its kink).
pub fn perceptron(
    widths: &[usize],
    activation: Activation,
    parameters: &[f64],
    input: &Mat<f64>,
) -> (Mat<f64>, f64) {
    let mut nearest = f64::INFINITY;
    let mut output = Mat::zeros(input.nrows(), *widths.last().unwrap());
    for s in 0..input.nrows() {
        let mut values: Vec<f64> = (0..input.ncols()).map(|j| input[(s, j)]).collect();
        let mut rest = parameters;
        for (l, &width) in widths[1..].iter().enumerate() {
            let (weight, after) = rest.split_at(width * values.len());
            let (bias, after) = after.split_at(width);
            rest = after;
            let sums = (0..width).map(|o| {
                let row = &weight[o * values.len()..(o + 1) * values.len()];
                dot(row, &values) + bias[o]
            });
            values = sums.collect();
            if l + 2 < widths.len() {
                nearest = values.iter().fold(nearest, |m, v| m.min(v.abs()));
                for v in &mut values {
                    *v = nonlinearity(activation, *v);
                }
            }
        }
        assert!(rest.is_empty());
        for (j, v) in values.iter().enumerate() {
            output[(s, j)] = *v;
        }
    }
    (output, nearest)
}

fn nonlinearity(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Tanh => (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
        Activation::Relu => {
            if x > 0.0 {
                x
            } else {
                0.0
            }
        }
        Activation::Sine => x.sin(),
        Activation::Gelu => 0.5 * x * (1.0 + libm::erf(x / 2.0_f64.sqrt())),
        Activation::Identity => x,
    }
}

/// Every built-in system in a small size with the given hidden activation.
pub fn small_problems(activation: Activation) -> Vec<(Vec<usize>, Problem)> {
    let toy = Toy {
        lambda: 0.1,
        samples: 7,
        test_samples: 3,
        network: MlpSettings::new(vec![5], activation),
    };
    let chain = |masses: usize, samples: usize, hidden: Vec<usize>| LinearOscillators {
        masses,
        steps: 6,
        samples,
        test_samples: 3,
        network: MlpSettings::new(hidden, activation),
        ..LinearOscillators::default()
    };
    vec![
        (vec![1, 5, 2], toy.problem(3)),
        (vec![4, 6, 5, 6], chain(2, 9, vec![6, 5]).problem(3)),
        (vec![2, 4, 6], chain(1, 5, vec![4]).problem(3)),
        (vec![6, 6], chain(3, 4, vec![]).problem(3)),
    ]
}

/// The toy without hidden layer on inputs ±a: its loss is ½ Σ h·(θ - θ*)² plus a constant. Returns
/// the problem, the curvatures h and the optimum θ* of (w₁, w₂, b₁, b₂).
pub fn quadratic(lambda: f64, a: f64) -> (Problem, Vec<f64>, Vec<f64>) {
    let mut problem = Toy {
        lambda,
        samples: 2,
        test_samples: 2,
        network: MlpSettings::tanh(vec![]),
    }
    .problem(0);
    let ahead = [1.3, -0.4];
    let behind = [0.2, 0.9];
    problem.train = Dataset {
        input: Mat::from_fn(2, 1, |i, _| [a, -a][i]),
        state: Mat::zeros(2, 0),
        target: Mat::from_fn(2, 2, |i, j| [ahead, behind][i][j]),
    };
    let curvature = vec![a * a, lambda * lambda * a * a, 1.0, lambda * lambda];
    let optimum = vec![
        (ahead[0] - behind[0]) / (2.0 * a),
        (ahead[1] - behind[1]) / (2.0 * a * lambda),
        (ahead[0] + behind[0]) / 2.0,
        (ahead[1] + behind[1]) / (2.0 * lambda),
    ];
    (problem, curvature, optimum)
}

/// The message of an error, which must hold every part.
pub fn assert_message<T>(result: Result<T, Error>, parts: &[&str]) {
    let Err(error) = result else {
        panic!("accepted, but should be refused with {parts:?}");
    };
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
}

/// y = ln u: not a number where a step is too long.
struct Logarithm;

impl SampleFunction for Logarithm {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: 1,
            output: 1,
        }
    }

    fn evaluate<T: Real>(&self, _: &[f64], u: &[T], y: &mut [T]) {
        y[0] = u[0].ln();
    }
}

/// From (0, 1), which is u = 1, the Gauss-Newton step towards y = -5 leads to u = -4.
pub fn cliff() -> (Problem, Vec<f64>) {
    let data = || Dataset {
        input: Mat::zeros(2, 1),
        state: Mat::zeros(2, 0),
        target: Mat::full(2, 1, -5.0),
    };
    let network = Network::mlp(&[1, 1], Activation::Tanh, Initializer::Glorot);
    let physics = Differentiated(Logarithm);
    let problem = Problem::new(data(), data(), network, physics, SquaredError::sum());
    (problem, vec![0.0, 1.0])
}

/// A damped pendulum whose pivot shakes, driven by a torque and a change of its damping, without
/// products written by hand.
#[derive(Clone)]
pub struct Shaken;

impl Equations for Shaken {
    fn state_len(&self) -> usize {
        2
    }
    fn control_len(&self) -> usize {
        2
    }
    fn rate<T: Real>(&self, time: f64, state: &[T], control: &[T], rate: &mut [T]) {
        let gravity = 1.0 + 0.5 * (3.0 * time).sin();
        rate[0] = state[1];
        rate[1] =
            -(state[0].sin() * gravity) - state[1] * (control[1] * control[1] + 0.1) + control[0];
    }
}
