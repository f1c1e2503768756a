//! A training that goes on from a checkpoint ends with the bits of one that was never stopped.

mod common;

use common::bits;
use hig::files::SavedState;
use hig::step::{Method, methods};
use hig::systems::{LinearOscillators, MlpSettings, Poisson, System, Toy};
use hig::trainer::{
    Budget, Checkpoint, CheckpointWriter, Evaluation, Flow, Losses, Observer, Order, Outcome,
    ScheduleKind, Start, Training, recover, train,
};
use hig::{Problem, Result};
use proptest::prelude::*;
use std::path::Path;
use std::time::Duration;

/// Keeps the state after one update, as a file would, and ends the training there where asked.
#[derive(Default)]
struct Keeper {
    at: usize,
    stop: bool,
    kept: Option<Vec<u8>>,
    last: Vec<bool>,
    evaluations: Vec<(usize, u64, u64)>,
    told: Vec<(usize, &'static str, u64)>,
}

impl Observer for Keeper {
    fn checkpoint(&mut self, now: &mut Checkpoint<'_>) -> Result<Flow> {
        self.last.push(now.last);
        if now.update != self.at {
            return Ok(Flow::Continue);
        }
        self.kept = Some((now.state)().to_bytes()?);
        Ok(if self.stop {
            Flow::Stop
        } else {
            Flow::Continue
        })
    }

    fn evaluation(&mut self, now: &Evaluation<'_>) -> Result<Flow> {
        let losses = (now.train_loss.to_bits(), now.test_loss.to_bits());
        self.evaluations.push((now.update, losses.0, losses.1));
        for (name, value) in now.diagnostics {
            self.told.push((now.update, name, value.to_bits()));
        }
        Ok(Flow::Continue)
    }
}

struct Setup {
    problem: Problem,
    training: Training,
    updates: usize,
}

impl Setup {
    fn train(&self, method: &dyn Method, start: Start, keeper: &mut Keeper) -> Outcome {
        let budget = Budget::updates(self.updates);
        let observers: &mut [&mut dyn Observer] = &mut [keeper];
        train(
            &self.problem,
            method,
            start,
            &self.training,
            budget,
            7,
            observers,
        )
        .unwrap()
    }

    fn fresh(&self) -> Start {
        Start::from(self.problem.initial_parameters(7))
    }
}

/// Compares a training with the same one, stopped after `at` updates and gone on with.
fn assert_same_bits(setup: &Setup, method: &dyn Method, at: usize) {
    let mut whole = Keeper {
        at,
        ..Keeper::default()
    };
    let expected = setup.train(method, setup.fresh(), &mut whole);
    let mut first = Keeper {
        at,
        stop: true,
        ..Keeper::default()
    };
    setup.train(method, setup.fresh(), &mut first);
    let state = SavedState::from_bytes(first.kept.as_ref().unwrap()).unwrap();
    let mut second = Keeper::default();
    let found = setup.train(method, Start::resume(state).unwrap(), &mut second);

    let name = method.name();
    assert_eq!(
        bits(&found.parameters),
        bits(&expected.parameters),
        "{name}"
    );
    let last = |o: &Outcome| bits(&o.last_parameters);
    assert_eq!(last(&found), last(&expected), "{name}");
    let of = |l: &Losses| (l.update, bits(&[l.train, l.validation, l.test]));
    let told = |o: &Outcome| (o.best.as_ref().map(of), of(&o.last));
    assert_eq!(told(&found), told(&expected), "{name}");
    assert_eq!(found.updates, expected.updates, "{name}");
    assert_eq!(found.epochs.to_bits(), expected.epochs.to_bits(), "{name}");
    let losses = |o: &Outcome| bits(&[o.train_loss, o.test_loss]);
    assert_eq!(losses(&found), losses(&expected), "{name}");
    // What the first part evaluated because it ended does not belong to the training.
    let due = |row: &&(usize, u64, u64)| whole.evaluations.contains(row) && row.0 <= at;
    let told = |row: &&(usize, &str, u64)| row.0 <= at;
    let evaluations: Vec<_> = first.evaluations.iter().filter(due).collect();
    let evaluations: Vec<_> = evaluations.into_iter().chain(&second.evaluations).collect();
    assert!(evaluations.into_iter().eq(&whole.evaluations), "{name}");
    let steps = first.told.iter().filter(told).chain(&second.told);
    assert!(steps.eq(&whole.told), "{name}");
    assert_eq!(whole.last.iter().filter(|last| **last).count(), 1, "{name}");
    assert_eq!(whole.last.last(), Some(&true), "{name}");
}

fn oscillators(order: Order, schedule: ScheduleKind) -> Setup {
    let system = LinearOscillators {
        samples: 50,
        test_samples: 10,
        network: MlpSettings::tanh(vec![8, 8]),
        ..LinearOscillators::default()
    };
    Setup {
        problem: system.problem(7),
        training: Training {
            batch: 16,
            order,
            schedule,
            evaluate_every: 3,
            ..Training::default()
        },
        updates: 17,
    }
}

#[test]
fn every_method_goes_on_to_the_same_bits() {
    let setup = oscillators(Order::Shuffled, ScheduleKind::Cosine);
    for method in methods() {
        // In the middle of an epoch, at an evaluation, and at the end of an epoch.
        for at in [1, 6, 8] {
            assert_same_bits(&setup, method.as_ref(), at);
        }
    }
}

#[test]
fn every_order_of_samples_goes_on() {
    for order in [Order::Shuffled, Order::Fixed, Order::Fresh] {
        let system = Poisson {
            samples: 50,
            test_samples: 4,
            grid: 4,
            ..Poisson::default()
        };
        let setup = Setup {
            problem: system.problem(7),
            ..oscillators(order, ScheduleKind::Constant)
        };
        for name in ["adam", "hig"] {
            let method = hig::step::method(name).unwrap();
            assert_same_bits(&setup, method.as_ref(), 5);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn wherever_it_was_stopped(
        at in 1_usize..40, batch in 1_usize..30, every in 0_usize..9, name in 0_usize..4, held in 0_usize..7,
    ) {
        let system = Toy { samples: 37, test_samples: 5, ..Toy::default() };
        let setup = Setup {
            problem: system.problem(7),
            training: Training {
                batch,
                evaluate_every: every,
                validation: held as f64,
                ..Training::default()
            },
            updates: 40,
        };
        let name = ["adaptive-hig", "adam", "lbfgs", "hig"][name];
        let mut method = hig::step::method(name).unwrap();
        // So long that the best is soon behind.
        if name == "hig" {
            method.set("learning_rate", "20").unwrap();
        }
        assert_same_bits(&setup, method.as_ref(), at);
    }
}

#[test]
fn a_checkpoint_of_another_training_is_refused() {
    let setup = oscillators(Order::Shuffled, ScheduleKind::Constant);
    let kept = |name: &str| {
        let mut keeper = Keeper {
            at: 4,
            ..Keeper::default()
        };
        let method = hig::step::method(name).unwrap();
        setup.train(method.as_ref(), setup.fresh(), &mut keeper);
        SavedState::from_bytes(&keeper.kept.unwrap()).unwrap()
    };
    let resumed = |setup: &Setup, name: &str, state: SavedState| {
        let method = hig::step::method(name).unwrap();
        let start = Start::resume(state)?;
        let budget = Budget::updates(9);
        train(
            &setup.problem,
            method.as_ref(),
            start,
            &setup.training,
            budget,
            7,
            &mut [],
        )
    };
    let message = resumed(&setup, "lbfgs", kept("adam"))
        .unwrap_err()
        .to_string();
    assert!(message.contains("step.pairs.count"), "{message}");
    let mut other = oscillators(Order::Shuffled, ScheduleKind::Constant);
    other.problem.train = other.problem.train.select(&[0; 40]);
    let message = resumed(&other, "adam", kept("adam"))
        .unwrap_err()
        .to_string();
    assert!(message.contains("40 training samples"), "{message}");
    let nothing = Start::resume(SavedState::default())
        .unwrap_err()
        .to_string();
    assert!(nothing.contains("training.parameters"), "{nothing}");
}

/// A training with a checkpoint after every update; answers its parameters.
fn written(setup: &Setup, path: &Path) -> Vec<f64> {
    let mut writer = CheckpointWriter::new(path, Duration::ZERO);
    writer.note("whose", "mine");
    let method = hig::step::Adam::default();
    let budget = Budget::updates(setup.updates);
    let observers: &mut [&mut dyn Observer] = &mut [&mut writer];
    train(
        &setup.problem,
        &method,
        setup.fresh(),
        &setup.training,
        budget,
        7,
        observers,
    )
    .unwrap()
    .parameters
}

fn updates(state: &SavedState) -> f64 {
    state.vector("training.updates").unwrap()[0]
}

#[test]
fn the_last_whole_checkpoint_is_found() {
    let setup = oscillators(Order::Shuffled, ScheduleKind::Constant);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let any = |_: &SavedState| Ok(());
    assert!(recover(&path, any).unwrap().is_none());
    let parameters = written(&setup, &path);
    let (state, refused) = recover(&path, any).unwrap().unwrap();
    assert_eq!((updates(&state), refused.len()), (17.0, 0));
    assert_eq!(
        bits(state.vector("training.parameters").unwrap()),
        bits(&parameters)
    );
    assert_eq!(
        (state.text("whose"), state.text("evaluated")),
        (Some("mine"), Some("15"))
    );

    // As if killed between the two renames, and while writing the new file.
    let kept = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(path.with_extension("new"), &kept[..kept.len() / 2]).unwrap();
    let (state, refused) = recover(&path, any).unwrap().unwrap();
    assert_eq!((updates(&state), refused.len()), (16.0, 0));
    std::fs::write(path.with_extension("new"), &kept).unwrap();
    assert_eq!(updates(&recover(&path, any).unwrap().unwrap().0), 17.0);
    std::fs::remove_file(path.with_extension("new")).unwrap();

    for (bytes, told) in [
        (&kept[..kept.len() - 1], "truncated"),
        (b"{}".as_slice(), "no checkpoint"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let (state, refused) = recover(&path, any).unwrap().unwrap();
        assert_eq!(updates(&state), 16.0);
        let message = refused[0].to_string();
        assert!(
            message.contains("checkpoint.safetensors") && message.contains(told),
            "{message}"
        );
    }
    let mine = |_: &SavedState| Err("it is another run's".to_owned());
    let message = recover(&path, mine).unwrap_err().to_string();
    assert!(
        message.contains("no checkpoint can be used") && message.contains("another run's"),
        "{message}"
    );
}

#[test]
fn a_checkpoint_that_cannot_be_written_ends_the_training_and_keeps_the_old_ones() {
    let setup = oscillators(Order::Shuffled, ScheduleKind::Constant);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("checkpoint.safetensors");
    let mut writer = CheckpointWriter::new(&path, Duration::ZERO);
    let method = hig::step::Adam::default();
    let budget = Budget::updates(setup.updates);
    let outcome = train(
        &setup.problem,
        &method,
        setup.fresh(),
        &setup.training,
        budget,
        7,
        &mut [&mut writer],
    );
    let outcome = outcome.unwrap();
    assert_eq!(outcome.updates, 1);
    assert!(
        matches!(outcome.stop, hig::trainer::Stop::Failed { .. }),
        "{}",
        outcome.stop
    );
}
