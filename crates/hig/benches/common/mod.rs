//! What is measured, and for how long; shared by the benchmarks and the examples that measure.
#![allow(dead_code, reason = "each program uses its own part")]

use hig::linalg::{Mat, MatRef, Scratch, Symmetric};
use hig::objective::{Jacobian, Linearized, ThroughPhysics};
use hig::settings::Settings;
use hig::spectral::{Decomposition, Filter, Route};
use hig::step::{Method, Spectral, Update};
use hig::systems::{Poisson, System, system};
use hig::trainer::compute;
use hig::{Dataset, Linearization, Problem, Result};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// One update of a problem: everything that it starts from.
pub struct Case {
    pub problem: Problem,
    pub batch: Dataset,
    pub parameters: Vec<f64>,
    pub method: Spectral,
}

impl Case {
    /// HIG on a system, with the batch and the settings of the system's own comparison.
    pub fn of_system(name: &str) -> Self {
        let system = system(name).expect("a registered system");
        Self::new(system.as_ref(), |batch| (0..batch).collect())
    }

    /// The Poisson problem with given hidden layers, for as many samples as asked for: `distinct`
    /// ones, over and over again.
    ///
    /// Samples that come again change neither the Krylov space of g nor what a filter does in it:
    /// however large the batch, an update without matrices takes the same number of vectors.
    pub fn poisson(hidden: &[usize], samples: usize, distinct: usize) -> Self {
        let poisson = Poisson {
            hidden: hidden.to_vec(),
            samples: distinct,
            test_samples: 1,
            ..Poisson::default()
        };
        Self::new(&poisson, |_| (0..samples).map(|i| i % distinct).collect())
    }

    /// With the samples that `select` takes for the batch of the comparison.
    fn new(system: &dyn System, select: impl Fn(usize) -> Vec<usize>) -> Self {
        let comparison = system.comparison();
        let found = comparison.into_iter().find(|(method, _)| *method == "hig");
        let (_, settings) = found.expect("every system is compared with HIG");
        let (mut method, mut batch) = (Spectral::half_inverse(), 0);
        for (name, value) in settings {
            if name == "batch" {
                batch = value.parse().expect("a count");
            } else if method.has(name) {
                method.set(name, value).expect("a setting of a comparison");
            }
        }
        let problem = system.problem(0);
        Self {
            batch: problem.train.select(&select(batch)),
            parameters: problem.initial_parameters(0),
            problem,
            method,
        }
    }

    /// The same by another route.
    pub fn by(mut self, route: Route) -> Self {
        self.method.decomposition.route = route;
        self
    }

    pub fn parts(&self) -> &ThroughPhysics {
        let parts = self.problem.through_physics();
        parts.expect("a network and physics")
    }

    /// Forward pass and simulation.
    pub fn at(&self) -> Linearization<'_> {
        done(Linearization::new(
            self.parts(),
            &self.batch,
            &self.parameters,
        ))
    }

    /// The batch linearised, whatever the objective.
    pub fn linearized(&self) -> Box<dyn Linearized + '_> {
        done((self.problem.objective).linearize(&self.batch, &self.parameters))
    }

    /// The same with the physics rows already there.
    pub fn at_with_rows(&self) -> Linearization<'_> {
        let at = self.at();
        done(at.physics_rows());
        at
    }

    /// The smaller of K and JᵀJ, which the exact route decomposes.
    pub fn condensed(&self, at: &Linearization<'_>) -> Symmetric {
        done(match at.rows() <= at.columns() {
            true => at.gram(),
            false => at.normal(),
        })
    }

    pub fn filter(&self) -> Filter {
        self.method.filter()
    }

    /// A whole update: forward pass, simulation and step.
    pub fn update(&self) -> Update {
        let mut step = self.method.start().expect("settings within their ranges");
        let (objective, rate) = (self.problem.objective.as_ref(), self.method.learning_rate());
        let computed = compute(
            objective,
            &self.batch,
            &self.parameters,
            step.as_mut(),
            rate,
        );
        let computed = computed.expect("a finite matrix");
        computed.change.expect("a finite loss")
    }
}

/// The answer of a system, none of which fails.
pub fn done<T>(answer: Result<T>) -> T {
    answer.expect("no registered system fails")
}

/// A Jacobian whose smaller matrix, K or JᵀJ, is already there. Where that is K
/// the backward pass that ends a step is left out: it is a stage of its own.
pub struct Condensed<'a> {
    jacobian: &'a dyn Jacobian,
    matrix: Symmetric,
    deflated: AtomicUsize,
}

impl<'a> Condensed<'a> {
    pub fn new(jacobian: &'a dyn Jacobian, matrix: Symmetric) -> Self {
        Self {
            jacobian,
            matrix,
            deflated: AtomicUsize::new(0),
        }
    }

    /// The decomposition alone.
    pub fn decompose(&self, g: &[f64], filter: &Filter, accuracy: f64) -> Decomposition<'_> {
        let route = match self.rows() <= self.columns() {
            true => Route::Gram,
            false => Route::Normal,
        };
        Decomposition::of(self, g, filter, route, accuracy).expect("a finite matrix")
    }

    /// f(K)·g, from K on.
    pub fn solve(&self, g: &[f64], filter: &Filter, accuracy: f64) -> Vec<f64> {
        done(self.decompose(g, filter, accuracy).direction(filter))
    }

    /// How many directions were resolved again.
    pub fn deflated(&self) -> usize {
        self.deflated.load(Ordering::Relaxed)
    }
}

impl Jacobian for Condensed<'_> {
    fn rows(&self) -> usize {
        self.jacobian.rows()
    }
    fn columns(&self) -> usize {
        self.jacobian.columns()
    }
    /// Where K is there, w itself: a vector of another length than a backward pass would give.
    fn vjp(&self, w: &[f64]) -> Result<Vec<f64>> {
        match self.rows() <= self.columns() {
            true => Ok(w.to_vec()),
            false => self.jacobian.vjp(w),
        }
    }
    fn vjp_into(&self, w: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        self.jacobian.vjp_into(w, target, scratch)
    }
    fn jvp_into(&self, v: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        self.jacobian.jvp_into(v, target, scratch)
    }
    fn gram(&self) -> Result<Symmetric> {
        Ok(self.matrix.clone())
    }
    fn image_gram(&self, w: MatRef<'_, f64>) -> Result<Symmetric> {
        self.deflated.fetch_add(w.ncols(), Ordering::Relaxed);
        self.jacobian.image_gram(w)
    }
    fn normal(&self) -> Result<Symmetric> {
        Ok(self.matrix.clone())
    }
    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Result<Symmetric> {
        self.deflated.fetch_add(v.ncols(), Ordering::Relaxed);
        self.jacobian.normal_image_gram(v)
    }
    fn transposed(&self) -> Result<Mat<f64>> {
        self.jacobian.transposed()
    }
    fn scaled_rows<'s>(&'s self, factors: &[f64]) -> Result<Box<dyn Jacobian + 's>> {
        self.jacobian.scaled_rows(factors)
    }
}

/// Median seconds of `work`, over half a second or two runs, whichever is longer, after a run that
/// does not count.
pub fn seconds<O>(mut work: impl FnMut() -> O) -> f64 {
    seconds_on(|| (), |()| work())
}

/// The same on fresh input, the making of which does not count.
pub fn seconds_on<I, O>(mut input: impl FnMut() -> I, mut work: impl FnMut(I) -> O) -> f64 {
    const LONG_ENOUGH: Duration = Duration::from_millis(500);
    const MOST: usize = 200;
    let mut run = || {
        let input = std::hint::black_box(input());
        let start = Instant::now();
        let output = std::hint::black_box(work(input));
        let time = start.elapsed();
        drop(output);
        time
    };
    let warm = run();
    let mut times = Vec::new();
    let mut all = Duration::ZERO;
    // What takes seconds is warm from its own beginning.
    if warm > 2 * LONG_ENOUGH {
        times.push(warm);
        all = warm;
    }
    while times.len() < 2 || (all < LONG_ENOUGH && times.len() < MOST) {
        let time = run();
        times.push(time);
        all += time;
    }
    times.sort_unstable();
    let half = times.len() / 2;
    match times.len() % 2 {
        1 => times[half].as_secs_f64(),
        _ => 0.5 * (times[half - 1] + times[half]).as_secs_f64(),
    }
}

/// What the numbers below it belong to: the command, and how many threads it had.
pub fn headline(example: &str) {
    println!("`cargo run --release -p hig --example {example}`");
    println!(
        "({} threads, hig {})\n",
        rayon::current_num_threads(),
        env!("CARGO_PKG_VERSION")
    );
}
