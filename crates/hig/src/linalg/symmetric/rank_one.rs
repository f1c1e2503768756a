//! D + w·wᵀ = Q·Λ·Qᵀ for a diagonal D, with Q in factors.
//!
//! What is an eigenpair of D already is *deflated*; the other eigenvalues are the roots of the
//! [secular equation](super::secular), and their eigenvectors a [Cauchy matrix](super::cauchy). Q is
//! given by O(n) numbers and costs O(n²) to apply: it is never formed.

use super::cauchy::Cauchy;
use crate::linalg::matrix::{self, Mat, MatMut};

/// The factors of Q.
#[derive(Debug)]
pub(super) struct RankOne {
    rotations: Vec<Rotation>,
    /// Places of the poles, then of the eigenvalues that D has already (the deflated ones).
    from: Vec<usize>,
    /// Where the roots, then the deflated eigenvalues, stand in ascending order.
    to: Vec<usize>,
    cauchy: Cauchy,
}

impl RankOne {
    /// The eigenvalues (ascending) with the factors; none where an iteration does not converge.
    /// What changes the matrix by less than `negligible` is left out.
    pub(super) fn new(
        mut d: Vec<f64>,
        mut w: Vec<f64>,
        negligible: f64,
    ) -> Option<(Vec<f64>, Self)> {
        let (rotations, mut from, deflated) = deflate(&mut d, &mut w, negligible);
        let pick = |values: &[f64]| from.iter().map(|i| values[*i]).collect::<Vec<f64>>();
        let cauchy = Cauchy::new(pick(&d), &pick(&w))?;
        let mut unsorted: Vec<f64> = cauchy.roots().collect();
        unsorted.extend(deflated.iter().map(|i| d[*i]));
        from.extend(deflated);
        let order = ascending(&unsorted);
        let mut to = vec![0; order.len()];
        for (place, i) in order.iter().enumerate() {
            to[*i] = place;
        }
        let values = order.iter().map(|i| unsorted[*i]).collect();
        let factors = Self {
            rotations,
            from,
            to,
            cauchy,
        };
        Some((values, factors))
    }

    /// Qᵀ·v in place.
    pub(super) fn project(&self, v: &mut [f64]) {
        for Rotation { i, j, c, s } in &self.rotations {
            (v[*i], v[*j]) = (c * v[*i] - s * v[*j], s * v[*i] + c * v[*j]);
        }
        let mut x: Vec<f64> = self.from.iter().map(|i| v[*i]).collect();
        let roots = self.cauchy.project(&x[..self.cauchy.len()]);
        x[..roots.len()].copy_from_slice(&roots);
        for (x, i) in x.iter().zip(&self.to) {
            v[*i] = *x;
        }
    }

    /// Q·v in place.
    pub(super) fn combine(&self, v: &mut [f64]) {
        let mut x: Vec<f64> = self.to.iter().map(|i| v[*i]).collect();
        let poles = self.cauchy.combine(&x[..self.cauchy.len()]);
        x[..poles.len()].copy_from_slice(&poles);
        self.restore(&x, v);
    }

    /// Q·V in place.
    pub(super) fn combine_columns(&self, mut v: MatMut<'_, f64>) {
        let (n, poles) = (v.nrows(), self.cauchy.len());
        let mut x = Mat::from_fn(n, v.ncols(), |t, k| v[(self.to[t], k)]);
        // Unit vectors are asked for, so that most rows are zero at the root of the tree.
        let filled: Vec<usize> = (0..poles)
            .filter(|t| x.row(*t).iter().any(|x| *x != 0.0))
            .collect();
        let weights = matrix::gather_rows(&x, &filled);
        let columns = self.cauchy.columns(&filled);
        let product = matrix::product(columns.as_ref(), weights.as_ref());
        x.as_mut().subrows_mut(0, poles).copy_from(product);
        for k in 0..v.ncols() {
            let mut column = vec![0.0; n];
            self.restore(x.col_as_slice(k), &mut column);
            v.as_mut()
                .col_mut(k)
                .iter_mut()
                .zip(column)
                .for_each(|(v, x)| *v = x);
        }
    }

    /// Entries in the order of `from` brought to their places, before deflation.
    fn restore(&self, x: &[f64], v: &mut [f64]) {
        for (x, i) in x.iter().zip(&self.from) {
            v[*i] = *x;
        }
        for Rotation { i, j, c, s } in self.rotations.iter().rev() {
            (v[*i], v[*j]) = (c * v[*i] + s * v[*j], c * v[*j] - s * v[*i]);
        }
    }
}

/// (v_i, v_j) becomes (c·v_i - s·v_j, s·v_i + c·v_j).
#[derive(Debug)]
struct Rotation {
    i: usize,
    j: usize,
    c: f64,
    s: f64,
}

fn ascending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    order
}

/// Takes out what is an eigenpair already: a pole of no weight, and one of two poles so close that a
/// rotation may move all the weight to the other. Returns the rotations, the poles left (ascending)
/// and those taken out.
fn deflate(
    d: &mut [f64],
    w: &mut [f64],
    negligible: f64,
) -> (Vec<Rotation>, Vec<usize>, Vec<usize>) {
    let length = matrix::norm(w);
    let (mut rotations, mut kept, mut deflated) = (Vec::new(), Vec::<usize>::new(), Vec::new());
    for j in ascending(d) {
        if w[j].abs() * length <= negligible {
            deflated.push(j);
            continue;
        }
        if let Some(i) = kept.last().copied() {
            let weight = w[i].hypot(w[j]);
            let (c, s) = (w[j] / weight, w[i] / weight);
            let gap = d[j] - d[i];
            // What the rotation leaves beside the diagonal.
            if (gap * c * s).abs() <= negligible {
                rotations.push(Rotation { i, j, c, s });
                w[j] = weight;
                d[i] += gap * s * s;
                d[j] -= gap * s * s;
                kept.pop();
                deflated.push(i);
            }
        }
        kept.push(j);
    }
    (rotations, kept, deflated)
}

#[cfg(test)]
mod tests {
    use super::super::formed::eigen;
    use super::*;

    /// The equation nearly holds half way between two poles, where the iteration starts, but the
    /// poles beyond them, whose slope the first guess leaves out, move the root.
    #[test]
    fn a_first_guess_close_to_the_start_is_not_taken_for_the_root() {
        let d: [f64; 4] = [-0.01, 0.0, 1.0, 1.01];
        let squares: [f64; 4] = [1.51 + 1e-10, 0.1, 0.1, 1.0];
        let w = squares.map(f64::sqrt);
        let (values, _) = RankOne::new(d.to_vec(), w.to_vec(), 0.0).unwrap();
        let matrix = Mat::from_fn(4, 4, |i, j| w[i] * w[j] + if i == j { d[i] } else { 0.0 });
        let (others, _) = eigen(matrix, "test matrix").unwrap();
        for (value, other) in values.iter().rev().zip(others) {
            assert!((value - other).abs() <= 1e-14, "{value}, not {other}");
        }
    }
}
