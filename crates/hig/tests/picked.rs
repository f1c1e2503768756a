//! A function that copies numbers.

mod common;

use common::{normal, relative_matrix};
use hig::linalg::Mat;
use hig::physics::check::check;
use hig::physics::{Picked, Simulator, Source};

fn picked() -> Picked {
    let sources = [
        (Source::Control(2), 1.0),
        (Source::State(1), -3.0),
        (Source::Control(0), 0.5),
        (Source::Control(2), 2.0),
        (Source::State(1), 1.0),
    ];
    let none = Picked::new(2, 4);
    sources
        .into_iter()
        .fold(none, |picked, (source, factor)| picked.with(source, factor))
}

#[test]
fn it_is_the_product_with_its_matrix() {
    let (state, control) = (normal(3, 2, 1), normal(3, 4, 2));
    let report = check(&picked(), state.as_ref(), control.as_ref()).unwrap();
    assert!(report.finite_difference < 1e-8, "{report:?}");
    assert!(
        report.adjoint_identity < 1e-14 && report.rows < 1e-14,
        "{report:?}"
    );
    let y = picked().simulate(state.as_ref(), control.as_ref()).unwrap();
    let expected = Mat::from_fn(3, 5, |s, i| match i {
        0 => control[(s, 2)],
        1 => -3.0 * state[(s, 1)],
        2 => 0.5 * control[(s, 0)],
        3 => 2.0 * control[(s, 2)],
        _ => state[(s, 1)],
    });
    assert!(relative_matrix(&y, &expected) < 1e-15);
    // Several cotangents a sample, at once and one after another.
    let record = picked().record(state.as_ref(), control.as_ref()).unwrap();
    let cotangents = normal(6, 5, 3);
    let together = record.vjps(cotangents.as_ref()).unwrap();
    for k in 0..2 {
        let one = record.vjp(cotangents.as_ref().subrows(3 * k, 3)).unwrap();
        let part = together.as_ref().subrows(3 * k, 3).to_owned();
        assert!(relative_matrix(&one, &part) < 1e-15);
    }
}

#[test]
#[should_panic(expected = "Control(4) is none of 2 and 4 numbers")]
fn a_place_that_there_is_not_is_refused() {
    let _ = Picked::new(2, 4).with(Source::Control(4), 1.0);
}
