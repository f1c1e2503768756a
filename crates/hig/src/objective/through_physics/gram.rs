//! K = J·Jᵀ layer by layer, while the rows run backwards through the network.
//!
//! For a dense layer l the rows of J are outer products Δ_l[r] ⊗ (A_(l-1)[s], 1), so that its part
//! of K is (Δ_l·Δ_lᵀ) ∘ (A_(l-1)·A_(l-1)ᵀ + 1), where every sample's entry of the mask serves all
//! of its dim(y) rows (the neural tangent kernel in factored form, arXiv 2206.08720, section 3).
//! The part of a layer without such a form is the sum of C·Cᵀ over chunks C of its columns of J.

use crate::linalg::{Mat, Symmetric};
use crate::network::{Layer, each_chunk};

/// Adds a layer's part of K for rows of cotangents at its output.
pub(super) fn add_layer(
    gram: &mut Symmetric,
    layer: &dyn Layer,
    input: &Mat<f64>,
    rows: &Mat<f64>,
) {
    match layer.gram_mask(input) {
        Some(mask) => gram.add_masked(rows, &mask),
        None => each_chunk(layer, input, rows, |_, columns| gram.add(columns)),
    }
}
