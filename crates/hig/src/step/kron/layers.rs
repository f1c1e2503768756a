//! The blocks of all layers, and the direction that they give.

use super::factor::Factor;
use super::leading;
use crate::error::Result;
use crate::files::Exchange;
use crate::linalg::{Accum, Mat, MatMut, MatRef, multiply};
use crate::objective::{LayerMoments, Moments};
use rayon::prelude::*;
use std::ops::Range;

const OF_INPUTS: &str = "moment of a layer's inputs";
const OF_OUTPUTS: &str = "moment of a layer's outputs";

/// The block of a layer.
#[derive(Debug, Clone, Default)]
pub struct Block {
    range: Range<usize>,
    /// A and B, where the block is their product.
    factors: Option<(Factor, Factor)>,
    /// Its diagonal, where it is not.
    diagonal: Vec<f64>,
}

/// (λ' + λ)^(-(1+κ)/2) as a function of λ'.
#[derive(Debug, Clone, Copy)]
pub struct Power {
    /// λ, above 0.
    pub damping: f64,
    /// κ.
    pub exponent: f64,
}

impl Power {
    /// The power of a value.
    pub fn of(self, value: f64) -> f64 {
        let mut one = [1.0];
        self.scale(&mut one, std::iter::once(value));
        one[0]
    }

    /// Multiplies each number with the power of its value.
    ///
    /// The exponents of the family that are multiples of ¼, which all of its usual members have, are products
    /// of square roots: a power of every parameter would cost more than its gradient.
    fn scale(&self, numbers: &mut [f64], values: impl Iterator<Item = f64>) {
        let each = numbers.iter_mut().zip(values.map(|v| v + self.damping));
        match 2.0 * (1.0 + self.exponent) {
            0.0 => {}
            1.0 => each.for_each(|(x, v)| *x /= v.sqrt().sqrt()),
            2.0 => each.for_each(|(x, v)| *x /= v.sqrt()),
            3.0 => each.for_each(|(x, v)| *x /= v.sqrt() * v.sqrt().sqrt()),
            4.0 => each.for_each(|(x, v)| *x /= v),
            quarters => each.for_each(|(x, v)| *x *= v.powf(-0.25 * quarters)),
        }
    }
}

impl Block {
    /// Takes new moments into the averages.
    pub fn learn(&mut self, moments: LayerMoments, weight: f64) -> Result<()> {
        self.range = moments.range;
        match moments.block {
            Moments::Kronecker { inputs, outputs } => {
                let (a, b) = self.factors.get_or_insert_default();
                a.learn(inputs, weight, OF_INPUTS)?;
                b.learn(outputs, weight, OF_OUTPUTS)?;
            }
            Moments::Diagonal(squares) if self.diagonal.len() == squares.len() => {
                for (mean, new) in self.diagonal.iter_mut().zip(squares) {
                    *mean += weight * (new - *mean);
                }
            }
            Moments::Diagonal(squares) => self.diagonal = squares,
        }
        Ok(())
    }

    /// The largest eigenvalue of the block.
    pub fn largest(&self) -> f64 {
        match &self.factors {
            Some((a, b)) => a.largest() * b.largest(),
            None => self.diagonal.iter().fold(0.0, |most, v| v.max(most)),
        }
    }

    /// Brings values, and where they changed too much the bases, to the averages, for a damping as a part of
    /// the largest eigenvalue: the number of bases found anew.
    fn renew(&mut self, damping: f64, most: f64) -> Result<usize> {
        let Some((a, b)) = &mut self.factors else {
            return Ok(0);
        };
        let (left, right) = rayon::join(
            || a.renew(damping, most, OF_INPUTS),
            || b.renew(damping, most, OF_OUTPUTS),
        );
        Ok(usize::from(left?) + usize::from(right?))
    }

    /// Writes what the block makes of its part of a gradient.
    fn apply(&self, gradient: &[f64], target: &mut [f64], power: Power) {
        let Some((a, b)) = &self.factors else {
            target.copy_from_slice(gradient);
            return power.scale(target, self.diagonal.iter().copied());
        };
        if !(a.is_whole() && b.is_whole()) {
            return leading::apply((a, b), gradient, target, power);
        }
        let (inputs, outputs) = (a.width(), b.width());
        let weights = outputs * (inputs - 1);
        let mut whole = Mat::zeros(outputs, inputs);
        let weight = MatRef::from_row_major_slice(&gradient[..weights], outputs, inputs - 1);
        whole.as_mut().subcols_mut(0, inputs - 1).copy_from(weight);
        whole
            .col_as_slice_mut(inputs - 1)
            .copy_from_slice(&gradient[weights..]);
        let mut half = Mat::zeros(outputs, inputs);
        multiply(
            half.as_mut(),
            Accum::Replace,
            b.basis().transpose(),
            whole.as_ref(),
        );
        multiply(whole.as_mut(), Accum::Replace, half.as_ref(), a.basis());
        for (j, of_a) in a.values().iter().enumerate() {
            let values = b.values().iter().map(|of_b| of_a * of_b);
            power.scale(whole.col_as_slice_mut(j), values);
        }
        multiply(half.as_mut(), Accum::Replace, b.basis(), whole.as_ref());
        multiply(
            whole.as_mut(),
            Accum::Replace,
            half.as_ref(),
            a.basis().transpose(),
        );
        let (weight, bias) = target.split_at_mut(weights);
        MatMut::from_row_major_slice_mut(weight, outputs, inputs - 1)
            .copy_from(whole.as_ref().subcols(0, inputs - 1));
        bias.copy_from_slice(whole.col_as_slice(inputs - 1));
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.count("first", &mut self.range.start);
        state.count("end", &mut self.range.end);
        state.vector("diagonal", &mut self.diagonal);
        let fresh = Default::default;
        state.optional("factors", &mut self.factors, fresh, |state, (a, b)| {
            state.part("inputs", |state| a.exchange(state));
            state.part("outputs", |state| b.exchange(state));
        });
    }
}

/// The blocks of all layers.
#[derive(Debug, Default)]
pub struct Layers {
    blocks: Vec<Block>,
    /// Batches that the averages have heard.
    heard: f64,
}

impl Layers {
    /// Whether nothing was heard yet.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Takes the moments of a batch into averages that look back over about `span` of them.
    pub fn learn(&mut self, moments: Vec<LayerMoments>, span: f64) -> Result<()> {
        self.blocks.resize_with(moments.len(), Block::default);
        self.heard += 1.0;
        let weight = 1.0 / self.heard.min(span);
        let pairs = self.blocks.par_iter_mut().zip(moments);
        pairs.try_for_each(|(block, moments)| block.learn(moments, weight))
    }

    /// The largest eigenvalue of all blocks.
    pub fn largest(&self) -> f64 {
        let blocks = self.blocks.iter().map(Block::largest);
        blocks.fold(0.0, f64::max)
    }

    /// Brings values, and where they changed too much the bases, to the averages, for a damping as a part of
    /// the largest eigenvalue: the number of bases found anew.
    pub fn renew(&mut self, damping: f64, most: f64) -> Result<usize> {
        let blocks = self.blocks.par_iter_mut();
        let renewed: Vec<usize> = blocks
            .map(|block| block.renew(damping, most))
            .collect::<Result<_>>()?;
        Ok(renewed.into_iter().sum())
    }

    /// The direction for a gradient (length p), layer by layer.
    pub fn direction(&self, gradient: &[f64], power: Power) -> Vec<f64> {
        let mut direction = vec![0.0; gradient.len()];
        let mut parts = Vec::with_capacity(self.blocks.len());
        let (mut rest, mut done) = (&mut direction[..], 0);
        for block in &self.blocks {
            let (_, from) = rest.split_at_mut(block.range.start - done);
            let (own, behind) = from.split_at_mut(block.range.len());
            parts.push((block, own));
            (rest, done) = (behind, block.range.end);
        }
        parts.into_par_iter().for_each(|(block, target)| {
            block.apply(&gradient[block.range.clone()], target, power);
        });
        direction
    }

    /// Exchanges all of it.
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.number("heard", &mut self.heard);
        state.several(
            "blocks",
            &mut self.blocks,
            Block::default,
            |state, block| {
                block.exchange(state);
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_powers() {
        let values = [0.0, 1e-300, 1e-9, 0.3, 1.0, 7.0, 1e200];
        for exponent in [-1.0, -0.75, -0.5, -0.1, 0.0, 0.25, 0.5, 0.75, 1.0] {
            let power = Power {
                damping: 1e-12,
                exponent,
            };
            let mut found = [2.0; 7];
            power.scale(&mut found, values.into_iter());
            for (found, value) in found.into_iter().zip(values) {
                let expected = 2.0 * (value + power.damping).powf(-0.5 * (1.0 + exponent));
                assert!((found / expected - 1.0).abs() < 1e-13, "{exponent} {value}");
            }
        }
    }
}
