//! Simulators against closed forms, conservation laws, dual numbers and finite differences.

mod common;

use common::oracle::Oracle;
use common::*;
use hig::Result;
use hig::linalg::{Mat, MatRef};
use hig::network::Activation;
use hig::physics::check::{Report, check};
use hig::physics::{
    self, CartPole, CubicSpring, Differentiated, Equations, LinearSpring, OscillatorChain, Pole,
    Real, Record, RungeKutta4, SampleFunction, Scaling, Simulator, Widths,
};
use hig::systems::{LinearOscillators, System, Toy};
use proptest::prelude::*;

/// The chain's equations without a product written by hand.
struct PlainChain {
    masses: usize,
    coupling: f64,
    control: f64,
}

impl Equations for PlainChain {
    fn state_len(&self) -> usize {
        2 * self.masses
    }
    fn rate<T: Real>(&self, _: f64, state: &[T], control: &[T], rate: &mut [T]) {
        let m = self.masses;
        for i in 0..m {
            rate[i] = state[m + i];
            rate[m + i] = -state[i];
        }
        for i in 1..m {
            let spring = (state[i] - state[i - 1]) * self.coupling;
            rate[m + i] = rate[m + i] - spring;
            rate[m + i - 1] = rate[m + i - 1] + spring;
        }
        rate[2 * m - 1] = rate[2 * m - 1] + control[0] * self.control;
    }
}

/// ẍ = -x + cos(2t) + u.
struct Driven;

impl Equations for Driven {
    fn state_len(&self) -> usize {
        2
    }
    fn rate<T: Real>(&self, time: f64, state: &[T], control: &[T], rate: &mut [T]) {
        rate[0] = state[1];
        rate[1] = control[0] - state[0] + (2.0 * time).cos();
    }
}

fn chain(masses: usize) -> OscillatorChain<LinearSpring> {
    OscillatorChain {
        masses,
        spring: LinearSpring(0.7),
        control: 1.3,
    }
}

fn cubic_chain(masses: usize) -> OscillatorChain<CubicSpring> {
    OscillatorChain {
        masses,
        spring: CubicSpring,
        control: 1.3,
    }
}

fn cart_pole(poles: usize) -> CartPole {
    let pole = |i: usize| Pole {
        mass: 0.1 + 0.2 * i as f64,
        half_length: 0.5 / (1.0 + i as f64),
    };
    CartPole {
        cart: 1.3,
        poles: (0..poles).map(pole).collect(),
        gravity: 9.8,
        force: 1.7,
    }
}

fn rod(friction: f64) -> physics::Pendulum {
    physics::Pendulum {
        mass: 1.2,
        length: 0.8,
        gravity: 10.0,
        friction,
        torque: 2.0,
    }
}

/// The end of a motion without control, in so many steps over a time of 1.
fn coasting<E: Equations + 'static>(equations: E, state: &[f64], steps: usize) -> Vec<f64> {
    let controls = vec![0.0; steps * equations.control_len()];
    let physics = RungeKutta4::new(equations, steps, 1.0 / steps as f64);
    physics.trajectory(state, &controls).pop().unwrap()
}

#[test]
fn poles_and_pendulums_keep_their_energy_to_fourth_order() {
    let state = [0.3, -0.4, 2.6, 0.7, 3.5, -0.9, 1.1, 0.2];
    let cart = |steps| {
        let found = coasting(cart_pole(3), &state, steps);
        (cart_pole(3).energy(&found) - cart_pole(3).energy(&state)).abs()
    };
    let swing = [2.0, 0.5];
    let pendulum = |steps| {
        let found = coasting(rod(0.0), &swing, steps);
        (rod(0.0).energy(&found) - rod(0.0).energy(&swing)).abs()
    };
    assert!(cart(400) <= 1e-7 * cart_pole(3).energy(&state).abs());
    assert!(pendulum(400) <= 1e-8 * rod(0.0).energy(&swing).abs());
    // The method is of fourth order; its energy may drift by a higher one.
    let counts = [50, 100, 200];
    let errors = |error: &dyn Fn(usize) -> f64| -> Vec<(f64, f64)> {
        let point = |n: &usize| (*n as f64, error(*n));
        counts.iter().map(point).collect()
    };
    for points in [errors(&cart), errors(&pendulum)] {
        let order = -logarithmic_slope(&points);
        assert!(order >= 3.7, "order {order}: {points:?}");
    }
}

#[test]
fn a_push_changes_the_momentum_of_cart_and_poles_by_force_times_time() {
    let equations = cart_pole(3);
    let momentum = |x: &[f64]| {
        let poles = equations.poles.iter().zip(x[2..].chunks_exact(2));
        let of_poles = poles.map(|(p, m)| p.mass * (x[1] + p.half_length * m[1] * m[0].cos()));
        equations.cart * x[1] + of_poles.sum::<f64>()
    };
    let state = [0.0, 0.5, 3.0, 0.2, 2.7, -0.6, 3.4, 1.0];
    let physics = RungeKutta4::new(equations.clone(), 400, 1.0 / 400.0);
    let end = physics.trajectory(&state, &[2.0; 400]).pop().unwrap();
    let gained = momentum(&end) - momentum(&state);
    assert!((gained - 2.0 * equations.force).abs() <= 1e-7, "{gained}");
    // A pole near upright on a cart that cannot move falls by cosh of the rate √(3g/4l).
    let heavy = CartPole {
        cart: 1e12,
        ..cart_pole(1)
    };
    let end = coasting(heavy, &[0.0, 0.0, 1e-6, 0.0], 400);
    let expected = 1e-6 * (0.75 * 9.8 / 0.5_f64).sqrt().cosh();
    assert!((end[2] / expected - 1.0).abs() <= 1e-8);
}

fn simulators() -> Vec<(&'static str, Box<dyn Simulator>)> {
    vec![
        (
            "scaling",
            Box::new(Differentiated(Scaling { lambda: 0.01 })),
        ),
        ("everything", Box::new(Differentiated(Everything))),
        ("one mass", Box::new(RungeKutta4::new(chain(1), 5, 0.5))),
        ("two masses", Box::new(RungeKutta4::new(chain(2), 24, 0.5))),
        ("five masses", Box::new(RungeKutta4::new(chain(5), 9, 0.3))),
        ("pendulum", Box::new(RungeKutta4::new(Shaken, 12, 0.2))),
        ("driven", Box::new(RungeKutta4::new(Driven, 7, 0.1))),
        ("one step", Box::new(RungeKutta4::new(Shaken, 1, 0.1))),
        ("a pole", Box::new(RungeKutta4::new(cart_pole(1), 6, 0.1))),
        ("poles", Box::new(RungeKutta4::new(cart_pole(3), 6, 0.1))),
        ("rod", Box::new(RungeKutta4::new(rod(0.3), 8, 0.1))),
    ]
}

fn point(simulator: &dyn Simulator, samples: usize, seed: u64) -> (Mat<f64>, Mat<f64>) {
    let widths = simulator.widths();
    let state = normal(samples, widths.state, seed);
    (state, normal(samples, widths.control, seed ^ 1))
}

fn row(matrix: &Mat<f64>, i: usize) -> Vec<f64> {
    (0..matrix.ncols()).map(|j| matrix[(i, j)]).collect()
}

#[test]
fn derivatives_of_every_simulator_agree_with_differences_and_with_each_other() {
    for (name, simulator) in simulators() {
        let (state, control) = point(simulator.as_ref(), 11, 7);
        let report = check(simulator.as_ref(), state.as_ref(), control.as_ref()).unwrap();
        assert!(report.finite_difference <= 1e-7, "{name}: {report:?}");
        assert!(report.adjoint_identity <= 1e-12, "{name}: {report:?}");
        assert!(report.rows <= 1e-12, "{name}: {report:?}");
    }
}

#[test]
fn derivatives_of_every_registered_system_pass_the_check() {
    for mut system in hig::systems::systems() {
        quick_fields(system.as_mut());
        let problem = system.problem(5);
        if problem.through_physics().is_none() {
            continue;
        }
        let data = problem.train.select(&[0, 3, 5, 6, 7]);
        let (_, control) = point(parts(&problem).physics.as_ref(), 5, 9);
        let physics = parts(&problem).physics.as_ref();
        let report = check(physics, data.state.as_ref(), control.as_ref()).unwrap();
        assert!(report.finite_difference <= 1e-6, "{report:?}");
        assert!(report.adjoint_identity <= 1e-12, "{report:?}");
        assert!(report.rows <= 1e-12, "{report:?}");
    }
}

#[test]
fn the_check_finds_a_product_that_is_wrong() {
    struct Wrong(Box<dyn Simulator>);
    struct WrongRecord(Box<dyn hig::physics::Record>);
    impl hig::physics::Record for WrongRecord {
        fn y(&self) -> &Mat<f64> {
            self.0.y()
        }
        fn vjp(&self, cotangent: hig::linalg::MatRef<'_, f64>) -> Result<Mat<f64>> {
            let mut right = self.0.vjp(cotangent)?;
            right[(0, 0)] += 0.01;
            Ok(right)
        }
        fn jvp(&self, tangent: hig::linalg::MatRef<'_, f64>) -> Result<Mat<f64>> {
            self.0.jvp(tangent)
        }
    }
    impl Simulator for Wrong {
        fn widths(&self) -> Widths {
            self.0.widths()
        }
        fn record(
            &self,
            state: hig::linalg::MatRef<'_, f64>,
            control: hig::linalg::MatRef<'_, f64>,
        ) -> Result<Box<dyn hig::physics::Record>> {
            Ok(Box::new(WrongRecord(self.0.record(state, control)?)))
        }
    }
    let right = RungeKutta4::new(Shaken, 4, 0.2);
    let (state, control) = point(&right, 3, 13);
    let wrong = Wrong(Box::new(right));
    let report = check(&wrong, state.as_ref(), control.as_ref()).unwrap();
    assert!(report.adjoint_identity > 1e-6);
}

#[test]
fn the_check_refuses_wrong_widths_and_outputs_that_are_not_finite() {
    let simulator = RungeKutta4::new(Shaken, 4, 0.2);
    let (state, mut control) = point(&simulator, 3, 13);
    let wrong = Mat::zeros(3, 5);
    let result = check(&simulator, state.as_ref(), wrong.as_ref());
    assert_message(result, &["control", "width 5", "width 8"]);
    let result = check(&simulator, wrong.as_ref(), control.as_ref());
    assert_message(result, &["state", "width 5", "width 2"]);
    control[(1, 0)] = f64::INFINITY;
    assert_message(
        check(&simulator, state.as_ref(), control.as_ref()),
        &["finite"],
    );
}

/// Errors at time `end` for several steps, as (dt, error).
fn errors<E: Equations + Clone>(
    equations: &E,
    start: &[f64],
    control: f64,
    end: f64,
    exact: &[f64],
) -> Vec<(f64, f64)> {
    [20, 40, 80, 160]
        .map(|steps| {
            let dt = end / steps as f64;
            let method = RungeKutta4::new(equations.clone(), steps, dt);
            let u = vec![control; steps * equations.control_len()];
            let states = method.trajectory(start, &u);
            (dt, distance(&states[steps], exact))
        })
        .into()
}

#[test]
fn the_harmonic_oscillator_converges_with_order_four() {
    // ẍ = -x + 1.3·u with constant u: a shifted harmonic oscillator.
    let (end, u) = (3.0_f64, 0.4);
    let rest = 1.3 * u;
    let exact = [
        rest + (0.8 - rest) * end.cos() - 0.5 * end.sin(),
        -(0.8 - rest) * end.sin() - 0.5 * end.cos(),
    ];
    let slope = logarithmic_slope(&errors(&chain(1), &[0.8, -0.5], u, end, &exact));
    assert!((slope - 4.0).abs() <= 0.1, "{slope}");
}

#[test]
fn a_rate_that_depends_on_time_converges_with_order_four() {
    #[derive(Clone)]
    struct Copied;
    impl Equations for Copied {
        fn state_len(&self) -> usize {
            2
        }
        fn rate<T: Real>(&self, time: f64, state: &[T], control: &[T], rate: &mut [T]) {
            Driven.rate(time, state, control, rate);
        }
    }
    // x = a·cos t + b·sin t + u - cos(2t)/3.
    let (end, u, x0, v0) = (2.5_f64, 0.3, 0.8, -0.5);
    let (a, b) = (x0 - u + 1.0 / 3.0, v0);
    let exact = [
        a * end.cos() + b * end.sin() + u - (2.0 * end).cos() / 3.0,
        -a * end.sin() + b * end.cos() + 2.0 * (2.0 * end).sin() / 3.0,
    ];
    let points = errors(&Copied, &[x0, v0], u, end, &exact);
    let slope = logarithmic_slope(&points);
    assert!((slope - 4.0).abs() <= 0.1, "{slope}");
    assert!(points[3].1 <= 1e-8);
}

#[test]
fn two_coupled_masses_follow_their_normal_modes() {
    let (coupling, end, steps) = (0.7, 4.0_f64, 400);
    let start = [0.9, 0.2, -0.3, 0.6];
    // Sum and difference of the masses swing alone, with ω = 1 and √(1 + 2·coupling).
    let swing = |x: f64, v: f64, w: f64| {
        let (c, s) = ((w * end).cos(), (w * end).sin());
        (x * c + v / w * s, -x * w * s + v * c)
    };
    let together = swing(start[0] + start[1], start[2] + start[3], 1.0);
    let against = swing(
        start[0] - start[1],
        start[2] - start[3],
        (1.0 + 2.0 * coupling).sqrt(),
    );
    let exact = [
        (together.0 + against.0) / 2.0,
        (together.0 - against.0) / 2.0,
        (together.1 + against.1) / 2.0,
        (together.1 - against.1) / 2.0,
    ];
    let method = RungeKutta4::new(chain(2), steps, end / steps as f64);
    let found = method.trajectory(&start, &vec![0.0; steps]);
    assert!(relative(&found[steps], &exact) <= 1e-8);
}

fn energy(chain: &OscillatorChain<LinearSpring>, state: &[f64]) -> f64 {
    let (x, v) = state.split_at(chain.masses);
    let springs: f64 = x.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum();
    0.5 * (dot(x, x) + dot(v, v) + chain.spring.0 * springs)
}

#[test]
fn the_energy_of_a_free_chain_drifts_with_the_fifth_power_of_the_step() {
    // |R(iz)|² = 1 - z⁶/72 + z⁸/576 for the method's stability function R: dt⁶ a step, dt⁵ a time.
    for masses in [1, 2, 5] {
        let chain = chain(masses);
        let start = normal_vector(2 * masses, 43);
        let drifts = [25, 50, 100, 200].map(|steps| {
            let dt = 5.0 / steps as f64;
            let states = RungeKutta4::new(chain, steps, dt).trajectory(&start, &vec![0.0; steps]);
            (
                dt,
                1.0 - energy(&chain, &states[steps]) / energy(&chain, &start),
            )
        });
        assert!(drifts.iter().all(|(_, drift)| *drift > 0.0));
        let slope = logarithmic_slope(&drifts);
        assert!((slope - 5.0).abs() <= 0.2, "{masses} masses: {slope}");
    }
}

#[test]
fn the_energy_of_free_cubic_springs_drifts_with_the_order_of_the_method() {
    let start = normal_vector(6, 45);
    // ẋ² / 2 + x² / 2 a mass and stretch⁴ / 4 a spring.
    let energy = |state: &[f64]| {
        let springs = state[..3]
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).powi(4));
        0.5 * dot(state, state) + 0.25 * springs.sum::<f64>()
    };
    let drifts = [50, 100, 200, 400].map(|steps| {
        let dt = 2.0 / steps as f64;
        let states =
            RungeKutta4::new(cubic_chain(3), steps, dt).trajectory(&start, &vec![0.0; steps]);
        (dt, (energy(&states[steps]) / energy(&start) - 1.0).abs())
    });
    let slope = logarithmic_slope(&drifts);
    assert!(slope >= 3.8, "{slope}");
    assert!(drifts[3].1 <= 1e-7);
}

#[test]
fn one_free_mass_loses_the_energy_that_the_stability_function_says() {
    let (steps, z) = (30, 0.5_f64);
    let chain = chain(1);
    let states = RungeKutta4::new(chain, steps, z).trajectory(&[0.3, 0.8], &vec![0.0; steps]);
    let a_step = 1.0 - z.powi(6) / 72.0 + z.powi(8) / 576.0;
    let found = energy(&chain, &states[steps]) / energy(&chain, &[0.3, 0.8]);
    assert!((found / a_step.powi(steps as i32) - 1.0).abs() <= 1e-13);
}

#[test]
fn the_last_state_does_not_depend_on_how_the_chain_is_written() {
    for masses in [1, 2, 3, 5] {
        let plain = PlainChain {
            masses,
            coupling: 0.7,
            control: 1.3,
        };
        let by_hand = RungeKutta4::new(chain(masses), 9, 0.4);
        let by_duals = RungeKutta4::new(plain, 9, 0.4);
        let (state, control) = point(&by_hand, 19, 47);
        let cotangent = normal(19, 2 * masses, 48);
        let a = by_hand.record(state.as_ref(), control.as_ref()).unwrap();
        let b = by_duals.record(state.as_ref(), control.as_ref()).unwrap();
        assert!(relative_matrix(a.y(), b.y()) <= 1e-13);
        assert!(relative_matrix(&a.rows().unwrap(), &b.rows().unwrap()) <= 1e-13);
        let (a, b) = (
            a.vjp(cotangent.as_ref()).unwrap(),
            b.vjp(cotangent.as_ref()).unwrap(),
        );
        assert!(relative_matrix(&a, &b) <= 1e-13);
    }
}

/// The final state and its derivative along a change of the control, from dual numbers.
fn dual<E: Equations>(
    method: &RungeKutta4<E>,
    state: &[f64],
    control: &[f64],
    tangent: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let state: Vec<Oracle> = state.iter().map(|v| Oracle::constant(*v)).collect();
    let pairs = control.iter().zip(tangent);
    let control: Vec<Oracle> = pairs.map(|(u, du)| Oracle::new(*u, *du)).collect();
    let states = method.trajectory(&state, &control);
    let last = states.last().unwrap();
    (
        last.iter().map(|v| v.0.re).collect(),
        last.iter().map(|v| v.0.eps).collect(),
    )
}

fn assert_dual_numbers_agree<E: Equations + 'static>(method: &RungeKutta4<E>, samples: usize) {
    let (state, control) = point(method, samples, 51);
    let tangent = normal(samples, control.ncols(), 53);
    let record = method.record(state.as_ref(), control.as_ref()).unwrap();
    let (jvp, rows) = (
        record.jvp(tangent.as_ref()).unwrap(),
        record.rows().unwrap(),
    );
    for s in 0..samples {
        let (x, u) = (row(&state, s), row(&control, s));
        let (y, dy) = dual(method, &x, &u, &row(&tangent, s));
        assert!(relative(&row(record.y(), s), &y) <= 1e-13, "sample {s}");
        assert!(relative(&row(&jvp, s), &dy) <= 1e-12, "sample {s}");
        for j in [0, u.len() / 2, u.len() - 1] {
            let mut unit = vec![0.0; u.len()];
            unit[j] = 1.0;
            let (_, column) = dual(method, &x, &u, &unit);
            let found: Vec<f64> = (0..y.len()).map(|i| rows[(i * samples + s, j)]).collect();
            assert!(distance(&found, &column) <= 1e-12, "sample {s}");
        }
    }
}

#[test]
fn products_and_rows_agree_with_dual_numbers_for_any_number_of_samples() {
    for samples in [1, 2, 7, 8, 9, 16, 17] {
        assert_dual_numbers_agree(&RungeKutta4::new(chain(2), 24, 0.5), samples);
        assert_dual_numbers_agree(&RungeKutta4::new(cubic_chain(3), 9, 0.1), samples);
        assert_dual_numbers_agree(&RungeKutta4::new(Shaken, 12, 0.2), samples);
    }
}

#[test]
fn products_and_rows_agree_with_dual_numbers_when_threads_share_the_batch() {
    assert_dual_numbers_agree(&RungeKutta4::new(Shaken, 40, 0.05), 101);
}

#[test]
fn the_trajectory_starts_at_the_state_and_ends_at_y() {
    let method = RungeKutta4::new(Shaken, 6, 0.2);
    let (state, control) = point(&method, 3, 61);
    let y = method.simulate(state.as_ref(), control.as_ref()).unwrap();
    for s in 0..3 {
        let states = method.trajectory(&row(&state, s), &row(&control, s));
        assert_eq!(states.len(), 7);
        assert_eq!(states[0], row(&state, s));
        assert!(relative(&row(&y, s), &states[6]) <= 1e-14);
    }
}

#[test]
fn later_controls_do_not_change_earlier_states() {
    let method = RungeKutta4::new(Shaken, 6, 0.2);
    let mut control = normal_vector(12, 67);
    let before = method.trajectory(&[0.1, 0.2], &control);
    for u in &mut control[6..] {
        *u += 1.0;
    }
    let after = method.trajectory(&[0.1, 0.2], &control);
    assert_eq!(before[..4], after[..4]);
    assert!((4..7).all(|k| before[k] != after[k]));
}

/// Uses every operation of `Real`; eleven controls, more than dual numbers carry at once.
struct Everything;

impl SampleFunction for Everything {
    fn widths(&self) -> Widths {
        Widths {
            state: 1,
            control: 11,
            output: 3,
        }
    }
    fn evaluate<T: Real>(&self, state: &[f64], u: &[T], y: &mut [T]) {
        y[0] = u[0].sin() * u[1].cos() + u[2].tanh() / (u[3].exp() + state[0] * state[0]);
        y[1] = (u[4] * u[4] + 1.0).ln() - (u[5] * u[5] + 2.0).sqrt() * 3.0 + u[6].powi(3);
        y[2] = T::constant(2.0) * u[7] * u[8] - u[9] / (u[10] * u[10] + 1.0) + state[0];
    }
}

#[test]
fn derivatives_of_every_operation_agree_with_formulas_by_hand() {
    let simulator = Differentiated(Everything);
    let (state, control) = point(&simulator, 5, 71);
    let rows = simulator
        .record(state.as_ref(), control.as_ref())
        .unwrap()
        .rows()
        .unwrap();
    for s in 0..5 {
        let (x, u) = (state[(s, 0)], row(&control, s));
        let below = u[3].exp() + x * x;
        let square = |v: f64| v * v;
        let right = 1.0 + square(u[10]);
        let mut expected = Mat::<f64>::zeros(3, 11);
        expected[(0, 0)] = u[0].cos() * u[1].cos();
        expected[(0, 1)] = -u[0].sin() * u[1].sin();
        expected[(0, 2)] = 1.0 / (square(u[2].cosh()) * below);
        expected[(0, 3)] = -u[2].tanh() * u[3].exp() / square(below);
        expected[(1, 4)] = 2.0 * u[4] / (square(u[4]) + 1.0);
        expected[(1, 5)] = -3.0 * u[5] / (square(u[5]) + 2.0).sqrt();
        expected[(1, 6)] = 3.0 * square(u[6]);
        expected[(2, 7)] = 2.0 * u[8];
        expected[(2, 8)] = 2.0 * u[7];
        expected[(2, 9)] = -1.0 / right;
        expected[(2, 10)] = 2.0 * u[9] * u[10] / square(right);
        let found = Mat::from_fn(3, 11, |i, j| rows[(i * 5 + s, j)]);
        assert!(relative_matrix(&found, &expected) <= 1e-14);
    }
}

/// A map whose derivative alone is not a number.
#[derive(Debug, Clone)]
struct Broken {
    rows_only: bool,
}

impl Simulator for Broken {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: 2,
            output: 2,
        }
    }
    fn record(&self, _: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        Ok(Box::new(BrokenRecord(control.to_owned(), self.rows_only)))
    }
}

struct BrokenRecord(Mat<f64>, bool);

impl Record for BrokenRecord {
    fn y(&self) -> &Mat<f64> {
        &self.0
    }
    fn vjp(&self, cotangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let factor = if self.1 { 1.0 } else { f64::NAN };
        Ok(Mat::from_fn(cotangent.nrows(), 2, |i, j| {
            factor * cotangent[(i, j)]
        }))
    }
    fn rows(&self) -> Result<Mat<f64>> {
        Ok(Mat::from_fn(2 * self.0.nrows(), 2, |i, j| match (i, j) {
            (0, 1) => f64::NAN,
            _ => f64::from(i / self.0.nrows() == j),
        }))
    }
    fn jvp(&self, tangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok(tangent.to_owned())
    }
}

#[test]
fn a_check_never_hides_what_is_not_a_number() {
    let control = normal(3, 2, 91);
    let state = Mat::zeros(3, 0);
    let report =
        |rows_only| check(&Broken { rows_only }, state.as_ref(), control.as_ref()).unwrap();
    let rows = report(true);
    assert!(rows.rows.is_nan(), "{rows:?}");
    assert!(rows.adjoint_identity <= 1e-15 && rows.finite_difference <= 1e-9);
    let products = report(false);
    assert!(products.rows.is_nan() && products.adjoint_identity.is_nan());
}

/// y = sin u, with a memory.
struct Forgetful {
    habit: Habit,
    last: std::sync::Mutex<Mat<f64>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Habit {
    None,
    /// Derivatives at the control of the last simulation.
    AtTheLast,
    /// The mean over the batch is taken off.
    Centred,
    /// One batch size.
    OneSize,
}

struct ForgetfulRecord<'a> {
    y: Mat<f64>,
    control: Mat<f64>,
    of: &'a Forgetful,
}

impl Forgetful {
    fn new(habit: Habit) -> &'static Self {
        Box::leak(Box::new(Self {
            habit,
            last: std::sync::Mutex::new(Mat::zeros(0, 2)),
        }))
    }
}

impl Simulator for &'static Forgetful {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: 2,
            output: 2,
        }
    }
    fn record(&self, _: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        let samples = control.nrows();
        if self.habit == Habit::OneSize && samples != 3 {
            return Err(hig::Error::external("three samples are needed"));
        }
        *self.last.lock().unwrap() = control.to_owned();
        let centred = self.habit == Habit::Centred;
        let shift = match centred {
            true => (0..samples).map(|s| control[(s, 0)]).sum::<f64>() / samples as f64,
            false => 0.0,
        };
        let y = Mat::from_fn(samples, 2, |s, j| control[(s, j)].sin() - shift);
        let control = control.to_owned();
        Ok(Box::new(ForgetfulRecord {
            y,
            control,
            of: self,
        }))
    }
}

impl Record for ForgetfulRecord<'static> {
    fn y(&self) -> &Mat<f64> {
        &self.y
    }
    fn vjp(&self, cotangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let last = self.of.last.lock().unwrap();
        let at_last = self.of.habit == Habit::AtTheLast;
        let at = if at_last { &*last } else { &self.control };
        Ok(Mat::from_fn(cotangent.nrows(), 2, |s, j| {
            at[(s % at.nrows(), j)].cos() * cotangent[(s, j)]
        }))
    }
}

#[test]
fn the_check_asks_as_a_training_does() {
    let (state, control) = (Mat::zeros(3, 0), normal(3, 2, 17));
    let report = |habit| check(&Forgetful::new(habit), state.as_ref(), control.as_ref());
    assert_eq!(report(Habit::None).unwrap().faults(), Vec::<String>::new());
    let of_last = report(Habit::AtTheLast).unwrap();
    assert!(of_last.elsewhere > 1e-3, "{of_last:?}");
    assert!(of_last.faults().iter().any(|f| f.contains("asked before")));
    let centred = report(Habit::Centred).unwrap();
    assert!(centred.batches > 1e-3, "{centred:?}");
    assert!(
        centred
            .faults()
            .iter()
            .any(|f| f.contains("depends on the batch"))
    );
    assert_message(
        report(Habit::OneSize),
        &["asked about a batch that has every sample twice: three samples are needed"],
    );
}

#[test]
fn a_report_says_what_is_broken_and_nan_is() {
    let right = Report {
        finite_difference: 1e-8,
        adjoint_identity: 1e-15,
        rows: 0.0,
        batches: 1e-15,
        elsewhere: 0.0,
    };
    assert!(right.faults().is_empty());
    for bad in [0.1, f64::NAN, f64::INFINITY] {
        for (report, says) in [
            (
                Report {
                    finite_difference: bad,
                    ..right
                },
                "central differences",
            ),
            (
                Report {
                    adjoint_identity: bad,
                    ..right
                },
                "contradict",
            ),
            (Report { rows: bad, ..right }, "unit vectors"),
            (
                Report {
                    batches: bad,
                    ..right
                },
                "depends on the batch",
            ),
            (
                Report {
                    elsewhere: bad,
                    ..right
                },
                "asked before",
            ),
        ] {
            let faults = report.faults();
            assert!(faults.len() == 1 && faults[0].contains(says), "{faults:?}");
        }
    }
}

#[test]
fn equations_with_many_states_and_controls_differentiate_themselves() {
    #[derive(Clone)]
    struct Wide;
    impl Equations for Wide {
        fn state_len(&self) -> usize {
            5
        }
        fn control_len(&self) -> usize {
            7
        }
        fn rate<T: Real>(&self, time: f64, x: &[T], u: &[T], rate: &mut [T]) {
            for i in 0..5 {
                let next = x[(i + 1) % 5];
                rate[i] = (next * u[i]).sin() - x[i] * u[5 + i % 2] * (1.0 + time);
            }
        }
    }
    assert_dual_numbers_agree(&RungeKutta4::new(Wide, 6, 0.1), 9);
}

#[test]
fn simulating_the_inverse_of_the_toy_gives_the_goal() {
    for lambda in [1.0, 0.01, -3.0] {
        let problem = Toy {
            lambda,
            samples: 9,
            ..Toy::default()
        }
        .problem(2);
        let (state, control) = point(parts(&problem).physics.as_ref(), 9, 83);
        let goal = normal(9, 2, 84);
        let physics = &parts(&problem).physics;
        let found = physics
            .inverse(state.as_ref(), control.as_ref(), goal.as_ref())
            .unwrap()
            .unwrap();
        let reached = physics.simulate(state.as_ref(), found.as_ref()).unwrap();
        assert!(relative_matrix(&reached, &goal) <= 1e-15);
    }
}

#[test]
fn a_simulation_without_inverse_offers_none() {
    for simulator in [
        Box::new(RungeKutta4::new(Shaken, 4, 0.2)) as Box<dyn Simulator>,
        Box::new(Differentiated(Everything)),
    ] {
        let (state, control) = point(simulator.as_ref(), 2, 87);
        let goal = normal(2, simulator.widths().output, 88);
        let inverse = simulator
            .inverse(state.as_ref(), control.as_ref(), goal.as_ref())
            .unwrap();
        assert!(inverse.is_none());
    }
}

#[test]
fn widths_of_the_built_in_systems_fit_their_networks_and_data() {
    for (widths, problem) in small_problems(Activation::Tanh) {
        let physics = parts(&problem).physics.widths();
        assert_eq!(physics.control, *widths.last().unwrap());
        assert_eq!(physics.state, problem.train.state.ncols());
        assert_eq!(physics.output, problem.train.target.ncols());
        assert!(problem.check().is_ok());
    }
}

#[test]
fn an_uncontrolled_chain_should_return_to_where_it_started() {
    let problem = LinearOscillators {
        samples: 50,
        ..LinearOscillators::default()
    }
    .problem(0);
    let data = &problem.train;
    assert_eq!((&data.input, &data.state), (&data.state, &data.target));
    assert!(entries(&data.state).iter().all(|v| (0.0..1.0).contains(v)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_chain_is_affine_in_its_control(
        masses in 1_usize..5,
        samples in 1_usize..20,
        factor in -3.0_f64..3.0,
        seed in any::<u64>(),
    ) {
        let method = RungeKutta4::new(chain(masses), 8, 0.5);
        let (state, a) = point(&method, samples, seed);
        let b = normal(samples, 8, seed ^ 5);
        let mixed = Mat::from_fn(samples, 8, |i, j| a[(i, j)] + factor * (b[(i, j)] - a[(i, j)]));
        let [ya, yb, found] = [&a, &b, &mixed].map(|u| method.simulate(state.as_ref(), u.as_ref()).unwrap());
        let expected = Mat::from_fn(samples, 2 * masses, |i, j| {
            ya[(i, j)] + factor * (yb[(i, j)] - ya[(i, j)])
        });
        prop_assert!(relative_matrix(&found, &expected) <= 1e-12);
    }

    #[test]
    fn samples_do_not_touch_each_other(samples in 1_usize..20, seed in any::<u64>()) {
        let method = RungeKutta4::new(Shaken, 5, 0.2);
        let (state, control) = point(&method, samples, seed);
        let cotangent = normal(samples, 2, seed ^ 6);
        let whole = method.record(state.as_ref(), control.as_ref()).unwrap();
        let vjp = whole.vjp(cotangent.as_ref()).unwrap();
        let last = samples - 1;
        let one = |m: &Mat<f64>| Mat::from_fn(1, m.ncols(), |_, j| m[(last, j)]);
        let (state, control, cotangent) = (one(&state), one(&control), one(&cotangent));
        let alone = method.record(state.as_ref(), control.as_ref()).unwrap();
        prop_assert_eq!(bits(&row(whole.y(), last)), bits(&row(alone.y(), 0)));
        let alone = alone.vjp(cotangent.as_ref()).unwrap();
        prop_assert_eq!(bits(&row(&vjp, last)), bits(&row(&alone, 0)));
    }
}
