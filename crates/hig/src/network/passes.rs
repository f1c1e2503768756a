//! Samples that pass through a network several times.

use crate::linalg::matrix::MatRef;
use std::ops::Range;

/// How often every sample of a batch passes through the network: once, or at every time step of a
/// controller, or for every derivative of a field.
///
/// The network then sees C·b *virtual samples*, number `pass · b + sample`, and rows of cotangents
/// at its output (or a layer's) are row `component · (C·b) + pass · b + sample`. A row of J is a
/// sum over the passes of its sample: J has k·b rows, row `component · b + sample`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passes<'a> {
    biased: &'a [bool],
}

impl Passes<'static> {
    /// Every sample passes once, as it does where nothing else is said.
    pub const ONE: Self = Self { biased: &[true] };
}

impl<'a> Passes<'a> {
    /// One flag for each pass: whether biases were added in it. Where not (the derivative of a dense
    /// layer has no bias), the pass adds nothing to the columns of arrays named `bias`.
    ///
    /// That is so for layers whose output is linear in input and bias, as that of dense layers,
    /// convolutions and [`Scale`](super::Scale) is; a [`LayerNorm`](super::LayerNorm) has no
    /// pass without bias.
    ///
    /// # Panics
    /// Without passes.
    pub fn new(biased: &'a [bool]) -> Self {
        assert!(!biased.is_empty(), "a sample passes at least once");
        Self { biased }
    }

    /// Number of passes, C.
    pub fn count(self) -> usize {
        self.biased.len()
    }

    /// Whether each pass uses the bias.
    pub fn biased(self) -> &'a [bool] {
        self.biased
    }

    /// The number of samples b that make that many virtual ones.
    ///
    /// # Panics
    /// If they are not a multiple of C.
    pub fn samples(self, virtual_samples: usize) -> usize {
        let count = self.count();
        assert!(
            virtual_samples.is_multiple_of(count),
            "{virtual_samples} virtual samples are not {count} passes of a batch"
        );
        virtual_samples / count
    }

    /// The virtual samples of a pass.
    pub(super) fn range(self, pass: usize, samples: usize) -> Range<usize> {
        pass * samples..(pass + 1) * samples
    }

    /// Copies the rows of a pass (k·b) from those of all passes.
    pub(super) fn copy_rows(
        self,
        pass: usize,
        samples: usize,
        rows: MatRef<'_, f64>,
        mut target: faer::MatMut<'_, f64>,
    ) {
        for component in 0..target.nrows() / samples.max(1) {
            let from = (component * self.count() + pass) * samples;
            let to = target.as_mut().subrows_mut(component * samples, samples);
            { to }.copy_from(rows.subrows(from, samples));
        }
    }
}
