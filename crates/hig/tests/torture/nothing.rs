//! Nothing to see: outputs that do not depend on the parameters, and targets that are reached.

use crate::common::{Batch, parts};
use crate::methods::{everything, first, told};
use crate::problems::{OUTPUTS, SAMPLES, network, problem_of, samples, scaled, trained};
use hig::Problem;
use hig::loss::SquaredError;
use hig::physics::{Differentiated, Real, SampleFunction, Widths};
use hig::trainer::Stop;

/// y = 1, whatever the control.
struct Constant;

impl SampleFunction for Constant {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: 2,
            output: OUTPUTS,
        }
    }

    fn evaluate<T: Real>(&self, _: &[f64], u: &[T], y: &mut [T]) {
        y.fill(u[0] * 0.0 + 1.0);
    }
}

/// Every method stands still, in a step and in a training that uses its budget.
fn nothing_moves(problem: &Problem) {
    let start = problem.initial_parameters(0);
    let at = Batch::new(parts(problem), &problem.train, &start);
    for method in everything() {
        let delta = first(method.as_ref(), &at).unwrap();
        assert!(delta.iter().all(|d| *d == 0.0), "{}", told(method.as_ref()));
        let outcome = trained(problem, method.as_ref(), 3);
        assert!(matches!(outcome.stop, Stop::Budget), "{}", outcome.stop);
        assert_eq!(outcome.parameters, start, "{}", told(method.as_ref()));
    }
}

#[test]
fn a_jacobian_of_zeros_gives_no_step() {
    let problem = problem_of(samples(1.0), Differentiated(Constant), SquaredError::sum());
    let start = network().initial_parameters(0);
    let at = Batch::new(parts(&problem), &problem.train, &start);
    assert_eq!(at.gram().norm_max(), 0.0);
    assert!(at.loss() > 0.0);
    nothing_moves(&problem);
}

#[test]
fn a_gradient_of_zeros_gives_no_step_whatever_the_jacobian() {
    for scale in [1e-150, 1.0, 1e150] {
        let mut problem = scaled(scale);
        let start = problem.initial_parameters(0);
        problem.train.target = problem.objective.outputs(&start, &problem.train).unwrap();
        let at = Batch::new(parts(&problem), &problem.train, &start);
        assert!(at.physics_rows().norm_max() > 0.0);
        assert_eq!((at.loss(), at.rows()), (0.0, SAMPLES * OUTPUTS));
        nothing_moves(&problem);
    }
}
