//! The Jacobian of outputs that a network leads to, from the rows ∂y/∂u at the network's output.

use super::{Jacobian, Sketch};
use crate::error::Result;
use crate::linalg::block_rows::{rows_times, rows_transposed_times};
use crate::linalg::{Mat, MatMut, MatRef, Scratch, Symmetric, column, product_in_blocks};
use crate::network::{Activations, LayerMoments, LayerRows, Network, Passes};
use std::borrow::Cow;
use std::ops::Range;

/// J = ∂y/∂θ (n × p) of a batch that went through a network, given the rows ∂y_i/∂u at its output. K
/// comes layer by layer and J is formed a bounded piece at a time, so that J need never exist.
///
/// A sample may pass through the network several times (at every time step of a controller, for every
/// derivative of a field): a row of J is then a sum over its [`Passes`], Σ_c δ_c ⊗ a_c for a dense layer.
#[derive(Debug)]
pub struct NetworkJacobian<'a> {
    network: &'a Network,
    parameters: &'a [f64],
    activations: &'a Activations,
    /// Row `component · (C·b) + pass · b + sample`: ∂y_component/∂u of the sample in that pass.
    rows: Cow<'a, Mat<f64>>,
    passes: Passes<'a>,
    /// Memory that outlives this Jacobian, where there is some.
    scratch: Option<&'a Scratch>,
}

impl<'a> NetworkJacobian<'a> {
    /// From the values of a batch inside a network, and the rows ∂y_i/∂u stacked as row
    /// `component · samples + sample` (n × outputs of the network).
    pub fn new(
        network: &'a Network,
        parameters: &'a [f64],
        activations: &'a Activations,
        rows: Cow<'a, Mat<f64>>,
    ) -> Self {
        Self {
            network,
            parameters,
            activations,
            rows,
            passes: Passes::ONE,
            scratch: None,
        }
    }

    /// The same where each sample passed through the network C times: activations are those of C·b
    /// samples in the order `pass · b + sample`, and rows are `component · (C·b) + pass · b + sample`
    /// (C·n × outputs of the network).
    #[must_use]
    pub fn of_passes(mut self, passes: Passes<'a>) -> Self {
        self.passes = passes;
        self
    }

    /// The same with memory for single products that one update leaves to the next.
    #[must_use]
    pub fn with_scratch(mut self, scratch: &'a Scratch) -> Self {
        self.scratch = Some(scratch);
        self
    }

    fn with_own_scratch<R>(&self, work: impl FnOnce(&mut Scratch) -> R) -> R {
        match self.scratch {
            Some(scratch) => scratch.with_another(work),
            None => work(&mut Scratch::new()),
        }
    }

    /// The rows ∂y_i/∂u at the output of the network, of all passes.
    pub fn output_rows(&self) -> &Mat<f64> {
        &self.rows
    }

    /// J (n × p).
    pub fn formed(&self) -> Mat<f64> {
        let rows = self.rows.as_ref().as_ref();
        self.network
            .jacobian(self.parameters, self.activations, rows, self.passes)
    }

    /// Writes J (n × p).
    pub(super) fn write_formed(&self, target: MatMut<'_, f64>) {
        let (rows, passes) = (self.rows.as_ref().as_ref(), self.passes);
        let (network, values) = (self.network, self.activations);
        self.with_own_scratch(|scratch| {
            network.jacobian_into(self.parameters, values, rows, passes, target, scratch);
        });
    }

    /// diag(factors)·J (factors: length n).
    #[must_use]
    pub fn with_scaled_rows(&self, factors: &[f64]) -> Self {
        let (samples, count) = (self.samples(), self.passes.count());
        let mut rows = self.rows.as_ref().clone();
        for j in 0..rows.ncols() {
            let passes = rows.col_as_slice_mut(j).chunks_exact_mut(samples.max(1));
            for (place, pass) in passes.enumerate() {
                let component = place / count;
                let factors = &factors[component * samples..][..samples];
                for (row, factor) in pass.iter_mut().zip(factors) {
                    *row *= factor;
                }
            }
        }
        Self {
            rows: Cow::Owned(rows),
            ..*self
        }
    }

    /// S·J, a network's J as well: its rows are combined before they go through the network.
    #[must_use]
    pub fn with_combined_rows(&self, sketch: &Sketch) -> Self {
        let rows = self.rows.as_ref().as_ref();
        Self {
            rows: Cow::Owned(sketch.combine(rows, self.passes.count())),
            ..*self
        }
    }

    /// What stands for the layers' blocks of Jᵀ·C·J by k probes (n × k), see
    /// [`Linearized::layer_moments`](super::Linearized::layer_moments).
    pub fn layer_moments(&self, probes: MatRef<'_, f64>) -> Vec<LayerMoments> {
        let all = self.activations.output().nrows();
        let mut cotangents = Mat::zeros(all * probes.ncols(), self.rows.ncols());
        for k in 0..probes.ncols() {
            let target = cotangents.as_mut().subrows_mut(k * all, all);
            let probe = (column(probes, k), self.samples());
            rows_transposed_times(self.rows.as_ref().as_ref(), probe, target);
        }
        self.with_own_scratch(|scratch| {
            let (values, rows) = (self.activations, cotangents.as_ref());
            self.network
                .moments(self.parameters, values, rows, self.passes, scratch)
        })
    }

    /// b.
    fn samples(&self) -> usize {
        self.passes.samples(self.activations.output().nrows())
    }

    /// Calls `visit` for the layers with parameters, from the last to the first, with the rows at their
    /// outputs.
    fn each_layer(&self, visit: impl FnMut(LayerRows<'_>, &mut Scratch)) {
        // Numbers of all rows up to which their memory is kept for the next update (32 MiB): more would
        // lie idle beside what a decomposition needs.
        const KEPT: usize = 1 << 22;
        let rows = self.rows.as_ref().as_ref();
        let pass = |scratch: &mut Scratch| {
            self.network
                .backward(self.parameters, self.activations, rows, scratch, visit);
        };
        match self.rows.nrows() * self.network.total_width() <= KEPT {
            true => self.with_own_scratch(pass),
            false => pass(&mut Scratch::new()),
        }
    }

    /// How many rows of J with so many columns are held at a time.
    pub(super) fn rows_at_a_time(columns: usize) -> usize {
        // Numbers (64 MiB), unless one row has more; and as few of them as fit into a cache (4 MiB) where that is
        // still enough rows for a product of matrices.
        const HELD: usize = 1 << 23;
        const CACHED: usize = 1 << 19;
        const ENOUGH: usize = 256;
        let columns = columns.max(1);
        (CACHED / columns).max(ENOUGH).min(HELD / columns).max(1)
    }

    /// Calls `visit` with blocks of rows of J until every row was there once, in a fixed order.
    ///
    /// A block has some components of some samples: the rows of a sample share its passage through
    /// the network, so that a block takes all components where they fit.
    fn each_rows(&self, mut visit: impl FnMut(MatRef<'_, f64>)) {
        let samples = self.samples();
        let components = self.rows() / samples.max(1);
        let most = Self::rows_at_a_time(self.parameters.len());
        if most >= samples * components {
            visit(self.formed().as_ref());
            return;
        }
        let of_samples = (most / components).clamp(1, samples);
        let of_components = (most / of_samples).clamp(1, components);
        for first in (0..samples).step_by(of_samples) {
            let count = of_samples.min(samples - first);
            let values = self.activations.samples(first..first + count, self.passes);
            for component in (0..components).step_by(of_components) {
                let last = components.min(component + of_components);
                let rows = self.rows_of(first, count, component..last);
                let block =
                    self.network
                        .jacobian(self.parameters, &values, rows.as_ref(), self.passes);
                visit(block.as_ref());
            }
        }
    }

    /// The rows of some components of `count` samples, stacked as those of a batch.
    fn rows_of(&self, first: usize, count: usize, components: Range<usize>) -> Mat<f64> {
        let passes = self.passes.count();
        let mut rows = Mat::zeros(components.len() * passes * count, self.rows.ncols());
        let blocks = components.flat_map(|component| {
            (0..passes).map(move |pass| (component * passes + pass) * self.samples())
        });
        for (i, block) in blocks.enumerate() {
            let from = self.rows.get(block + first.., ..).subrows(0, count);
            rows.as_mut().subrows_mut(i * count, count).copy_from(from);
        }
        rows
    }
}

/// The questions of [`Jacobian`] to a batch with a cotangent, parameters and a Jacobian of its own, such as a [`NetworkJacobian`].
macro_rules! by_network_jacobian {
    () => {
        fn rows(&self) -> usize {
            self.cotangent.len()
        }
        fn columns(&self) -> usize {
            self.parameters.len()
        }
        fn vjp_into(&self, w: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
            self.jacobian()?.vjp_into(w, target, scratch)
        }
        fn jvp_into(&self, v: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
            self.jacobian()?.jvp_into(v, target, scratch)
        }
        fn vjp(&self, w: &[f64]) -> Result<Vec<f64>> {
            self.jacobian()?.vjp(w)
        }
        fn jvp(&self, v: &[f64]) -> Result<Vec<f64>> {
            self.jacobian()?.jvp(v)
        }
        fn gram(&self) -> Result<Symmetric> {
            self.jacobian()?.gram()
        }
        fn image_gram(&self, w: MatRef<'_, f64>) -> Result<Symmetric> {
            self.jacobian()?.image_gram(w)
        }
        fn normal(&self) -> Result<Symmetric> {
            self.jacobian()?.normal()
        }
        fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Result<Symmetric> {
            self.jacobian()?.normal_image_gram(v)
        }
        fn transposed(&self) -> Result<Mat<f64>> {
            self.jacobian()?.transposed()
        }
        fn scaled_rows<'s>(&'s self, factors: &[f64]) -> Result<Box<dyn Jacobian + 's>> {
            Ok(Box::new(self.jacobian()?.with_scaled_rows(factors)))
        }
    };
}

pub(super) use by_network_jacobian;

impl Jacobian for NetworkJacobian<'_> {
    fn rows(&self) -> usize {
        self.rows.nrows() / self.passes.count()
    }

    fn columns(&self) -> usize {
        self.parameters.len()
    }

    fn vjp_into(&self, w: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        let mut cotangent = scratch.take(self.activations.output().nrows(), self.rows.ncols());
        let w = (w, self.samples());
        rows_transposed_times(self.rows.as_ref().as_ref(), w, cotangent.as_mut());
        let gradient = MatMut::from_column_major_slice_mut(target, self.columns(), 1);
        self.network.gradients_into(
            self.parameters,
            self.activations,
            cotangent.as_ref(),
            self.passes,
            gradient,
            scratch,
        );
        scratch.give(cotangent);
        Ok(())
    }

    fn jvp_into(&self, v: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        let mut tangent = scratch.take(self.activations.output().nrows(), self.rows.ncols());
        let into = tangent.as_mut();
        self.network.tangents_into(
            self.parameters,
            self.activations,
            v,
            self.passes,
            into,
            scratch,
        );
        let target = (target, self.samples());
        rows_times(self.rows.as_ref().as_ref(), tangent.as_ref(), target);
        scratch.give(tangent);
        Ok(())
    }

    fn vjp(&self, w: &[f64]) -> Result<Vec<f64>> {
        let mut product = vec![0.0; self.columns()];
        self.with_own_scratch(|scratch| self.vjp_into(w, &mut product, scratch))?;
        Ok(product)
    }

    fn jvp(&self, v: &[f64]) -> Result<Vec<f64>> {
        let mut product = vec![0.0; self.rows()];
        self.with_own_scratch(|scratch| self.jvp_into(v, &mut product, scratch))?;
        Ok(product)
    }

    fn gram(&self) -> Result<Symmetric> {
        let mut sum = Symmetric::zeros(self.rows());
        self.each_layer(|layer, scratch| layer.add_gram(&mut sum, self.passes, scratch));
        Ok(sum)
    }

    fn image_gram(&self, w: MatRef<'_, f64>) -> Result<Symmetric> {
        let mut sum = Symmetric::zeros(w.ncols());
        self.each_layer(|layer, scratch| {
            layer.images(w, self.passes, scratch, |images| {
                sum.add(images.transpose());
            });
        });
        Ok(sum)
    }

    fn normal(&self) -> Result<Symmetric> {
        let mut sum = Symmetric::zeros(self.columns());
        self.each_rows(|rows| sum.add(rows.transpose()));
        Ok(sum)
    }

    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Result<Symmetric> {
        let mut sum = Symmetric::zeros(v.ncols());
        self.each_rows(|rows| sum.add(product_in_blocks(rows, v).transpose()));
        Ok(sum)
    }

    fn transposed(&self) -> Result<Mat<f64>> {
        let rows = self.rows.as_ref().as_ref();
        let network = self.network;
        Ok(network.transposed_jacobian(self.parameters, self.activations, rows, self.passes))
    }

    fn scaled_rows<'s>(&'s self, factors: &[f64]) -> Result<Box<dyn Jacobian + 's>> {
        Ok(Box::new(self.with_scaled_rows(factors)))
    }

    fn combined_rows<'s>(&'s self, sketch: &Sketch) -> Result<Box<dyn Jacobian + 's>> {
        Ok(Box::new(self.with_combined_rows(sketch)))
    }
}
