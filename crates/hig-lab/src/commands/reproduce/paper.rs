//! The paper's systems, with what the authors' program reached where it was measured (TensorFlow,
//! f32, two cores).

use super::race::What::{self, SecondsToTest, TestAfterUpdates, TrainAfterEpochs};
use super::race::{Mark, Runner, race};
use super::{Context, Exhibit};
use anyhow::Result;
use hig::trainer::Budget;

fn runner(method: &'static str, set: &'static [&'static str], budget: Budget) -> Runner {
    Runner {
        method,
        set,
        budget,
    }
}

fn marks(runner: usize, list: &[(What, f64)]) -> Vec<Mark> {
    let mark = |(what, published): &(What, f64)| Mark {
        runner,
        what: *what,
        published: *published,
    };
    list.iter().map(mark).collect()
}

/// Linear oscillators: losses by epoch and the final loss for equal time.
pub fn linear_oscillators(context: &Context<'_>) -> Result<Exhibit> {
    let budget = Budget::seconds(context.seconds(15.0, 100.0));
    let runners = ["adam", "sip", "gn", "hig"].map(|method| runner(method, &[], budget));
    let mut published = marks(
        0,
        &[
            (TrainAfterEpochs(1.0), 0.47),
            (TrainAfterEpochs(10.0), 1.5e-2),
            (TrainAfterEpochs(100.0), 7.1e-4),
        ],
    );
    published.extend(marks(
        1,
        &[
            (TrainAfterEpochs(1.0), 0.36),
            (TrainAfterEpochs(10.0), 6.2e-3),
            (TrainAfterEpochs(100.0), 6.9e-4),
        ],
    ));
    published.extend(marks(
        3,
        &[
            (TrainAfterEpochs(1.0), 4.8e-5),
            (TrainAfterEpochs(2.0), 1.0e-5),
            (TrainAfterEpochs(3.0), 3.8e-6),
            (TrainAfterEpochs(4.0), 1.8e-6),
            (TrainAfterEpochs(12.0), 4.9e-8),
        ],
    ));
    let title = "coupled linear oscillators";
    race(context, "linear-oscillators", title, &runners, &published)
}

/// Nonlinear oscillators: test losses by update, and Adam's by time.
pub fn nonlinear_oscillators(context: &Context<'_>) -> Result<Exhibit> {
    let budget = Budget::seconds(context.seconds(30.0, 150.0));
    let runners = ["adam", "gn", "hig"].map(|method| runner(method, &[], budget));
    let mut published = marks(
        0,
        &[
            (SecondsToTest(1.6e-2), 33.0),
            (SecondsToTest(8.3e-3), 61.0),
            (SecondsToTest(3.3e-3), 143.0),
        ],
    );
    published.extend(marks(
        2,
        &[
            (TestAfterUpdates(24.0), 0.18),
            (TestAfterUpdates(40.0), 0.065),
            (TestAfterUpdates(67.0), 0.0175),
            (SecondsToTest(0.0175), 152.0),
        ],
    ));
    let title = "coupled nonlinear oscillators";
    race(
        context,
        "nonlinear-oscillators",
        title,
        &runners,
        &published,
    )
}

/// The Poisson problem: Adam by time, HIG by updates at batches of 16 and 64.
pub fn poisson(context: &Context<'_>) -> Result<Exhibit> {
    let budget = Budget::seconds(context.seconds(20.0, 150.0));
    let runners = [
        runner("adam", &[], budget),
        runner("sip", &[], budget),
        runner("hig", &[], budget),
        runner("hig", &["batch=64"], Budget::updates(1)),
    ];
    let mut published = marks(
        0,
        &[
            (SecondsToTest(31.0), 27.0),
            (SecondsToTest(8.8), 72.0),
            (SecondsToTest(2.1), 150.0),
        ],
    );
    published.extend(marks(
        2,
        &[
            (TestAfterUpdates(17.0), 131.0),
            (SecondsToTest(131.0), 156.0),
        ],
    ));
    published.extend(marks(3, &[(TestAfterUpdates(1.0), 220.0)]));
    let title =
        "Poisson problem, 8 x 8 (the authors' start: 244, L1 distance 0.89, Adam's end 0.15)";
    race(context, "poisson", title, &runners, &published)
}

/// Quantum dipole: five updates of HIG, 23 of Adam.
pub fn quantum_dipole(context: &Context<'_>) -> Result<Exhibit> {
    let budget = Budget::seconds(context.seconds(60.0, 1000.0));
    let runners = ["adam", "gn", "hig"].map(|method| runner(method, &[], budget));
    let mut published = marks(
        0,
        &[
            (TestAfterUpdates(23.0), 0.957),
            (SecondsToTest(0.957), 187.0),
        ],
    );
    published.extend(marks(2, &[(TestAfterUpdates(5.0), 0.99976)]));
    let title = "quantum dipole control (the authors' start: 0.99981)";
    race(context, "quantum-dipole", title, &runners, &published)
}
