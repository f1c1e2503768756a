//! K = J·Jᵀ layer by layer, while the rows run backwards through the network.
//!
//! For a dense layer l the rows of J are outer products Δ_l[r] ⊗ (A_(l-1)[s], 1), so that its part
//! of K is (Δ_l·Δ_lᵀ) ∘ (A_(l-1)·A_(l-1)ᵀ + 1), where every sample's entry of the mask serves all
//! of its rows (the neural tangent kernel in factored form, arXiv 2206.08720, section 3). Where a row
//! is a sum over passes c, it is Σ_{c,c'} (Δ_c·Δ_c'ᵀ) ∘ (A_c·A_c'ᵀ + [both use the bias]).
//! The part of a layer without such a form is the sum of C·Cᵀ over chunks C of its columns of J.

use super::Network;
use super::layer_rows::LayerRows;
use super::passes::Passes;
use crate::linalg::{OuterFactor, Scratch, Symmetric};

/// Multiplications and additions that the lower half of an outer product's part of K takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GramOperations {
    /// By a mask for every pair of passes: n²/2 entries, for each pair of passes an inner product over
    /// the outputs and its weight; and the mask itself, which is made of what is needed of it where no two rows
    /// share a sample.
    pub by_mask: f64,
    /// By columns of J: n²/2 inner products over the parameters; and the columns, summed over the
    /// passes.
    pub by_columns: f64,
}

impl GramOperations {
    /// For a layer with inputs and outputs of these widths, n rows of J, b samples and C passes.
    pub fn count(inputs: usize, outputs: usize, n: usize, b: usize, passes: usize) -> Self {
        let [inputs, outputs, n, b, c] = [inputs, outputs, n, b, passes].map(|x| x as f64);
        let (half, parameters) = (0.5 * n * (n + 1.0), outputs * (inputs + 1.0));
        let mask = match n == b {
            true => half * c * c * 2.0 * inputs,
            false => 2.0 * inputs * (c * b) * (c * b),
        };
        Self {
            by_mask: half * c * c * (2.0 * outputs + 2.0) + mask,
            by_columns: half * 2.0 * parameters + 2.0 * n * c * parameters,
        }
    }
}

impl Network {
    /// Whether K of so many rows takes columns of J for most of what it takes.
    pub(crate) fn condenses_columns(&self, rows: usize, samples: usize, passes: usize) -> bool {
        let (mut by_mask, mut by_columns) = (0.0, 0.0);
        for (i, layer) in self.layers() {
            if layer.is_outer_product() {
                let (inputs, outputs) = (self.widths[i], self.widths[i + 1]);
                let layer = GramOperations::count(inputs, outputs, rows, samples, passes);
                by_mask += layer.by_mask;
                by_columns += layer.by_columns;
            }
        }
        passes > 1 && by_columns <= by_mask
    }
}

impl LayerRows<'_> {
    /// Adds this layer's part of K (k·b × k·b), by a mask or by columns, whichever takes fewer
    /// operations. With one pass it is the mask, where there is one.
    pub fn add_gram(&self, gram: &mut Symmetric, passes: Passes<'_>, scratch: &mut Scratch) {
        let (samples, count) = (self.input.nrows(), passes.count());
        let (b, n) = (passes.samples(samples), self.rows.nrows() / count);
        let (inputs, outputs) = (self.input.ncols(), self.rows.ncols());
        let operations = GramOperations::count(inputs, outputs, n, b, count);
        let fewer = count == 1 || operations.by_mask <= operations.by_columns;
        if self.layer.is_outer_product() && fewer {
            self.add_gram_by_mask(gram, passes, scratch);
        } else {
            self.add_gram_by_columns(gram, passes, scratch);
        }
    }

    /// Adds this layer's part of K from columns of J.
    pub fn add_gram_by_columns(
        &self,
        gram: &mut Symmetric,
        passes: Passes<'_>,
        scratch: &mut Scratch,
    ) {
        self.each_chunk(passes, scratch, |_, columns| gram.add(columns));
    }

    /// Adds this layer's part of K by the mask of an outer product.
    ///
    /// # Panics
    /// If the layer's rows are not [outer products](super::Layer::is_outer_product).
    pub fn add_gram_by_mask(
        &self,
        gram: &mut Symmetric,
        passes: Passes<'_>,
        scratch: &mut Scratch,
    ) {
        assert!(
            self.layer.is_outer_product(),
            "{:?} has no mask",
            self.layer
        );
        let (virtual_samples, by_pass) = (self.input.nrows(), self.by_pass(passes, scratch));
        let samples = passes.samples(virtual_samples);
        if passes.count() > 1 && by_pass.count() == samples {
            let factor = |(pass, one): (usize, &bool)| OuterFactor {
                left: by_pass.rows(pass),
                right: by_pass.input(pass),
                one: *one,
            };
            let factors: Vec<_> = passes.biased().iter().enumerate().map(factor).collect();
            gram.add_outer_products(&factors);
            by_pass.give_to(scratch);
            return;
        }
        let mut mask = scratch.take(virtual_samples, virtual_samples);
        by_pass.write_mask(mask.as_mut());
        for left in 0..passes.count() {
            for right in 0..passes.count() {
                let mask =
                    mask.as_ref()
                        .submatrix(left * samples, right * samples, samples, samples);
                gram.add_masked(by_pass.rows(left), by_pass.rows(right), mask);
            }
        }
        scratch.give(mask);
        by_pass.give_to(scratch);
    }
}
