//! J of a network with a simulator behind it, by products alone.

use super::{Jacobian, Linearization, Linearized, Sketch};
use crate::error::Result;
use crate::linalg::{Mat, MatRef, Scratch, Symmetric};
use crate::network::Activations;
use crate::physics::Record;

/// diag(factors)·J: a product is one with the network and one with the simulator, and the rows ∂y_i/∂u
/// never exist. What is no product is the business of the batch's own J.
pub(super) struct ByProducts<'a> {
    of: &'a Linearization<'a>,
    record: &'a dyn Record,
    /// Length n.
    factors: Vec<f64>,
}

impl<'a> ByProducts<'a> {
    pub(super) fn new(of: &'a Linearization<'a>, record: &'a dyn Record, factors: &[f64]) -> Self {
        Self {
            of,
            record,
            factors: factors.to_vec(),
        }
    }

    fn activations(&self) -> &Activations {
        self.of.activations()
    }

    fn by_rows(&self) -> Result<Box<dyn Jacobian + '_>> {
        self.of.scaled_rows(&self.factors)
    }
}

impl Jacobian for ByProducts<'_> {
    fn rows(&self) -> usize {
        self.of.rows()
    }

    fn columns(&self) -> usize {
        self.of.columns()
    }

    fn vjp_into(&self, w: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        let (samples, width) = (self.of.y().nrows(), self.of.y().ncols());
        let weighted: Vec<f64> = w.iter().zip(&self.factors).map(|(w, f)| w * f).collect();
        let cotangent = MatRef::from_column_major_slice(&weighted, samples, width);
        let du = self.record.vjp(cotangent)?;
        let (network, at) = (&self.of.parts().network, self.of.parameters());
        network.vjp_into(at, self.activations(), du.as_ref(), target, scratch);
        Ok(())
    }

    fn jvp_into(&self, v: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        let control = self.of.control();
        let mut tangent = scratch.take(control.nrows(), control.ncols());
        let (network, at) = (&self.of.parts().network, self.of.parameters());
        network.jvp_into(at, self.activations(), v, tangent.as_mut(), scratch);
        let dy = self.record.jvp(tangent.as_ref())?;
        scratch.give(tangent);
        let values = (0..dy.ncols()).flat_map(|j| dy.col_as_slice(j));
        for ((t, v), f) in target.iter_mut().zip(values).zip(&self.factors) {
            *t = v * f;
        }
        Ok(())
    }

    fn gram(&self) -> Result<Symmetric> {
        self.by_rows()?.gram()
    }

    fn image_gram(&self, w: MatRef<'_, f64>) -> Result<Symmetric> {
        self.by_rows()?.image_gram(w)
    }

    fn normal(&self) -> Result<Symmetric> {
        self.by_rows()?.normal()
    }

    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Result<Symmetric> {
        self.by_rows()?.normal_image_gram(v)
    }

    fn transposed(&self) -> Result<Mat<f64>> {
        self.by_rows()?.transposed()
    }

    fn scaled_rows<'s>(&'s self, factors: &[f64]) -> Result<Box<dyn Jacobian + 's>> {
        let both = self.factors.iter().zip(factors).map(|(a, b)| a * b);
        let both: Vec<f64> = both.collect();
        Ok(Box::new(ByProducts::new(self.of, self.record, &both)))
    }

    fn combined_rows<'s>(&'s self, sketch: &Sketch) -> Result<Box<dyn Jacobian + 's>> {
        self.of
            .combined_rows(&sketch.clone().weighted(&self.factors))
    }
}
