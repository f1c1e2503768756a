//! What a block makes of a gradient where a factor is wide, of which only the leading eigenvectors are known.
//!
//! With A = U_A·Λ_A·U_Aᵀ + ā·(1 - U_A·U_Aᵀ), the same for B, f the filter and t all directions that are not among
//! the vectors, the components of G in pairs of eigenvectors are multiplied by f(λ_B·λ_A) in
//!
//! ```text
//! D = f_tt·G + U_B·X + Y·U_Aᵀ,   Y = G·U_A·diag(f_tj - f_tt),
//! X = diag(f_it - f_tt)·U_Bᵀ·G + [(f_ij - f_it - f_tj + f_tt) ∘ U_Bᵀ·G·U_A]·U_Aᵀ
//! ```
//!
//! for 8·r operations a parameter, r vectors a side. No matrix of the layer's size is needed but G and D.

use super::factor::Factor;
use super::layers::Power;
use crate::linalg::{Accum, Mat, MatMut, MatRef, multiply, product};

/// Writes what the filter makes of the gradient of a weight (outputs × inputs, row-major) and the bias behind it.
pub fn apply((a, b): (&Factor, &Factor), gradient: &[f64], target: &mut [f64], power: Power) {
    let (inputs, outputs) = (a.width() - 1, b.width());
    let (weight, bias) = gradient.split_at(outputs * inputs);
    let weight = MatRef::from_row_major_slice(weight, outputs, inputs);
    let (of_a, of_b) = (a.basis(), b.basis());
    let (read, one) = of_a.split_at_row(inputs);
    let (of_inputs, of_outputs) = (a.values(), b.values());
    // [U_B, Y] and, below each other, X and U_Aᵀ.
    let inner = of_outputs.len() + of_inputs.len();
    let mut left = Mat::zeros(outputs, inner);
    let (vectors, mut on_inputs) = left.as_mut().split_at_col_mut(of_outputs.len());
    { vectors }.copy_from(of_b);
    multiply(on_inputs.as_mut(), Accum::Replace, weight, read);
    let bias_column = MatRef::from_column_major_slice(bias, outputs, 1);
    multiply(on_inputs.as_mut(), Accum::Add, bias_column, one);
    let mut both = product(of_b.transpose(), on_inputs.as_ref());
    let mut right = Mat::zeros(inner, inputs + 1);
    let (on_outputs, transposed) = right.as_mut().split_at_row_mut(of_outputs.len());
    { transposed }.copy_from(of_a.transpose());
    let mut on_outputs = on_outputs;
    let (on_weight, on_bias) = on_outputs.as_mut().split_at_col_mut(inputs);
    multiply(on_weight, Accum::Replace, of_b.transpose(), weight);
    { on_bias }.copy_from(product(of_b.transpose(), bias_column));

    let rest = power.of(a.rest() * b.rest());
    let of_rows: Vec<f64> = of_outputs.iter().map(|v| power.of(v * a.rest())).collect();
    for (j, value) in of_inputs.iter().enumerate() {
        let of_column = power.of(value * b.rest());
        let column = both.col_as_slice_mut(j).iter_mut();
        for ((s, of_b), of_row) in column.zip(of_outputs).zip(&of_rows) {
            *s *= power.of(value * of_b) - of_row - of_column + rest;
        }
        let scaled = on_inputs.as_mut().col_mut(j);
        scaled.iter_mut().for_each(|y| *y *= of_column - rest);
    }
    for j in 0..=inputs {
        let column = on_outputs.as_mut().col_mut(j);
        let pairs = column.iter_mut().zip(&of_rows);
        pairs.for_each(|(x, of_row)| *x *= of_row - rest);
    }
    multiply(
        on_outputs.as_mut(),
        Accum::Add,
        both.as_ref(),
        of_a.transpose(),
    );

    let pairs = target.iter_mut().zip(gradient);
    pairs.for_each(|(d, g)| *d = rest * g);
    let (weight, bias) = target.split_at_mut(outputs * inputs);
    let weight = MatMut::from_row_major_slice_mut(weight, outputs, inputs);
    let (of_weight, of_bias) = right.as_ref().split_at_col(inputs);
    multiply(weight, Accum::Add, left.as_ref(), of_weight);
    let bias = MatMut::from_column_major_slice_mut(bias, outputs, 1);
    multiply(bias, Accum::Add, left.as_ref(), of_bias);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::Symmetric;
    use crate::linalg::symmetric::eigen;
    use crate::objective::Moment;

    fn numbers(rows: usize, columns: usize, seed: usize) -> Mat<f64> {
        Mat::from_fn(rows, columns, |i, j| {
            (((i * 31 + j * 97 + seed * 59) as f64).powi(2) * 0.618_033).fract() * 2.0 - 1.0
        })
    }

    fn wide(width: usize, samples: usize) -> Factor {
        let mut factor = Factor::default();
        let rows = Moment::Rows(numbers(samples, width, samples));
        factor.learn(rows, 1.0, "rows").unwrap();
        factor
    }

    fn whole(width: usize) -> Factor {
        let mut factor = Factor::default();
        let square = Symmetric::square(numbers(width, 2 * width, 5).as_ref());
        factor.learn(Moment::Whole(square), 1.0, "whole").unwrap();
        factor.renew(1e-3, 0.3, "whole").unwrap();
        factor
    }

    /// U·Λ·Uᵀ and the rest on all other directions.
    fn matrix(factor: &Factor) -> Mat<f64> {
        let (basis, rest) = (factor.basis(), factor.rest());
        Mat::from_fn(factor.width(), factor.width(), |i, j| {
            let values = factor.values().iter().enumerate();
            let known: f64 = values
                .map(|(k, v)| (v - rest) * basis[(i, k)] * basis[(j, k)])
                .sum();
            known + if i == j { rest } else { 0.0 }
        })
    }

    #[test]
    fn it_is_the_filter_of_the_whole_matrices() {
        let power = Power {
            damping: 0.7,
            exponent: 0.5,
        };
        for (a, b) in [
            (wide(200, 90), wide(210, 150)),
            (wide(200, 20), whole(3)),
            (whole(4), wide(195, 80)),
        ] {
            let (inputs, outputs) = (a.width(), b.width());
            let gradient = numbers(outputs * inputs, 1, 7);
            let gradient = gradient.col_as_slice(0);
            let mut found = vec![f64::NAN; outputs * inputs];
            apply((&a, &b), gradient, &mut found, power);
            let place = |o: usize, i: usize| match i + 1 < inputs {
                true => o * (inputs - 1) + i,
                false => outputs * (inputs - 1) + o,
            };
            let g = Mat::from_fn(outputs, inputs, |o, i| gradient[place(o, i)]);
            let (of_a, u_a) = eigen(matrix(&a), "A").unwrap();
            let (of_b, u_b) = eigen(matrix(&b), "B").unwrap();
            let mut turned = product(product(u_b.transpose(), g.as_ref()).as_ref(), u_a.as_ref());
            for j in 0..inputs {
                for i in 0..outputs {
                    turned[(i, j)] *= (of_a[j] * of_b[i] + power.damping).powf(-0.75);
                }
            }
            let back = product(
                product(u_b.as_ref(), turned.as_ref()).as_ref(),
                u_a.transpose(),
            );
            let (mut error, mut size) = (0.0_f64, 0.0_f64);
            for o in 0..outputs {
                for i in 0..inputs {
                    error += (found[place(o, i)] - back[(o, i)]).powi(2);
                    size += back[(o, i)].powi(2);
                }
            }
            assert!(
                error.sqrt() <= 1e-9 * size.sqrt(),
                "{:e}",
                (error / size).sqrt()
            );
        }
    }
}
