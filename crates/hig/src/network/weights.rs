//! Parameters to and from safetensors files, named as PyTorch names them.

use super::{Network, ParameterView};
use crate::error::Result;
use crate::files::{Precision, Tensors};
use std::path::Path;

/// The flat vector of parameters in tensors that have the names and shapes of their arrays, such as
/// `layers.{i}.weight` (out × in) and `layers.{i}.bias` of a dense layer i, in f64 or f32.
///
/// # Errors
/// A tensor that is missing, unexpected, of the wrong shape or not finite.
pub fn parameters_from(views: &[ParameterView], tensors: &Tensors) -> Result<Vec<f64>> {
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
    let mut parameters = vec![0.0; views.last().map_or(0, |view| view.range.end)];
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
        parameters[view.range.clone()].copy_from_slice(&tensor.values);
    }
    Ok(parameters)
}

/// The tensors that [`parameters_from`] reads.
pub fn tensors_of(views: &[ParameterView], parameters: &[f64]) -> Tensors {
    let mut tensors = Tensors::default();
    for view in views {
        let values = parameters[view.range.clone()].to_vec();
        tensors.insert(&view.name, view.shape.clone(), values);
    }
    tensors
}

impl Network {
    /// Reads parameters from a safetensors file; see [`parameters_from`].
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
        parameters_from(&self.views(), tensors)
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
        tensors_of(&self.views(), parameters)
    }
}
