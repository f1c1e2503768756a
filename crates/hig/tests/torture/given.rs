//! What is given to a training is refused before the first update where it is not finite, by name.

use crate::common::assert_message;
use crate::methods::everything;
use crate::problems::{scaled, whole};
use hig::Problem;
use hig::step::Method;
use hig::trainer::{Budget, Outcome, train};

fn tried(problem: &Problem, start: Vec<f64>, method: &dyn Method) -> hig::Result<Outcome> {
    train(
        problem,
        method,
        start,
        &whole(),
        Budget::updates(1),
        0,
        &mut [],
    )
}

#[test]
fn parameters_and_data_that_are_not_finite_are_refused_by_every_method() {
    for method in everything() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let problem = scaled(1.0);
            let mut start = problem.initial_parameters(0);
            start[7] = bad;
            assert_message(
                tried(&problem, start, method.as_ref()),
                &["parameters", "row 7"],
            );

            let mut problem = scaled(1.0);
            let start = problem.initial_parameters(0);
            problem.train.input[(4, 1)] = bad;
            let refused = tried(&problem, start.clone(), method.as_ref());
            assert_message(refused, &["training input", "row 4", "column 1"]);

            let mut problem = scaled(1.0);
            problem.test.target[(3, 1)] = bad;
            let refused = tried(&problem, start, method.as_ref());
            assert_message(refused, &["test target", "row 3", "column 1"]);
        }
    }
}
