//! A training that goes on from a checkpoint ends with the bits of one that was never stopped.

mod common;

use common::bits;
use hig::files::SavedState;
use hig::linalg::Mat;
use hig::loss::SquaredError;
use hig::network::{Activation, Initializer, Network};
use hig::objective::ThroughPhysics;
use hig::physics::{Differentiated, Scaling};
use hig::step::{LearningRate, Method, Spectral, methods};
use hig::systems::{
    CartPoleSwingUp, FieldPoints, HeatField, LinearOscillators, MlpSettings, Poisson, System, Toy,
};
use hig::trainer::{
    Batches, Budget, Checkpoint, CheckpointWriter, Evaluation, Flow, Identity, LastBatch, Losses,
    Observer, Order, Outcome, ScheduleKind, Start, Training, recover, set_aside, train,
};
use hig::{Dataset, Problem, Result};
use proptest::prelude::*;
use std::path::Path;
use std::time::Duration;

const LASTS: [LastBatch; 3] = [LastBatch::Filled, LastBatch::Dropped, LastBatch::Short];

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
    let auto = Spectral {
        learning_rate: LearningRate::Auto,
        ..Spectral::half_inverse()
    };
    for method in methods().into_iter().chain([auto.boxed()]) {
        // In the middle of an epoch, at an evaluation, and at the end of an epoch.
        for at in [1, 6, 8] {
            assert_same_bits(&setup, method.as_ref(), at);
        }
    }
}

#[test]
fn combinations_of_rows_go_on_to_the_same_bits() {
    let setup = oscillators(Order::Shuffled, ScheduleKind::Cosine);
    for mut method in methods() {
        if method.set("sketch", "3").is_ok() && method.name() != "gd" {
            for at in [1, 6] {
                assert_same_bits(&setup, method.as_ref(), at);
            }
        }
    }
}

#[test]
fn a_horizon_that_grows_goes_on_growing() {
    let system = CartPoleSwingUp {
        steps: 9,
        samples: 12,
        test_samples: 4,
        network: MlpSettings::tanh(vec![5]),
        ..CartPoleSwingUp::default()
    };
    let setup = Setup {
        problem: system.problem(2),
        training: Training {
            batch: 6,
            first_horizon: 0.2,
            horizon_updates: 8,
            ..Training::default()
        },
        updates: 10,
    };
    for name in ["adam", "hig", "adaptive-hig", "lm"] {
        let method = hig::step::method(name).unwrap();
        assert_same_bits(&setup, method.as_ref(), 4);
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
        for last_batch in LASTS {
            let mut setup = Setup {
                problem: system.problem(7),
                ..oscillators(order, ScheduleKind::Constant)
            };
            setup.training.last_batch = last_batch;
            for name in ["adam", "hig"] {
                let method = hig::step::method(name).unwrap();
                for at in [3, 4, 5] {
                    assert_same_bits(&setup, method.as_ref(), at);
                }
            }
        }
    }
}

#[test]
fn new_points_of_a_field_go_on_with_the_same_numbers() {
    let system = HeatField {
        points: FieldPoints {
            samples: 50,
            test_samples: 4,
            ..FieldPoints::default()
        },
        network: MlpSettings::tanh(vec![6]),
        ..HeatField::default()
    };
    let setup = Setup {
        problem: system.problem(7),
        ..oscillators(Order::Fresh, ScheduleKind::Constant)
    };
    for name in ["adam", "gn-line-search", "lm"] {
        let method = hig::step::method(name).unwrap();
        for at in [1, 5] {
            assert_same_bits(&setup, method.as_ref(), at);
        }
    }
}

#[test]
fn points_that_are_kept_for_some_updates_go_on_too() {
    let system = HeatField {
        points: FieldPoints {
            samples: 50,
            candidates: 3,
            test_samples: 4,
            ..FieldPoints::default()
        },
        network: MlpSettings::tanh(vec![6]),
        ..HeatField::default()
    };
    let mut setup = Setup {
        problem: system.problem(7),
        ..oscillators(Order::Fresh, ScheduleKind::Constant)
    };
    setup.training.renew = 3;
    let lm = hig::step::method("lm").unwrap();
    for at in [2, 3] {
        assert_same_bits(&setup, lm.as_ref(), at);
    }
    // They are what is asked for: each for three updates.
    let mut batches = Batches::new(&setup.problem, &setup.training, 1);
    let first = setup.problem.initial_parameters(1);
    let last: Vec<f64> = first.iter().map(|v| 2.0 * v).collect();
    let drawn: Vec<_> = (0..7)
        .map(|i| batches.next_batch([&first, &last][usize::from(i >= 6)]))
        .collect();
    let same: Vec<bool> = drawn.windows(2).map(|p| p[0].input == p[1].input).collect();
    assert_eq!(same, [true, true, false, true, true, false]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn wherever_it_was_stopped(
        at in 1_usize..40, batch in 1_usize..30, every in 0_usize..9, name in 0_usize..4, held in 0_usize..7,
        last in 0_usize..3,
    ) {
        let system = Toy { samples: 37, test_samples: 5, ..Toy::default() };
        let setup = Setup {
            problem: system.problem(7),
            training: Training {
                batch,
                evaluate_every: every,
                last_batch: LASTS[last],
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
fn a_file_that_cannot_be_written_is_refused_before_the_first_update() {
    let setup = oscillators(Order::Shuffled, ScheduleKind::Constant);
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").join("checkpoint.safetensors");
    for path in [
        missing.as_path(),
        folder.path(),
        &folder.path().join("x.new"),
        &folder.path().join("x.lock"),
    ] {
        let mut keeper = Keeper::default();
        let mut writer = CheckpointWriter::new(path, Duration::ZERO);
        let refused = train(
            &setup.problem,
            &hig::step::Adam::default(),
            setup.fresh(),
            &setup.training,
            Budget::updates(setup.updates),
            7,
            &mut [&mut keeper, &mut writer],
        );
        let message = refused.unwrap_err().to_string();
        assert!(message.contains(path.to_str().unwrap()), "{message}");
        assert_eq!((keeper.evaluations.len(), keeper.last.len()), (0, 0));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Takes a folder away after an update.
struct TakesAway<'a>(&'a Path, usize);

impl Observer for TakesAway<'_> {
    fn progress(&mut self, now: &hig::trainer::Progress<'_>) -> Result<Flow> {
        if now.update == self.1 {
            std::fs::rename(self.0, self.0.with_extension("away")).unwrap();
        }
        Ok(Flow::Continue)
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_ends_the_training_and_keeps_the_old_ones() {
    let setup = oscillators(Order::Shuffled, ScheduleKind::Constant);
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    std::fs::create_dir(&own).unwrap();
    let mut writer = CheckpointWriter::new(&own.join("checkpoint.safetensors"), Duration::ZERO);
    let method = hig::step::Adam::default();
    let budget = Budget::updates(setup.updates);
    let outcome = train(
        &setup.problem,
        &method,
        setup.fresh(),
        &setup.training,
        budget,
        7,
        &mut [&mut TakesAway(&own, 4), &mut writer],
    );
    let outcome = outcome.unwrap();
    assert_eq!(outcome.updates, 4);
    assert!(
        matches!(outcome.stop, hig::trainer::Stop::Failed { .. }),
        "{}",
        outcome.stop
    );
    let kept = own.with_extension("away").join("checkpoint.safetensors");
    let (state, _) = recover(&kept, |_| Ok(())).unwrap().unwrap();
    assert_eq!(updates(&state), 3.0);
}

#[test]
fn one_training_at_a_time_writes_a_checkpoint() {
    let setup = oscillators(Order::Shuffled, ScheduleKind::Constant);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let mut first = CheckpointWriter::new(&path, Duration::ZERO);
    first.hold().unwrap();
    first.hold().unwrap();
    let train = |writer: &mut CheckpointWriter| {
        train(
            &setup.problem,
            &hig::step::Adam::default(),
            setup.fresh(),
            &setup.training,
            Budget::updates(setup.updates),
            7,
            &mut [writer],
        )
    };
    let mut second = CheckpointWriter::new(&path, Duration::ZERO);
    let message = train(&mut second).unwrap_err().to_string();
    let told = format!("another training (process {})", std::process::id());
    assert!(
        message.contains(&told) && message.contains("checkpoint.safetensors"),
        "{message}"
    );
    train(&mut first).unwrap();
    drop(first);
    // As a process leaves it that was killed.
    std::fs::write(path.with_extension("lock"), "1").unwrap();
    train(&mut second).unwrap();
    drop(second);
    let left = std::fs::read_dir(folder.path()).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    left.retain(|name| cfg!(unix) || name != "checkpoint.lock");
    assert_eq!(
        left,
        ["checkpoint.previous.safetensors", "checkpoint.safetensors"]
    );
}

#[test]
fn a_schedule_that_goes_on_under_another_budget_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let resumed = |setup: &Setup| {
        written(setup, &path);
        let (state, _) = recover(&path, |_| Ok(())).unwrap().unwrap();
        Start::resume(state).unwrap()
    };
    let setup = oscillators(Order::Shuffled, ScheduleKind::Cosine);
    let (start, training) = (resumed(&setup), &setup.training);
    let told = start.rescheduled(training, &Budget::updates(34)).unwrap();
    assert_eq!((told.update, told.before), (17, Budget::updates(17)));
    assert!((told.factors.0 - 0.01).abs() < 1e-15 && (told.factors.1 - 0.505).abs() < 1e-15);
    let (now, epochs) = (Budget::updates(34), Some(1e3));
    let both = Budget { epochs, ..now };
    let message = start.rescheduled(training, &both).unwrap().to_string();
    assert!(
        message.contains("was 17 updates and is 34 updates, 1000 epochs"),
        "{message}"
    );
    for nothing in [Budget::updates(17), Budget::updates(5)] {
        assert_eq!(start.rescheduled(training, &nothing), None);
    }
    let level = Training {
        final_fraction: 1.0,
        ..training.clone()
    };
    assert_eq!(start.rescheduled(&level, &now), None);
    assert_eq!(setup.fresh().rescheduled(training, &now), None);
    let constant = oscillators(Order::Shuffled, ScheduleKind::Constant);
    let start = resumed(&constant);
    assert_eq!(start.rescheduled(&constant.training, &now), None);
}

#[test]
fn a_checkpoint_is_set_aside_for_another_training() {
    let setup = oscillators(Order::Shuffled, ScheduleKind::Constant);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    set_aside(&path).unwrap();
    written(&setup, &path);
    std::fs::write(path.with_extension("new"), "half").unwrap();
    let kept = std::fs::read(&path).unwrap();
    set_aside(&path).unwrap();
    assert!(recover(&path, |_| Ok(())).unwrap().is_none());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1);
    let aside = folder.path().join("checkpoint.replaced.safetensors");
    assert_eq!(std::fs::read(aside).unwrap(), kept);
}

/// What a training may be told by.
#[derive(Clone)]
struct Told {
    activation: Activation,
    gain: f64,
    loss: SquaredError,
    summed: bool,
    first: f64,
    test: f64,
    start: f64,
    training: Training,
    rate: f64,
    seed: u64,
}

impl Told {
    fn new() -> Self {
        Self {
            activation: Activation::Tanh,
            gain: 1.0,
            loss: SquaredError::sum(),
            summed: false,
            first: 0.25,
            test: 0.5,
            start: 0.125,
            training: Training {
                batch: 2,
                ..Training::default()
            },
            rate: 0.1,
            seed: 0,
        }
    }

    fn identity(&self) -> Identity {
        let samples = |first: f64| Dataset {
            input: Mat::from_fn(5, 1, |i, _| if i == 3 { first } else { i as f64 / 4.0 }),
            state: Mat::zeros(5, 0),
            target: Mat::from_fn(5, 2, |i, j| (i + 2 * j) as f64 / 5.0),
        };
        let network = Network::mlp(&[1, 3, 2], self.activation, Initializer::Glorot);
        let mut parts = ThroughPhysics::new(
            network,
            Differentiated(Scaling { lambda: self.gain }),
            self.loss.clone(),
        );
        if self.summed {
            parts = parts.summed();
        }
        let problem = Problem::of(samples(self.first), samples(self.test), parts);
        let mut start = problem.initial_parameters(0);
        start[4] = self.start;
        let method = hig::step::Adam {
            learning_rate: self.rate,
            ..hig::step::Adam::default()
        };
        Identity::of(&problem, &method, &self.training, &start, self.seed).unwrap()
    }
}

#[test]
fn a_training_is_told_from_every_other_one_by_name() {
    let one = Told::new();
    let identity = one.identity();
    let changed = |change: &dyn Fn(&mut Told)| {
        let mut other = one.clone();
        change(&mut other);
        other.identity()
    };
    type Change<'a> = &'a dyn Fn(&mut Told);
    let others: [(Change<'_>, &str); 12] = [
        (
            &|t| t.activation = Activation::Sine,
            "the network answers otherwise",
        ),
        (&|t| t.gain = 1.001, "the simulator answers otherwise"),
        (&|t| t.loss = SquaredError::half(), "another loss"),
        (
            &|t| t.loss = SquaredError::sum().weighted(vec![1.0, 100.0]).unwrap(),
            "another loss",
        ),
        (&|t| t.summed = true, "another loss"),
        (
            &|t| t.first = 0.250_001,
            "training samples (input) are others",
        ),
        (&|t| t.test = 0.500_001, "test samples (input) are others"),
        (
            &|t| t.start = 0.125_000_1,
            "parameters at the start are others",
        ),
        (&|t| t.training.batch = 3, "batch is 2 there and 3 here"),
        (
            &|t| t.training.schedule = ScheduleKind::Cosine,
            "schedule is constant there",
        ),
        (&|t| t.rate = 0.2, "learning_rate is 0.1 there and 0.2 here"),
        (&|t| t.seed = 9, "seed is 0 there and 9 here"),
    ];
    let mut state = SavedState::default();
    for older in [None, Some("hig 0123abcd")] {
        if let Some(note) = older {
            state.set_text("training", note);
        }
        let refused = identity.accepts(&state).unwrap_err();
        assert!(
            refused.contains("does not tell which training"),
            "{refused}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept.safetensors");
    let setup = oscillators(Order::Shuffled, ScheduleKind::Constant);
    let mut writer = CheckpointWriter::new(&path, Duration::ZERO);
    writer.belongs_to(&identity);
    let observers: &mut [&mut dyn Observer] = &mut [&mut writer];
    let method = hig::step::Adam::default();
    let (budget, start) = (Budget::updates(2), setup.fresh());
    train(
        &setup.problem,
        &method,
        start,
        &setup.training,
        budget,
        7,
        observers,
    )
    .unwrap();
    state.clone_from(&SavedState::load(&path).unwrap());
    assert_eq!(identity.accepts(&state), Ok(()));
    for (change, told) in others {
        let other = changed(change);
        let difference = other.difference(&identity).unwrap();
        assert!(difference.contains(told), "{difference} for {told}");
        let refused = other.accepts(&state).unwrap_err();
        assert_eq!(
            refused,
            format!("it belongs to another training: {difference}")
        );
    }
    let same: [Change<'_>; 4] = [
        &|t| t.training.evaluate_every = 7,
        &|t| t.training.memory_limit = 1.0,
        &|t| t.first *= 1.0 + 4.0 * f64::EPSILON,
        &|t| t.start *= 1.0 + 4.0 * f64::EPSILON,
    ];
    for change in same {
        assert_eq!(changed(change).accepts(&state), Ok(()));
    }
}
