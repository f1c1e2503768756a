//! Control of the Burgers equation: data, effort, and both loops.

mod common;

use common::{normal, relative_matrix};
use hig::linalg::Mat;
use hig::physics::check::check;
use hig::physics::{CountedEffort, OpenLoop, Simulator, Stepwise};
use hig::settings::Settings;
use hig::step::Spectral;
use hig::systems::{BurgersControl, MlpSettings, Picture, System};
use hig::trainer::{Budget, Training, train};

fn small(closed: bool) -> BurgersControl {
    BurgersControl {
        points: 16,
        steps: 8,
        dt: 0.05,
        substeps: 2,
        viscosity: 0.05,
        closed,
        samples: 24,
        test_samples: 12,
        network: MlpSettings::tanh(vec![16]),
        ..BurgersControl::default()
    }
}

#[test]
fn the_default_grid_and_steps_resolve_the_fields() {
    let system = BurgersControl {
        samples: 1,
        test_samples: 30,
        ..BurgersControl::default()
    };
    let finer = BurgersControl {
        points: 4 * system.points,
        substeps: 32,
        ..system.clone()
    };
    let at_end = |system: &BurgersControl| system.problem(3).test.target;
    let (coarse, fine) = (at_end(&system), at_end(&finer));
    let same = Mat::from_fn(30, system.points, |s, i| fine[(s, 4 * i)]);
    let error = relative_matrix(&coarse, &same);
    assert!(error < 0.01, "{error:e}");
}

#[test]
fn effort_is_the_norm_of_all_forces_and_has_its_derivatives() {
    let (system, weight) = (small(true), 0.7);
    let (n, steps) = (system.points, system.steps);
    let counted = CountedEffort::new(system.field(), weight);
    let open = OpenLoop::new(counted);
    let mut start = normal(3, n + 1, 1);
    for s in 0..3 {
        start[(s, n)] = 0.0;
    }
    let forces = normal(3, n * steps, 2);
    let y = open.simulate(start.as_ref(), forces.as_ref()).unwrap();
    let alone = OpenLoop::new(system.field());
    let field = (alone.simulate(start.as_ref().subcols(0, n), forces.as_ref())).unwrap();
    assert!(relative_matrix(&y.as_ref().subcols(0, n).to_owned(), &field) < 1e-14);
    for s in 0..3 {
        let squares = forces.row(s).squared_norm_l2();
        assert!((y[(s, n)] / (weight * squares).sqrt() - 1.0).abs() < 1e-13);
    }
    let report = check(&open, start.as_ref(), forces.as_ref()).unwrap();
    assert!(report.finite_difference < 1e-7, "{report:?}");
    assert!(
        report.adjoint_identity < 1e-13 && report.rows < 1e-13,
        "{report:?}"
    );
    // Before the first force there is no direction in which it grows.
    let counted = CountedEffort::new(system.field(), weight);
    let (rest, still) = (Mat::zeros(2, n + 1), Mat::zeros(2, n));
    let rows = normal(2, n + 1, 5);
    let at = (rest.as_ref(), still.as_ref());
    let (before, during) = counted.pull_back(0, at, rows.as_ref()).unwrap();
    assert!(before.norm_max().is_finite() && during.norm_max().is_finite());
}

#[test]
fn the_loss_is_half_the_mean_squared_distance_and_the_weighed_effort() {
    let system = BurgersControl {
        effort: 0.25,
        ..small(false)
    };
    let problem = system.problem(4);
    let at = problem.initial_parameters(1);
    let n = system.points;
    let measured = system.measures(&problem, &at);
    let effort = measured
        .iter()
        .find(|(name, _)| *name == "effort")
        .unwrap()
        .1;
    let y = problem.objective.outputs(&at, &problem.test).unwrap();
    let gap = Mat::from_fn(12, n, |s, i| y[(s, i)] - problem.test.target[(s, i)]);
    let expected = 0.5 * gap.squared_norm_l2() / (12 * n) as f64 + 0.5 * 0.25 * effort;
    let loss = problem.objective.loss(&at, &problem.test).unwrap();
    assert!((loss / expected - 1.0).abs() < 1e-12, "{loss} {expected}");
}

#[test]
fn both_loops_learn_to_reach_the_target() {
    for closed in [true, false] {
        let system = small(closed);
        let problem = system.problem(5);
        let training = Training {
            batch: 12,
            ..Training::default()
        };
        let start = problem.initial_parameters(5);
        let before = problem.objective.loss(&start, &problem.train).unwrap();
        let mut method = Spectral::half_inverse();
        method.set("sketch", "6").unwrap();
        method.set("learning_rate", "auto").unwrap();
        let budget = Budget::updates(40);
        let outcome = train(&problem, &method, start, &training, budget, 0, &mut []).unwrap();
        assert!(
            outcome.train_loss < 0.1 * before,
            "{closed}: {before} {}",
            outcome.train_loss
        );
        let measured = system.measures(&problem, &outcome.parameters);
        assert!(measured.iter().all(|(_, value)| value.is_finite()));
        let pictures = system.pictures(&problem, &outcome.parameters, 1);
        assert_eq!(pictures.len(), 3);
        let Picture::Field(field) = &pictures[1] else {
            panic!("the field over time");
        };
        assert_eq!((field.values.len(), field.values[0].len()), (9, 16));
    }
}

#[test]
fn what_a_simulation_never_takes_is_refused_by_name() {
    let system = BurgersControl {
        substeps: 100_000,
        ..BurgersControl::default()
    };
    let refused = system.check_together().unwrap_err().to_string();
    assert!(
        refused.contains("substeps = 100000") && refused.contains("31250"),
        "{refused}"
    );
}
