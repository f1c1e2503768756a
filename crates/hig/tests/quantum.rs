//! The quantum dipole against dense linear algebra, the Cayley transform, symmetries and differences.

mod common;

use common::oracle::Oracle;
use common::*;
use hig::Problem;
use hig::linalg::Mat;
use hig::loss::{Infidelity, Loss};
use hig::objective::Objective;
use hig::physics::check::check;
use hig::physics::{InfiniteWell, Record, Schroedinger, Simulator, rows_times};
use hig::settings::Settings;
use hig::step::Spectral;
use hig::systems::{MlpSettings, Picture, QuantumDipole, System};
use hig::trainer::{Budget, Training, train};
use proptest::prelude::*;

const WELL: InfiniteWell = InfiniteWell { points: 16 };

/// The paper's well and times.
fn paper() -> Schroedinger {
    QuantumDipole::default().physics()
}

fn small() -> QuantumDipole {
    QuantumDipole {
        points: 6,
        steps: 5,
        dt: 0.3,
        samples: 9,
        test_samples: 3,
        network: MlpSettings::tanh(vec![4]),
    }
}

fn row(matrix: &Mat<f64>, i: usize) -> Vec<f64> {
    (0..matrix.ncols()).map(|j| matrix[(i, j)]).collect()
}

fn stateless(samples: usize) -> Mat<f64> {
    Mat::zeros(samples, 0)
}

fn record(physics: &Schroedinger, control: &Mat<f64>) -> Box<dyn Record> {
    physics
        .record(stateless(control.nrows()).as_ref(), control.as_ref())
        .unwrap()
}

fn simulate(physics: &Schroedinger, control: &Mat<f64>) -> Mat<f64> {
    physics
        .simulate(stateless(control.nrows()).as_ref(), control.as_ref())
        .unwrap()
}

/// Real numbers as interleaved complex ones, times `phase` = (re, im).
fn times_phase(real: &[f64], phase: (f64, f64)) -> Vec<f64> {
    real.iter()
        .flat_map(|v| [v * phase.0, v * phase.1])
        .collect()
}

fn rotated(state: &[f64], angle: f64) -> Vec<f64> {
    let (c, s) = (angle.cos(), angle.sin());
    let pairs = state.chunks_exact(2);
    pairs
        .flat_map(|z| [c * z[0] - s * z[1], s * z[0] + c * z[1]])
        .collect()
}

/// A normal state of unit norm in each row.
fn states(samples: usize, width: usize, seed: u64) -> Mat<f64> {
    let mut states = normal(samples, width, seed);
    for s in 0..samples {
        let norm = dot(&row(&states, s), &row(&states, s)).sqrt();
        for j in 0..width {
            states[(s, j)] /= norm;
        }
    }
    states
}

fn one_row(values: &[f64]) -> Mat<f64> {
    Mat::from_fn(1, values.len(), |_, j| values[j])
}

/// H(u) of a well, dense.
fn hamiltonian(well: InfiniteWell, u: f64) -> Mat<f64> {
    let (n, h) = (well.points - 2, 2.0 / (well.points - 1) as f64);
    Mat::from_fn(n, n, |i, j| match i.abs_diff(j) {
        0 => 2.0 / (h * h) + u * (i + 1) as f64 * h,
        1 => -1.0 / (h * h),
        _ => 0.0,
    })
}

/// One Crank-Nicolson step by Gaussian elimination of the real form of the complex system.
fn dense_step(well: InfiniteWell, u: f64, dt: f64, state: &[f64]) -> Vec<f64> {
    let (h, n) = (hamiltonian(well, u), state.len() / 2);
    // Multiplication by 1 + i·sign·dt/2·H on interleaved numbers.
    let matrix = |sign: f64| {
        Mat::from_fn(2 * n, 2 * n, |i, j| {
            let hopping = sign * 0.5 * dt * h[(i / 2, j / 2)];
            match (i % 2, j % 2) {
                (0, 1) => -hopping,
                (1, 0) => hopping,
                _ => f64::from(i == j),
            }
        })
    };
    solve(&matrix(1.0), &times(&matrix(-1.0), state))
}

#[test]
fn eigenstates_and_energies_are_those_of_the_discrete_well() {
    for points in [3, 4, 5, 16, 40] {
        let well = InfiniteWell { points };
        let h = hamiltonian(well, 0.0);
        for n in 1..=well.inside() {
            let psi = well.eigenstate(n);
            let scaled: Vec<f64> = psi.iter().map(|v| well.energy(n) * v).collect();
            assert!(relative(&times(&h, &psi), &scaled) <= 1e-11, "{points} {n}");
            for m in 1..=well.inside() {
                let overlap = dot(&psi, &well.eigenstate(m));
                assert!((overlap - f64::from(m == n)).abs() <= 1e-14);
            }
        }
    }
    // The continuous well: (nπ/2)².
    let fine = InfiniteWell { points: 2000 };
    assert!((fine.energy(1) / (std::f64::consts::PI / 2.0).powi(2) - 1.0).abs() <= 1e-6);
    assert_eq!(fine.positions().len(), 1998);
    assert!((fine.positions()[1997] - (2.0 - fine.spacing())).abs() <= 1e-12);
}

#[test]
fn every_step_is_the_crank_nicolson_step_of_dense_algebra() {
    for (points, steps, dt) in [(3, 4, 0.3), (4, 5, 0.05), (7, 6, -0.2), (16, 8, 0.05)] {
        let well = InfiniteWell { points };
        let control = normal_vector(steps, 5);
        let found = Schroedinger::new(well, steps, dt).trajectory(&control);
        assert_eq!(found[0], times_phase(&well.eigenstate(1), (1.0, 0.0)));
        for k in 0..steps {
            let expected = dense_step(well, control[k], dt, &found[k]);
            assert!(relative(&found[k + 1], &expected) <= 1e-13, "{points}");
        }
    }
}

#[test]
fn an_eigenstate_turns_by_the_cayley_transform_of_its_energy() {
    let (steps, dt) = (384, 0.05);
    for n in 1..=WELL.inside() {
        let psi = WELL.eigenstate(n);
        let start = times_phase(&psi, (1.0, 0.0));
        let physics = Schroedinger::new(WELL, steps, dt).starting_from(&start);
        let found = physics.unwrap().trajectory(&vec![0.0; steps]);
        // (1 - iz)/(1 + iz) = exp(-2i·atan z).
        let angle = -2.0 * (0.5 * dt * WELL.energy(n)).atan();
        for (k, state) in found.iter().enumerate() {
            let phase = angle * k as f64;
            let expected = times_phase(&psi, (phase.cos(), phase.sin()));
            assert!(relative(state, &expected) <= 2e-12, "state {n}, step {k}");
        }
    }
}

#[test]
fn without_control_the_ground_state_stays_the_ground_state() {
    let physics = paper();
    let y = simulate(&physics, &Mat::zeros(3, 384));
    let ground = times_phase(&WELL.eigenstate(1), (1.0, 0.0));
    let ground = Mat::from_fn(3, 28, |_, j| ground[j]);
    assert!(mean(&Infidelity, &y, &ground).abs() <= 1e-12);
}

#[test]
fn the_norm_is_conserved_whatever_the_control() {
    for strength in [0.1, 3.0, 100.0] {
        let control: Vec<f64> = normal_vector(384, 11)
            .iter()
            .map(|u| strength * u)
            .collect();
        for state in paper().trajectory(&control) {
            assert!((dot(&state, &state) - 1.0).abs() <= 1e-12, "{strength}");
        }
    }
}

#[test]
fn the_method_has_order_two() {
    // Piecewise constant control on eight intervals, resolved ever finer.
    let levels = normal_vector(8, 13);
    let end = |steps: usize| {
        let control: Vec<f64> = (0..steps).map(|k| 4.0 * levels[8 * k / steps]).collect();
        let states = Schroedinger::new(WELL, steps, 2.0 / steps as f64).trajectory(&control);
        states[steps].clone()
    };
    let exact = end(131_072);
    let errors: Vec<(f64, f64)> = [512, 1024, 2048, 4096]
        .map(|steps| (2.0 / steps as f64, distance(&end(steps), &exact)))
        .into();
    let slope = logarithmic_slope(&errors);
    assert!((slope - 2.0).abs() <= 0.05, "{slope}: {errors:?}");
}

#[test]
fn negating_the_time_step_leads_back_to_the_start() {
    let control = normal_vector(384, 17);
    let ahead = paper().trajectory(&control);
    let reversed: Vec<f64> = control.iter().rev().copied().collect();
    let back = Schroedinger::new(WELL, 384, -0.05).starting_from(&ahead[384]);
    let back = back.unwrap().trajectory(&reversed);
    for k in [0, 100, 384] {
        assert!(relative(&back[384 - k], &ahead[k]) <= 1e-12);
    }
    assert!(distance(&ahead[384], &ahead[0]) > 0.1);
}

#[test]
fn a_start_of_the_wrong_length_is_refused() {
    let result = Schroedinger::new(WELL, 3, 0.1).starting_from(&[1.0; 14]);
    assert_message(result, &["initial state", "length 14", "length 28"]);
}

#[test]
fn derivatives_pass_the_check() {
    let sizes = [
        (16, 384, 0.05, 5),
        (3, 4, 0.2, 2),
        (4, 30, 0.1, 11),
        (9, 30, -0.1, 8),
        (16, 1, 0.05, 3),
    ];
    for (points, steps, dt, samples) in sizes {
        let physics = Schroedinger::new(InfiniteWell { points }, steps, dt);
        let control = normal(samples, steps, 19);
        let report = check(&physics, stateless(samples).as_ref(), control.as_ref()).unwrap();
        assert!(report.finite_difference <= 1e-7, "{points}: {report:?}");
        assert!(report.adjoint_identity <= 1e-12, "{points}: {report:?}");
        assert!(report.rows <= 1e-12, "{points}: {report:?}");
    }
}

#[test]
fn products_and_rows_agree_with_dual_numbers_for_any_number_of_samples() {
    let physics = Schroedinger::new(InfiniteWell { points: 8 }, 40, 0.1);
    for samples in [1, 2, 7, 8, 9, 16, 17, 101] {
        let (control, tangent) = (normal(samples, 40, 23), normal(samples, 40, 29));
        let at = record(&physics, &control);
        let (jvp, rows) = (at.jvp(tangent.as_ref()).unwrap(), at.rows().unwrap());
        assert!(relative_matrix(&jvp, &rows_times(&rows, tangent.as_ref())) <= 1e-12);
        for s in 0..samples {
            let pairs = (0..40).map(|k| Oracle::new(control[(s, k)], tangent[(s, k)]));
            let states = physics.trajectory(&pairs.collect::<Vec<_>>());
            let y: Vec<f64> = states[40].iter().map(|z| z.0.re).collect();
            let dy: Vec<f64> = states[40].iter().map(|z| z.0.eps).collect();
            assert!(relative(&row(at.y(), s), &y) <= 1e-13);
            assert!(relative(&row(&jvp, s), &dy) <= 1e-12);
        }
    }
}

#[test]
fn changes_of_the_control_leave_the_norm_alone() {
    // Re⟨y|dy⟩ = 0 for every direction: yᵀ·J = 0.
    let at = record(&paper(), &normal(5, 384, 31));
    let slope = at.vjp(at.y().as_ref()).unwrap();
    assert!(slope.norm_max() <= 1e-13, "{}", slope.norm_max());
}

#[test]
fn simulating_and_recording_give_the_same_bits_as_one_sample_alone() {
    let physics = paper();
    let control = normal(19, 384, 37);
    let w = normal(19, 28, 41);
    let at = record(&physics, &control);
    assert_eq!(simulate(&physics, &control), *at.y());
    let (vjp, rows) = (at.vjp(w.as_ref()).unwrap(), at.rows().unwrap());
    for s in [0, 7, 8, 18] {
        let alone = record(&physics, &one_row(&row(&control, s)));
        assert_eq!(row(alone.y(), 0), row(at.y(), s));
        let product = alone.vjp(one_row(&row(&w, s)).as_ref()).unwrap();
        assert_eq!(row(&product, 0), row(&vjp, s));
        let alone = alone.rows().unwrap();
        assert!((0..28).all(|i| row(&alone, i) == row(&rows, i * 19 + s)));
    }
}

#[test]
fn the_number_of_threads_does_not_change_the_bits() {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let control = normal(30, 384, 43);
            let at = record(&paper(), &control);
            let jvp = at.jvp(control.as_ref()).unwrap();
            (
                at.y().clone(),
                at.vjp(at.y().as_ref()).unwrap(),
                jvp,
                at.rows().unwrap(),
            )
        })
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn infidelity_of_known_states() {
    let [first, second] = [1, 2].map(|n| times_phase(&WELL.eigenstate(n), (0.6, -0.8)));
    let half: Vec<f64> = first
        .iter()
        .zip(&second)
        .map(|(a, b)| 0.5 * a + 0.75_f64.sqrt() * b)
        .collect();
    for (y, expected) in [(&first, 0.0), (&second, 1.0), (&half, 0.75)] {
        let loss = mean(&Infidelity, &one_row(y), &one_row(&first));
        assert!((loss - expected).abs() <= 1e-15, "{loss} for {expected}");
    }
    // Two samples count by their mean.
    let y = Mat::from_fn(2, 28, |i, j| [&half, &first][i][j]);
    let target = Mat::from_fn(2, 28, |_, j| first[j]);
    let loss = mean(&Infidelity, &y, &target);
    assert!((loss - 0.375).abs() <= 1e-15);
}

#[test]
fn the_gradient_of_the_infidelity_agrees_with_differences() {
    let (y, target) = (states(5, 10, 47), states(5, 10, 53));
    let gradient = mean_cotangent(&Infidelity, &y, &target);
    let differences = difference_jacobian(&entries(&y), 1e-5, |moved| {
        let moved = Mat::from_fn(5, 10, |i, j| moved[j * 5 + i]);
        vec![mean(&Infidelity, &moved, &target)]
    });
    assert!(relative(&entries(&gradient), &entries(&differences)) <= 1e-9);
    let newton = Infidelity.newton(y.as_ref(), target.as_ref());
    let expected = Mat::from_fn(5, 10, |i, j| -5.0 * gradient[(i, j)]);
    assert!(relative_matrix(&newton, &expected) <= 1e-15);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_global_phase_changes_no_infidelity(
        points in 1_usize..20,
        a in -4.0_f64..4.0,
        b in -4.0_f64..4.0,
        seed in any::<u64>(),
    ) {
        let (y, target) = (states(1, 2 * points, seed), states(1, 2 * points, seed ^ 3));
        let before = mean(&Infidelity, &y, &target);
        let turned = [(&y, a), (&target, b)].map(|(m, angle)| one_row(&rotated(&row(m, 0), angle)));
        let after = mean(&Infidelity, &turned[0], &turned[1]);
        prop_assert!((after - before).abs() <= 1e-14);
        prop_assert!((-1e-14..=1.0).contains(&after));
        // Along the phase of y the loss is flat.
        let gradient = mean_cotangent(&Infidelity, &y, &target);
        let quarter = rotated(&row(&y, 0), std::f64::consts::FRAC_PI_2);
        prop_assert!(dot(&row(&gradient, 0), &quarter).abs() <= 1e-14);
    }
}

#[test]
fn the_jacobian_of_a_small_dipole_agrees_with_differences() {
    let problem = small().problem(3);
    let at = problem.initial_parameters(3);
    let batch = Batch::new(parts(&problem), &problem.train, &at);
    let differences = difference_jacobian(&at, 1e-5, |parameters| {
        entries(&parts(&problem).outputs(parameters, &problem.train).unwrap())
    });
    let jacobian = batch.jacobian();
    assert!(relative_matrix(&jacobian, &differences) <= 1e-7);
    assert!(relative_matrix(&batch.gram(), &multiply(&jacobian, &transpose(&jacobian))) <= 1e-12);

    let gradient = difference_jacobian(&at, 1e-5, |parameters| vec![batch.loss_at(parameters)]);
    assert!(relative(&batch.gradient(), &entries(&gradient)) <= 1e-7);
    let fresh = Batch::new(parts(&problem), &problem.train, &at);
    let (v, w) = (normal_vector(at.len(), 5), normal_vector(fresh.rows(), 7));
    assert!(relative(&fresh.jvp(&v), &times(&jacobian, &v)) <= 1e-12);
    assert!(relative(&fresh.vjp(&w), &times(&transpose(&jacobian), &w)) <= 1e-12);
}

/// A problem of the paper's size with few samples.
fn few(samples: usize) -> Problem {
    QuantumDipole {
        samples,
        test_samples: 8,
        ..QuantumDipole::default()
    }
    .problem(0)
}

#[test]
fn targets_are_mixtures_of_the_second_and_third_eigenstate() {
    let problem = few(40);
    assert!(problem.check().is_ok());
    let data = &problem.train;
    assert_eq!((&data.input, data.state.ncols()), (&data.target, 0));
    let [second, third] = [2, 3].map(|n| times_phase(&WELL.eigenstate(n), (1.0, 0.0)));
    let mut signs = [0; 4];
    for s in 0..40 {
        let target = row(&data.target, s);
        let (a, b) = (dot(&target, &second), dot(&target, &third));
        assert!((a * a + b * b - 1.0).abs() <= 1e-14);
        assert!((dot(&target, &target) - 1.0).abs() <= 1e-14);
        assert!((0..14).all(|j| target[2 * j + 1] == 0.0));
        signs[2 * usize::from(a > 0.0) + usize::from(b > 0.0)] += 1;
    }
    assert!(signs.iter().all(|count| *count >= 3), "{signs:?}");
}

#[test]
fn more_samples_begin_with_the_same_ones_and_the_test_set_has_others() {
    let (short, long) = (few(5), few(9));
    assert_eq!(
        short.train.target,
        long.train.select(&[0, 1, 2, 3, 4]).target
    );
    assert_ne!(row(&short.train.target, 0), row(&short.test.target, 0));
}

#[test]
fn half_inverse_gradients_leave_the_plateau_at_a_larger_learning_rate_and_creep_at_the_papers() {
    let problem = few(48);
    let (mut method, mut training) = (Spectral::half_inverse(), Training::default());
    let comparison = QuantumDipole::default().comparison();
    let (_, values) = comparison.iter().find(|(name, _)| *name == "hig").unwrap();
    for (name, value) in values {
        if method.has(name) {
            method.set(name, value).unwrap();
        } else {
            training.set(name, value).unwrap();
        }
    }
    let start = problem.initial_parameters(0);
    let before = loss_of(&problem, &start, &problem.train);
    let budget = Budget::updates(12);
    let after = |method: &Spectral| {
        let start = start.clone();
        let outcome = train(&problem, method, start, &training, budget, 0, &mut []);
        outcome.unwrap().train_loss
    };
    assert_eq!(method.learning_rate, 0.5.into());
    let published = after(&method);
    assert!(published < before, "{before} to {published}");
    // As if g were of the batch's sum.
    method.learning_rate = 8.0.into();
    let fast = after(&method);
    assert!(fast < 0.5 * before, "{before} to {fast}");
}

#[test]
fn a_well_without_a_third_eigenstate_is_refused() {
    let mut dipole = QuantumDipole::default();
    for text in ["0", "3", "4"] {
        let wanted = format!("points = {text}");
        assert_message(dipole.set("points", text), &[&wanted, "at least 5"]);
    }
    dipole.set("points", "5").unwrap();
    dipole.set("samples", "3").unwrap();
    let data = dipole.problem(0).train;
    assert!(
        (0..3).all(|s| (dot(&row(&data.target, s), &row(&data.target, s)) - 1.0).abs() <= 1e-14)
    );
    dipole.points = 2;
    assert_message(dipole.check(), &["points = 2", "at least 5"]);
}

#[test]
fn pictures_show_the_simulation_that_the_network_steers() {
    for (steps, columns) in [(384, 192), (5, 5), (193, 192)] {
        let dipole = QuantumDipole {
            steps,
            samples: 3,
            test_samples: 3,
            ..QuantumDipole::default()
        };
        let problem = dipole.problem(2);
        let parameters = problem.initial_parameters(2);
        let pictures = dipole.pictures(&problem, &parameters, 1);
        let [
            Picture::Field(field),
            Picture::Lines(control),
            Picture::Lines(last),
        ] = &pictures[..]
        else {
            panic!("{pictures:?}");
        };
        assert_eq!(field.values.len(), 14);
        for c in 0..columns {
            let sum: f64 = field.values.iter().map(|line| line[c]).sum();
            assert!((sum - 1.0).abs() <= 1e-12);
        }
        assert!(field.values.iter().all(|line| line.len() == columns));
        assert_eq!(field.x_range, (0.0, steps as f64 * 0.05));
        let u = parts(&problem)
            .network
            .predict(&parameters, problem.test.select(&[1]).input.as_ref());
        let (_, times, values) = &control.lines[0];
        assert_eq!((times.len(), values.len()), (2 * steps, 2 * steps));
        assert!((0..steps).all(|k| values[2 * k] == u[(0, k)] && values[2 * k + 1] == u[(0, k)]));
        let reached = parts(&problem).outputs(&parameters, &problem.test).unwrap();
        for ((_, x, density), state) in last.lines.iter().zip([&reached, &problem.test.target]) {
            let state = row(state, 1);
            assert_eq!(
                (x[0], x.len(), density[0], density[15]),
                (0.0, 16, 0.0, 0.0)
            );
            for j in 0..14 {
                let expected = state[2 * j].powi(2) + state[2 * j + 1].powi(2);
                assert!((density[j + 1] - expected).abs() <= 1e-13);
            }
        }
    }
}
