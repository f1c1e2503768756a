//! Roots of the secular equation 1 + Σ w_i²/(d_i - λ) = 0.
//!
//! One of them lies between each pole d_i and the next, and one beyond the last (Bunch, Nielsen and
//! Sorensen, Numer. Math. 31, 1978). Each is kept as its distance from the nearest pole, so that
//! λ - d_i has all its digits for every i.

use rayon::prelude::*;
use std::ops::Range;

/// Roots or poles that a loop over the others treats at once.
pub(super) const LANES: usize = 8;
/// One lot of work for a thread, a multiple of `LANES`.
const CHUNK: usize = 64;
/// From this size on the chunks are spread over threads.
const PARALLEL: usize = 256;

pub(super) type Lanes = [f64; LANES];

/// A root of the secular equation on its way.
#[derive(Debug)]
pub(super) struct Root {
    /// The poles `below` and the next one are those of the rational approximation.
    below: usize,
    /// Whether the root lies above both, as the largest does, or between them.
    beyond: bool,
    /// The root is near base + offset, and its offset between low and high.
    pub(super) base: f64,
    pub(super) offset: f64,
    low: f64,
    high: f64,
    started: bool,
    pub(super) found: bool,
}

impl Root {
    /// Every root half way between its bounds.
    pub(super) fn all(poles: &[f64], w: &[f64]) -> Vec<Self> {
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
pub(super) fn find(roots: &mut [Root], poles: &[f64], squares: &[f64]) {
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
pub(super) fn difference(d: f64, base: &Lanes, offset: &Lanes) -> Lanes {
    std::array::from_fn(
        #[inline(always)]
        |l| (d - base[l]) - offset[l],
    )
}

/// Hands 1/`difference(i)` to `add` for a range of i. Four share a division, the slowest of all
/// operations; neither the sizes of differences that survive deflation nor the products of four of
/// them come near the ends of the range of f64.
#[inline(always)]
pub(super) fn sweep(
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

/// Works on fixed chunks, on several threads where that pays: the bits do not depend on them.
#[inline(always)]
pub(super) fn in_chunks<T: Send>(all: &mut [T], work: impl Fn(usize, &mut [T]) + Sync) {
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
