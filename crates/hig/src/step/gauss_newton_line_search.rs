//! Gauss-Newton with a backtracking line search (Nocedal and Wright 2006, "Numerical Optimization",
//! algorithm 3.1 and section 10.3).
//!
//! With A = √C·J and r = g/√C (see [`whitened`](crate::objective::whitened)) the direction is d = A⁺·r,
//! truncated; Δθ = -t·d with the first t of η, η/2, η/4, … that lowers the batch's loss enough. The
//! default cut-off is a compromise of short trials on all systems of this crate: below it a step that
//! fits its own batch of nonlinear oscillators can leave the next one without a finite loss.

use super::geodesic::Geodesic;
use super::line_search::backtrack;
use super::{Method, Step, Update, finite_gradient};
use crate::diagnostics::{ACCELERATION, STEP_LENGTH};
use crate::error::Result;
use crate::files::Exchange;
use crate::linalg::matrix::dot;
use crate::objective::{Consumes, Linearized, ParameterView};
use crate::settings::{ANY_COUNT, FLAG, FRACTION, GROUP, POSITIVE, Settings};
use crate::spectral::{Combinations, DecompositionSettings, Filter, Request, Solve};

crate::settings! {
    /// Gauss-Newton with a backtracking line search on the loss of the batch.
    pub struct GaussNewtonLineSearch {
        /// The first length η that is tried; 1 is the full step whatever the batch size.
        pub learning_rate: f64 = 1.0, POSITIVE;
        /// τ: singular values up to this fraction of the largest are truncated.
        pub cutoff: f64 = 5e-4, FRACTION;
        /// Halvings of the length on one batch before it is left with no update.
        pub halvings: usize = 20, ANY_COUNT;
        /// Whether steps follow the path to second order (geodesic acceleration).
        pub geodesic: bool = true, FLAG;
        /// How its Jacobian is decomposed.
        pub decomposition: DecompositionSettings = DecompositionSettings::default(), GROUP;
    }
}

impl Method for GaussNewtonLineSearch {
    fn name(&self) -> &'static str {
        "gn-line-search"
    }

    fn about(&self) -> &'static str {
        "Gauss-Newton with truncation and backtracking (Nocedal and Wright 2006)"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn consumes(&self, rows: usize, columns: usize, memory: usize) -> Consumes {
        let filter = Filter::truncated(1.0, self.cutoff);
        self.decomposition
            .request(memory)
            .consumes(&filter, rows, columns)
    }

    fn sketch(&self) -> Combinations {
        self.decomposition.sketch
    }

    fn start_within(&self, memory: usize) -> Result<Box<dyn Step>> {
        self.check()?;
        Ok(Box::new(Searching {
            filter: Filter::truncated(1.0, self.cutoff),
            halvings: self.halvings,
            geodesic: self.geodesic,
            request: self.decomposition.request(memory),
        }))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

struct Searching {
    filter: Filter,
    halvings: usize,
    geodesic: bool,
    request: Request,
}

impl Step for Searching {
    fn begin(&mut self, seed: u64, _: &[ParameterView]) {
        self.request.begin(seed);
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        self.request.exchange(state);
    }

    fn step(&mut self, at: &dyn Linearized, learning_rate: f64) -> Result<Update> {
        let gradient = finite_gradient(at)?;
        if gradient.iter().all(|g| *g == 0.0) {
            return Ok(Update::still(gradient.len()));
        }
        let rows = self.request.whitened_rows(at)?;
        let jacobian = rows.jacobian();
        let parts = self
            .request
            .decompose(jacobian, &rows.residual, &self.filter)?;
        let solve = Solve::filtered(&parts, &self.filter);
        let direction = solve.direction()?;
        let slope = dot(&gradient, &direction);
        let straight = direction.iter().map(|d| -d).collect();
        let path = match self.geodesic {
            true => Geodesic::of(at, &rows, &solve, 1.0, straight)?,
            false => Geodesic::straight(straight),
        };
        let found = backtrack(at.loss(), slope, learning_rate, self.halvings, |length| {
            at.loss_after(&path.change(length))
        })?;
        let length = found.unwrap_or(0.0);
        let mut diagnostics = parts.diagnostics(&self.filter);
        diagnostics.extend(rows.diagnostics());
        diagnostics.push(STEP_LENGTH.of(length));
        diagnostics.push(ACCELERATION.of(length * path.ratio()));
        Ok(Update {
            delta: found.map_or_else(|| vec![0.0; gradient.len()], |length| path.change(length)),
            diagnostics,
            spectrum: parts.into_singular_values(),
        })
    }
}
