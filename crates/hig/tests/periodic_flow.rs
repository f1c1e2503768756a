//! Incompressible flow in a periodic square: closed forms, conserved quantities, orders of convergence,
//! derivatives.

mod common;

use common::{bits, entries, logarithmic_slope, normal, relative_matrix};
use hig::Result;
use hig::linalg::{Mat, MatRef};
use hig::physics::check::check;
use hig::physics::{OpenLoop, PeriodicFlow, Scheme, Simulator, Stepwise, TimeSteps};
use std::f64::consts::TAU;

const SCHEMES: [Scheme; 3] = [Scheme::Etd1, Scheme::Etd2, Scheme::Etd4];

fn time(scheme: Scheme, steps: usize, dt: f64) -> TimeSteps {
    TimeSteps {
        scheme,
        steps,
        dt,
        substeps: 1,
    }
}

/// Functions of a point, one for each field, at the points of a square as a batch of one sample.
fn sampled(points: usize, length: f64, fields: &[&dyn Fn(f64, f64) -> f64]) -> Mat<f64> {
    let (area, at) = (points * points, |i: usize| {
        length * i as f64 / points as f64
    });
    Mat::from_fn(1, fields.len() * area, |_, i| {
        fields[i / area](at(i % points), at(i % area / points))
    })
}

/// The state at the end under forces that are the same at all times.
fn moved(flow: &PeriodicFlow, start: &Mat<f64>, force: &Mat<f64>) -> Mat<f64> {
    (0..flow.steps()).fold(start.clone(), |state, k| {
        flow.advance(k, state.as_ref(), force.as_ref()).unwrap()
    })
}

fn nothing(flow: &PeriodicFlow) -> Mat<f64> {
    Mat::zeros(1, flow.control_len())
}

/// A state whose modes are resolved, and whose velocity has no divergence: what a step of length 0 makes
/// of random numbers.
fn resolved(points: usize, seed: u64) -> Mat<f64> {
    let flow = PeriodicFlow::new(points, 1.0, 0.0, time(Scheme::Etd1, 1, 0.0)).carrying(0.0);
    let numbers = normal(1, 3 * points * points, seed);
    moved(&flow, &numbers, &nothing(&flow))
}

/// The vortices of Taylor and Green (1937, doi 10.1098/rspa.1937.0036), which a uniform stream carries away.
#[test]
fn vortices_of_taylor_and_green_fade_and_drift() {
    let (points, length, viscosity, end) = (12, 3.0, 0.05, 0.7);
    let (k, stream) = (TAU / length, [0.4, -0.3]);
    let exact = |t: f64| {
        let fade = (-2.0 * viscosity * k * k * t).exp();
        let phase = move |x: f64, y: f64| (k * (x - stream[0] * t), k * (y - stream[1] * t));
        let across = move |x, y| {
            let (x, y) = phase(x, y);
            stream[0] + fade * x.cos() * y.sin()
        };
        let down = move |x, y| {
            let (x, y) = phase(x, y);
            stream[1] - fade * x.sin() * y.cos()
        };
        sampled(points, length, &[&across, &down])
    };
    let start = exact(0.0);
    let flow = PeriodicFlow::new(
        points,
        length,
        viscosity,
        time(Scheme::Etd4, 60, end / 60.0),
    );
    let found = moved(&flow, &start, &nothing(&flow));
    let error = relative_matrix(&found, &exact(end));
    assert!(error < 1e-9, "{error:e}");
    assert!(relative_matrix(&found, &start) > 0.3);
}

/// Under a force that varies across them alone, parallel streams obey the heat equation.
#[test]
fn forced_parallel_streams_have_their_closed_form() {
    let (points, length, viscosity, end) = (9, 2.0, 0.1, 0.6);
    let k = 2.0 * TAU / length;
    let rate = viscosity * k * k;
    for scheme in SCHEMES {
        let flow =
            PeriodicFlow::new(points, length, viscosity, time(scheme, 3, end / 3.0)).pushed(0.5);
        let wave = |_: f64, y: f64| (k * y).sin();
        let force = sampled(points, length, &[&wave, &|_, _| 0.0]);
        let found = moved(&flow, &Mat::zeros(1, 2 * points * points), &force);
        let expected = faer::Scale(0.5 * (1.0 - (-rate * end).exp()) / rate) * &force;
        assert!(relative_matrix(&found, &expected) < 1e-12);
    }
}

#[test]
fn a_uniform_stream_carries_a_density_along() {
    let (points, length, end) = (10, 1.0, 0.3);
    let density = |x: f64, y: f64| (TAU * x).cos() + 0.5 * (TAU * (x + 2.0 * y) + 0.3).sin();
    let (u, v) = (1.5, -0.7);
    let at = |t: f64| {
        let there = move |x: f64, y: f64| density(x - u * t, y - v * t);
        sampled(points, length, &[&move |_, _| u, &move |_, _| v, &there])
    };
    let flow = PeriodicFlow::new(points, length, 0.1, time(Scheme::Etd4, 100, end / 100.0));
    let flow = flow.carrying(0.0);
    let found = moved(&flow, &at(0.0), &nothing(&flow));
    let error = relative_matrix(&found, &at(end));
    assert!(error < 1e-7, "{error:e}");
}

/// Without viscosity energy, enstrophy and the sum of d² are kept, but for the error of the time steps.
#[test]
fn carrying_along_keeps_energy_enstrophy_and_squares() {
    for points in [11, 12] {
        let (start, area) = (resolved(points, 4), points * points);
        let errors = [100, 200].map(|steps| {
            let time = time(Scheme::Etd4, steps, 0.3 / steps as f64);
            let flow = PeriodicFlow::new(points, 2.0, 0.0, time).carrying(0.0);
            let found = moved(&flow, &start, &nothing(&flow));
            assert!(relative_matrix(&found, &start) > 0.3);
            let kept = |state: &Mat<f64>| {
                let vorticity = flow.vorticity(state.as_ref());
                let energy = state.as_ref().subcols(0, 2 * area).squared_norm_l2();
                let squares = state.as_ref().subcols(2 * area, area).squared_norm_l2();
                [energy, squares, vorticity.squared_norm_l2()]
            };
            let pairs = kept(&found).into_iter().zip(kept(&start));
            let largest = |most: f64, (now, then): (f64, f64)| most.max((now / then - 1.0).abs());
            pairs.fold(0.0, largest)
        });
        assert!(
            errors[0] < 1e-6 && errors[1] < errors[0] / 10.0,
            "{errors:?}"
        );
    }
}

#[test]
fn momentum_moves_by_the_force_alone_and_nothing_diverges() {
    for scheme in SCHEMES {
        for points in [1, 2, 8, 9] {
            let (area, length) = (points * points, 2.0);
            let flow = PeriodicFlow::new(points, length, 0.2, time(scheme, 5, 0.02)).carrying(0.1);
            let (start, force) = (normal(1, 3 * area, 1), normal(1, 2 * area, 2));
            let found = moved(&flow, &start, &force);
            let sum = |batch: &Mat<f64>, field: usize| -> f64 {
                (field * area..(field + 1) * area)
                    .map(|i| batch[(0, i)])
                    .sum()
            };
            for field in 0..3 {
                let pushed = if field < 2 {
                    0.1 * sum(&force, field)
                } else {
                    0.0
                };
                let expected = sum(&start, field) + pushed;
                assert!((sum(&found, field) - expected).abs() < 1e-12 * area as f64);
            }
            // The divergence is the vorticity of the velocity turned by a right angle: (-v, u).
            let turned = Mat::from_fn(1, 2 * area, |_, i| match i < area {
                true => -found[(0, area + i)],
                false => found[(0, i - area)],
            });
            let turning = flow.vorticity(found.as_ref()).norm_max();
            let divergence = flow.vorticity(turned.as_ref()).norm_max();
            assert!(divergence < 1e-12, "{divergence:e}");
            assert!(points < 8 || turning > 0.1);
        }
    }
}

#[test]
fn vorticity_is_that_of_waves() {
    let (points, length) = (16, 3.0);
    let k = TAU / length;
    let flow = PeriodicFlow::new(points, length, 0.1, time(Scheme::Etd1, 1, 0.1));
    let state = sampled(
        points,
        length,
        &[&|_, y| (2.0 * k * y).sin(), &|x, _| (3.0 * k * x).cos()],
    );
    let exact = |x: f64, y: f64| -3.0 * k * (3.0 * k * x).sin() - 2.0 * k * (2.0 * k * y).cos();
    let expected = sampled(points, length, &[&exact]);
    assert!(relative_matrix(&flow.vorticity(state.as_ref()), &expected) < 1e-13);
}

#[test]
fn the_schemes_have_their_orders() {
    let (points, end) = (12, 0.4);
    let (start, force) = (resolved(points, 1), normal(1, 2 * points * points, 2));
    for (scheme, order) in SCHEMES.into_iter().zip([1.0, 2.0, 4.0]) {
        let at = |scheme, steps: usize| {
            let time = time(scheme, steps, end / steps as f64);
            let flow = PeriodicFlow::new(points, 4.0, 0.05, time).carrying(0.02);
            moved(&flow, &start, &force)
        };
        let exact = at(Scheme::Etd4, 600);
        let errors: Vec<(f64, f64)> = [16, 32, 64]
            .map(|steps| {
                (
                    1.0 / steps as f64,
                    relative_matrix(&at(scheme, steps), &exact),
                )
            })
            .to_vec();
        let found = logarithmic_slope(&errors);
        assert!((found - order).abs() < 0.2, "{scheme}: {found} {errors:?}");
    }
}

/// All kinds of flows, small.
fn flows() -> Vec<(String, PeriodicFlow)> {
    let mut all = Vec::new();
    for scheme in SCHEMES {
        for points in [1, 2, 5, 6] {
            let time = TimeSteps {
                scheme,
                steps: 2,
                dt: 0.1,
                substeps: 2,
            };
            let flow = PeriodicFlow::new(points, 1.5, 0.02, time);
            let name = |kind: &str| format!("{kind} {scheme} {points}");
            all.push((
                name("with a density"),
                flow.clone().pushed(0.7).carrying(0.01),
            ));
            all.push((name("alone"), flow));
        }
    }
    all
}

#[test]
fn derivatives_pass_the_public_check() {
    for (name, flow) in flows() {
        let (d, c) = (flow.state_len(), flow.steps() * flow.control_len());
        let open = OpenLoop::new(flow);
        let (start, control) = (normal(2, d, 1), normal(2, c, 2));
        let report = check(&open, start.as_ref(), control.as_ref()).unwrap();
        assert!(report.finite_difference < 1e-6, "{name}: {report:?}");
        assert!(report.adjoint_identity < 1e-12, "{name}: {report:?}");
        assert!(report.rows < 1e-12, "{name}: {report:?}");
    }
}

/// The same steps with the tangent that the trait provides.
struct Plain(PeriodicFlow);

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

#[test]
fn the_tangent_of_state_and_control_is_that_of_all_pulled_rows() {
    for (name, flow) in flows() {
        let [d, c] = [flow.state_len(), flow.control_len()];
        let [x, u, dx, du] = [(d, 1), (c, 2), (d, 3), (c, 4)].map(|(n, seed)| normal(3, n, seed));
        let at = (x.as_ref(), u.as_ref());
        let along = (dx.as_ref(), du.as_ref());
        let own = flow.push_forward(0, at, along).unwrap();
        let from_rows = Plain(flow).push_forward(0, at, along).unwrap();
        assert!(relative_matrix(&own, &from_rows) < 1e-12, "{name}");
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let flow = PeriodicFlow::new(12, 3.0, 0.03, time(Scheme::Etd4, 2, 0.03)).carrying(0.0);
    let (d, c) = (flow.state_len(), 2 * flow.control_len());
    let (start, control) = (normal(20, d, 1), normal(20, c, 2));
    let cotangents = normal(60, d, 3);
    let answers = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let open = OpenLoop::new(flow.clone());
            let record = open.record(start.as_ref(), control.as_ref()).unwrap();
            let rows = record.vjps(cotangents.as_ref()).unwrap();
            [bits(&entries(record.y())), bits(&entries(&rows))].concat()
        })
    };
    let one = answers(1);
    assert!(one == answers(2) && one == answers(5));
}
