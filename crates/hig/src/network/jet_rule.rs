//! How the derivatives of a field go through an activation, and what is differentiated of that.
//!
//! With q_c = Σ ∂ᵢz·∂ⱼz over the products that belong to component c (none for a first derivative), the jet s
//! behind an activation σ is s_0 = σ(z_0) and s_c = σ'·z_c + σ''·q_c for every other component. The components
//! of some samples are worked on together, in vector registers, so that each number is read and written once.

use super::activation::Activation;
use crate::linalg::Scratch;
use crate::linalg::matrix::Accum;
use crate::linalg::simd::{self, Simd, WithSimd, vectorised, with_lanes};

/// Places of the first derivatives whose products belong to a component, for each of them.
pub(super) type Products = Vec<Vec<(usize, usize)>>;

/// The first four derivatives of σ at the values of one neuron's samples, numbers that serve one neuron after the
/// other.
pub(super) struct Slopes {
    samples: usize,
    derivatives: Vec<f64>,
}

impl Slopes {
    pub(super) fn take(samples: usize, scratch: &mut Scratch) -> Self {
        Self {
            samples,
            derivatives: scratch.take_numbers(4 * samples),
        }
    }

    pub(super) fn give_to(self, scratch: &mut Scratch) {
        scratch.give_numbers(self.derivatives);
    }

    /// Writes σ', σ'' and σ'''.
    fn write_three(&mut self, activation: Activation, z: &[f64], y: &[f64]) {
        let b = self.samples;
        let (first, rest) = self.derivatives.split_at_mut(b);
        let (second, rest) = rest.split_at_mut(b);
        let third = &mut rest[..b];
        vectorised(
            #[inline(always)]
            || activation.write_three(&z[..b], &y[..b], [first, second, third]),
        );
    }

    /// Writes all four.
    fn write_four(&mut self, activation: Activation, z: &[f64], y: &[f64]) {
        self.write_three(activation, z, y);
        let b = self.samples;
        let fourth = &mut self.derivatives[3 * b..];
        vectorised(
            #[inline(always)]
            || activation.write_fourth(&z[..b], &y[..b], fourth),
        );
    }
}

/// How the jets of a kind go through an activation, neuron by neuron: a column has C·b numbers, component by component.
pub(super) struct Rule<'a> {
    pub(super) activation: Activation,
    pub(super) products: &'a Products,
    pub(super) samples: usize,
}

impl Rule<'_> {
    /// The jet of a neuron behind the activation; its values are there already.
    pub(super) fn forward(&self, z: &[f64], y: &mut [f64], slopes: &mut Slopes) {
        slopes.write_three(self.activation, z, y);
        self.run(slopes, Forward { z, y });
    }

    /// The slopes of a neuron from its jet before and behind the activation, for the two that follow.
    pub(super) fn write(&self, z: &[f64], y: &[f64], slopes: &mut Slopes) {
        slopes.write_three(self.activation, z, y);
    }

    /// Cotangents of a neuron's jet before the activation from those behind it.
    pub(super) fn backward(&self, z: &[f64], behind: &[f64], before: &mut [f64], slopes: &Slopes) {
        self.run(slopes, Backward { z, behind, before });
    }

    /// The tangent of a neuron's jet behind the activation from that before it, instead of what is there or added to it.
    pub(super) fn tangent(
        &self,
        z: &[f64],
        before: &[f64],
        behind: &mut [f64],
        accumulate: Accum,
        slopes: &Slopes,
    ) {
        self.run(
            slopes,
            Tangent {
                z,
                before,
                behind,
                accumulate,
            },
        );
    }

    /// Velocity and acceleration of a neuron's jet behind the activation along a curve, from the jet before it and
    /// those before it.
    pub(super) fn second_along(
        &self,
        (z, y): (&[f64], &[f64]),
        before: (&[f64], &[f64]),
        behind: (&mut [f64], &mut [f64]),
        slopes: &mut Slopes,
    ) {
        slopes.write_four(self.activation, z, y);
        self.run(slopes, Second { z, before, behind });
    }

    fn run<K: Kernel>(&self, slopes: &Slopes, kernel: K) {
        with_lanes(EachVector {
            products: self.products,
            samples: self.samples,
            derivatives: &slopes.derivatives,
            kernel,
        });
    }
}

/// Some samples of every component, as many as a vector register holds or what is left of them.
struct At<'a, S> {
    simd: S,
    products: &'a Products,
    derivatives: &'a [f64],
    samples: usize,
    first: usize,
    count: usize,
}

impl<S: Simd> At<'_, S> {
    /// Component c of a neuron's column.
    #[inline(always)]
    fn load(&self, column: &[f64], c: usize) -> S::f64s {
        let start = c * self.samples + self.first;
        simd::load(self.simd, &column[start..start + self.count])
    }

    #[inline(always)]
    fn store(&self, column: &mut [f64], c: usize, values: S::f64s) {
        let start = c * self.samples + self.first;
        simd::store(self.simd, &mut column[start..start + self.count], values);
    }

    /// The k-th derivative of σ.
    #[inline(always)]
    fn slope(&self, k: usize) -> S::f64s {
        self.load(self.derivatives, k - 1)
    }

    /// The components but the value, each with its products.
    #[inline(always)]
    fn derivatives(&self) -> impl Iterator<Item = (usize, &[(usize, usize)])> {
        let components = self.products.iter().enumerate().skip(1);
        components.map(|(c, products)| (c, products.as_slice()))
    }

    /// q of a component's products.
    #[inline(always)]
    fn sum(&self, z: &[f64], products: &[(usize, usize)]) -> S::f64s {
        let mut sum = self.simd.splat_f64s(0.0);
        for (i, j) in products {
            sum = self.plus(sum, self.load(z, *i), self.load(z, *j));
        }
        sum
    }

    #[inline(always)]
    fn times(&self, a: S::f64s, b: S::f64s) -> S::f64s {
        self.simd.mul_f64s(a, b)
    }

    /// sum + a·b.
    #[inline(always)]
    fn plus(&self, sum: S::f64s, a: S::f64s, b: S::f64s) -> S::f64s {
        self.simd.mul_add_e_f64s(a, b, sum)
    }

    #[inline(always)]
    fn twice(&self, a: S::f64s) -> S::f64s {
        self.simd.add_f64s(a, a)
    }
}

/// What is done with all components of some samples.
trait Kernel {
    fn work<S: Simd>(&mut self, at: &At<'_, S>);
}

struct EachVector<'a, K> {
    products: &'a Products,
    samples: usize,
    derivatives: &'a [f64],
    kernel: K,
}

impl<K: Kernel> WithSimd for EachVector<'_, K> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (samples, lanes) = (self.samples, S::F64_LANES);
        for first in (0..samples).step_by(lanes) {
            self.kernel.work(&At {
                simd,
                products: self.products,
                derivatives: self.derivatives,
                samples,
                first,
                count: lanes.min(samples - first),
            });
        }
    }
}

struct Forward<'a> {
    z: &'a [f64],
    y: &'a mut [f64],
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn work<S: Simd>(&mut self, at: &At<'_, S>) {
        let (one, two) = (at.slope(1), at.slope(2));
        for (c, products) in at.derivatives() {
            let mut jet = at.times(one, at.load(self.z, c));
            if !products.is_empty() {
                jet = at.plus(jet, two, at.sum(self.z, products));
            }
            at.store(self.y, c, jet);
        }
    }
}

struct Backward<'a> {
    z: &'a [f64],
    behind: &'a [f64],
    before: &'a mut [f64],
}

impl Kernel for Backward<'_> {
    #[inline(always)]
    fn work<S: Simd>(&mut self, at: &At<'_, S>) {
        let (one, two) = (at.slope(1), at.slope(2));
        let zero = at.simd.splat_f64s(0.0);
        // What multiplies σ'' and σ''' in the cotangent of the value.
        let (mut linear, mut square) = (zero, zero);
        for (c, products) in at.derivatives() {
            let cotangent = at.load(self.behind, c);
            linear = at.plus(linear, cotangent, at.load(self.z, c));
            at.store(self.before, c, at.times(one, cotangent));
            if !products.is_empty() {
                square = at.plus(square, cotangent, at.sum(self.z, products));
            }
        }
        for (c, products) in at
            .derivatives()
            .filter(|(_, products)| !products.is_empty())
        {
            let factor = at.times(two, at.load(self.behind, c));
            for (i, j) in products {
                // A square is the product of a derivative with itself, twice.
                let sum = at.plus(at.load(self.before, *i), factor, at.load(self.z, *j));
                at.store(self.before, *i, sum);
                let sum = at.plus(at.load(self.before, *j), factor, at.load(self.z, *i));
                at.store(self.before, *j, sum);
            }
        }
        let mut value = at.times(one, at.load(self.behind, 0));
        value = at.plus(value, two, linear);
        value = at.plus(value, at.slope(3), square);
        at.store(self.before, 0, value);
    }
}

struct Tangent<'a> {
    z: &'a [f64],
    before: &'a [f64],
    behind: &'a mut [f64],
    accumulate: Accum,
}

impl Tangent<'_> {
    #[inline(always)]
    fn put<S: Simd>(&mut self, at: &At<'_, S>, c: usize, tangent: S::f64s) {
        let tangent = match self.accumulate {
            Accum::Add => at.simd.add_f64s(at.load(self.behind, c), tangent),
            Accum::Replace => tangent,
        };
        at.store(self.behind, c, tangent);
    }
}

impl Kernel for Tangent<'_> {
    #[inline(always)]
    fn work<S: Simd>(&mut self, at: &At<'_, S>) {
        let value = at.load(self.before, 0);
        let (one, two) = (at.slope(1), at.slope(2));
        // How σ' and σ'' move.
        let (of_one, of_two) = (at.times(two, value), at.times(at.slope(3), value));
        self.put(at, 0, at.times(one, value));
        for (c, products) in at.derivatives() {
            let mut tangent = at.times(one, at.load(self.before, c));
            tangent = at.plus(tangent, of_one, at.load(self.z, c));
            if !products.is_empty() {
                let mut moved = at.simd.splat_f64s(0.0);
                for (i, j) in products {
                    moved = at.plus(moved, at.load(self.before, *i), at.load(self.z, *j));
                    moved = at.plus(moved, at.load(self.z, *i), at.load(self.before, *j));
                }
                tangent = at.plus(tangent, two, moved);
                tangent = at.plus(tangent, of_two, at.sum(self.z, products));
            }
            self.put(at, c, tangent);
        }
    }
}

struct Second<'a> {
    z: &'a [f64],
    before: (&'a [f64], &'a [f64]),
    behind: (&'a mut [f64], &'a mut [f64]),
}

impl Kernel for Second<'_> {
    #[inline(always)]
    fn work<S: Simd>(&mut self, at: &At<'_, S>) {
        let (z, (v, a)) = (self.z, self.before);
        let (p, q) = (at.load(v, 0), at.load(a, 0));
        let square = at.times(p, p);
        let (one, two, three, four) = (at.slope(1), at.slope(2), at.slope(3), at.slope(4));
        // First and second derivative along the curve of σ' and of σ''.
        let of_one = at.times(two, p);
        let again_of_one = at.plus(at.times(three, square), two, q);
        let of_two = at.times(three, p);
        let again_of_two = at.plus(at.times(four, square), three, q);
        at.store(self.behind.0, 0, at.times(one, p));
        at.store(self.behind.1, 0, at.plus(at.times(two, square), one, q));
        for (c, products) in at.derivatives() {
            let (zc, vc) = (at.load(z, c), at.load(v, c));
            let mut velocity = at.plus(at.times(of_one, zc), one, vc);
            let mut bend = at.times(again_of_one, zc);
            bend = at.plus(bend, at.twice(of_one), vc);
            bend = at.plus(bend, one, at.load(a, c));
            if !products.is_empty() {
                let zero = at.simd.splat_f64s(0.0);
                // Σ zi·zj with its first and half its second derivative along the curve.
                let (mut sum, mut first, mut half) = (zero, zero, zero);
                for (i, j) in products {
                    let (zi, vi, ai) = (at.load(z, *i), at.load(v, *i), at.load(a, *i));
                    let (zj, vj, aj) = (at.load(z, *j), at.load(v, *j), at.load(a, *j));
                    sum = at.plus(sum, zi, zj);
                    first = at.plus(at.plus(first, vi, zj), zi, vj);
                    let ends = at.plus(at.times(ai, zj), zi, aj);
                    half = at.plus(half, at.simd.splat_f64s(0.5), ends);
                    half = at.plus(half, vi, vj);
                }
                velocity = at.plus(velocity, of_two, sum);
                velocity = at.plus(velocity, two, first);
                bend = at.plus(bend, again_of_two, sum);
                bend = at.plus(bend, at.twice(of_two), first);
                bend = at.plus(bend, at.twice(two), half);
            }
            at.store(self.behind.0, c, velocity);
            at.store(self.behind.1, c, bend);
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::linalg::dot;
    use crate::linalg::simd::narrower;

    const COMPONENTS: usize = 5;

    /// A value, ∂₀, ∂₁, their Laplacian and ∂₀∂₁.
    fn products() -> Products {
        let none = Vec::new;
        vec![none(), none(), none(), vec![(1, 1), (2, 2)], vec![(1, 2)]]
    }

    fn numbers(count: usize, phase: f64) -> Vec<f64> {
        (0..count).map(|i| (1.7 * i as f64 + phase).sin()).collect()
    }

    fn assert_close(a: &[f64], b: &[f64], what: &str) {
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() < 1e-13, "{what}: {a} and {b}");
        }
    }

    /// Of any number of samples, on vectors of any length.
    #[test]
    fn vectors_and_what_is_left_of_them_have_the_rule() {
        let products = products();
        for samples in 1..=19 {
            let count = COMPONENTS * samples;
            let rule = Rule {
                activation: Activation::Tanh,
                products: &products,
                samples,
            };
            let (z, w) = (numbers(count, 0.3), numbers(count, 1.1));
            let (v, a) = (numbers(count, 2.9), numbers(count, 4.2));
            let mut y = numbers(count, 0.0);
            for s in 0..samples {
                y[s] = z[s].tanh();
            }
            let mut expected = y.clone();
            for s in 0..samples {
                let of = |c: usize| z[c * samples + s];
                let (one, two) = (1.0 - y[s] * y[s], -2.0 * y[s] * (1.0 - y[s] * y[s]));
                let squares = of(1) * of(1) + of(2) * of(2);
                let sums = [0.0, 0.0, squares, of(1) * of(2)];
                for (c, sum) in (1..COMPONENTS).zip(sums) {
                    expected[c * samples + s] = one * of(c) + two * sum;
                }
            }
            narrower::each(|| {
                let mut scratch = Scratch::new();
                let mut slopes = Slopes::take(samples, &mut scratch);
                rule.forward(&z, &mut y, &mut slopes);
                assert_close(&y, &expected, "jet");

                let [mut tangent, mut twice, mut before] = [0; 3].map(|_| vec![0.0; count]);
                rule.write(&z, &y, &mut slopes);
                rule.tangent(&z, &v, &mut tangent, Accum::Replace, &slopes);
                rule.tangent(&z, &v, &mut twice, Accum::Replace, &slopes);
                rule.tangent(&z, &v, &mut twice, Accum::Add, &slopes);
                let double: Vec<f64> = tangent.iter().map(|t| 2.0 * t).collect();
                assert_close(&twice, &double, "added tangent");

                rule.backward(&z, &w, &mut before, &slopes);
                let (behind, before) = (dot(&w, &tangent), dot(&before, &v));
                assert_close(&[behind], &[before], "product of a row and a tangent");

                let [mut velocity, mut bend] = [0; 2].map(|_| vec![0.0; count]);
                let curve = (&mut velocity[..], &mut bend[..]);
                rule.second_along((&z, &y), (&v, &a), curve, &mut slopes);
                assert_close(&velocity, &tangent, "velocity");
                // The velocity at two near places of the curve.
                let h = 1e-5;
                let [ahead, behind] = [h, -h].map(|t| {
                    let along = |k: usize| z[k] + t * v[k] + 0.5 * t * t * a[k];
                    let place: Vec<f64> = (0..count).map(along).collect();
                    let speed: Vec<f64> = (0..count).map(|k| v[k] + t * a[k]).collect();
                    let mut jet = place.clone();
                    jet.iter_mut().for_each(|value| *value = value.tanh());
                    let mut found = vec![0.0; count];
                    rule.write(&place, &jet, &mut slopes);
                    rule.tangent(&place, &speed, &mut found, Accum::Replace, &slopes);
                    found
                });
                for (k, bend) in bend.iter().enumerate() {
                    let difference = (ahead[k] - behind[k]) / (2.0 * h);
                    assert!((bend - difference).abs() < 1e-8, "{bend} and {difference}");
                }
            });
        }
    }
}
