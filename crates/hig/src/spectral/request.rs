//! How a method asks for its decomposition.

use super::decomposition::Held;
use super::{ANY_COMBINATIONS, ANY_ROUTE, Combinations, Decomposition, Filter, Route};
use crate::data::{Purpose, random};
use crate::diagnostics;
use crate::error::Result;
use crate::files::Exchange;
use crate::objective::{Consumes, Jacobian, Linearized, Sketch, residual};
use crate::settings::{ANY_COUNT, POSITIVE};
use rand_pcg::Pcg64;

crate::settings! {
    /// How a method that needs a spectrum has its Jacobian decomposed.
    pub struct DecompositionSettings {
        /// How the Jacobian is decomposed: auto, gram (n × n), normal (p × p normal equations), lanczos (no matrix) or svd.
        pub route: Route = Route::Auto, ANY_ROUTE;
        /// Relative accuracy asked of the step on the Gram routes.
        pub accuracy: f64 = 1e-3, POSITIVE;
        /// Estimated relative error of the step at which Lanczos stops.
        pub tolerance: f64 = 0.1, POSITIVE;
        /// Lanczos vectors of a step at most, whatever its error is then; with a number, `auto` takes this route. 0 is up to 2048.
        pub vectors: usize = 0, ANY_COUNT;
        /// Random combinations of the rows of each sample that are decomposed in place of all of them, anew for every batch; 0 is all rows.
        pub sketch: Combinations = Combinations::Fixed(0), ANY_COMBINATIONS;
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
            random: random(0, Purpose::Sketch),
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
    /// Where combinations of rows come from.
    random: Pcg64,
}

impl Request {
    /// Draws the combinations to come from a seed; without it they are those of the seed 0.
    pub fn begin(&mut self, seed: u64) {
        self.random = random(seed, Purpose::Sketch);
    }

    /// Exchanges the random numbers to come, where there are any.
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        if self.settings.sketch != Combinations::Fixed(0) {
            state.serial("sketch", &mut self.random);
        }
    }

    /// The rows of J with g, of a batch: all, or combinations that are drawn for it.
    ///
    /// # Errors
    /// More combinations than a sample has rows, or rows that are not those of samples; a simulator that
    /// fails.
    pub fn rows<'a>(&mut self, at: &'a dyn Linearized) -> Result<Rows<'a>> {
        let g = at.cotangent();
        match self.sketch(at)? {
            None => Ok(Rows {
                jacobian: match self.takes_products(at) {
                    true => Held::Own(at.by_products(&vec![1.0; g.len()])?),
                    false => Held::Given(at),
                },
                residual: g.to_vec(),
                sketch: None,
            }),
            Some(sketch) => Ok(Rows {
                jacobian: Held::Own(at.combined_rows(&sketch)?),
                residual: sketch.apply(g),
                sketch: Some(sketch),
            }),
        }
    }

    /// The same of A = √C·J with r = g/√C, see [`whitened`](crate::objective::whitened).
    ///
    /// # Errors
    /// As [`rows`](Self::rows), and those of [`whitened`](crate::objective::whitened).
    pub fn whitened_rows<'a>(&mut self, at: &'a dyn Linearized) -> Result<Rows<'a>> {
        let sketch = self.sketch(at)?;
        let (roots, residual) = residual(at)?;
        let (jacobian, residual) = match &sketch {
            Some(sketch) => (
                at.combined_rows(&sketch.clone().weighted(&roots))?,
                sketch.apply(&residual),
            ),
            None if self.takes_products(at) => (at.by_products(&roots)?, residual),
            None => (at.scaled_rows(&roots)?, residual),
        };
        Ok(Rows {
            jacobian: Held::Own(jacobian),
            residual,
            sketch,
        })
    }

    fn sketch(&mut self, at: &dyn Linearized) -> Result<Option<Sketch>> {
        let (rows, samples) = (at.rows(), at.samples());
        let of_samples = samples.filter(|b| *b > 0 && rows.is_multiple_of(*b));
        let kept = match self.settings.sketch {
            Combinations::Fixed(kept) => kept,
            // Rows that are not those of samples are not combined.
            auto @ Combinations::Auto => of_samples.map_or(0, |b| auto.of(b, rows / b)),
        };
        match kept {
            0 => Ok(None),
            kept => Sketch::of_batch(rows, samples, kept, &mut self.random).map(Some),
        }
    }

    /// The route taken for a filter and a Jacobian of n rows and p columns.
    pub fn route(&self, filter: &Filter, rows: usize, columns: usize) -> Route {
        let route = match self.settings.route {
            Route::Auto if self.settings.vectors > 0 => Route::Lanczos,
            route => route,
        };
        route.resolve(filter, rows, columns, self.memory)
    }

    /// What it asks of a linearization.
    pub fn consumes(&self, filter: &Filter, rows: usize, columns: usize) -> Consumes {
        match self.route(filter, rows, columns).consumes() {
            Consumes::Products { .. } => Consumes::Products {
                vectors: self.vectors(),
            },
            others => others,
        }
    }

    /// The most vectors of a Krylov space.
    fn vectors(&self) -> usize {
        match self.settings.vectors {
            0 => Consumes::VECTORS,
            vectors => vectors,
        }
    }

    /// Whether a batch's J is asked for few products, which are cheaper than its rows.
    fn takes_products(&self, at: &dyn Linearized) -> bool {
        let lanczos = match self.settings.route {
            Route::Auto => self.settings.vectors > 0,
            route => route == Route::Lanczos,
        };
        let components = at.rows() / at.samples().unwrap_or(1).max(1);
        lanczos && few_vectors(self.vectors(), components)
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
        Decomposition::within(self.vectors(), jacobian, g, filter, route, accuracy)
    }
}

/// Whether so many products with J and its transpose cost less than the rows of a sample of so many
/// components, one adjoint simulation each.
pub(crate) fn few_vectors(vectors: usize, components: usize) -> bool {
    vectors.saturating_mul(2) < components
}

/// The rows that a step decomposes.
pub struct Rows<'a> {
    jacobian: Held<'a>,
    /// g or r, of these rows.
    pub residual: Vec<f64>,
    sketch: Option<Sketch>,
}

impl Rows<'_> {
    /// J of these rows.
    pub fn jacobian(&self) -> &dyn Jacobian {
        self.jacobian.get()
    }

    /// Whether they are combinations of others.
    pub fn are_sketched(&self) -> bool {
        self.sketch.is_some()
    }

    /// What they are of n numbers, one for each row of the batch.
    pub fn of_all(&self, numbers: Vec<f64>) -> Vec<f64> {
        match &self.sketch {
            Some(sketch) => sketch.apply(&numbers),
            None => numbers,
        }
    }

    /// What is worth telling of combinations: how many there are.
    pub fn diagnostics(&self) -> Option<(&'static str, f64)> {
        let sketch = self.sketch.as_ref()?;
        Some(diagnostics::ROWS.of(sketch.rows() as f64))
    }
}
