//! Networks by their architecture.

use crate::errors::{guarded, raise};
use hig::network::{Activation, Boundary, Grid, Initializer, Network as Layers, Unknown};
use hig::{Error, Result};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::hash::{DefaultHasher, Hash, Hasher};

#[derive(Debug, Clone, PartialEq)]
enum Architecture {
    Mlp {
        widths: Vec<usize>,
    },
    ResNet {
        grid: Grid,
        channels: Vec<usize>,
        outputs: usize,
        boundary: Boundary,
    },
    UNet {
        grid: Grid,
        channels: Vec<usize>,
        outputs: usize,
        boundary: Boundary,
    },
}

/// What a network is built from; a problem builds one of its own.
#[pyclass(frozen, eq, module = "hig._hig")]
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    architecture: Architecture,
    activation: Activation,
    initializer: Initializer,
}

impl Network {
    /// The network itself.
    ///
    /// # Errors
    /// Layers that do not fit each other.
    pub fn build(&self) -> Result<Layers> {
        let (activation, initializer) = (self.activation, self.initializer);
        match self.architecture.clone() {
            Architecture::Mlp { widths } => Ok(Layers::mlp(&widths, activation, initializer)),
            Architecture::ResNet {
                grid,
                channels,
                outputs,
                boundary,
            } => Layers::resnet(grid, &channels, outputs, boundary, activation, initializer),
            Architecture::UNet {
                grid,
                channels,
                outputs,
                boundary,
            } => Layers::unet(grid, &channels, outputs, boundary, activation, initializer),
        }
    }

    /// The same with numbers that nobody knows beside it, where there are any.
    ///
    /// # Errors
    /// As [`build`](Self::build), and unknowns that do not fit.
    pub fn build_beside(&self, unknowns: Vec<Unknown>) -> Result<Layers> {
        match unknowns.is_empty() {
            true => self.build(),
            false => self.build()?.beside(unknowns),
        }
    }

    /// What it answers by, beside its parameters: a name and a value each.
    pub fn told(&self) -> [(&'static str, String); 2] {
        let on_grid = |name: &str, grid: &Grid, channels: &[usize], outputs: usize, edge| {
            let Grid {
                channels: inputs,
                height,
                width,
            } = grid;
            let edge = boundary_name(edge);
            format!(
                "{name} on {inputs} x {height} x {width} of channels {channels:?}, {outputs} outputs, {edge} boundary"
            )
        };
        let architecture = match &self.architecture {
            Architecture::Mlp { widths } => format!("mlp of widths {widths:?}"),
            Architecture::ResNet {
                grid,
                channels,
                outputs,
                boundary,
            } => on_grid("resnet", grid, channels, *outputs, *boundary),
            Architecture::UNet {
                grid,
                channels,
                outputs,
                boundary,
            } => on_grid("unet", grid, channels, *outputs, *boundary),
        };
        [
            ("network", architecture),
            ("activation", self.activation.to_string()),
        ]
    }

    fn new(architecture: Architecture, activation: &str, initializer: &str) -> Result<Self> {
        let network = Self {
            architecture,
            activation: activation.parse()?,
            initializer: initializer.parse()?,
        };
        let numbers = network.build()?.size();
        // Further on counts are whole numbers, and lengths of arrays.
        const MOST: f64 = (1_u64 << 53) as f64;
        match numbers <= MOST {
            true => Ok(network),
            false => Err(Error::setting(
                "network",
                format_args!("one of {numbers:.1e} parameters"),
                "smaller: no memory holds these",
            )),
        }
    }
}

fn boundary(name: &str) -> Result<Boundary> {
    match name {
        "zero" => Ok(Boundary::Zero),
        "periodic" => Ok(Boundary::Periodic),
        _ => Err(Error::unknown("boundary", name, ["zero", "periodic"])),
    }
}

fn boundary_name(boundary: Boundary) -> &'static str {
    match boundary {
        Boundary::Zero => "zero",
        Boundary::Periodic => "periodic",
    }
}

fn grid((channels, height, width): (usize, usize, usize)) -> Grid {
    Grid {
        channels,
        height,
        width,
    }
}

#[pymethods]
impl Network {
    /// A multilayer perceptron.
    #[staticmethod]
    fn mlp(widths: Vec<usize>, activation: &str, initializer: &str) -> PyResult<Self> {
        let make = || {
            if widths.len() < 2 || widths.contains(&0) {
                let found = format!("{widths:?}");
                let expected = "at least two widths, each at least 1";
                return Err(Error::setting("widths", found, expected));
            }
            Self::new(Architecture::Mlp { widths }, activation, initializer)
        };
        guarded(make)?.map_err(raise)
    }

    /// A residual network on a grid.
    #[staticmethod]
    fn resnet(
        shape: (usize, usize, usize),
        channels: Vec<usize>,
        outputs: usize,
        edge: &str,
        activation: &str,
        initializer: &str,
    ) -> PyResult<Self> {
        let make = || {
            let architecture = Architecture::ResNet {
                grid: grid(shape),
                channels,
                outputs,
                boundary: boundary(edge)?,
            };
            Self::new(architecture, activation, initializer)
        };
        guarded(make)?.map_err(raise)
    }

    /// A U-Net on a grid.
    #[staticmethod]
    fn unet(
        shape: (usize, usize, usize),
        channels: Vec<usize>,
        outputs: usize,
        edge: &str,
        activation: &str,
        initializer: &str,
    ) -> PyResult<Self> {
        let make = || {
            let architecture = Architecture::UNet {
                grid: grid(shape),
                channels,
                outputs,
                boundary: boundary(edge)?,
            };
            Self::new(architecture, activation, initializer)
        };
        guarded(make)?.map_err(raise)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        format!("{self:?}").hash(&mut hasher);
        hasher.finish()
    }

    /// Pickled and copied as the call of `hig.networks` that makes it.
    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (activation, initializer) = (self.activation.to_string(), self.initializer.to_string());
        let networks = py.import("hig.networks")?;
        let on_grid = |grid: &Grid, channels: &[usize], outputs: usize, edge: Boundary| {
            let shape = (grid.channels, grid.height, grid.width);
            let edge = boundary_name(edge);
            let given = (shape, channels, outputs, edge, &activation, &initializer);
            given.into_pyobject(py)
        };
        let (name, given) = match &self.architecture {
            Architecture::Mlp { widths } => (
                "mlp",
                (widths, &activation, &initializer).into_pyobject(py)?,
            ),
            Architecture::ResNet {
                grid,
                channels,
                outputs,
                boundary,
            } => ("resnet", on_grid(grid, channels, *outputs, *boundary)?),
            Architecture::UNet {
                grid,
                channels,
                outputs,
                boundary,
            } => ("unet", on_grid(grid, channels, *outputs, *boundary)?),
        };
        Ok((networks.getattr(name)?, given))
    }

    #[getter]
    fn inputs(&self) -> PyResult<usize> {
        self.build().map(|n| n.inputs()).map_err(raise)
    }

    #[getter]
    fn outputs(&self) -> PyResult<usize> {
        self.build().map(|n| n.outputs()).map_err(raise)
    }

    #[getter]
    fn parameter_count(&self) -> PyResult<usize> {
        self.build().map(|n| n.parameter_count()).map_err(raise)
    }
}
