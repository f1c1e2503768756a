//! Flow through a channel on a staggered grid: closed forms, what is conserved, orders of convergence, derivatives.

mod common;

use common::{assert_message, bits, entries, logarithmic_slope, normal, relative_matrix};
use hig::Result;
use hig::linalg::{Mat, MatRef};
use hig::physics::check::check;
use hig::physics::{ChannelFlow, OpenLoop, Simulator, Stepwise};

fn empty(columns: usize, rows: usize, spacing: f64) -> ChannelFlow {
    ChannelFlow::new(columns, rows, spacing, |_, _| false).unwrap()
}

fn around(columns: usize, rows: usize) -> ChannelFlow {
    let solid = |x: f64, y: f64| (x - 3.0).abs() < 1.1 && (y - 2.5).abs() < 1.1;
    ChannelFlow::new(columns, rows, 1.0, solid).unwrap()
}

/// Random velocities, and as much viscosity as is given.
fn random(flow: &ChannelFlow, samples: usize, viscosity: f64, seed: u64) -> Mat<f64> {
    let mut state = normal(samples, flow.state_len(), seed);
    for s in 0..samples {
        state[(s, flow.control_len())] = viscosity;
    }
    state
}

fn moved(flow: &ChannelFlow, start: &Mat<f64>) -> Mat<f64> {
    let nothing = Mat::zeros(start.nrows(), flow.control_len());
    (0..flow.steps()).fold(start.clone(), |state, k| {
        flow.advance(k, state.as_ref(), nothing.as_ref()).unwrap()
    })
}

#[test]
fn a_uniform_stream_stays_as_it_is() {
    let flow = empty(6, 5, 0.5).streaming(1.3).taking(7, 0.1, 2);
    let start = flow.at_rest(2, 0.1);
    let along = |place: usize| if place < 30 { 1.3 } else { 0.0 };
    let expected = Mat::from_fn(2, 61, |_, i| if i == 60 { 0.1 } else { along(i) });
    assert!(relative_matrix(&start, &expected) < 1e-13);
    assert!(relative_matrix(&moved(&flow, &start), &expected) < 1e-13);
}

#[test]
fn mass_is_conserved_in_every_cell_whatever_corrects() {
    for (flow, cells) in [(around(9, 5), 45), (empty(4, 3, 0.7), 12)] {
        let flow = flow.taking(3, 0.1, 2).streaming(0.8).corrected(0.4);
        let (start, control) = (random(&flow, 9, 0.05, 1), normal(9, flow.control_len(), 2));
        let next = flow.advance(0, start.as_ref(), control.as_ref()).unwrap();
        let divergence = flow.divergence(next.as_ref());
        assert!(divergence.norm_max() < 1e-13, "{}", divergence.norm_max());
        assert!(flow.divergence(start.as_ref()).norm_max() > 0.1);
        // Nothing flows through walls and the obstacle, the viscosity is kept.
        for s in 0..9 {
            for place in 0..2 * cells {
                assert!(flow.is_free(place) || next[(s, place)] == 0.0);
            }
            assert_eq!(
                next[(s, 2 * cells)].to_bits(),
                start[(s, 2 * cells)].to_bits()
            );
        }
    }
}

#[test]
fn steps_are_of_second_order() {
    let end = 1.2;
    let at = |steps: usize| {
        let flow = around(12, 6)
            .taking(steps, end / steps as f64, 1)
            .upwind(0.3);
        let start = flow.at_rest(1, 0.1);
        moved(&flow, &start)
    };
    let exact = at(768);
    let errors: Vec<(f64, f64)> = [12, 24, 48]
        .map(|steps| (1.0 / steps as f64, relative_matrix(&at(steps), &exact)))
        .to_vec();
    let found = logarithmic_slope(&errors);
    assert!((found - 2.0).abs() < 0.2, "{found} {errors:?}");
}

#[test]
fn substeps_are_smaller_steps() {
    let flow = around(8, 5);
    let start = flow.at_rest(2, 0.05);
    let few = flow.clone().taking(2, 0.4, 4);
    let many = flow.taking(8, 0.1, 1);
    assert!(relative_matrix(&moved(&few, &start), &moved(&many, &start)) < 1e-13);
}

/// All kinds of flows, small; viscosity and upwind part keep the sides apart.
fn flows() -> Vec<(String, ChannelFlow)> {
    let mut all = Vec::new();
    for upwind in [0.0, 0.4] {
        for (name, flow) in [
            // A single row would have no freedom: what comes in goes out.
            ("column", empty(1, 3, 1.0)),
            ("two rows", empty(4, 2, 0.8)),
            ("channel", empty(3, 4, 0.9)),
            ("obstacle", around(7, 5)),
        ] {
            let flow = flow.taking(2, 0.15, 2).upwind(upwind).corrected(0.7);
            all.push((format!("{name} {upwind}"), flow.streaming(0.6)));
        }
    }
    all
}

#[test]
fn derivatives_pass_the_public_check() {
    for (name, flow) in flows() {
        let (samples, c) = (3, flow.steps() * flow.control_len());
        let start = random(&flow, samples, 0.05, 1);
        let open = OpenLoop::new(flow);
        let control = normal(samples, c, 2);
        let report = check(&open, start.as_ref(), control.as_ref()).unwrap();
        assert!(report.finite_difference < 1e-6, "{name}: {report:?}");
        assert!(report.adjoint_identity < 1e-12, "{name}: {report:?}");
        assert!(report.rows < 1e-12, "{name}: {report:?}");
    }
}

/// The same steps with the tangent that the trait provides.
struct Plain(ChannelFlow);

impl Stepwise for Plain {
    fn steps(&self) -> usize {
        self.0.steps()
    }
    fn state_len(&self) -> usize {
        self.0.state_len()
    }
    fn control_len(&self) -> usize {
        self.0.control_len()
    }
    fn advance(&self, k: usize, x: MatRef<'_, f64>, u: MatRef<'_, f64>) -> Result<Mat<f64>> {
        self.0.advance(k, x, u)
    }
    fn pull_back(
        &self,
        k: usize,
        at: (MatRef<'_, f64>, MatRef<'_, f64>),
        rows: MatRef<'_, f64>,
    ) -> Result<(Mat<f64>, Mat<f64>)> {
        self.0.pull_back(k, at, rows)
    }
}

/// State, viscosity among it, and control.
#[test]
fn the_tangent_is_that_of_all_pulled_rows_and_of_finite_differences() {
    for (name, flow) in flows() {
        let [d, c] = [flow.state_len(), flow.control_len()];
        let x = random(&flow, 3, 0.05, 1);
        let [u, dx, du] = [(c, 2), (d, 3), (c, 4)].map(|(n, seed)| normal(3, n, seed));
        let at = (x.as_ref(), u.as_ref());
        let own = flow
            .push_forward(0, at, (dx.as_ref(), du.as_ref()))
            .unwrap();
        let moved = |times: f64| {
            let (x, u) = (&x + faer::Scale(times) * &dx, &u + faer::Scale(times) * &du);
            flow.advance(0, x.as_ref(), u.as_ref()).unwrap()
        };
        let h = 1e-6;
        let difference = (moved(h) - moved(-h)) / faer::Scale(2.0 * h);
        assert!(relative_matrix(&difference, &own) < 1e-7, "{name}");
        let from_rows = Plain(flow)
            .push_forward(0, at, (dx.as_ref(), du.as_ref()))
            .unwrap();
        assert!(relative_matrix(&own, &from_rows) < 1e-12, "{name}");
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads_or_the_batch() {
    let flow = around(9, 6).taking(2, 0.1, 2);
    let (d, c) = (flow.state_len(), 2 * flow.control_len());
    let start = random(&flow, 20, 0.02, 1);
    let (control, cotangents) = (normal(20, c, 2), normal(60, d, 3));
    let open = OpenLoop::new(flow);
    let answers = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let record = open.record(start.as_ref(), control.as_ref()).unwrap();
            let rows = record.vjps(cotangents.as_ref()).unwrap();
            [bits(&entries(record.y())), bits(&entries(&rows))].concat()
        })
    };
    let one = answers(1);
    assert!(one == answers(2) && one == answers(5));
    let alone = |s: usize| {
        let (x, u) = (start.as_ref().subrows(s, 1), control.as_ref().subrows(s, 1));
        open.simulate(x, u).unwrap()
    };
    let together = open.simulate(start.as_ref(), control.as_ref()).unwrap();
    for s in [0, 7, 19] {
        assert_eq!(
            bits(&entries(&alone(s))),
            bits(&entries(&together.as_ref().subrows(s, 1).to_owned()))
        );
    }
}

#[test]
fn channels_that_cannot_be_are_refused() {
    let of = |columns, rows, solid: fn(f64, f64) -> bool| {
        ChannelFlow::new(columns, rows, 1.0, solid).map(|_| ())
    };
    assert_message(of(0, 2, |_, _| false), &["columns = 0", "at least 1"]);
    // A wall around the first cell.
    let closed = |x: f64, y: f64| (x - 1.5).abs() < 0.1 || (x < 1.0 && y > 1.0);
    assert_message(of(4, 2, closed), &["obstacle", "open end"]);
}
