//! How a method asks for its decomposition.

use super::Filter;
use super::{Decomposition, Route};
use crate::error::Result;
use crate::objective::{Consumes, Jacobian};

/// A method's settings of route and accuracy, with the memory that its updates may take.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// The route asked for.
    pub route: Route,
    /// Relative accuracy asked of a step on the Gram routes.
    pub accuracy: f64,
    /// Estimated relative error of a step at which Lanczos stops.
    pub tolerance: f64,
    /// The numbers (f64) that an update may hold.
    pub memory: usize,
}

impl Request {
    /// A method's settings, where an update may hold `memory` numbers.
    pub fn new(route: Route, accuracy: f64, tolerance: f64, memory: usize) -> Self {
        Self {
            route,
            accuracy,
            tolerance,
            memory,
        }
    }

    /// The route taken for a filter and a Jacobian of n rows and p columns.
    pub fn route(&self, filter: &Filter, rows: usize, columns: usize) -> Route {
        self.route.resolve(filter, rows, columns, self.memory)
    }

    /// What it asks of a linearization.
    pub fn consumes(&self, filter: &Filter, rows: usize, columns: usize) -> Consumes {
        self.route(filter, rows, columns).consumes()
    }

    /// Decomposes J for a given g (length n), as deep as a filter needs it.
    ///
    /// # Errors
    /// As [`Decomposition::of`].
    pub fn decompose<'j>(
        &self,
        jacobian: &'j dyn Jacobian,
        g: &[f64],
        filter: &Filter,
    ) -> Result<Decomposition<'j>> {
        let route = self.route(filter, jacobian.rows(), jacobian.columns());
        let accuracy = match route {
            Route::Lanczos => self.tolerance,
            _ => self.accuracy,
        };
        Decomposition::of(jacobian, g, filter, route, accuracy)
    }
}
