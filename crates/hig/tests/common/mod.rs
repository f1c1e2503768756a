//! Oracles and matrices that the tests share; nothing here calls the code under test.
#![allow(dead_code, reason = "each test file uses its own part")]

use hig::data::{Purpose, random};
use hig::matrix::Mat;
use rand_distr::{Distribution, StandardNormal};

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
    for j in 0..count {
        if sigma[j] > 0.0 {
            for value in a.col_as_slice_mut(j) {
                *value /= sigma[j];
            }
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
    for k in 0..sigma.len() {
        let weight = f(sigma[k], largest) * dot(u.col_as_slice(k), g);
        for (d, v) in direction.iter_mut().zip(v.col_as_slice(k)) {
            *d += weight * v;
        }
    }
    direction
}
