//! How a method asks for its decomposition.

use super::{ANY_ROUTE, Decomposition, Filter, Route};
use crate::error::Result;
use crate::objective::{Consumes, Jacobian};
use crate::settings::POSITIVE;

crate::settings! {
    /// How a method that needs a spectrum has its Jacobian decomposed.
    pub struct DecompositionSettings {
        /// How the Jacobian is decomposed: auto, gram (n × n), normal (p × p normal equations), lanczos (no matrix) or svd.
        pub route: Route = Route::Auto, ANY_ROUTE;
        /// Relative accuracy asked of the step on the Gram routes.
        pub accuracy: f64 = 1e-3, POSITIVE;
        /// Estimated relative error of the step at which Lanczos stops.
        pub tolerance: f64 = 0.1, POSITIVE;
    }
}

impl DecompositionSettings {
    /// By a route, with the accuracy of the defaults.
    pub fn by(route: Route) -> Self {
        Self {
            route,
            ..Self::default()
        }
    }

    /// Whatever the route, a step of this relative accuracy.
    pub fn accurate(error: f64) -> Self {
        Self {
            accuracy: error,
            tolerance: error,
            ..Self::default()
        }
    }

    /// The same, where an update may hold `memory` numbers.
    pub fn request(&self, memory: usize) -> Request {
        Request {
            settings: self.clone(),
            memory,
        }
    }
}

/// A method's settings of route and accuracy, with the memory that its updates may take.
#[derive(Debug, Clone)]
pub struct Request {
    /// The route and the accuracy asked for.
    pub settings: DecompositionSettings,
    /// The numbers (f64) that an update may hold.
    pub memory: usize,
}

impl Request {
    /// The route taken for a filter and a Jacobian of n rows and p columns.
    pub fn route(&self, filter: &Filter, rows: usize, columns: usize) -> Route {
        let route = self.settings.route;
        route.resolve(filter, rows, columns, self.memory)
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
            Route::Lanczos => self.settings.tolerance,
            _ => self.settings.accuracy,
        };
        Decomposition::of(jacobian, g, filter, route, accuracy)
    }
}
