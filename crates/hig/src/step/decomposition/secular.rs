//! D + w·wᵀ = Q·Λ·Qᵀ for a diagonal D, with Q in factors.
//!
//! The eigenvalues are the roots of the secular equation 1 + Σ w_i²/(d_i - λ) = 0, one between each
//! pole d_i and the next (Bunch, Nielsen and Sorensen, Numer. Math. 31, 1978), and the eigenvector
//! of λ_j is ẑ_i/(d_i - λ_j), normalised. With ẑ from Löwner's formula these are the eigenvectors of
//! a matrix near by to which the computed roots belong exactly, hence orthogonal to rounding however
//! close the roots are (Gu and Eisenstat, SIAM J. Matrix Anal. Appl. 16, 1995). Q is given by O(n)
//! numbers and costs O(n²) to apply: it is never formed.

use crate::matrix::{self, Mat, MatMut};
use crate::simd::vectorised;
use rayon::prelude::*;
use std::ops::Range;

/// Roots or poles that a loop over the others treats at once.
const LANES: usize = 8;
/// One lot of work for a thread, a multiple of `LANES`.
const CHUNK: usize = 64;
/// From this size on the chunks are spread over threads.
const PARALLEL: usize = 256;

type Lanes = [f64; LANES];

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

/// Eigenvectors ẑ_i/(d_i - λ_j), normalised: a Cauchy matrix between two diagonal ones.
#[derive(Debug)]
struct Cauchy {
    /// d, ascending.
    poles: Vec<f64>,
    /// ẑ.
    weights: Vec<f64>,
    /// The pole nearest to each root λ, and λ less that pole: λ - d_i keeps all its digits.
    base: Vec<f64>,
    offset: Vec<f64>,
    /// One over the length of each column.
    scale: Vec<f64>,
}

impl Cauchy {
    fn new(poles: Vec<f64>, w: &[f64]) -> Option<Self> {
        let mut roots = Root::all(&poles, w);
        let squares: Vec<f64> = w.iter().map(|w| w * w).collect();
        in_chunks(&mut roots, |_, chunk| {
            vectorised(
                #[inline(always)]
                || find(chunk, &poles, &squares),
            );
        });
        if !roots.iter().all(|root| root.found) {
            return None;
        }
        let mut cauchy = Self {
            weights: vec![0.0; poles.len()],
            base: roots.iter().map(|root| root.base).collect(),
            offset: roots.iter().map(|root| root.offset).collect(),
            scale: vec![0.0; poles.len()],
            poles,
        };
        cauchy.weights = cauchy.loewner();
        for (z, w) in cauchy.weights.iter_mut().zip(w) {
            *z = z.abs().sqrt().copysign(*w);
        }
        cauchy.scale = cauchy.squared_lengths();
        for scale in &mut cauchy.scale {
            *scale = 1.0 / scale.sqrt();
        }
        Some(cauchy)
    }

    fn len(&self) -> usize {
        self.poles.len()
    }

    fn roots(&self) -> impl Iterator<Item = f64> {
        self.base.iter().zip(&self.offset).map(|(b, o)| b + o)
    }

    /// ẑ_i² = Π_j (λ_j - d_i) / Π_{j≠i} (d_j - d_i), to which the roots found belong exactly.
    fn loewner(&self) -> Vec<f64> {
        let (d, base, offset) = (&self.poles[..], &self.base[..], &self.offset[..]);
        by_lanes(
            d.len(),
            #[inline(always)]
            |first| {
                let own = load(d, first);
                let mut product = [1.0; LANES];
                sweep(
                    0..d.len(),
                    #[inline(always)]
                    |j| {
                        own.map(
                            #[inline(always)]
                            |own| if d[j] == own { 1.0 } else { d[j] - own },
                        )
                    },
                    #[inline(always)]
                    |j, inverse| {
                        for l in 0..LANES {
                            product[l] *= ((base[j] - own[l]) + offset[j]) * inverse[l];
                        }
                    },
                );
                product
            },
        )
    }

    fn squared_lengths(&self) -> Vec<f64> {
        let z = &self.weights[..];
        self.over_poles(
            #[inline(always)]
            |i, inverse| (z[i] * inverse) * (z[i] * inverse),
        )
    }

    /// Qᵀ·x.
    fn project(&self, x: &[f64]) -> Vec<f64> {
        let x: Vec<f64> = x.iter().zip(&self.weights).map(|(x, z)| x * z).collect();
        let x = &x[..];
        let mut result = self.over_poles(
            #[inline(always)]
            |i, inverse| x[i] * inverse,
        );
        result
            .iter_mut()
            .zip(&self.scale)
            .for_each(|(r, s)| *r *= s);
        result
    }

    /// For every root the sum over the poles of `term(i, 1/(d_i - λ))`.
    #[inline(always)]
    fn over_poles(&self, term: impl Fn(usize, f64) -> f64 + Sync) -> Vec<f64> {
        let d = &self.poles[..];
        by_lanes(
            d.len(),
            #[inline(always)]
            |first| {
                let (base, offset) = (load(&self.base, first), load(&self.offset, first));
                let mut sum = [0.0; LANES];
                sweep(
                    0..d.len(),
                    #[inline(always)]
                    |i| difference(d[i], &base, &offset),
                    #[inline(always)]
                    |i, inverse| {
                        for l in 0..LANES {
                            sum[l] += term(i, inverse[l]);
                        }
                    },
                );
                sum
            },
        )
    }

    /// Q·c.
    fn combine(&self, c: &[f64]) -> Vec<f64> {
        let c: Vec<f64> = c.iter().zip(&self.scale).map(|(c, s)| c * s).collect();
        let (c, base, offset) = (&c[..], &self.base[..], &self.offset[..]);
        let mut result = by_lanes(
            c.len(),
            #[inline(always)]
            |first| {
                let d = load(&self.poles, first);
                let mut sum = [0.0; LANES];
                sweep(
                    0..c.len(),
                    #[inline(always)]
                    |j| {
                        d.map(
                            #[inline(always)]
                            |d| (d - base[j]) - offset[j],
                        )
                    },
                    #[inline(always)]
                    |j, inverse| {
                        for l in 0..LANES {
                            sum[l] += c[j] * inverse[l];
                        }
                    },
                );
                sum
            },
        );
        result
            .iter_mut()
            .zip(&self.weights)
            .for_each(|(r, z)| *r *= z);
        result
    }

    /// Some columns of Q.
    fn columns(&self, which: &[usize]) -> Mat<f64> {
        let mut columns = Mat::zeros(self.len(), which.len());
        for (k, j) in which.iter().enumerate() {
            let (base, offset, scale) = (self.base[*j], self.offset[*j], self.scale[*j]);
            let entries = columns.col_as_slice_mut(k);
            for (q, (d, z)) in entries.iter_mut().zip(self.poles.iter().zip(&self.weights)) {
                *q = z * scale / ((d - base) - offset);
            }
        }
        columns
    }
}

/// A root of the secular equation on its way.
#[derive(Debug)]
struct Root {
    /// The poles `below` and the next one are those of the rational approximation.
    below: usize,
    /// Whether the root lies above both, as the largest does, or between them.
    beyond: bool,
    /// The root is near base + offset, and its offset between low and high.
    base: f64,
    offset: f64,
    low: f64,
    high: f64,
    started: bool,
    found: bool,
}

impl Root {
    /// Every root half way between its bounds.
    fn all(poles: &[f64], w: &[f64]) -> Vec<Self> {
        let last = poles.len().saturating_sub(1);
        let bounds = |j: usize| match poles.get(j + 1) {
            Some(next) => next - poles[j],
            None => w.iter().map(|w| w * w).sum(),
        };
        let start = |j: usize| Self {
            below: j.min(last.saturating_sub(1)),
            beyond: j == last,
            base: poles[j],
            // A single pole has its root at the bound.
            offset: if last == 0 { 1.0 } else { 0.5 } * bounds(j),
            low: 0.0,
            high: bounds(j),
            started: false,
            found: last == 0,
        };
        (0..poles.len()).map(start).collect()
    }

    /// One step, from the sums of the secular equation over the poles up to `below` and over those
    /// after it, and their slopes.
    ///
    /// Each of the sums is replaced by r + s/(d - λ) with the pole nearest to the root and the same
    /// value and slope ("the middle way": R.-C. Li, LAPACK Working Note 89, 1993).
    fn advance(&mut self, poles: &[f64], squares: &[f64], sums: [f64; 4]) {
        // The error of a fitted step is about its square.
        const LAST_STEP: f64 = 1e-8;
        let [lower, lower_slope, upper, upper_slope] = sums;
        let f = 1.0 + lower + upper;
        let rounding = 4.0 * (1.0 + lower.abs() + upper.abs())
            + self.offset.abs() * (lower_slope + upper_slope);
        if f.abs() <= f64::EPSILON * rounding {
            self.found = true;
            return;
        }
        if f > 0.0 {
            self.high = self.offset;
        } else {
            self.low = self.offset;
        }
        let (p, q) = (poles[self.below], poles[self.below + 1]);
        let (to_p, to_q) = ((p - self.base) - self.offset, (q - self.base) - self.offset);
        let fitted = self.started;
        let next = if fitted {
            let approximation = Rational {
                constant: f - to_p * lower_slope - to_q * upper_slope,
                weights: [to_p * to_p * lower_slope, to_q * to_q * upper_slope],
                poles: [to_p, to_q],
                product: f * to_p * to_q,
            };
            self.offset + approximation.root(self.beyond)
        } else {
            self.started = true;
            if f < 0.0 && !self.beyond {
                let gap = q - p;
                self.base = q;
                self.offset -= gap;
                self.low -= gap;
                self.high -= gap;
            }
            // The first time both poles have their own weights, and the rest is constant.
            let (s, t) = (squares[self.below], squares[self.below + 1]);
            let constant = f - s / to_p - t / to_q;
            let poles = [p - self.base, q - self.base];
            let approximation = Rational {
                constant,
                weights: [s, t],
                poles,
                product: constant * poles[0] * poles[1] + s * poles[1] + t * poles[0],
            };
            approximation.root(self.beyond)
        };
        let inside = self.low < next && next < self.high;
        let step = (next - self.offset).abs();
        let last = fitted && step <= LAST_STEP * to_p.abs().min(to_q.abs());
        self.offset = if inside { next } else { self.middle() };
        let narrow = self.high - self.low <= f64::EPSILON * self.offset.abs();
        self.found = narrow || inside && last;
    }

    /// A point between the bounds, half way between their exponents where these are apart.
    fn middle(&self) -> f64 {
        let (small, large) = if self.low < 0.0 {
            (self.high, self.low)
        } else {
            (self.low, self.high)
        };
        if small == 0.0 {
            large / 1024.0
        } else if large / small > 4.0 {
            large * (small / large).sqrt()
        } else {
            small + 0.5 * (large - small)
        }
    }
}

/// constant + Σ weight/(pole - x) with two poles.
struct Rational {
    constant: f64,
    weights: [f64; 2],
    poles: [f64; 2],
    /// Its value at x = 0 times both poles.
    product: f64,
}

impl Rational {
    /// The root between the poles, or beyond them. It is one of a quadratic's, whose discriminant
    /// is a sum of squares here.
    fn root(&self, beyond: bool) -> f64 {
        let ([s, t], [p, q], c) = (self.weights, self.poles, self.constant);
        let sum = c * (p + q) + s + t;
        let half = c * (p - q) + s - t;
        let width = (half * half + 4.0 * s * t).sqrt();
        let width = if beyond { -width } else { width };
        if (sum > 0.0) == beyond {
            (sum - width) / (2.0 * c)
        } else {
            2.0 * self.product / (sum + width)
        }
    }
}

/// Iterates some roots, several at once, those not found yet.
#[inline(always)]
fn find(roots: &mut [Root], poles: &[f64], squares: &[f64]) {
    const MOST_STEPS: usize = 100;
    let mut rest: Vec<usize> = (0..roots.len()).filter(|i| !roots[*i].found).collect();
    for _ in 0..MOST_STEPS {
        for some in rest.chunks(LANES) {
            let lane = |l: usize| &roots[some[l.min(some.len() - 1)]];
            let base: Lanes = std::array::from_fn(|l| lane(l).base);
            let offset: Lanes = std::array::from_fn(|l| lane(l).offset);
            let below: Lanes = std::array::from_fn(|l| lane(l).below as f64);
            let (first, last) = (lane(0).below + 1, lane(LANES - 1).below + 1);
            let mut sums = [[0.0; LANES]; 4];
            let [lower, lower_slope, upper, upper_slope] = &mut sums;
            let (d, w) = (poles, squares);
            sum_terms(0..first, d, w, &base, &offset, lower, lower_slope);
            sum_terms(last..d.len(), d, w, &base, &offset, upper, upper_slope);
            // Between the lanes' own poles a term is lower for some of them, upper for others.
            for i in first..last {
                let difference = difference(d[i], &base, &offset);
                for l in 0..LANES {
                    let inverse = 1.0 / difference[l];
                    let value = w[i] * inverse;
                    let slope = value * inverse;
                    let is_lower = i as f64 <= below[l];
                    lower[l] += if is_lower { value } else { 0.0 };
                    lower_slope[l] += if is_lower { slope } else { 0.0 };
                    upper[l] += if is_lower { 0.0 } else { value };
                    upper_slope[l] += if is_lower { 0.0 } else { slope };
                }
            }
            for (l, i) in some.iter().enumerate() {
                roots[*i].advance(poles, squares, sums.map(|sum| sum[l]));
            }
        }
        rest.retain(|i| !roots[*i].found);
        if rest.is_empty() {
            break;
        }
    }
}

/// The sum of w_i²/(d_i - λ) over a range of poles, and of w_i²/(d_i - λ)², its slope.
#[inline(always)]
fn sum_terms(
    range: Range<usize>,
    poles: &[f64],
    squares: &[f64],
    base: &Lanes,
    offset: &Lanes,
    sum: &mut Lanes,
    slope: &mut Lanes,
) {
    let [mut own_sum, mut own_slope] = [[0.0; LANES]; 2];
    sweep(
        range,
        #[inline(always)]
        |i| difference(poles[i], base, offset),
        #[inline(always)]
        |i, inverse| {
            for l in 0..LANES {
                let value = squares[i] * inverse[l];
                own_sum[l] += value;
                own_slope[l] += value * inverse[l];
            }
        },
    );
    (*sum, *slope) = (own_sum, own_slope);
}

/// d - λ for some roots λ.
#[inline(always)]
fn difference(d: f64, base: &Lanes, offset: &Lanes) -> Lanes {
    std::array::from_fn(
        #[inline(always)]
        |l| (d - base[l]) - offset[l],
    )
}

/// Hands 1/`difference(i)` to `add` for a range of i. Four share a division, the slowest of all
/// operations; neither the sizes of differences that survive deflation nor the products of four of
/// them come near the ends of the range of f64.
#[inline(always)]
fn sweep(
    range: Range<usize>,
    difference: impl Fn(usize) -> Lanes,
    mut add: impl FnMut(usize, Lanes),
) {
    let mut i = range.start;
    while i + 4 <= range.end {
        let (a, b) = (difference(i), difference(i + 1));
        let (c, d) = (difference(i + 2), difference(i + 3));
        let mut inverse = [[0.0; LANES]; 4];
        for l in 0..LANES {
            let (ab, cd) = (a[l] * b[l], c[l] * d[l]);
            let all = 1.0 / (ab * cd);
            let (one_ab, one_cd) = (all * cd, all * ab);
            inverse[0][l] = one_ab * b[l];
            inverse[1][l] = one_ab * a[l];
            inverse[2][l] = one_cd * d[l];
            inverse[3][l] = one_cd * c[l];
        }
        for (k, inverse) in inverse.into_iter().enumerate() {
            add(i + k, inverse);
        }
        i += 4;
    }
    while i < range.end {
        add(
            i,
            difference(i).map(
                #[inline(always)]
                |d| 1.0 / d,
            ),
        );
        i += 1;
    }
}

/// Consecutive values, the last one repeated beyond the end.
#[inline(always)]
fn load(values: &[f64], first: usize) -> Lanes {
    std::array::from_fn(
        #[inline(always)]
        |l| values[(first + l).min(values.len() - 1)],
    )
}

/// A vector whose entries `work` computes several at a time, from the index of the first on.
#[inline(always)]
fn by_lanes(count: usize, work: impl Fn(usize) -> Lanes + Sync) -> Vec<f64> {
    let mut result = vec![0.0; count];
    in_chunks(
        &mut result,
        #[inline(always)]
        |start, chunk| {
            vectorised(
                #[inline(always)]
                || {
                    for (k, lanes) in chunk.chunks_mut(LANES).enumerate() {
                        let values = work(start + k * LANES);
                        lanes.copy_from_slice(&values[..lanes.len()]);
                    }
                },
            );
        },
    );
    result
}

/// Works on fixed chunks, on several threads where that pays: the bits do not depend on them.
#[inline(always)]
fn in_chunks<T: Send>(all: &mut [T], work: impl Fn(usize, &mut [T]) + Sync) {
    if all.len() < PARALLEL {
        for (k, chunk) in all.chunks_mut(CHUNK).enumerate() {
            work(k * CHUNK, chunk);
        }
    } else {
        all.par_chunks_mut(CHUNK)
            .enumerate()
            .for_each(|(k, chunk)| work(k * CHUNK, chunk));
    }
}

#[cfg(test)]
mod tests {
    use super::super::eigen::eigen;
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
        let (others, _) = eigen(&matrix, "test matrix").unwrap();
        for (value, other) in values.iter().rev().zip(others) {
            assert!((value - other).abs() <= 1e-14, "{value}, not {other}");
        }
    }
}
