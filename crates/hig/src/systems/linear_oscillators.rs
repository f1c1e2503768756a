//! Control of coupled linear oscillators (arXiv 2203.10131, section 4.1 and appendix, and the
//! Physics-based Deep Learning book).
//!
//! The network reads the initial state and answers a force over time on the last mass; the state at
//! the end should be the initial one.

use super::{Picture, System, picture};
use crate::data::{Dataset, Purpose, random};
use crate::loss::SquaredError;
use crate::matrix::Mat;
use crate::network::{ANY_ACTIVATION, ANY_INITIALIZER, Activation, Initializer, Network};
use crate::physics::{Cotangents, Equations, Lanes, Real, RungeKutta4};
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, NON_NEGATIVE, POSITIVE, WIDTHS};
use crate::trainer::Budget;
use rand_distr::{Distribution, Uniform};

crate::settings! {
    /// A chain of masses with linear springs, steered by a force on the last one.
    pub struct LinearOscillators {
        /// Number of masses Nx.
        pub masses: usize = 2, AT_LEAST_ONE;
        /// Strength of the springs between neighbours.
        pub coupling: f64 = 0.2, NON_NEGATIVE;
        /// Strength of the control on the last mass.
        pub control: f64 = 1.0, POSITIVE;
        /// Time steps.
        pub steps: usize = 24, AT_LEAST_ONE;
        /// Length of a time step.
        pub dt: f64 = 0.5, POSITIVE;
        /// Training samples, initial states uniform in [0, 1].
        pub samples: usize = 4096, AT_LEAST_ONE;
        /// Test samples.
        pub test_samples: usize = 4096, AT_LEAST_ONE;
        /// Widths of the hidden layers.
        pub hidden: Vec<usize> = vec![20, 20, 20], WIDTHS;
        /// Activation of the hidden layers.
        pub activation: Activation = Activation::Tanh, ANY_ACTIVATION;
        /// Distribution of the initial weights.
        pub initializer: Initializer = Initializer::Glorot, ANY_INITIALIZER;
    }
}

/// ẋ = v, v̇ = -x + coupling·Δx + control·u(t) on the last mass, with the free-ended Laplacian Δ.
/// The state is all positions, then all velocities.
#[derive(Debug, Clone, Copy)]
pub struct OscillatorChain {
    /// Number of masses.
    pub masses: usize,
    /// Strength of the springs between neighbours.
    pub coupling: f64,
    /// Strength of the control on the last mass.
    pub control: f64,
}

impl OscillatorChain {
    /// (Δx)_i; missing neighbours contribute nothing.
    #[inline(always)]
    fn laplacian<T: Real>(&self, x: &[T], i: usize) -> T {
        let mut sum = T::constant(0.0);
        if i > 0 {
            sum = sum + (x[i - 1] - x[i]);
        }
        if i + 1 < self.masses {
            sum = sum + (x[i + 1] - x[i]);
        }
        sum
    }
}

impl Equations for OscillatorChain {
    fn state_len(&self) -> usize {
        2 * self.masses
    }

    #[inline(always)]
    fn rate<T: Real>(&self, _: f64, state: &[T], control: &[T], rate: &mut [T]) {
        let (x, v) = state.split_at(self.masses);
        for i in 0..self.masses {
            rate[i] = v[i];
            rate[self.masses + i] = self.laplacian(x, i) * self.coupling - x[i];
        }
        let last = 2 * self.masses - 1;
        rate[last] = rate[last] + control[0] * self.control;
    }

    // The force is symmetric in the positions, so that its transpose is itself.
    #[inline(always)]
    fn rate_vjp(&self, _: f64, _: &[Lanes], _: &[Lanes], cotangents: Cotangents<'_>) {
        for w in cotangents {
            let (wx, wv) = w.rate.split_at(self.masses);
            for i in 0..self.masses {
                w.state[i] += self.laplacian(wv, i) * self.coupling - wv[i];
                w.state[self.masses + i] += wx[i];
            }
            w.control[0] += wv[self.masses - 1] * self.control;
        }
    }
}

impl LinearOscillators {
    fn data(&self, samples: usize, seed: u64, purpose: Purpose) -> Dataset {
        let uniform = Uniform::new(0.0, 1.0).expect("finite bounds");
        let mut random = random(seed, purpose);
        let state = Mat::from_fn(samples, 2 * self.masses, |_, _| uniform.sample(&mut random));
        Dataset {
            input: state.clone(),
            target: state.clone(),
            state,
        }
    }

    /// The chain's equations of motion.
    pub fn equations(&self) -> OscillatorChain {
        OscillatorChain {
            masses: self.masses,
            coupling: self.coupling,
            control: self.control,
        }
    }
}

impl System for LinearOscillators {
    fn name(&self) -> &'static str {
        "linear-oscillators"
    }

    fn about(&self) -> &'static str {
        "control of coupled linear oscillators (arXiv 2203.10131, section 4.1)"
    }

    fn problem(&self, seed: u64) -> Problem {
        let state = 2 * self.masses;
        let widths: Vec<usize> = [&[state], &self.hidden[..], &[self.steps]].concat();
        Problem {
            train: self.data(self.samples, seed, Purpose::Train),
            test: self.data(self.test_samples, seed, Purpose::Test),
            network: Network::mlp(&widths, self.activation, self.initializer),
            physics: Box::new(RungeKutta4::new(self.equations(), self.steps, self.dt)),
            loss: Box::new(SquaredError::sum()),
        }
    }

    fn comparison(&self) -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
        let large = ("batch", "256");
        let small = ("batch", "32");
        vec![
            ("adam", vec![large, ("learning_rate", "1e-3")]),
            ("gn", vec![small, ("cutoff", "1e-10")]),
            (
                "sip",
                vec![large, ("learning_rate", "1e-3"), ("physics_cutoff", "1e-5")],
            ),
            ("hig", vec![small, ("cutoff", "1e-10")]),
        ]
    }

    fn budget(&self) -> Budget {
        Budget::seconds(15.0)
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], sample: usize) -> Vec<Picture> {
        let chosen = problem.test.select(&[sample]);
        let row = |m: &Mat<f64>| -> Vec<f64> { m.row(0).iter().copied().collect() };
        let control = row(&problem.network.predict(parameters, chosen.input.as_ref()));
        let physics = RungeKutta4::new(self.equations(), self.steps, self.dt);
        let states = physics.trajectory(&row(&chosen.state), &control);
        let times: Vec<f64> = (0..=self.steps).map(|k| k as f64 * self.dt).collect();
        let end = self.steps as f64 * self.dt;
        let position = |i: usize| states.iter().map(|state| state[i]).collect();
        let held = |values: &[f64]| values.iter().flat_map(|v| [*v, *v]).collect();
        let edges = times.windows(2).flat_map(|pair| [pair[0], pair[1]]);
        vec![
            Picture::Lines(picture::Lines {
                title: "motion".into(),
                x: "time".into(),
                y: "position".into(),
                lines: (0..self.masses)
                    .map(|i| (format!("mass {}", i + 1), times.clone(), position(i)))
                    .collect(),
                points: (0..self.masses)
                    .map(|i| (format!("target {}", i + 1), end, chosen.target[(0, i)]))
                    .collect(),
            }),
            Picture::Lines(picture::Lines {
                title: "control".into(),
                x: "time".into(),
                y: "force".into(),
                lines: vec![(
                    "force on the last mass".into(),
                    edges.collect(),
                    held(&control),
                )],
                points: Vec::new(),
            }),
        ]
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
