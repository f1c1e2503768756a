//! Eigenvectors of a diagonal matrix with a rank-one update.
//!
//! The eigenvector of λ_j is ẑ_i/(d_i - λ_j), normalised. With ẑ from Löwner's formula these are the
//! eigenvectors of a matrix near by to which the computed roots belong exactly, hence orthogonal to
//! rounding however close the roots are (Gu and Eisenstat, SIAM J. Matrix Anal. Appl. 16, 1995).

use super::secular::{LANES, Lanes, Root, difference, find, in_chunks, sweep};
use crate::linalg::matrix::Mat;
use crate::linalg::simd::vectorised;

/// Eigenvectors ẑ_i/(d_i - λ_j), normalised: a Cauchy matrix between two diagonal ones.
#[derive(Debug)]
pub(super) struct Cauchy {
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
    pub(super) fn new(poles: Vec<f64>, w: &[f64]) -> Option<Self> {
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

    pub(super) fn len(&self) -> usize {
        self.poles.len()
    }

    pub(super) fn roots(&self) -> impl Iterator<Item = f64> {
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
    pub(super) fn project(&self, x: &[f64]) -> Vec<f64> {
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
    pub(super) fn combine(&self, c: &[f64]) -> Vec<f64> {
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
    pub(super) fn columns(&self, which: &[usize]) -> Mat<f64> {
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
