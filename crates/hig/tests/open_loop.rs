//! Simulations whose controls are all there before they begin, observed at any times.

mod common;

use common::{assert_message, normal, relative_matrix};
use hig::linalg::Mat;
use hig::physics::check::check;
use hig::physics::{CubicSpring, OpenLoop, OscillatorChain, RungeKutta4, Simulator, Stepwise};

fn chain(steps: usize) -> RungeKutta4<OscillatorChain<CubicSpring>> {
    let chain = OscillatorChain {
        masses: 2,
        spring: CubicSpring,
        control: 1.3,
    };
    RungeKutta4::new(chain, steps, 0.1)
}

#[test]
fn states_are_observed_after_the_steps_asked_for() {
    let (state, control) = (normal(3, 4, 1), normal(3, 9, 2));
    let observed = OpenLoop::new(chain(9)).after(vec![2, 5, 9]).unwrap();
    let y = observed.simulate(state.as_ref(), control.as_ref()).unwrap();
    for (place, steps) in [2, 5, 9].into_iter().enumerate() {
        let shorter = chain(steps);
        let alone = shorter
            .simulate(state.as_ref(), control.as_ref().subcols(0, steps))
            .unwrap();
        let part = y.as_ref().subcols(4 * place, 4).to_owned();
        assert!(relative_matrix(&part, &alone) < 1e-14);
        assert_eq!(shorter.state_len(), 4);
    }
    let last = OpenLoop::new(chain(9))
        .simulate(state.as_ref(), control.as_ref())
        .unwrap();
    assert!(relative_matrix(&y.as_ref().subcols(8, 4).to_owned(), &last) < 1e-15);
}

#[test]
fn their_derivatives_pass_the_public_check() {
    for steps in [vec![6], vec![1, 6], vec![1, 2, 3, 4, 5, 6], vec![3]] {
        let open = OpenLoop::new(chain(6)).after(steps.clone()).unwrap();
        let (state, control) = (normal(3, 4, 1), normal(3, 6, 2));
        let report = check(&open, state.as_ref(), control.as_ref()).unwrap();
        assert!(report.finite_difference < 1e-7, "{steps:?}: {report:?}");
        assert!(
            report.adjoint_identity < 1e-13 && report.rows < 1e-13,
            "{steps:?}: {report:?}"
        );
        // What is done after the last observation changes nothing.
        let record = open.record(state.as_ref(), control.as_ref()).unwrap();
        let rows = record.rows().unwrap();
        let last = steps.last().unwrap();
        let behind: Mat<f64> = rows.as_ref().subcols(*last, 6 - last).to_owned();
        assert!(behind.norm_max() == 0.0 || *last == 6);
    }
}

#[test]
fn steps_that_do_not_rise_or_are_not_there_are_refused() {
    for steps in [vec![], vec![0, 2], vec![2, 2], vec![3, 2], vec![7]] {
        let refused = OpenLoop::new(chain(6)).after(steps).map(|_| ());
        assert_message(refused, &["observed steps", "rising numbers from 1 to 6"]);
    }
}
