//! Implicit steps: order, stability, published solutions, derivatives.

mod common;

use common::*;
use hig::linalg::Mat;
use hig::loss::SquaredError;
use hig::network::{Activation, Initializer, Network};
use hig::objective::ClosedLoop;
use hig::physics::check::check;
use hig::physics::{Equations, OpenLoop, Real, RungeKutta4, Sdirk3, Simulator, Stepwise};
use hig::{Dataset, Problem};

/// Van der Pol's oscillator, stiff where μ is large, with a force.
#[derive(Clone)]
struct VanDerPol(f64);

impl Equations for VanDerPol {
    fn state_len(&self) -> usize {
        2
    }
    fn rate<T: Real>(&self, _: f64, x: &[T], u: &[T], rate: &mut [T]) {
        rate[0] = x[1];
        rate[1] = (T::constant(1.0) - x[0] * x[0]) * x[1] * self.0 - x[0] + u[0];
    }
}

/// Robertson's reactions, with a control that adds to the first rate constant.
#[derive(Clone)]
struct Robertson;

impl Equations for Robertson {
    fn state_len(&self) -> usize {
        3
    }
    fn rate<T: Real>(&self, _: f64, x: &[T], u: &[T], rate: &mut [T]) {
        let (slow, fast, middle) = (x[0] * (u[0] + 0.04), x[1] * x[1] * 3e7, x[1] * x[2] * 1e4);
        rate[0] = middle - slow;
        rate[1] = slow - middle - fast;
        rate[2] = fast;
    }
}

/// x falls back to cos t at a rate, after Prothero and Robinson 1974.
#[derive(Clone)]
struct Relaxing(f64);

impl Equations for Relaxing {
    fn state_len(&self) -> usize {
        1
    }
    fn rate<T: Real>(&self, time: f64, x: &[T], u: &[T], rate: &mut [T]) {
        rate[0] = (x[0] - time.cos()) * -self.0 - time.sin() + u[0];
    }
}

/// The end of a motion without control.
fn coasting<E: Equations + 'static>(
    equations: E,
    start: &[f64],
    steps: usize,
    end: f64,
) -> Vec<f64> {
    let physics = OpenLoop::new(Sdirk3::new(equations, steps, end / steps as f64));
    let start = Mat::from_fn(1, start.len(), |_, j| start[j]);
    let control = Mat::zeros(1, physics.widths().control);
    let y = physics.simulate(start.as_ref(), control.as_ref()).unwrap();
    y.row(0).iter().copied().collect()
}

#[test]
fn errors_fall_with_the_third_power_of_the_step() {
    // Not stiff, against many explicit steps of fourth order.
    let start = [1.5, -0.5];
    let exact = RungeKutta4::new(VanDerPol(1.0), 4000, 2.0 / 4000.0)
        .trajectory(&start, &[0.0; 4000])
        .pop()
        .unwrap();
    let error = |steps: usize| {
        let found = coasting(VanDerPol(1.0), &start, steps, 2.0);
        (2.0 / steps as f64, distance(&found, &exact))
    };
    let slope = logarithmic_slope(&[40, 80, 160, 320].map(error));
    assert!((slope - 3.0).abs() <= 0.1, "{slope}");

    // Stiff and on the slow curve: the explicit method of the same step leaves it.
    let start = [2.0, -0.66];
    let exact = coasting(VanDerPol(1e3), &start, 20_000, 0.5);
    let error = |steps: usize| {
        let found = coasting(VanDerPol(1e3), &start, steps, 0.5);
        (0.5 / steps as f64, (found[0] - exact[0]).abs())
    };
    let errors = [10, 20, 40].map(error);
    assert!(errors[2].1 <= 1e-6, "{errors:?}");
    let explicit = RungeKutta4::new(VanDerPol(1e3), 40, 0.5 / 40.0);
    let end = explicit.trajectory(&start, &[0.0; 40]).pop().unwrap();
    assert!(end[0].is_nan() || end[0].abs() > 10.0, "{end:?}");
}

#[test]
fn a_linear_equation_is_multiplied_by_the_stability_function() {
    // R(z) = (1 + (1 - 3γ)z + (1/2 - 3γ + 3γ²)z²) / (1 - γz)³, and R(-∞) = 0.
    let gamma = 0.435_866_521_508_459;
    for z in [-0.3, -2.0, -40.0, -1e6_f64] {
        let above =
            1.0 + (1.0 - 3.0 * gamma) * z + (0.5 - 3.0 * gamma + 3.0 * gamma * gamma) * z * z;
        let expected = above / (1.0 - gamma * z).powi(3);
        let equations = Relaxing(-z);
        // The distance of two solutions from each other.
        let one = coasting(equations.clone(), &[3.0], 1, 1.0)[0];
        let other = coasting(equations, &[1.0], 1, 1.0)[0];
        let found = (one - other) / 2.0;
        assert!((found - expected).abs() <= 1e-9, "{z}: {found} {expected}");
    }
}

#[test]
fn a_step_follows_what_is_slow_however_fast_the_rest_decays() {
    for rate in [1e3, 1e6, 1e9] {
        let found = coasting(Relaxing(rate), &[1.0], 20, 2.0)[0];
        assert!((found - 2.0_f64.cos()).abs() <= 2e-5, "{rate}: {found}");
    }
}

#[test]
fn the_reactions_of_robertson_come_to_their_published_concentrations() {
    // Hindmarsh, ODEPACK, the example of LSODE.
    for (end, steps, published) in [
        (0.4, 200, [9.851726e-1, 3.386406e-5, 1.479357e-2]),
        (4.0, 400, [9.055142e-1, 2.240418e-5, 9.446344e-2]),
        (40.0, 1000, [7.158050e-1, 9.184616e-6, 2.841858e-1]),
    ] {
        let found = coasting(Robertson, &[1.0, 0.0, 0.0], steps, end);
        for (a, b) in found.iter().zip(published) {
            assert!((a / b - 1.0).abs() <= 2e-4, "{end}: {found:?}");
        }
        // Nothing is lost.
        assert!((found.iter().sum::<f64>() - 1.0).abs() <= 1e-12);
    }
}

#[test]
fn derivatives_agree_with_differences_and_with_each_other() {
    let stiff = |mu| {
        OpenLoop::new(Sdirk3::new(VanDerPol(mu), 6, 0.1))
            .after(vec![2, 6])
            .unwrap()
    };
    for mu in [1.0, 50.0] {
        let physics = stiff(mu);
        // On the slow branch, where a solution depends smoothly on everything.
        let state = Mat::from_fn(11, 2, |s, j| [2.0 + 0.02 * s as f64, -0.6][j]);
        let control = normal(11, 6, 3);
        let report = check(&physics, state.as_ref(), control.as_ref()).unwrap();
        assert!(report.faults().is_empty(), "{:?}", report.faults());
        assert!(report.finite_difference <= 1e-6, "{report:?}");
        assert!(report.adjoint_identity <= 1e-11, "{report:?}");
        let other = report.batches.max(report.elsewhere);
        assert!(other <= 1e-14, "{report:?}");
    }
    let reactions = OpenLoop::new(Sdirk3::new(Robertson, 5, 2.0));
    let state = Mat::from_fn(3, 3, |s, j| [0.9, 2e-5, 0.1 + 0.01 * s as f64][j]);
    let control = Mat::from_fn(3, 5, |s, k| 0.001 * (s + k) as f64);
    let report = check(&reactions, state.as_ref(), control.as_ref()).unwrap();
    assert!(report.finite_difference <= 1e-5, "{report:?}");
    assert!(report.adjoint_identity <= 1e-11, "{report:?}");
}

/// Burgers' equation on a circle or a line, with a force, and growth that makes the diagonal of 1 - γ·dt·∂f/∂x vanish
/// where it is such; `whole` has every component read all others, which changes no number.
#[derive(Clone)]
struct Cells {
    circle: bool,
    advection: f64,
    growth: f64,
    whole: bool,
}

impl Equations for Cells {
    fn state_len(&self) -> usize {
        20
    }
    fn control_len(&self) -> usize {
        20
    }
    fn rate<T: Real>(&self, _: f64, x: &[T], u: &[T], rate: &mut [T]) {
        let n = x.len();
        let all = x.iter().fold(T::constant(0.0), |sum, x| sum + *x) * 0.0;
        for i in 0..n {
            let edge = T::constant(0.0);
            let (left, right) = match self.circle {
                true => (x[(i + n - 1) % n], x[(i + 1) % n]),
                false => (
                    if i > 0 { x[i - 1] } else { edge },
                    if i + 1 < n { x[i + 1] } else { edge },
                ),
            };
            let bend = (right + left - x[i] * 2.0) * 40.0;
            rate[i] = bend - x[i] * (right - left) * self.advection + x[i] * self.growth + u[i];
            if self.whole {
                rate[i] = rate[i] + all;
            }
        }
    }
}

#[test]
fn a_stencil_within_a_band_is_what_whole_matrices_give() {
    // The diagonal of the last is near 0, which asks for exchanges of rows.
    let vanishing = 81.0 + 1.0 / (0.435_866_521_508_459 * 0.1);
    for (circle, advection, growth) in [(true, 3.0, 0.0), (false, 3.0, 0.0), (true, 0.0, vanishing)]
    {
        let physics = |whole| {
            let cells = Cells {
                circle,
                advection,
                growth,
                whole,
            };
            Sdirk3::new(cells, 2, 0.1)
        };
        let (state, control) = (normal(11, 20, 1), normal(11, 20, 2));
        let at = (state.as_ref(), control.as_ref());
        let (rows, along) = (normal(22, 20, 3), (normal(11, 20, 4), normal(11, 20, 5)));
        let along = (along.0.as_ref(), along.1.as_ref());
        let answers = |whole| {
            let physics = physics(whole);
            let (of_state, of_control) = physics.pull_back(1, at, rows.as_ref()).unwrap();
            let next = physics.advance(1, at.0, at.1).unwrap();
            let pushed = physics.push_forward(1, at, along).unwrap();
            [next, of_state, of_control, pushed]
        };
        for (found, expected) in answers(false).iter().zip(&answers(true)) {
            let error = relative_matrix(found, expected);
            assert!(error <= 1e-10, "{circle} {growth}: {error:e}");
        }
        let physics = OpenLoop::new(physics(false));
        let control = normal(11, 40, 6);
        let report = check(&physics, state.as_ref(), control.as_ref()).unwrap();
        assert!(report.faults().is_empty(), "{:?}", report.faults());
        assert!(report.batches.max(report.elsewhere) <= 1e-14, "{report:?}");
    }
}

#[test]
fn where_nothing_is_stiff_it_agrees_with_explicit_steps_and_their_derivatives() {
    let (state, control) = (normal(9, 2, 5), normal(9, 3, 6));
    let implicit = Sdirk3::new(VanDerPol(0.5), 3, 1e-3);
    let explicit = RungeKutta4::new(VanDerPol(0.5), 3, 1e-3);
    let at = (state.as_ref(), control.as_ref().subcols(0, 1));
    let next = |physics: &dyn Stepwise| physics.advance(1, at.0, at.1).unwrap();
    assert!(relative_matrix(&next(&implicit), &next(&explicit)) <= 1e-11);
    let rows = normal(27, 2, 7);
    let back = |physics: &dyn Stepwise| physics.pull_back(1, at, rows.as_ref()).unwrap();
    let (a, b) = (back(&implicit), back(&explicit));
    assert!(relative_matrix(&a.0, &b.0) <= 1e-8);
    assert!(relative_matrix(&a.1, &b.1) <= 1e-5);
}

#[test]
fn a_stage_that_has_no_solution_is_told() {
    /// It grows faster than any implicit step can follow: x = dt·γ·(x² + 1) has no root.
    struct Growing;
    impl Equations for Growing {
        fn state_len(&self) -> usize {
            1
        }
        fn control_len(&self) -> usize {
            0
        }
        fn rate<T: Real>(&self, _: f64, x: &[T], _: &[T], rate: &mut [T]) {
            rate[0] = x[0] * x[0] + 1.0;
        }
    }
    let physics = OpenLoop::new(Sdirk3::new(Growing, 2, 5.0));
    let y = physics.simulate(Mat::zeros(1, 1).as_ref(), Mat::zeros(1, 0).as_ref());
    assert_message(y, &["step 0", "Newton", "shorter"]);
}

#[test]
fn a_network_steers_it_from_inside() {
    let network = Network::mlp(&[2, 5, 1], Activation::Tanh, Initializer::Glorot);
    let model = ClosedLoop::new(
        network,
        Sdirk3::new(VanDerPol(20.0), 8, 0.1),
        SquaredError::half(),
    );
    let samples = Dataset {
        input: Mat::zeros(4, 0),
        state: Mat::from_fn(4, 2, |s, j| [1.9 + 0.05 * s as f64, -0.6][j]),
        target: Mat::zeros(4, 2),
    };
    let problem = Problem::of(samples.select(&[0, 1, 2, 3]), samples, model);
    problem.check().unwrap();
    let objective = &problem.objective;
    let at = objective.initial(3);
    let linear = objective.linearize(&problem.train, &at).unwrap();
    let gradient = linear.gradient().unwrap();
    for (j, found) in gradient.iter().enumerate() {
        let moved = |by: f64| {
            let mut at = at.clone();
            at[j] += by;
            objective.loss(&at, &problem.train).unwrap()
        };
        let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!(
            (found - expected).abs() <= 1e-7 * (1.0 + expected.abs()),
            "{j}"
        );
    }
}
