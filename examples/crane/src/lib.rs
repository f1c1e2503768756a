//! The crane of the tutorial as a system of its own, in a crate of its own.
#![forbid(unsafe_code)]

use hig::Problem;
use hig::data::{Dataset, Purpose, random};
use hig::linalg::Mat;
use hig::loss::SquaredError;
use hig::network::{Activation, Initializer, Network};
use hig::physics::{Equations, OpenLoop, Real, RungeKutta4};
use hig::settings::{AT_LEAST_ONE, POSITIVE};
use hig::systems::picture::Lines;
use hig::systems::{Picture, System};
use hig::trainer::Budget;
use rand_distr::{Distribution, Uniform};

hig::settings! {
    /// A trolley on a rail with a load on a rope, to be brought to rest.
    pub struct Crane {
        /// Length of the rope in metres.
        pub rope: f64 = 2.0, POSITIVE;
        /// Time steps of a tenth of a second.
        pub steps: usize = 40, AT_LEAST_ONE;
        /// Training samples.
        pub samples: usize = 1024, AT_LEAST_ONE;
    }
}

impl Equations for Crane {
    fn state_len(&self) -> usize {
        4
    }

    fn rate<T: Real>(&self, _time: f64, state: &[T], control: &[T], rate: &mut [T]) {
        let [speed, angle, swing] = [state[1], state[2], state[3]];
        rate[0] = speed;
        rate[1] = control[0];
        rate[2] = swing;
        rate[3] =
            (angle.sin() * 9.81 + angle.cos() * control[0]) * (-1.0 / self.rope) - swing * 0.1;
    }
}

impl Crane {
    fn starts(samples: usize, seed: u64, purpose: Purpose) -> Dataset {
        let uniform = Uniform::new(-1.0, 1.0).expect("finite bounds");
        let mut random = random(seed, purpose);
        let size = [2.0, 0.5, 0.3, 0.3];
        let state = Mat::from_fn(samples, 4, |_, j| size[j] * uniform.sample(&mut random));
        Dataset {
            input: state.clone(),
            state,
            target: Mat::zeros(samples, 4),
        }
    }
}

impl System for Crane {
    fn name(&self) -> &'static str {
        "crane"
    }

    fn about(&self) -> &'static str {
        "a crane that brings its load to rest"
    }

    fn network(&self) -> hig::Result<Network> {
        let widths = [4, 20, 20, self.steps];
        Ok(Network::mlp(&widths, Activation::Tanh, Initializer::Glorot))
    }

    fn data_size(&self) -> f64 {
        // Input, state and target of every sample have four numbers.
        12.0 * (self.samples as f64 + 256.0)
    }

    fn problem(&self, seed: u64) -> Problem {
        Problem::new(
            Self::starts(self.samples, seed, Purpose::Train),
            Self::starts(256, seed, Purpose::Test),
            self.network().expect("each layer reads the one before"),
            RungeKutta4::new(self.clone(), self.steps, 0.1),
            SquaredError::sum(),
        )
    }

    fn comparison(&self) -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
        vec![
            ("adam", vec![("learning_rate", "3e-3")]),
            ("hig", vec![("cutoff", "1e-6")]),
        ]
    }

    fn budget(&self) -> Budget {
        Budget::seconds(5.0)
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], sample: usize) -> Vec<Picture> {
        let Some(parts) = problem.through_physics() else {
            return Vec::new();
        };
        let chosen = problem.test.select(&[sample]);
        let control = parts.control(parameters, &chosen);
        let physics = OpenLoop::new(RungeKutta4::new(self.clone(), self.steps, 0.1));
        let Ok(states) = physics.states(chosen.state.as_ref(), control.as_ref()) else {
            return Vec::new();
        };
        let times: Vec<f64> = (0..states.len()).map(|k| k as f64 * 0.1).collect();
        let line = |label: &str, place: usize| {
            let values = states.iter().map(|state| state[(0, place)]).collect();
            (label.to_owned(), times.clone(), values)
        };
        vec![Picture::Lines(Lines {
            title: "trolley and load".into(),
            x: "time (s)".into(),
            y: "place (m), angle (rad)".into(),
            lines: vec![
                line("place of the trolley", 0),
                line("angle of the rope", 2),
            ],
            points: Vec::new(),
        })]
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
