//! A solver in the loop for the wake of an obstacle (Um et al. 2020, arXiv 2007.00016, and Physics-based Deep
//! Learning, arXiv 2109.05237, the chapter on reducing numerical errors): before the last pressure solve of every
//! step of a coarse solver a network of convolutions adds what the step lacks of a finer one.
//!
//! Domain, obstacle, stream, residual network, unrolled steps and the measure are the sources'. Their solver is
//! semi-Lagrangian at Reynolds numbers so high that its own viscosity alone counts; here momentum is conserved
//! by a solver of second order at the Reynolds numbers of a laminar wake, on half the cells and at larger steps.
//! The reference has the obstacle of the coarse grid, so that it can be met exactly. The network sees the state
//! before the solver's step, of which that after it is a function.

use super::corrected::Rollouts;
use super::picture::Field;
use super::recommended::sketched;
use super::{Compared, LayerSettings, Picture, System, size};
use crate::data::{Dataset, Purpose, random};
use crate::error::{Error, Result};
use crate::linalg::matrix::Mat;
use crate::loss::SquaredError;
use crate::network::{Boundary, Grid, Network};
use crate::objective::ClosedLoop;
use crate::physics::{ChannelFlow, Picked, Source, Stepwise};
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, FRACTION, GROUP, POSITIVE, Settings, WIDTHS};
use crate::trainer::Budget;
use rand::RngExt;

crate::settings! {
    /// Corrections that make a coarse solver of the flow around an obstacle as good as a fine one.
    pub struct WakeFlowCorrection {
        /// Cells across the channel, of width 100; there are twice as many along it.
        pub grid: usize = 16, AT_LEAST_ONE;
        /// How many times finer the reference is in space and in time.
        pub finer: usize = 4, AT_LEAST_ONE;
        /// Length of a time step of the coarse solver, in which a stream of speed 1 comes as far.
        pub dt: f64 = 3.0, POSITIVE;
        /// Part of the upwind side in what both solvers carry: 0 is of second order, 1 of first.
        pub upwind: f64 = 0.1, FRACTION;
        /// Least Reynolds number of a simulation, by the width 20 of the obstacle.
        pub least_reynolds: f64 = 100.0, POSITIVE;
        /// Largest Reynolds number.
        pub largest_reynolds: f64 = 200.0, POSITIVE;
        /// Time steps until a simulation is recorded.
        pub spin_up: usize = 150, AT_LEAST_ONE;
        /// Time steps that are unrolled in training.
        pub steps: usize = 4, AT_LEAST_ONE;
        /// Velocity that an output 1 of the network corrects by.
        pub correction: f64 = 0.03, POSITIVE;
        /// Simulations for training, and a quarter as many others for the test, at Reynolds numbers between theirs.
        pub simulations: usize = 4, AT_LEAST_ONE;
        /// Training samples: as many successive steps of each simulation as make them.
        pub samples: usize = 200, AT_LEAST_ONE;
        /// Test samples; the steps of a test simulation are those over which a trained network is judged.
        pub test_samples: usize = 100, AT_LEAST_ONE;
        /// Channels of each residual block.
        pub channels: Vec<usize> = vec![8], WIDTHS;
        /// Activation and initial weights.
        pub layers: LayerSettings = LayerSettings::default(), GROUP;
    }
}

/// Width of the channel, which is twice as long; radius of the obstacle, and its place along and across.
const WIDTH: f64 = 100.0;
const RADIUS: f64 = 10.0;
const PLACE: [f64; 2] = [50.0, 50.0];
/// How far a stream may come in a step, in cells.
const LONGEST: f64 = 0.6;
/// Bounds of what is held beside the samples: the decomposition for the pressure of the reference.
const LEAST_CELLS: usize = 8;
const MOST_CELLS: usize = 128;
const MOST_FINER: usize = 8;
const MOST_SIMULATIONS: usize = 64;
const MOST_SPIN_UP: usize = 100_000;
/// Steps of the reference before it is recorded, of those that it takes until then.
const SETTLING: usize = 20;
/// Speed of the disturbances that a wake begins with.
const DISTURBANCE: f64 = 0.5;

impl WakeFlowCorrection {
    fn spacing(&self) -> f64 {
        WIDTH / self.grid as f64
    }

    /// Columns and rows of the coarse grid.
    fn cells(&self) -> [usize; 2] {
        [self.grid.saturating_mul(2), self.grid]
    }

    fn area(&self) -> usize {
        self.grid.saturating_mul(self.grid).saturating_mul(2)
    }

    /// The solver on a grid so many times finer, with steps so many times smaller; a step is as long as that of
    /// the coarse one.
    fn solver(&self, steps: usize, finer: usize) -> ChannelFlow {
        let ([columns, rows], spacing) = (self.cells(), self.spacing());
        // That of the coarse cell.
        let centre = |place: f64| ((place / spacing).floor() + 0.5) * spacing;
        let solid = |x: f64, y: f64| (centre(x) - PLACE[0]).hypot(centre(y) - PLACE[1]) < RADIUS;
        let flow = ChannelFlow::new(finer * columns, finer * rows, spacing / finer as f64, solid);
        let flow = flow.expect("the fluid goes around the obstacle");
        flow.upwind(self.upwind).taking(steps, self.dt, finer)
    }

    /// The coarse solver over so many steps, with a correction in each.
    pub fn coarse(&self, steps: usize) -> ChannelFlow {
        self.solver(steps, 1).corrected(self.correction)
    }

    /// Network and solver over so many steps, with the states after all of them. The network sees both
    /// velocities and the viscosity, each as a channel.
    pub fn closed_loop(&self, steps: usize) -> ClosedLoop {
        let (n, d) = (self.area(), 2 * self.area() + 1);
        let weights = vec![1.0 / (2 * n * steps) as f64; d * steps];
        let loss = SquaredError::half()
            .weighted(weights)
            .expect("weights above 0");
        let network = self.network().expect("the settings were checked together");
        let thickest = self.viscosity(self.least_reynolds);
        let velocities = (0..2 * n).map(|place| (place, 1.0));
        let viscosity = (0..n).map(|_| (2 * n, 1.0 / thickest));
        let seen = velocities.chain(viscosity);
        let seen = seen.fold(Picked::new(1, d), |seen, (place, factor)| {
            seen.with(Source::Control(place), factor)
        });
        ClosedLoop::new(network, self.coarse(steps), loss)
            .seeing(seen)
            .after((1..=steps).collect())
            .expect("the steps rise")
    }

    fn viscosity(&self, reynolds: f64) -> f64 {
        2.0 * RADIUS / reynolds
    }

    /// Simulations for training or the test.
    fn simulations(&self, purpose: Purpose) -> usize {
        match purpose {
            Purpose::Test => self.simulations.div_ceil(4),
            _ => self.simulations,
        }
    }

    /// Evenly between the least and the largest, with both ends in training and none in the test.
    fn reynolds(&self, purpose: Purpose, count: usize) -> Vec<f64> {
        let between =
            |part: f64| self.least_reynolds + part * (self.largest_reynolds - self.least_reynolds);
        let part = |i: usize| match purpose {
            Purpose::Test => (i as f64 + 0.5) / count as f64,
            _ if count == 1 => 0.5,
            _ => i as f64 / (count - 1) as f64,
        };
        (0..count).map(|i| between(part(i))).collect()
    }

    /// The states of the reference as the coarse grid has them, after each of so many steps.
    fn reference(&self, seed: u64, purpose: Purpose, steps: usize) -> Vec<Mat<f64>> {
        // Until the wake sways, on a grid between the two.
        let divides = |coarser: &usize| self.finer.is_multiple_of(*coarser);
        let between = (1..=self.finer / 2).rev().find(divides).unwrap_or(1);
        let solver = self.solver(1, between);
        let mut state = self.disturbed(&solver, seed, purpose);
        state = advanced(&solver, state, self.spin_up.saturating_sub(SETTLING));
        let fine = self.solver(1, self.finer);
        let [columns, rows] = self.cells().map(|cells| cells * between);
        let mut state = refined(&state, [columns, rows], self.finer / between);
        state = advanced(&fine, state, SETTLING.min(self.spin_up));
        let mut states = vec![self.coarsened(&state)];
        for _ in 0..steps {
            state = advanced(&fine, state, 1);
            states.push(self.coarsened(&state));
        }
        states
    }

    /// Streams around the obstacle with a few vortices behind it.
    fn disturbed(&self, solver: &ChannelFlow, seed: u64, purpose: Purpose) -> Mat<f64> {
        const DISTURBANCES: usize = 3;
        let mut random = random(seed, purpose);
        let count = self.simulations(purpose);
        let mut state = solver.at_rest(count, 0.0);
        let (n, viscosity) = (solver.control_len() / 2, 2 * (solver.control_len() / 2));
        let columns = 2 * (n / 2).isqrt();
        let spacing = 2.0 * WIDTH / columns as f64;
        for (s, reynolds) in self.reynolds(purpose, count).into_iter().enumerate() {
            state[(s, viscosity)] = self.viscosity(reynolds);
            for _ in 0..DISTURBANCES {
                let mut within = |low: f64, high: f64| random.random_range(low..high);
                let along = PLACE[0] + within(1.5, 5.0) * RADIUS;
                let across = PLACE[1] + within(-1.0, 1.0) * RADIUS;
                let speed = within(-DISTURBANCE, DISTURBANCE);
                for cell in 0..n {
                    let x = ((cell % columns) as f64 + 0.5) * spacing - along;
                    let y = ((cell / columns) as f64 + 1.0) * spacing - across;
                    let distance = (x * x + y * y) / (RADIUS * RADIUS);
                    state[(s, n + cell)] += speed * (-distance).exp();
                }
            }
        }
        state
    }

    /// The velocities of a fine state at the faces of the coarse grid: means over the fine faces there, so that
    /// mass stays conserved.
    fn coarsened(&self, fine: &Mat<f64>) -> Mat<f64> {
        let ([columns, rows], finer) = (self.cells(), self.finer);
        let (n, fine_columns) = (columns * rows, finer * columns);
        let fine_n = n * finer * finer;
        Mat::from_fn(fine.nrows(), 2 * n + 1, |s, place| {
            if place == 2 * n {
                return fine[(s, 2 * fine_n)];
            }
            let (x, y) = (place % n % columns, place % n / columns);
            let last = finer - 1;
            let face = |i: usize| match place < n {
                true => (finer * y + i) * fine_columns + finer * x + last,
                false => fine_n + (finer * y + last) * fine_columns + finer * x + i,
            };
            (0..finer).map(|i| fine[(s, face(i))]).sum::<f64>() / finer as f64
        })
    }

    /// Successive steps of every simulation, those of one behind those of the other.
    fn data(&self, samples: usize, seed: u64, purpose: Purpose) -> Dataset {
        let simulations = self.simulations(purpose);
        let of_each = samples.div_ceil(simulations);
        let states = self.reference(seed, purpose, of_each - 1 + self.steps);
        let d = 2 * self.area() + 1;
        let at = |sample: usize| (sample / of_each, sample % of_each);
        Dataset {
            input: Mat::zeros(samples, 0),
            state: Mat::from_fn(samples, d, |s, i| states[at(s).1][(at(s).0, i)]),
            target: Mat::from_fn(samples, d * self.steps, |s, j| {
                states[at(s).1 + 1 + j / d][(at(s).0, j % d)]
            }),
        }
    }

    /// From the first sample of each test simulation to its end.
    fn rollouts(&self, parameters: &[f64], test: &Dataset, which: &[usize]) -> Result<Rollouts> {
        let of_each = test.len().div_ceil(self.simulations(Purpose::Test));
        let d = 2 * self.area() + 1;
        // The last simulation may have fewer samples than the others.
        let count = |i: usize| of_each.min(test.len().saturating_sub(i * of_each));
        let which: Vec<usize> = which.iter().copied().filter(|i| count(*i) > 0).collect();
        let shortest = which.iter().map(|i| count(*i)).min().unwrap_or(0);
        let horizon = (shortest + self.steps).saturating_sub(1);
        let first: Vec<usize> = which.iter().map(|i| i * of_each).collect();
        let start = test.select(&first);
        let known = |k: usize| {
            Mat::from_fn(first.len(), d, |s, j| match k < shortest {
                true => test.state[(first[s] + k, j)],
                false => {
                    let behind = k - shortest;
                    test.target[(first[s] + shortest - 1, behind * d + j)]
                }
            })
        };
        let alone = self.coarse(horizon);
        let mut states = vec![start.state.clone()];
        for k in 0..horizon {
            states.push(advanced(&alone, states[k].clone(), 1));
        }
        let corrected = self
            .closed_loop(horizon.max(1))
            .motion(parameters, &start)?;
        Ok(Rollouts {
            reference: (0..=horizon).map(known).collect(),
            corrected: corrected.states,
            alone: states,
        })
    }
}

/// States after so many steps without a correction.
fn advanced(solver: &ChannelFlow, state: Mat<f64>, steps: usize) -> Mat<f64> {
    let nothing = Mat::zeros(state.nrows(), solver.control_len());
    (0..steps).fold(state, |state, k| {
        let next = solver.advance(k, state.as_ref(), nothing.as_ref());
        next.expect("the flow can be stepped")
    })
}

/// States on a grid that is so many times finer: velocities are linear along their own direction within a
/// cell, which adds no divergence.
fn refined(state: &Mat<f64>, [columns, rows]: [usize; 2], times: usize) -> Mat<f64> {
    let (n, fine_columns) = (columns * rows, times * columns);
    let fine_n = n * times * times;
    Mat::from_fn(state.nrows(), 2 * fine_n + 1, |s, place| {
        if place == 2 * fine_n {
            return state[(s, 2 * n)];
        }
        let (x, y) = (place % fine_n % fine_columns, place % fine_n / fine_columns);
        let (column, row, along) = (x / times, y / times, place < fine_n);
        let part = (if along { x } else { y } % times + 1) as f64 / times as f64;
        let here = state[(s, row * columns + column + if along { 0 } else { n })];
        let before = match (along, column, row) {
            (true, 0, _) => 1.0,
            (true, ..) => state[(s, row * columns + column - 1)],
            (false, _, 0) => 0.0,
            (false, ..) => state[(s, n + (row - 1) * columns + column)],
        };
        before + part * (here - before)
    })
}

impl System for WakeFlowCorrection {
    fn name(&self) -> &'static str {
        "wake-flow-correction"
    }

    fn about(&self) -> &'static str {
        "corrections of a coarse solver of the wake of an obstacle at every step (arXiv 2007.00016)"
    }

    fn network(&self) -> Result<Network> {
        let LayerSettings {
            activation,
            initializer,
        } = self.layers;
        let [columns, rows] = self.cells();
        let grid = Grid {
            channels: 3,
            height: rows,
            width: columns,
        };
        Network::resnet(
            grid,
            &self.channels,
            2,
            Boundary::Zero,
            activation,
            initializer,
        )
    }

    fn data_size(&self) -> f64 {
        let width = (2.0 * self.area() as f64 + 1.0) * (1.0 + self.steps as f64);
        size::of_samples(self.samples, self.test_samples, width)
    }

    fn problem(&self, seed: u64) -> Problem {
        let (train, test) = rayon::join(
            || self.data(self.samples, seed, Purpose::Train),
            || self.data(self.test_samples, seed, Purpose::Test),
        );
        Problem::of(train, test, self.closed_loop(self.steps))
    }

    fn comparison(&self) -> Compared {
        sketched("16", "32")
    }

    fn budget(&self) -> Budget {
        Budget::seconds(60.0)
    }

    fn check_together(&self) -> Result<()> {
        self.check()?;
        if !(LEAST_CELLS..=MOST_CELLS).contains(&self.grid) {
            let expected = format_args!("from {LEAST_CELLS} to {MOST_CELLS}");
            return Err(Error::setting("grid", self.grid, expected));
        }
        let bounded = [
            ("finer", self.finer, MOST_FINER),
            ("simulations", self.simulations, MOST_SIMULATIONS),
            ("spin_up", self.spin_up, MOST_SPIN_UP),
        ];
        for (name, value, most) in bounded {
            if value > most {
                return Err(Error::setting(name, value, format_args!("at most {most}")));
            }
        }
        let longest = LONGEST * self.spacing();
        if self.dt > longest {
            let expected = format_args!("at most {longest} with grid = {}", self.grid);
            return Err(Error::setting("dt", self.dt, expected));
        }
        if self.largest_reynolds < self.least_reynolds {
            let expected = format_args!("at least least_reynolds = {}", self.least_reynolds);
            return Err(Error::setting(
                "largest_reynolds",
                self.largest_reynolds,
                expected,
            ));
        }
        size::check_calls(self.steps)
    }

    /// The error over the steps of the test simulations against the reference, relative to the flow: its mean
    /// over the steps, with the network's corrections and without them.
    fn measures(&self, problem: &Problem, parameters: &[f64]) -> Vec<(&'static str, f64)> {
        let all: Vec<usize> = (0..self.simulations(Purpose::Test)).collect();
        let rollouts = self.rollouts(parameters, &problem.test, &all);
        rollouts.map_or(Vec::new(), |rollouts| rollouts.measures())
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], sample: usize) -> Vec<Picture> {
        let simulations = self.simulations(Purpose::Test);
        let which = sample / problem.test.len().div_ceil(simulations);
        let Ok(rollouts) = self.rollouts(parameters, &problem.test, &[which]) else {
            return Vec::new();
        };
        let ([columns, rows], solver) = (self.cells(), self.coarse(1));
        let vorticity = |title: &str, states: &[Mat<f64>]| {
            let last = states.last().expect("there is a start");
            let vorticity = solver.vorticity(last.as_ref());
            let row = |y: usize| {
                (0..columns)
                    .map(|x| vorticity[(0, y * columns + x)])
                    .collect()
            };
            Picture::Field(Field {
                title: title.into(),
                x: "along".into(),
                y: "across".into(),
                x_range: (0.0, 2.0 * WIDTH),
                y_range: (0.0, WIDTH),
                values: (0..rows).map(row).collect(),
                quantity: "vorticity".into(),
            })
        };
        vec![
            vorticity("reference, at the end", &rollouts.reference),
            vorticity("coarse solver, corrected", &rollouts.corrected),
            vorticity("coarse solver alone", &rollouts.alone),
            rollouts.picture(self.dt),
        ]
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
