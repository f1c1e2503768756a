//! Corrections of a coarse solver of the flow around an obstacle.

mod common;

use common::{assert_message, relative_matrix};
use hig::linalg::Mat;
use hig::physics::Stepwise;
use hig::systems::{Picture, System, WakeFlowCorrection};
use hig::trainer::{Budget, Training, train};

fn small() -> WakeFlowCorrection {
    WakeFlowCorrection {
        grid: 8,
        dt: 5.0,
        finer: 2,
        spin_up: 40,
        steps: 2,
        simulations: 2,
        samples: 40,
        test_samples: 20,
        channels: vec![4],
        ..WakeFlowCorrection::default()
    }
}

#[test]
fn samples_are_successive_steps_of_flows_without_divergence() {
    let system = small();
    let problem = system.problem(3);
    let (d, solver) = (problem.test.state.ncols(), system.coarse(1));
    for samples in [&problem.train, &problem.test] {
        for states in [&samples.state, &samples.target.subcols(d, d).to_owned()] {
            let divergence = solver.divergence(states.as_ref());
            assert!(divergence.norm_max() < 1e-12);
            for place in 0..d - 1 {
                let blocked = !solver.is_free(place);
                assert!(!blocked || states.col(place).iter().all(|v| *v == 0.0));
            }
        }
        // The step behind a sample is the state of the next, but for the last of a simulation.
        let next = samples.state.as_ref().subrows(1, 9).to_owned();
        let reached = samples.target.as_ref().submatrix(0, 0, 9, d).to_owned();
        assert!(relative_matrix(&next, &reached) < 1e-15);
    }
    let first = [&problem.train, &problem.test].map(|samples| samples.state.row(0).to_owned());
    assert!((&first[0] - &first[1]).norm_l2() > 0.1);
    // Each simulation has its viscosity.
    let viscosity: Vec<f64> = [0, 20].map(|s| problem.train.state[(s, d - 1)]).to_vec();
    assert_eq!(viscosity, [0.2, 0.1]);
}

#[test]
fn a_network_of_zeros_is_the_coarse_solver_alone() {
    let system = small();
    let problem = system.problem(2);
    let at = vec![0.0; problem.parameter_count()];
    let y = problem.objective.outputs(&at, &problem.test).unwrap();
    let coarse = system.coarse(2);
    let (count, d) = (problem.test.len(), coarse.state_len());
    let nothing = Mat::zeros(count, coarse.control_len());
    let mut state = problem.test.state.clone();
    for k in 0..2 {
        state = coarse.advance(k, state.as_ref(), nothing.as_ref()).unwrap();
        let part = y.as_ref().subcols(k * d, d).to_owned();
        assert!(relative_matrix(&part, &state) < 1e-14, "{k}");
    }
    let measured = system.measures(&problem, &at);
    assert_eq!(measured[0].1.to_bits(), measured[1].1.to_bits());
    assert!(measured[0].1 > 0.01);
}

#[test]
fn corrections_learned_in_two_steps_help_in_the_long_run() {
    let system = small();
    let problem = system.problem(5);
    let mut method = hig::step::method("adaptive-hig").unwrap();
    method.set("sketch", "16").unwrap();
    let training = Training {
        batch: 8,
        ..Training::default()
    };
    let start = problem.initial_parameters(5);
    let budget = Budget::updates(25);
    let trained = train(
        &problem,
        method.as_ref(),
        start,
        &training,
        budget,
        0,
        &mut [],
    )
    .unwrap();
    let measured = system.measures(&problem, &trained.parameters);
    let value = |name: &str| measured.iter().find(|(known, _)| *known == name).unwrap().1;
    let (corrected, alone) = (value("corrected_error"), value("uncorrected_error"));
    assert!(corrected < alone / 2.0, "{corrected} {alone}");
    let pictures = system.pictures(&problem, &trained.parameters, 11);
    let Picture::Field(field) = &pictures[1] else {
        panic!("the corrected vorticity");
    };
    let extents = (field.values.len(), field.values[0].len());
    assert_eq!((pictures.len(), extents), (4, (8, 16)));
}

#[test]
fn settings_that_do_not_fit_are_refused_by_name() {
    let refused = |change: fn(&mut WakeFlowCorrection), parts: &[&str]| {
        let mut system = WakeFlowCorrection::default();
        change(&mut system);
        assert_message(system.check_together(), parts);
    };
    refused(|s| s.grid = 7, &["grid = 7", "from 8 to 128"]);
    refused(|s| s.dt = 4.0, &["dt = 4", "at most 3.75", "grid = 16"]);
    refused(|s| s.finer = 9, &["finer = 9", "at most 8"]);
    refused(|s| s.simulations = 65, &["simulations = 65", "at most 64"]);
    refused(
        |s| s.largest_reynolds = 50.0,
        &["largest_reynolds = 50", "at least least_reynolds = 100"],
    );
}
