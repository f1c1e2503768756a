//! Fields on a circle: closed forms, conserved quantities, orders of convergence, derivatives.

mod common;

use common::{bits, entries, logarithmic_slope, normal, relative_matrix};
use hig::Result;
use hig::linalg::{Mat, MatRef};
use hig::physics::check::check;
use hig::physics::{OpenLoop, PeriodicField, Scheme, Simulator, Stepwise, TimeSteps};
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

/// The values of a function at the points of a circle, as a batch of one sample.
fn sampled(points: usize, length: f64, f: impl Fn(f64) -> f64) -> Mat<f64> {
    Mat::from_fn(1, points, |_, i| f(length * i as f64 / points as f64))
}

/// The field at the end under forces that are the same at all times.
fn moved(field: PeriodicField, start: &Mat<f64>, force: &Mat<f64>) -> Mat<f64> {
    let (steps, n) = (field.steps(), field.points());
    let forces = Mat::from_fn(start.nrows(), steps * n, |s, j| force[(s, j % n)]);
    OpenLoop::new(field)
        .simulate(start.as_ref(), forces.as_ref())
        .unwrap()
}

fn nothing(like: &Mat<f64>) -> Mat<f64> {
    Mat::zeros(like.nrows(), like.ncols())
}

/// φ = 1 + a·exp(-νk²t)·cos(kx) diffuses, so that u = -2ν·φ'/φ obeys the Burgers equation (Cole 1951,
/// doi 10.1090/qam/42889; Hopf 1950, doi 10.1002/cpa.3160030302).
#[test]
fn burgers_is_the_solution_of_cole_and_hopf() {
    let (points, length, viscosity, end) = (64, 2.0, 0.1, 0.5);
    let k = TAU / length;
    let exact = |t: f64| {
        sampled(points, length, |x| {
            let a = 0.6 * (-viscosity * k * k * t).exp();
            2.0 * viscosity * k * a * (k * x).sin() / (1.0 + a * (k * x).cos())
        })
    };
    let start = exact(0.0);
    let time = time(Scheme::Etd4, 100, end / 100.0);
    let field = PeriodicField::burgers(points, length, viscosity, time);
    let found = moved(field, &start, &nothing(&start));
    let error = relative_matrix(&found, &exact(end));
    assert!(error < 1e-9, "{error:e}");
    // It is not the start, nor what diffuses alone.
    assert!(relative_matrix(&found, &start) > 0.1);
}

#[test]
fn small_waves_grow_and_fade_at_the_rates_of_their_linear_equation() {
    let (points, length, end) = (24, 9.0, 0.8);
    for scheme in SCHEMES {
        for waves in 1..=points / 2 {
            let k = TAU * f64::from(waves as u32) / length;
            let rates = [-0.3 * k * k, k * k - k.powi(4)];
            let fields = [
                PeriodicField::burgers(points, length, 0.3, time(scheme, 4, end / 4.0)),
                PeriodicField::kuramoto_sivashinsky(points, length, time(scheme, 4, end / 4.0)),
            ];
            for (rate, field) in rates.into_iter().zip(fields) {
                let start = sampled(points, length, |x| 1e-9 * (k * x).cos());
                let found = moved(field, &start, &nothing(&start));
                let expected = faer::Scale((rate * end).exp()) * &start;
                let error = (&found - &expected).norm_l2() / start.norm_l2();
                assert!(
                    error < 1e-7 * (rate * end).exp().max(1.0),
                    "{waves}: {error:e}"
                );
            }
        }
    }
}

#[test]
fn the_mean_moves_by_the_force_alone() {
    for scheme in SCHEMES {
        for points in [9, 16] {
            let steps = time(scheme, 5, 0.05);
            let fields = [
                PeriodicField::burgers(points, 3.0, 0.2, steps),
                PeriodicField::kuramoto_sivashinsky(points, 9.0, steps),
            ];
            let (start, force) = (normal(3, points, 1), normal(3, points, 2));
            let mean = |batch: &Mat<f64>, s| batch.row(s).iter().sum::<f64>() / points as f64;
            for field in fields {
                let found = moved(field, &start, &force);
                for s in 0..3 {
                    let expected = mean(&start, s) + 0.25 * mean(&force, s);
                    assert!((mean(&found, s) - expected).abs() < 1e-14);
                }
            }
        }
    }
}

/// Without viscosity ∫u² is kept, but for the error of the time steps.
#[test]
fn carrying_along_keeps_the_energy() {
    for points in [30, 31, 32] {
        // Waves that the products are formed of.
        let start = sampled(points, 1.0, |x| {
            (TAU * x).sin() + 0.7 * (2.0 * TAU * x + 1.0).cos() + 0.3
        });
        let errors = [100, 200].map(|steps| {
            let time = time(Scheme::Etd4, steps, 0.1 / steps as f64);
            let field = PeriodicField::burgers(points, 1.0, 0.0, time);
            let found = moved(field, &start, &nothing(&start));
            // By then the waves have steepened to the last mode, and would have gained by aliases.
            assert!(relative_matrix(&found, &start) > 0.3);
            (found.squared_norm_l2() / start.squared_norm_l2() - 1.0).abs()
        });
        assert!(
            errors[0] < 1e-6 && errors[1] < errors[0] / 10.0,
            "{errors:?}"
        );
    }
}

/// u(x - ct) + c is a solution where u(x) is.
#[test]
fn a_moving_observer_sees_the_same() {
    let (points, length, end) = (48, 22.0, 1.1);
    let wave = |x: f64| (TAU * x / length).sin() + 0.5 * (2.0 * TAU * x / length + 0.4).cos();
    let speed = 5.0 * length / points as f64 / end;
    let time = time(Scheme::Etd4, 200, end / 200.0);
    for field in [
        PeriodicField::burgers(points, length, 0.4, time),
        PeriodicField::kuramoto_sivashinsky(points, length, time),
    ] {
        let start = sampled(points, length, wave);
        let faster = sampled(points, length, |x| wave(x) + speed);
        let still = moved(field.clone(), &start, &nothing(&start));
        let moving = moved(field, &faster, &nothing(&start));
        let expected = Mat::from_fn(1, points, |_, i| {
            still[(0, (i + points - 5) % points)] + speed
        });
        let error = relative_matrix(&moving, &expected);
        assert!(error < 1e-8, "{error:e}");
    }
}

#[test]
fn the_schemes_have_their_orders() {
    let (points, end) = (32, 0.4);
    let force = sampled(points, 1.0, |x| (TAU * x).cos());
    let start = sampled(points, 1.0, |x| {
        (TAU * x).sin() + 0.4 * (2.0 * TAU * x).cos()
    });
    for (scheme, order) in SCHEMES.into_iter().zip([1.0, 2.0, 4.0]) {
        for chaotic in [false, true] {
            let at = |scheme, steps: usize| {
                let time = time(scheme, steps, end / steps as f64);
                let field = match chaotic {
                    false => PeriodicField::burgers(points, 2.0, 0.05, time),
                    true => PeriodicField::kuramoto_sivashinsky(points, 12.0, time),
                };
                moved(field, &start, &force)
            };
            let exact = at(Scheme::Etd4, 2000);
            let errors: Vec<(f64, f64)> = [32, 64, 128]
                .map(|steps| {
                    let error = relative_matrix(&at(scheme, steps), &exact);
                    (1.0 / steps as f64, error)
                })
                .to_vec();
            let found = logarithmic_slope(&errors);
            assert!(
                (found - order).abs() < 0.15,
                "{scheme} {chaotic}: {found} {errors:?}"
            );
        }
    }
}

#[test]
fn substeps_are_smaller_steps() {
    let (start, force) = (normal(2, 16, 3), normal(2, 16, 4));
    let at = |steps, substeps, dt| {
        let time = TimeSteps {
            scheme: Scheme::Etd2,
            steps,
            dt,
            substeps,
        };
        moved(PeriodicField::burgers(16, 1.0, 0.1, time), &start, &force)
    };
    assert!(relative_matrix(&at(2, 5, 0.05), &at(10, 1, 0.01)) < 1e-13);
}

/// All kinds of fields, small.
fn fields() -> Vec<(String, PeriodicField)> {
    let mut all = Vec::new();
    for scheme in SCHEMES {
        for points in [1, 2, 7, 12] {
            let time = TimeSteps {
                scheme,
                steps: 3,
                dt: 0.1,
                substeps: 2,
            };
            let burgers = PeriodicField::burgers(points, 1.5, 0.02, time);
            let chaotic = PeriodicField::kuramoto_sivashinsky(points, 6.0, time);
            let name = |kind: &str| format!("{kind} {scheme} {points}");
            all.push((name("corrected"), chaotic.clone().corrected(0.3)));
            all.push((name("burgers"), burgers));
            all.push((name("chaotic"), chaotic));
        }
    }
    all
}

#[test]
fn derivatives_pass_the_public_check() {
    for (name, field) in fields() {
        let (n, steps) = (field.points(), field.steps());
        let open = OpenLoop::new(field);
        let (start, control) = (normal(3, n, 1), normal(3, n * steps, 2));
        let report = check(&open, start.as_ref(), control.as_ref()).unwrap();
        assert!(report.finite_difference < 1e-7, "{name}: {report:?}");
        assert!(report.adjoint_identity < 1e-13, "{name}: {report:?}");
        assert!(report.rows < 1e-13, "{name}: {report:?}");
    }
}

/// The same steps with the tangent that the trait provides.
struct Plain(PeriodicField);

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
    for (name, field) in fields() {
        let n = field.points();
        let [x, u, dx, du] = [1, 2, 3, 4].map(|seed| normal(4, n, seed));
        let at = (x.as_ref(), u.as_ref());
        let along = (dx.as_ref(), du.as_ref());
        let own = field.push_forward(0, at, along).unwrap();
        let from_rows = Plain(field).push_forward(0, at, along).unwrap();
        assert!(relative_matrix(&own, &from_rows) < 1e-13, "{name}");
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let time = time(Scheme::Etd4, 2, 0.03);
    let field = PeriodicField::burgers(32, 1.0, 0.03, time);
    let (start, control) = (normal(40, 32, 1), normal(40, 64, 2));
    let answers = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let open = OpenLoop::new(field.clone());
            let record = open.record(start.as_ref(), control.as_ref()).unwrap();
            let rows = record.rows().unwrap();
            [bits(&entries(record.y())), bits(&entries(&rows))].concat()
        })
    };
    let one = answers(1);
    assert!(one == answers(2) && one == answers(5));
}
