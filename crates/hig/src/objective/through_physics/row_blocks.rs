//! Rows of J, a bounded number of them at a time.

use super::Linearization;
use crate::linalg::matrix::{Mat, MatRef};
use crate::network::Passes;

// Numbers of J held at a time (64 MiB), unless one row has more.
const HELD: usize = 1 << 23;

impl Linearization<'_> {
    /// Calls `visit` with blocks of rows of J until every row was there once, in a fixed order.
    ///
    /// A block has some components of some samples: the rows of a sample share its passage through
    /// the network, so that a block takes all components where they fit.
    pub(super) fn each_rows(&self, mut visit: impl FnMut(MatRef<'_, f64>)) {
        let (samples, components) = (self.y().nrows(), self.y().ncols());
        let most = (HELD / self.columns().max(1)).max(1);
        let network = self.model.network;
        if most >= samples * components {
            visit(self.jacobian().as_ref());
            return;
        }
        let of_samples = (most / components).clamp(1, samples);
        let of_components = (most / of_samples).clamp(1, components);
        for first in (0..samples).step_by(of_samples) {
            let count = of_samples.min(samples - first);
            let values = self.activations.samples(first..first + count);
            for component in (0..components).step_by(of_components) {
                let last = components.min(component + of_components);
                let rows = self.rows_of(first, count, component..last);
                let part = network.jacobian(self.parameters, &values, rows.as_ref(), Passes::ONE);
                visit(part.as_ref());
            }
        }
    }

    /// The physics rows of some components of `count` samples, stacked as those of a batch.
    fn rows_of(&self, first: usize, count: usize, components: std::ops::Range<usize>) -> Mat<f64> {
        let (all, samples) = (self.physics_rows(), self.y().nrows());
        let mut rows = Mat::zeros(components.len() * count, all.ncols());
        for (i, component) in components.enumerate() {
            let from = all.get(component * samples + first.., ..).subrows(0, count);
            rows.as_mut().subrows_mut(i * count, count).copy_from(from);
        }
        rows
    }
}
