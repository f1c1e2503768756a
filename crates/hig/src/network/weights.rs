//! Weights to and from safetensors files, named as PyTorch names them.

use super::Network;
use crate::error::Result;
use crate::files::{Precision, Tensors};
use std::path::Path;

impl Network {
    /// Reads parameters from a safetensors file with `layers.{i}.weight` (out × in) and
    /// `layers.{i}.bias` for each dense layer i, in f64 or f32.
    ///
    /// # Errors
    /// Unreadable file; a tensor that is missing, unexpected, of the wrong shape or not finite.
    pub fn load_parameters(&self, path: &Path) -> Result<Vec<f64>> {
        self.parameters_from(&Tensors::load(path)?)
    }

    /// The parameters in tensors that are named as in the file of
    /// [`load_parameters`](Self::load_parameters).
    ///
    /// # Errors
    /// A tensor that is missing, unexpected, of the wrong shape or not finite.
    pub fn parameters_from(&self, tensors: &Tensors) -> Result<Vec<f64>> {
        let views = self.views();
        if let Some(extra) = tensors
            .names()
            .find(|name| views.iter().all(|view| view.name != *name))
        {
            let expected: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
            return Err(tensors.error(format!(
                "tensor `{extra}` is not part of this network; expected {}",
                expected.join(", ")
            )));
        }
        let mut parameters = vec![0.0; self.parameter_count()];
        for view in views {
            let tensor = tensors.get(&view.name)?;
            if tensor.shape != view.shape {
                return Err(tensors.error(format!(
                    "tensor `{}` has shape {:?}, expected {:?}",
                    view.name, tensor.shape, view.shape
                )));
            }
            if let Some(i) = tensor.values.iter().position(|v| !v.is_finite()) {
                return Err(tensors.error(format!(
                    "tensor `{}` is {} at flat index {i}: every weight must be finite",
                    view.name, tensor.values[i]
                )));
            }
            parameters[view.range].copy_from_slice(&tensor.values);
        }
        Ok(parameters)
    }

    /// Writes parameters so that [`load_parameters`](Self::load_parameters) reads the same bits.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save_parameters(&self, parameters: &[f64], path: &Path) -> Result<()> {
        self.save_parameters_as(parameters, path, Precision::Double)
    }

    /// Writes parameters in the given precision.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save_parameters_as(
        &self,
        parameters: &[f64],
        path: &Path,
        precision: Precision,
    ) -> Result<()> {
        self.tensors_of(parameters).save_as(path, precision)
    }

    /// Parameters as [`parameters_from`](Self::parameters_from) reads them.
    pub fn tensors_of(&self, parameters: &[f64]) -> Tensors {
        let mut tensors = Tensors::default();
        for view in self.views() {
            tensors.insert(&view.name, view.shape, parameters[view.range].to_vec());
        }
        tensors
    }
}
