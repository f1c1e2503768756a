//! A solver in the loop for the Kuramoto-Sivashinsky equation (the method of Um et al. 2020,
//! arXiv 2007.00016, in one dimension): after every step of a coarse solver a network of convolutions adds
//! what the step lacks of a finer one.
//!
//! Unlike the source's, the network sees the state before the solver's step, of which that after it is a
//! function.

use super::corrected::Rollouts;
use super::picture::Field;
use super::recommended::sketched;
use super::{Compared, LayerSettings, Picture, System, size};
use crate::data::{Dataset, Purpose, random};
use crate::error::{Error, Result};
use crate::linalg::matrix::Mat;
use crate::loss::SquaredError;
use crate::network::Network;
use crate::objective::ClosedLoop;
use crate::physics::{ANY_SCHEME, PeriodicField, Scheme, Stepwise, TimeSteps};
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, GROUP, POSITIVE, Settings, WIDTHS};
use crate::trainer::Budget;
use rand::RngExt;
use std::f64::consts::TAU;

crate::settings! {
    /// Corrections that make large steps of the Kuramoto-Sivashinsky equation as good as small ones.
    pub struct KsCorrection {
        /// Grid points of the circle.
        pub points: usize = 48, AT_LEAST_ONE;
        /// Length of the circle; the motion is chaotic from about 22 on.
        pub length: f64 = 32.0, POSITIVE;
        /// Length of a time step of the coarse solver.
        pub dt: f64 = 0.25, POSITIVE;
        /// How the coarse solver steps.
        pub scheme: Scheme = Scheme::Etd1, ANY_SCHEME;
        /// How many times finer the reference is in space and in time; it takes steps of fourth order.
        pub finer: usize = 4, AT_LEAST_ONE;
        /// Time steps that are unrolled in training.
        pub steps: usize = 8, AT_LEAST_ONE;
        /// Time steps over which a trained network is judged.
        pub horizon: usize = 100, AT_LEAST_ONE;
        /// Training samples: states that the reference comes to after a long time.
        pub samples: usize = 256, AT_LEAST_ONE;
        /// Test samples.
        pub test_samples: usize = 64, AT_LEAST_ONE;
        /// Channels of the hidden convolutions.
        pub channels: Vec<usize> = vec![8, 8], WIDTHS;
        /// Points that a convolution reads; an odd number.
        pub kernel: usize = 5, AT_LEAST_ONE;
        /// Activation and initial weights.
        pub layers: LayerSettings = LayerSettings::default(), GROUP;
    }
}

/// Time until a random start has come to the attractor.
const SPIN_UP: f64 = 60.0;
/// Time step in which it does.
const SPIN_UP_STEP: f64 = 0.5;
/// Bounds of what is held beside the samples: the fields of the reference, and all states of a rollout.
const MOST_FINER: usize = 64;
const MOST_HORIZON: usize = 10_000;
/// A wave number that fades fast.
const FADING: f64 = 1.5;
/// The longest step in which the reference is still accurate.
const LONGEST_STEP: f64 = 0.25;
/// Samples of which pictures and measures over the horizon are made, at most.
const JUDGED: usize = 32;

impl KsCorrection {
    /// The coarse solver over so many steps, with a correction behind each.
    pub fn coarse(&self, steps: usize) -> PeriodicField {
        let time = TimeSteps {
            scheme: self.scheme,
            steps,
            dt: self.dt,
            substeps: 1,
        };
        let field = PeriodicField::kuramoto_sivashinsky(self.points, self.length, time);
        field.corrected(self.dt)
    }

    fn fine(&self) -> PeriodicField {
        let time = TimeSteps {
            scheme: Scheme::Etd4,
            steps: 1,
            dt: self.dt,
            substeps: self.finer,
        };
        PeriodicField::kuramoto_sivashinsky(self.points * self.finer, self.length, time)
    }

    /// Network and solver over so many steps, with the states after all of them.
    pub fn closed_loop(&self, steps: usize) -> ClosedLoop {
        let weight = 1.0 / (self.points * steps) as f64;
        let weights = vec![weight; self.points * steps];
        let loss = SquaredError::half().weighted(weights);
        let network = self.network().expect("the settings were checked together");
        ClosedLoop::new(network, self.coarse(steps), loss.expect("weights above 0"))
            .after((1..=steps).collect())
            .expect("the steps rise")
    }

    /// States of the fine solver on the attractor (samples × points·finer).
    fn starts(&self, samples: usize, seed: u64, purpose: Purpose) -> Mat<f64> {
        const WAVES: usize = 4;
        let mut random = random(seed, purpose);
        let n = self.points * self.finer;
        let time = TimeSteps {
            scheme: Scheme::Etd4,
            steps: (SPIN_UP / SPIN_UP_STEP) as usize,
            dt: SPIN_UP_STEP,
            substeps: 1,
        };
        let amplitudes = Mat::from_fn(samples, 2 * WAVES, |_, _| random.random_range(-1.0..1.0));
        let wave = |s: usize, place: f64| -> f64 {
            let each = (0..WAVES).map(|k| {
                let (sin, cos) = (TAU * (k + 1) as f64 * place).sin_cos();
                amplitudes[(s, 2 * k)] * sin + amplitudes[(s, 2 * k + 1)] * cos
            });
            each.sum()
        };
        // Coarsely at first, which takes less time.
        let coarse = PeriodicField::kuramoto_sivashinsky(self.points, self.length, time);
        let start = Mat::from_fn(samples, self.points, |s, i| {
            wave(s, i as f64 / self.points as f64)
        });
        let reached = unforced(&coarse, start, coarse.steps()).pop();
        let reached = reached.expect("there is a last state");
        interpolated(&reached, n)
    }

    /// The fields of the fine solver at the coarse points, at the start and after each step.
    fn reference(&self, start: Mat<f64>, steps: usize) -> Vec<Mat<f64>> {
        let states = unforced(&self.fine(), start, steps);
        let every = |fine: Mat<f64>| {
            Mat::from_fn(fine.nrows(), self.points, |s, i| fine[(s, i * self.finer)])
        };
        states.into_iter().map(every).collect()
    }

    fn data(&self, samples: usize, seed: u64, purpose: Purpose) -> Dataset {
        let mut states = self.reference(self.starts(samples, seed, purpose), self.steps);
        let target = Mat::from_fn(samples, self.points * self.steps, |s, j| {
            states[1 + j / self.points][(s, j % self.points)]
        });
        Dataset {
            input: Mat::zeros(samples, 0),
            state: states.swap_remove(0),
            target,
        }
    }

    /// From the states of samples over the horizon.
    fn rollouts(&self, parameters: &[f64], samples: &Dataset) -> Result<Rollouts> {
        let start = &samples.state;
        let fine = interpolated(start, self.points * self.finer);
        Ok(Rollouts {
            reference: self.reference(fine, self.horizon),
            corrected: (self.closed_loop(self.horizon).motion(parameters, samples)?).states,
            alone: unforced(&self.coarse(self.horizon), start.clone(), self.horizon),
        })
    }
}

/// The states of a field that nothing acts on, at the start and after each step.
fn unforced(field: &PeriodicField, start: Mat<f64>, steps: usize) -> Vec<Mat<f64>> {
    let nothing = Mat::zeros(start.nrows(), start.ncols());
    let mut states = vec![start];
    for k in 0..steps {
        let next = field.advance(k, states[k].as_ref(), nothing.as_ref());
        states.push(next.expect("the equation can be stepped"));
    }
    states
}

/// A field of few points at a multiple of their number, without waves that they do not tell.
fn interpolated(field: &Mat<f64>, points: usize) -> Mat<f64> {
    let few = field.ncols();
    // The sum of all waves that few points tell, with half of the shortest where their number is even.
    let kernel = |shift: f64| {
        let whole = (few - 1) / 2;
        let waves = (1..=whole).map(|k| 2.0 * (TAU * k as f64 * shift).cos());
        let shortest = match few.is_multiple_of(2) {
            true => (TAU * (few / 2) as f64 * shift).cos(),
            false => 0.0,
        };
        (1.0 + waves.sum::<f64>() + shortest) / few as f64
    };
    let weights = Mat::from_fn(few, points, |j, i| {
        kernel(i as f64 / points as f64 - j as f64 / few as f64)
    });
    field * weights
}

impl System for KsCorrection {
    fn name(&self) -> &'static str {
        "ks-correction"
    }

    fn about(&self) -> &'static str {
        "corrections of a coarse Kuramoto-Sivashinsky solver at every step (as arXiv 2007.00016)"
    }

    fn network(&self) -> Result<Network> {
        let LayerSettings {
            activation,
            initializer,
        } = self.layers;
        let (points, channels) = (self.points, &self.channels);
        Network::around_circle(points, channels, self.kernel, activation, initializer)
    }

    fn data_size(&self) -> f64 {
        let width = self.points as f64 * (1.0 + self.steps as f64);
        size::of_samples(self.samples, self.test_samples, width)
    }

    fn problem(&self, seed: u64) -> Problem {
        Problem::of(
            self.data(self.samples, seed, Purpose::Train),
            self.data(self.test_samples, seed, Purpose::Test),
            self.closed_loop(self.steps),
        )
    }

    fn comparison(&self) -> Compared {
        sketched("32", "16")
    }

    fn budget(&self) -> Budget {
        Budget::seconds(30.0)
    }

    fn check_together(&self) -> Result<()> {
        self.check()?;
        if self.kernel.is_multiple_of(2) {
            return Err(Error::setting("kernel", self.kernel, "an odd number"));
        }
        size::check_calls(self.steps)?;
        // Waves of a number below 1 grow: the grid must have products of some that fade fast.
        let fading = (FADING * self.length / TAU).ceil() as usize;
        if self.points <= 3 * fading {
            let (least, length) = (3 * fading + 1, self.length);
            let expected = format_args!("at least {least} with length = {length}");
            return Err(Error::setting("points", self.points, expected));
        }
        let longest = LONGEST_STEP * self.finer as f64;
        if self.dt > longest {
            let expected = format_args!("at most {longest} with finer = {}", self.finer);
            return Err(Error::setting("dt", self.dt, expected));
        }
        let bounded = [
            ("finer", self.finer, MOST_FINER),
            ("horizon", self.horizon, MOST_HORIZON),
        ];
        for (name, value, most) in bounded {
            if value > most {
                return Err(Error::setting(name, value, format_args!("at most {most}")));
            }
        }
        Ok(())
    }

    /// The error over the horizon against the reference, relative to the field: its mean over the steps, with
    /// the network's corrections and without them.
    fn measures(&self, problem: &Problem, parameters: &[f64]) -> Vec<(&'static str, f64)> {
        let judged: Vec<usize> = (0..problem.test.len().min(JUDGED)).collect();
        let chosen = problem.test.select(&judged);
        let rollouts = self.rollouts(parameters, &chosen);
        rollouts.map_or(Vec::new(), |rollouts| rollouts.measures())
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], sample: usize) -> Vec<Picture> {
        let chosen = problem.test.select(&[sample]);
        let Ok(rollouts) = self.rollouts(parameters, &chosen) else {
            return Vec::new();
        };
        let end = self.horizon as f64 * self.dt;
        let over_time = |title: &str, states: &[Mat<f64>]| {
            let row = |state: &Mat<f64>| state.row(0).iter().copied().collect();
            Picture::Field(Field {
                title: title.into(),
                x: "position".into(),
                y: "time".into(),
                x_range: (0.0, self.length),
                y_range: (0.0, end),
                values: states.iter().map(row).collect(),
                quantity: "u".into(),
            })
        };
        vec![
            over_time("reference", &rollouts.reference),
            over_time("coarse solver, corrected", &rollouts.corrected),
            over_time("coarse solver alone", &rollouts.alone),
            rollouts.picture(self.dt),
        ]
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
