//! Scale-invariant physics training, SIP (Holl, Koltun, Thuerey 2022, arXiv 2109.15048).
//!
//! The physics is inverted sample by sample; the corrected controls become the targets of a proxy
//! L2 loss on the network's output, which Adam minimises (their section 3). The scale of the
//! physics thereby never reaches the network's gradient.

use super::adam::Moments;
use super::{Adam, Method, PhysicsStep, Step, ThroughParts, Update};
use crate::error::{Error, Result};
use crate::files::Exchange;
use crate::linalg::matrix::{self, Mat, check_finite_samples, power_of_two};
use crate::objective::{Consumes, Linearization, Linearized};
use crate::settings::{FRACTION, POSITIVE, Settings};
use faer::Par;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::svd;

crate::settings! {
    /// Scale-invariant physics: per-sample inverse physics, Adam on the network alone.
    pub struct ScaleInvariant {
        /// Learning rate η of Adam on the proxy loss.
        pub learning_rate: f64 = 1e-3, POSITIVE;
        /// Where the physics has no exact inverse: singular values of ∂y/∂u up to this fraction of the sample's largest are truncated.
        pub physics_cutoff: f64 = 1e-5, FRACTION;
    }
}

impl Method for ScaleInvariant {
    fn name(&self) -> &'static str {
        "sip"
    }

    fn about(&self) -> &'static str {
        "scale-invariant physics: inverse physics, then Adam (arXiv 2109.15048)"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn consumes(&self, _: usize, _: usize, _: usize) -> Consumes {
        Consumes::PhysicsRows
    }

    fn start_within(&self, _: usize) -> Result<Box<dyn Step>> {
        self.check()?;
        let step = Proxy {
            cutoff: self.physics_cutoff,
            adam: Moments::new(Adam::default()),
        };
        Ok(Box::new(ThroughParts {
            method: self.name(),
            step,
        }))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

struct Proxy {
    cutoff: f64,
    adam: Moments,
}

impl PhysicsStep for Proxy {
    fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.part("adam", |state| self.adam.exchange(state));
    }

    fn step(&mut self, at: &Linearization<'_>, learning_rate: f64) -> Result<Update> {
        // Gradient of the proxy ½·mean |u - u_corrected|² in u is -correction / samples.
        let mut cotangent = physics_correction(at, self.cutoff)?;
        let scale = -1.0 / cotangent.nrows() as f64;
        for j in 0..cotangent.ncols() {
            for v in cotangent.col_as_slice_mut(j) {
                *v *= scale;
            }
        }
        let network = &at.parts().network;
        let gradient = network.vjp(at.parameters(), at.activations(), cotangent.as_ref());
        Ok(Update {
            delta: self.adam.apply(gradient.col_as_slice(0), learning_rate)?,
            ..Update::default()
        })
    }
}

/// How far each sample's control should move for its y to reach the loss's optimum
/// (samples × control): by the system's exact inverse where it has one, otherwise by the
/// pseudo-inverse of ∂y/∂u truncated at `cutoff` times the sample's largest singular value.
///
/// # Errors
/// A singular value decomposition that fails, on numbers that are not finite; a simulator that fails.
pub fn physics_correction(at: &Linearization<'_>, cutoff: f64) -> Result<Mat<f64>> {
    let parts = at.parts();
    let wanted = parts
        .loss
        .newton(at.y().as_ref(), at.batch().target.as_ref());
    let goal = at.y() + &wanted;
    let (state, control) = (at.batch().state.as_ref(), at.control());
    let inverse = parts
        .physics
        .inverse(state, control.as_ref(), goal.as_ref())?;
    if let Some(inverse) = inverse {
        let what = format!("inverse of {}", parts.physics.name());
        check_finite_samples(&what, inverse.as_ref())?;
        return Ok(inverse - control);
    }
    let (samples, outputs) = (wanted.nrows(), wanted.ncols());
    let rows = at.physics_rows()?;
    let mut correction = Mat::zeros(samples, rows.ncols());
    let mut inverse = PseudoInverse::new(outputs, rows.ncols());
    for s in 0..samples {
        let jacobian = Mat::from_fn(outputs, rows.ncols(), |i, j| rows[(i * samples + s, j)]);
        let residual: Vec<f64> = (0..outputs).map(|i| wanted[(s, i)]).collect();
        for (j, du) in inverse
            .apply(&jacobian, &residual, cutoff)?
            .iter()
            .enumerate()
        {
            correction[(s, j)] = *du;
        }
    }
    Ok(correction)
}

/// Workspace for the truncated pseudo-inverses of many small matrices of one shape.
struct PseudoInverse {
    u: Mat<f64>,
    v: Mat<f64>,
    memory: MemBuffer,
}

impl PseudoInverse {
    fn new(rows: usize, columns: usize) -> Self {
        let size = rows.min(columns);
        let memory = MemBuffer::new(svd::svd_scratch::<f64>(
            rows,
            columns,
            svd::ComputeSvdVectors::Thin,
            svd::ComputeSvdVectors::Thin,
            Par::Seq,
            Default::default(),
        ));
        Self {
            u: Mat::zeros(rows, size),
            v: Mat::zeros(columns, size),
            memory,
        }
    }

    fn apply(&mut self, matrix: &Mat<f64>, vector: &[f64], cutoff: f64) -> Result<Vec<f64>> {
        let size = matrix.nrows().min(matrix.ncols());
        let failed = |reason: &str| Error::Decomposition {
            matrix: "physics Jacobian of a sample",
            size,
            reason: reason.into(),
        };
        if !matrix.is_all_finite() {
            let reason = "it is not finite; the controls may have left the range of the simulation";
            return Err(failed(reason));
        }
        // Far from 1 the squares inside the iteration would overflow or vanish.
        let scale = power_of_two(matrix.norm_max());
        let scaled = faer::Scale(1.0 / scale) * matrix;
        let mut sigma = faer::diag::Diag::zeros(size);
        svd::svd(
            scaled.as_ref(),
            sigma.as_mut(),
            Some(self.u.as_mut()),
            Some(self.v.as_mut()),
            Par::Seq,
            MemStack::new(&mut self.memory),
            Default::default(),
        )
        .map_err(|_| failed("the singular value iteration did not converge"))?;
        let mut coefficients = matrix::apply_transposed(self.u.as_ref(), vector);
        let largest = sigma[0];
        for (c, s) in coefficients.iter_mut().zip(sigma.column_vector().iter()) {
            *c = if *s > cutoff * largest {
                *c / s / scale
            } else {
                0.0
            };
        }
        Ok(matrix::apply(self.v.as_ref(), &coefficients))
    }
}
