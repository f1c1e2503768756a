//! The trainer: determinism, batches, budgets, refusals and failures.

mod common;

use common::*;
use hig::data::Dataset;
use hig::files::Exchange;
use hig::linalg::Mat;
use hig::loss::SquaredError;
use hig::network::{Activation, Initializer, Network, ParameterView};
use hig::objective::{Consumes, Linearized, Objective, ThroughPhysics};
use hig::physics::{Differentiated, Real, SampleFunction, Widths};
use hig::step::{Adam, Method, ScaleInvariant, Spectral, Step, Update};
use hig::systems::{LinearOscillators, MlpSettings, System, Toy};
use hig::trainer::{
    Batches, Budget, Evaluation, Flow, LastBatch, Observer, Order, Outcome, Progress, Schedule,
    ScheduleKind, Start, Stop, Training, train,
};
use hig::{Error, Problem, Result};
use proptest::prelude::*;
use rand_distr::{Distribution, StandardUniform};
use std::sync::{Arc, Mutex};

fn toy() -> Problem {
    Toy {
        samples: 10,
        test_samples: 6,
        ..Toy::default()
    }
    .problem(0)
}

fn batches_of(batch: usize) -> Training {
    Training {
        batch,
        ..Training::default()
    }
}

fn run(
    problem: &Problem,
    method: &dyn Method,
    training: &Training,
    budget: Budget,
    seed: u64,
    observers: &mut [&mut dyn Observer],
) -> Outcome {
    let start = problem.initial_parameters(0);
    train(problem, method, start, training, budget, seed, observers).unwrap()
}

/// Writes down what it sees.
#[derive(Default)]
struct Recorder {
    evaluations: Vec<(usize, f64, f64, Vec<f64>)>,
    updates: Vec<usize>,
    epochs: Vec<f64>,
    batch_losses: Vec<f64>,
    budget_used: Vec<f64>,
}

impl Recorder {
    fn evaluated(&self) -> Vec<usize> {
        self.evaluations.iter().map(|e| e.0).collect()
    }
}

impl Observer for Recorder {
    fn progress(&mut self, now: &Progress) -> Result<Flow> {
        self.updates.push(now.update);
        self.epochs.push(now.epoch);
        self.batch_losses.push(now.batch_loss);
        self.budget_used.push(now.budget_used);
        Ok(Flow::Continue)
    }
    fn evaluation(&mut self, now: &Evaluation<'_>) -> Result<Flow> {
        let parameters = now.parameters.to_vec();
        let row = (now.update, now.train_loss, now.test_loss, parameters);
        self.evaluations.push(row);
        Ok(Flow::Continue)
    }
}

hig::settings! {
    /// A method of the test: Δθ is the same number everywhere, from some update on.
    pub struct Constant {
        /// Learning rate.
        pub learning_rate: f64 = 1.0, hig::settings::POSITIVE;
    }
}

#[derive(Clone)]
struct Scripted {
    settings: Constant,
    /// Δθ of each update in turn; the last one repeats.
    deltas: Vec<f64>,
    rates: Arc<Mutex<Vec<f64>>>,
}

impl Scripted {
    fn new(deltas: &[f64]) -> Self {
        Self {
            settings: Constant::default(),
            deltas: deltas.to_vec(),
            rates: Arc::default(),
        }
    }
}

impl hig::settings::Settings for Scripted {
    fn settings(&self) -> Vec<hig::settings::Setting> {
        self.settings.settings()
    }
    fn set(&mut self, name: &str, text: &str) -> Result<()> {
        self.settings.set(name, text)
    }
    fn check(&self) -> Result<()> {
        self.settings.check()
    }
}

impl Method for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }
    fn about(&self) -> &'static str {
        "updates given in advance"
    }
    fn learning_rate(&self) -> f64 {
        self.settings.learning_rate
    }
    fn consumes(&self, _: usize, _: usize, _: usize) -> Consumes {
        Consumes::Gradient
    }
    fn start_within(&self, _: usize) -> Result<Box<dyn Step>> {
        Ok(Box::new(Script(self.clone(), 0)))
    }
    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

struct Script(Scripted, usize);

impl Step for Script {
    fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.count("updates", &mut self.1);
    }
    fn step(&mut self, at: &dyn Linearized, learning_rate: f64) -> Result<Update> {
        self.0.rates.lock().unwrap().push(learning_rate);
        let deltas = &self.0.deltas;
        let delta = deltas[self.1.min(deltas.len() - 1)];
        self.1 += 1;
        Ok(Update {
            delta: vec![delta; at.columns()],
            ..Update::default()
        })
    }
}

fn in_threads<R: Send>(count: usize, work: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
    pool.unwrap().install(work)
}

fn outcome_bits(outcome: &Outcome) -> Vec<u64> {
    let losses = [outcome.train_loss, outcome.test_loss];
    bits(&[&outcome.parameters[..], &losses].concat())
}

#[test]
fn results_have_the_same_bits_on_one_thread_and_on_two_and_when_repeated() {
    // n = 512 and 16 groups of samples: above every threshold for threads.
    let problem = LinearOscillators {
        samples: 384,
        test_samples: 300,
        network: MlpSettings::tanh(vec![12, 12]),
        ..LinearOscillators::default()
    }
    .problem(0);
    let deflated = Spectral {
        cutoff: 1e-10,
        ..Spectral::half_inverse()
    };
    for method in [
        Box::new(Spectral::half_inverse()) as Box<dyn Method>,
        Box::new(deflated),
        Box::new(ScaleInvariant::default()),
        Box::new(Adam::default()),
    ] {
        let work = || {
            let outcome = run(
                &problem,
                method.as_ref(),
                &batches_of(128),
                Budget::updates(2),
                3,
                &mut [],
            );
            outcome_bits(&outcome)
        };
        let one = in_threads(1, work);
        assert_eq!(one, in_threads(2, work), "{method:?}");
        assert_eq!(one, in_threads(2, work), "{method:?}");
    }
}

#[test]
fn the_gram_matrix_and_the_physics_have_the_same_bits_on_any_number_of_threads() {
    let problem = LinearOscillators {
        samples: 150,
        test_samples: 1,
        ..LinearOscillators::default()
    }
    .problem(0);
    let at = problem.initial_parameters(0);
    let work = || {
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        [
            batch.gram(),
            batch.physics_rows().clone(),
            batch.y().clone(),
        ]
        .map(|m| bits(&entries(&m)))
    };
    let one = in_threads(1, work);
    assert_eq!(one, in_threads(2, work));
    assert_eq!(one, in_threads(5, work));
}

#[test]
fn another_seed_gives_another_order_and_another_result() {
    let problem = toy();
    let [a, b] = [1, 2].map(|seed| {
        let budget = Budget::updates(5);
        run(
            &problem,
            &Adam::default(),
            &batches_of(3),
            budget,
            seed,
            &mut [],
        )
        .parameters
    });
    assert_ne!(bits(&a), bits(&b));
}

#[test]
fn data_and_weights_of_seeds_differ_and_those_of_one_seed_are_the_same() {
    let [a, again, b] = [0, 0, 1].map(|seed| {
        let problem = Toy::default().problem(seed);
        let weights = problem.initial_parameters(seed);
        [
            entries(&problem.train.input),
            entries(&problem.test.input),
            weights,
        ]
    });
    assert_eq!(a, again);
    for k in 0..3 {
        assert_ne!(a[k], b[k]);
    }
    assert_ne!(a[0], a[1]);
}

#[test]
fn a_longer_test_set_changes_neither_training_data_nor_weights() {
    let [a, b] = [4, 400].map(|test_samples| {
        let problem = Toy {
            test_samples,
            ..Toy::default()
        }
        .problem(0);
        let weights = problem.initial_parameters(0);
        (entries(&problem.train.input), weights)
    });
    assert_eq!(a, b);
}

fn numbered(count: usize) -> Dataset {
    Dataset {
        input: Mat::from_fn(count, 1, |i, _| i as f64),
        state: Mat::from_fn(count, 2, |i, _| 10.0 + i as f64),
        target: Mat::from_fn(count, 1, |i, _| -(i as f64)),
    }
}

/// The samples of the next epoch in their order, and the sizes of its batches.
fn epoch(batches: &mut Batches<'_>, count: usize) -> (Vec<usize>, Vec<usize>) {
    let (mut order, mut sizes) = (Vec::new(), Vec::new());
    while order.len() < count {
        let batch = batches.next_batch(&[]);
        sizes.push(batch.len());
        for s in 0..batch.len() {
            let i = batch.input[(s, 0)];
            assert_eq!(batch.state[(s, 1)], 10.0 + i);
            assert_eq!(batch.target[(s, 0)], -i);
            order.push(i as usize);
        }
    }
    (order, sizes)
}

fn in_batches(batch: usize, order: Order, last_batch: LastBatch) -> Training {
    Training {
        order,
        last_batch,
        ..batches_of(batch)
    }
}

/// So many batches, one list of samples each.
fn drawn(batches: &mut Batches<'_>, count: usize) -> Vec<Vec<usize>> {
    (0..count).map(|_| epoch(batches, 1).0).collect()
}

const ORDERS: [Order; 2] = [Order::Shuffled, Order::Fixed];

proptest! {
    #[test]
    fn every_epoch_has_each_sample_once(
        count in 1_usize..40,
        size in 1_usize..45,
        seed in any::<u64>(),
    ) {
        let problem = rooted(numbered(count));
        let training = in_batches(size, Order::Shuffled, LastBatch::Short);
        let mut batches = Batches::new(&problem, &training, seed);
        for _ in 0..3 {
            let (mut order, sizes) = epoch(&mut batches, count);
            order.sort_unstable();
            prop_assert_eq!(order, (0..count).collect::<Vec<_>>());
            let (last, full) = sizes.split_last().unwrap();
            prop_assert!(full.iter().all(|s| *s == size));
            prop_assert_eq!(*last, count - full.len() * size);
        }
    }

    #[test]
    fn the_fixed_order_is_the_stored_one(count in 1_usize..40, size in 1_usize..45) {
        let problem = rooted(numbered(count));
        let mut batches = Batches::new(&problem, &in_batches(size, Order::Fixed, LastBatch::Short), 5);
        for _ in 0..3 {
            let (order, _) = epoch(&mut batches, count);
            prop_assert_eq!(order, (0..count).collect::<Vec<_>>());
        }
        let mut batches = Batches::new(&problem, &in_batches(size, Order::Fixed, LastBatch::Filled), 5);
        let stream: Vec<usize> = drawn(&mut batches, 50).concat();
        prop_assert!(stream.iter().enumerate().all(|(i, s)| *s == i % count));
    }

    #[test]
    fn filled_batches_are_whole_and_have_each_sample_equally_often(
        count in 1_usize..40,
        size in 1_usize..40,
        times in 1_usize..4,
        seed in any::<u64>(),
    ) {
        let size = size.min(count);
        let problem = rooted(numbered(count));
        for order in ORDERS {
            let training = in_batches(size, order, LastBatch::Filled);
            let mut batches = Batches::new(&problem, &training, seed);
            prop_assert_eq!(batches.epoch(), count);
            let divisor = (1..=size).rfind(|d| count % d == 0 && size % d == 0).unwrap();
            let mut seen = vec![0; count];
            for batch in drawn(&mut batches, times * count / divisor) {
                prop_assert_eq!(batch.len(), size);
                let different: std::collections::BTreeSet<_> = batch.iter().collect();
                prop_assert_eq!(different.len(), size);
                batch.into_iter().for_each(|i| seen[i] += 1);
            }
            prop_assert_eq!(seen, vec![times * size / divisor; count]);
        }
    }

    #[test]
    fn dropped_batches_are_whole_and_have_no_sample_twice_in_an_epoch(
        count in 1_usize..40,
        size in 1_usize..40,
        seed in any::<u64>(),
    ) {
        let size = size.min(count);
        let problem = rooted(numbered(count));
        for order in ORDERS {
            let training = in_batches(size, order, LastBatch::Dropped);
            let mut batches = Batches::new(&problem, &training, seed);
            prop_assert_eq!(batches.epoch(), count / size * size);
            for _ in 0..3 {
                let epoch = drawn(&mut batches, count / size);
                prop_assert!(epoch.iter().all(|batch| batch.len() == size));
                let different: std::collections::BTreeSet<_> = epoch.iter().flatten().collect();
                prop_assert_eq!(different.len(), count / size * size);
            }
        }
    }

    #[test]
    fn where_the_batch_divides_the_samples_nothing_is_left_to_choose(
        size in 1_usize..12,
        whole in 1_usize..8,
        seed in any::<u64>(),
    ) {
        let problem = rooted(numbered(size * whole));
        for order in ORDERS {
            let [filled, dropped, short] = [LastBatch::Filled, LastBatch::Dropped, LastBatch::Short]
                .map(|last| {
                    let mut batches = Batches::new(&problem, &in_batches(size, order, last), seed);
                    drawn(&mut batches, 3 * whole + 1)
                });
            prop_assert_eq!(&filled, &short);
            prop_assert_eq!(&dropped, &short);
        }
    }

    #[test]
    fn a_batch_that_was_taken_back_comes_again(
        count in 1_usize..30,
        size in 1_usize..30,
        before in 0_usize..20,
        last in 0_usize..3,
        seed in any::<u64>(),
    ) {
        let problem = rooted(numbered(count));
        let last = [LastBatch::Filled, LastBatch::Dropped, LastBatch::Short][last];
        for order in ORDERS {
            let training = in_batches(size.min(count), order, last);
            let mut batches = Batches::new(&problem, &training, seed);
            let mut once = Batches::new(&problem, &training, seed);
            drawn(&mut batches, before);
            drawn(&mut once, before);
            drawn(&mut batches, 1);
            batches.take_back();
            prop_assert_eq!(drawn(&mut batches, 4), drawn(&mut once, 4));
        }
    }
}

#[test]
fn shuffled_epochs_differ_from_each_other_and_from_the_stored_order() {
    let problem = rooted(numbered(30));
    let training = in_batches(7, Order::Shuffled, LastBatch::Short);
    let mut batches = Batches::new(&problem, &training, 0);
    let [first, second] = [0, 1].map(|_| epoch(&mut batches, 30).0);
    assert_ne!(first, second);
    assert_ne!(first, (0..30).collect::<Vec<_>>());
}

#[test]
fn fresh_batches_are_drawn_anew_for_every_update() {
    let problem = rooted(numbered(5)).with_sampler(|samples, random| Dataset {
        input: Mat::from_fn(samples, 1, |_, _| StandardUniform.sample(random)),
        ..numbered(samples)
    });
    let draw = |seed: u64| {
        let mut batches = Batches::new(
            &problem,
            &in_batches(3, Order::Fresh, LastBatch::Filled),
            seed,
        );
        let inputs = (0..20).flat_map(|_| {
            let batch = batches.next_batch(&[]);
            assert_eq!(batch.len(), 3);
            entries(&batch.input)
        });
        bits(&inputs.collect::<Vec<_>>())
    };
    let mut drawn = draw(0);
    assert_eq!(drawn, draw(0));
    assert_ne!(drawn, draw(1));
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 60);
}

#[test]
fn fresh_batches_are_refused_where_nothing_can_draw_them() {
    let problem = toy();
    let training = Training {
        order: Order::Fresh,
        ..batches_of(5)
    };
    let start = problem.initial_parameters(0);
    let parts = ["order = fresh", "shuffled or fixed"];
    let budget = Budget::updates(1);
    refused(&problem, &Adam::default(), start, &training, budget, &parts);
}

#[test]
fn a_training_that_goes_on_counts_on_and_evaluates_only_what_is_new() {
    let problem = toy();
    let training = Training {
        evaluate_every: 4,
        ..batches_of(5)
    };
    let method = Scripted::new(&[0.125]);
    let whole = run(
        &problem,
        &method,
        &training,
        Budget::updates(10),
        0,
        &mut [],
    );
    let first = run(&problem, &method, &training, Budget::updates(6), 0, &mut []);
    let mut recorder = Recorder::default();
    let second = train(
        &problem,
        &method,
        Start::from(&first),
        &training,
        Budget::updates(10),
        0,
        &mut [&mut recorder],
    )
    .unwrap();
    assert_eq!((second.updates, recorder.evaluated()), (10, vec![8, 10]));
    assert_eq!(recorder.updates, [7, 8, 9, 10]);
    assert!((second.epochs - 5.0).abs() <= 1e-12);
    assert!(second.seconds >= first.seconds);
    assert_eq!(outcome_bits(&second), outcome_bits(&whole));
}

#[test]
fn the_last_batch_counts_as_its_part_of_the_epoch() {
    for (last, expected) in [
        (LastBatch::Short, vec![0.4, 0.8, 1.0, 1.4, 1.8, 2.0]),
        (LastBatch::Filled, vec![0.4, 0.8, 1.2, 1.6, 2.0]),
        (LastBatch::Dropped, vec![0.5, 1.0, 1.5, 2.0]),
    ] {
        let mut recorder = Recorder::default();
        let outcome = run(
            &toy(),
            &Adam::default(),
            &in_batches(4, Order::Shuffled, last),
            Budget::epochs(2.0),
            0,
            &mut [&mut recorder],
        );
        assert!(matches!(outcome.stop, Stop::Budget));
        assert_eq!(outcome.updates, expected.len(), "{last:?}");
        assert!(distance(&recorder.epochs, &expected) <= 1e-12, "{last:?}");
    }
}

#[test]
fn whole_epochs_are_not_cut_short_or_prolonged_by_rounding() {
    // 1/3 and 1/7 are not binary fractions; many epochs of them must still count exactly.
    use LastBatch::{Dropped, Filled, Short};
    for (samples, batch, last, updates) in [
        (3, 1, Filled, 300),
        (7, 1, Filled, 700),
        (10, 3, Short, 400),
        (10, 3, Dropped, 300),
        (9, 6, Filled, 150),
    ] {
        let problem = Toy {
            samples,
            test_samples: 1,
            ..Toy::default()
        }
        .problem(0);
        let budget = Budget::epochs(100.0);
        let still = Scripted::new(&[0.0]);
        let training = in_batches(batch, Order::Shuffled, last);
        let outcome = run(&problem, &still, &training, budget, 0, &mut []);
        assert_eq!(outcome.updates, updates, "{samples} {batch} {last:?}");
    }
}

#[test]
fn the_first_limit_reached_ends_the_training() {
    let budget = Budget {
        updates: Some(5),
        epochs: Some(1.0),
        seconds: Some(1e6),
    };
    let outcome = run(&toy(), &Adam::default(), &batches_of(5), budget, 0, &mut []);
    assert_eq!(outcome.updates, 2);
    let outcome = run(&toy(), &Adam::default(), &batches_of(1), budget, 0, &mut []);
    assert_eq!(outcome.updates, 5);
}

#[test]
fn a_budget_of_nothing_evaluates_the_start_and_leaves_it() {
    let problem = toy();
    let start = problem.initial_parameters(0);
    for budget in [
        Budget::seconds(0.0),
        Budget::updates(0),
        Budget::epochs(0.0),
    ] {
        let mut recorder = Recorder::default();
        let outcome = run(
            &problem,
            &Adam::default(),
            &batches_of(5),
            budget,
            0,
            &mut [&mut recorder],
        );
        assert!(matches!(outcome.stop, Stop::Budget));
        assert_eq!((outcome.updates, outcome.seconds), (0, 0.0));
        assert_eq!(bits(&outcome.parameters), bits(&start));
        assert_eq!(recorder.evaluated(), [0]);
        let loss = loss_of(&problem, &start, &problem.train);
        assert_eq!(outcome.train_loss.to_bits(), loss.to_bits());
    }
}

#[test]
fn evaluations_come_at_the_start_at_the_asked_spacing_and_at_the_end() {
    for (every, updates, expected) in [
        (4, 10, vec![0, 4, 8, 10]),
        (5, 10, vec![0, 5, 10]),
        (1, 4, vec![0, 1, 2, 3, 4]),
        (100, 3, vec![0, 3]),
    ] {
        let training = Training {
            evaluate_every: every,
            ..batches_of(5)
        };
        let mut recorder = Recorder::default();
        let budget = Budget::updates(updates);
        run(
            &toy(),
            &Adam::default(),
            &training,
            budget,
            0,
            &mut [&mut recorder],
        );
        assert_eq!(recorder.evaluated(), expected);
        assert_eq!(recorder.updates, (1..=updates).collect::<Vec<_>>());
    }
}

#[test]
fn evaluations_without_spacing_are_at_most_two_percent_apart() {
    let mut recorder = Recorder::default();
    let budget = Budget::updates(600);
    run(
        &toy(),
        &Scripted::new(&[0.0]),
        &batches_of(5),
        budget,
        0,
        &mut [&mut recorder],
    );
    let at = recorder.evaluated();
    assert_eq!((at[0], *at.last().unwrap()), (0, 600));
    assert!(at.windows(2).all(|pair| pair[1] > pair[0]));
    assert!(
        at[1..]
            .windows(2)
            .all(|pair| pair[1] <= (pair[0] + 1).max(pair[0] * 102 / 100))
    );
    assert!(at.len() < 250);
}

#[test]
fn evaluations_and_progress_report_the_losses_of_the_parameters_they_show() {
    let problem = toy();
    let training = Training {
        order: Order::Fixed,
        evaluate_every: 1,
        ..batches_of(10)
    };
    let mut recorder = Recorder::default();
    let budget = Budget::updates(6);
    let outcome = run(
        &problem,
        &Adam::default(),
        &training,
        budget,
        0,
        &mut [&mut recorder],
    );
    for (_, train_loss, test_loss, parameters) in &recorder.evaluations {
        assert!((loss_of(&problem, parameters, &problem.train) - train_loss).abs() <= 1e-15);
        assert!((loss_of(&problem, parameters, &problem.test) - test_loss).abs() <= 1e-15);
    }
    // The batch is the whole set, and its loss is the one before the update.
    for (k, loss) in recorder.batch_losses.iter().enumerate() {
        assert!((loss - recorder.evaluations[k].1).abs() <= 1e-14);
    }
    let last = recorder.evaluations.last().unwrap();
    assert_eq!(bits(&last.3), bits(&outcome.parameters));
    assert_eq!((last.1, last.2), (outcome.train_loss, outcome.test_loss));
    assert!(recorder.budget_used.is_sorted());
    assert!((recorder.budget_used[5] - 1.0).abs() <= 1e-15);
}

#[test]
fn schedules_begin_at_one_end_at_the_final_fraction_and_never_rise() {
    for kind in [
        ScheduleKind::Cosine,
        ScheduleKind::Exponential,
        ScheduleKind::Step,
    ] {
        for final_fraction in [0.5, 0.01] {
            let schedule = Schedule {
                kind,
                final_fraction,
            };
            assert!((schedule.factor(0.0) - 1.0).abs() <= 1e-15, "{kind:?}");
            assert!(
                (schedule.factor(1.0) - final_fraction).abs() <= 1e-15,
                "{kind:?}"
            );
            let factors: Vec<f64> = (0..=100)
                .map(|k| schedule.factor(k as f64 / 100.0))
                .collect();
            assert!(factors.is_sorted_by(|a, b| a >= b), "{kind:?}");
            assert_eq!(schedule.factor(-1.0), schedule.factor(0.0));
            assert_eq!(schedule.factor(2.0), schedule.factor(1.0));
        }
    }
    let constant = Schedule {
        kind: ScheduleKind::Constant,
        final_fraction: 0.01,
    };
    assert_eq!([0.0, 0.3, 1.0].map(|used| constant.factor(used)), [1.0; 3]);
}

#[test]
fn steps_receive_the_scheduled_learning_rate() {
    let mut method = Scripted::new(&[0.0]);
    method.settings.learning_rate = 0.3;
    let training = Training {
        schedule: ScheduleKind::Cosine,
        final_fraction: 0.2,
        ..batches_of(5)
    };
    run(&toy(), &method, &training, Budget::updates(4), 0, &mut []);
    let expected = [0.0_f64, 0.25, 0.5, 0.75]
        .map(|used| 0.3 * (0.6 + 0.4 * (std::f64::consts::PI * used).cos()));
    assert!(relative(&method.rates.lock().unwrap(), &expected) <= 1e-14);
}

/// Trains one update and expects a refusal that names all parts.
fn refused(
    problem: &Problem,
    method: &dyn Method,
    parameters: Vec<f64>,
    training: &Training,
    budget: Budget,
    parts: &[&str],
) {
    let mut recorder = Recorder::default();
    let result = train(
        problem,
        method,
        parameters,
        training,
        budget,
        0,
        &mut [&mut recorder],
    );
    assert!(
        recorder.evaluations.is_empty(),
        "refused too late: {parts:?}"
    );
    assert_message(result.map(|_| ()), parts);
}

#[test]
fn settings_out_of_range_are_refused_before_training() {
    let problem = toy();
    let start = || problem.initial_parameters(0);
    let (ten, once) = (batches_of(10), Budget::updates(1));
    refused(
        &problem,
        &Adam::default(),
        start(),
        &batches_of(11),
        once,
        &["batch = 11", "at most", "training samples", "10"],
    );
    refused(
        &problem,
        &Adam::default(),
        start(),
        &batches_of(0),
        once,
        &["batch = 0", "at least 1"],
    );
    for cutoff in [1.0, 1.5, -0.1, f64::NAN] {
        let method = Spectral {
            cutoff,
            ..Spectral::default()
        };
        let named = format!("cutoff = {cutoff}");
        refused(&problem, &method, start(), &ten, once, &[&named, "below 1"]);
    }
    let method = Adam {
        learning_rate: f64::INFINITY,
        ..Adam::default()
    };
    let parts = ["learning_rate = inf", "above 0"];
    refused(&problem, &method, start(), &ten, once, &parts);
    let training = Training {
        memory_limit: 1e-6,
        ..batches_of(10)
    };
    let parts = [
        "memory_limit = 0.000001 GiB",
        "smaller batch (now 10)",
        "GiB",
    ];
    refused(
        &problem,
        &Spectral::default(),
        start(),
        &training,
        once,
        &parts,
    );
}

#[test]
fn budgets_that_are_no_limit_are_refused() {
    let problem = toy();
    for (budget, parts) in [
        (
            Budget::default(),
            ["budget = unlimited", "updates, epochs or seconds"],
        ),
        (
            Budget::seconds(f64::NAN),
            ["seconds = NaN", "finite number of at least 0"],
        ),
        (
            Budget::seconds(-1.0),
            ["seconds = -1", "finite number of at least 0"],
        ),
        (
            Budget::epochs(f64::INFINITY),
            ["epochs = inf", "finite number of at least 0"],
        ),
    ] {
        let start = problem.initial_parameters(0);
        refused(
            &problem,
            &Adam::default(),
            start,
            &batches_of(10),
            budget,
            &parts,
        );
    }
}

#[test]
fn parameters_that_do_not_fit_are_refused() {
    let problem = toy();
    let right = problem.initial_parameters(0);
    let short = right[1..].to_vec();
    let mut nan = right.clone();
    nan[4] = f64::NAN;
    for (parameters, parts) in [
        (short, ["parameters", "length 29", "length 30"]),
        (nan, ["parameters is NaN", "row 4", "finite"]),
    ] {
        refused(
            &problem,
            &Adam::default(),
            parameters,
            &batches_of(10),
            Budget::updates(1),
            &parts,
        );
    }
}

#[test]
fn data_that_do_not_fit_are_refused() {
    type Spoil = fn(&mut Problem);
    let cases: [(Spoil, &[&str]); 8] = [
        (
            |p| p.train.input = Mat::zeros(10, 3),
            &["input", "10 x 3", "10 x 1"],
        ),
        (
            |p| p.train.target = Mat::zeros(10, 1),
            &["target", "10 x 1", "10 x 2"],
        ),
        (
            |p| p.train.target = Mat::zeros(9, 2),
            &["target", "9 x 2", "10 x 2"],
        ),
        (
            |p| p.test.state = Mat::zeros(6, 1),
            &["state", "6 x 1", "6 x 0"],
        ),
        (
            |p| p.train.input[(3, 0)] = f64::NAN,
            &["input is NaN", "row 3", "column 0"],
        ),
        (
            |p| p.test.target[(5, 1)] = f64::INFINITY,
            &["target is inf", "row 5", "column 1"],
        ),
        (
            |p| p.train = p.train.select(&[]),
            &["0 samples", "at least 1"],
        ),
        (
            |p| p.test = p.test.select(&[]),
            &["0 samples", "at least 1"],
        ),
    ];
    for (spoil, parts) in cases {
        let mut problem = toy();
        spoil(&mut problem);
        let start = problem.initial_parameters(0);
        refused(
            &problem,
            &Adam::default(),
            start,
            &batches_of(1),
            Budget::updates(1),
            parts,
        );
    }
}

/// An objective that takes any samples.
struct Lenient(ThroughPhysics);

impl Objective for Lenient {
    fn parameters(&self) -> Vec<ParameterView> {
        self.0.parameters()
    }
    fn initial(&self, seed: u64) -> Vec<f64> {
        self.0.initial(seed)
    }
    fn rows(&self, samples: usize) -> usize {
        self.0.rows(samples)
    }
    fn pass_numbers(&self, samples: usize) -> usize {
        self.0.pass_numbers(samples)
    }
    fn check_samples(&self, _: &Dataset) -> Result<()> {
        Ok(())
    }
    fn outputs(&self, at: &[f64], samples: &Dataset) -> Result<Mat<f64>> {
        self.0.outputs(at, samples)
    }
    fn loss(&self, at: &[f64], samples: &Dataset) -> Result<f64> {
        self.0.loss(at, samples)
    }
    fn linearize<'a>(
        &'a self,
        batch: &'a Dataset,
        at: &'a [f64],
    ) -> Result<Box<dyn Linearized + 'a>> {
        self.0.linearize(batch, at)
    }
}

#[test]
fn samples_that_are_not_finite_are_refused_whatever_the_objective_takes() {
    let network = Network::mlp(&[1, 1], Activation::Tanh, Initializer::Glorot);
    let parts = ThroughPhysics::new(network, Differentiated(Root), SquaredError::sum());
    let data = root().train;
    let mut test = data.clone();
    test.target[(3, 0)] = f64::NAN;
    let problem = Problem::of(data, test, Lenient(parts));
    let parts = ["test target is NaN", "row 3", "column 0"];
    let (training, budget) = (batches_of(4), Budget::updates(1));
    refused(
        &problem,
        &Adam::default(),
        vec![0.0, 2.0],
        &training,
        budget,
        &parts,
    );
}

#[test]
fn a_network_that_does_not_fit_the_physics_is_refused() {
    let mut problem = toy();
    parts_mut(&mut problem).network =
        Network::mlp(&[1, 4, 3], Activation::Tanh, Initializer::Glorot);
    let start = problem.initial_parameters(0);
    let parts = ["network output", "width 3", "width 2"];
    let budget = Budget::updates(1);
    refused(
        &problem,
        &Adam::default(),
        start,
        &batches_of(1),
        budget,
        &parts,
    );
}

#[test]
fn an_update_that_is_not_finite_stops_and_the_last_finite_parameters_are_kept() {
    for bad in [f64::NAN, f64::INFINITY, -f64::INFINITY] {
        let problem = toy();
        let start = problem.initial_parameters(0);
        let mut recorder = Recorder::default();
        let method = Scripted::new(&[0.5, 0.25, bad]);
        let budget = Budget::updates(9);
        let outcome = run(
            &problem,
            &method,
            &batches_of(5),
            budget,
            0,
            &mut [&mut recorder],
        );
        assert!(matches!(
            outcome.stop,
            Stop::ParametersNotFinite { update: 2, .. }
        ));
        assert_eq!(outcome.updates, 2);
        let expected: Vec<f64> = start.iter().map(|p| p + 0.5 + 0.25).collect();
        assert!(relative(&outcome.last_parameters, &expected) <= 1e-15);
        let loss = loss_of(&problem, &outcome.last_parameters, &problem.train);
        assert_eq!(outcome.last.train.to_bits(), loss.to_bits());
        let loss = loss_of(&problem, &outcome.parameters, &problem.train);
        assert_eq!(outcome.train_loss.to_bits(), loss.to_bits());
        assert_eq!(*recorder.evaluated().last().unwrap(), 2);
        assert!(outcome.stop.to_string().contains("update 3"));
    }
}

/// y = √u, which leaves the real numbers where u is negative.
struct Root;

impl SampleFunction for Root {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: 1,
            output: 1,
        }
    }
    fn evaluate<T: Real>(&self, _: &[f64], control: &[T], y: &mut [T]) {
        y[0] = control[0].sqrt();
    }
}

/// A linear network of one input before the root.
fn rooted(train: Dataset) -> Problem {
    let network = Network::mlp(&[1, 1], Activation::Tanh, Initializer::Glorot);
    let physics = Differentiated(Root);
    Problem::new(train.clone(), train, network, physics, SquaredError::sum())
}

fn root() -> Problem {
    rooted(Dataset {
        state: Mat::zeros(4, 0),
        target: Mat::from_fn(4, 1, |_, _| 1.0),
        ..numbered(4)
    })
}

#[test]
fn a_loss_that_becomes_nan_stops_and_the_parameters_stay_finite() {
    let problem = root();
    let mut recorder = Recorder::default();
    // Weight and bias (0, 2), then (-1, 1), where the later inputs have no root.
    let method = Scripted::new(&[-1.0]);
    let outcome = train(
        &problem,
        &method,
        vec![0.0, 2.0],
        &batches_of(4),
        Budget::updates(9),
        0,
        &mut [&mut recorder],
    )
    .unwrap();
    let Stop::LossNotFinite { update, loss, .. } = outcome.stop else {
        panic!("{}", outcome.stop);
    };
    assert_eq!((update, loss.is_nan(), outcome.updates), (1, true, 1));
    assert_eq!(outcome.last_parameters, [-1.0, 1.0]);
    assert!(outcome.last.train.is_nan());
    assert_eq!(outcome.parameters, [0.0, 2.0]);
    assert!(outcome.train_loss.is_finite());
    assert_eq!(recorder.evaluated(), [0, 1]);
}

#[test]
fn a_test_loss_that_becomes_nan_is_told_though_the_training_loss_is_a_number() {
    let mut problem = root();
    problem.train = problem.train.select(&[0, 1]);
    for (evaluate_every, updates) in [(1, 9), (1000, 1)] {
        let training = Training {
            evaluate_every,
            ..batches_of(2)
        };
        let method = Scripted::new(&[-1.0]);
        let budget = Budget::updates(updates);
        let start = vec![0.0, 2.0];
        let outcome = train(&problem, &method, start, &training, budget, 0, &mut []).unwrap();
        let Stop::TestLossNotFinite { update, loss, .. } = outcome.stop else {
            panic!("{}", outcome.stop);
        };
        assert_eq!((update, loss.is_nan(), outcome.updates), (1, true, 1));
        let message = outcome.stop.to_string();
        let of_sample = "test loss is NaN after update 1 (output of the physics is NaN for test sample 2, component 0";
        assert!(message.starts_with(of_sample), "{message}");
        assert_eq!(outcome.last_parameters, [-1.0, 1.0]);
        assert!(outcome.last.train.is_finite() && outcome.last.test.is_nan());
        // The start has the least training loss.
        assert_eq!((outcome.parameters, outcome.update), (vec![0.0, 2.0], 0));
    }
}

#[test]
fn a_loss_that_is_nan_at_the_start_stops_before_any_update() {
    let method = Scripted::new(&[1.0]);
    let outcome = train(
        &root(),
        &method,
        vec![0.0, -1.0],
        &batches_of(4),
        Budget::updates(9),
        0,
        &mut [],
    )
    .unwrap();
    assert!(matches!(
        outcome.stop,
        Stop::LossNotFinite { update: 0, .. }
    ));
    assert_eq!(outcome.updates, 0);
    assert_eq!(outcome.parameters, [0.0, -1.0]);
}

/// Fails or asks for the end, at an evaluation or after an update.
struct Breaker {
    at: usize,
    in_progress: bool,
    fails: bool,
}

impl Breaker {
    fn answer(&self, update: usize, in_progress: bool) -> Result<Flow> {
        if update < self.at || in_progress != self.in_progress {
            Ok(Flow::Continue)
        } else if self.fails {
            Err(Error::setting("disk", "full", "empty"))
        } else {
            Ok(Flow::Stop)
        }
    }
}

impl Observer for Breaker {
    fn progress(&mut self, now: &Progress) -> Result<Flow> {
        self.answer(now.update, true)
    }
    fn evaluation(&mut self, now: &Evaluation<'_>) -> Result<Flow> {
        self.answer(now.update, false)
    }
}

#[test]
fn observers_end_the_training_and_what_was_computed_is_kept() {
    let problem = toy();
    for in_progress in [false, true] {
        for fails in [false, true] {
            let training = Training {
                evaluate_every: 1,
                ..batches_of(5)
            };
            let mut breaker = Breaker {
                at: 3,
                in_progress,
                fails,
            };
            let mut recorder = Recorder::default();
            let outcome = run(
                &problem,
                &Scripted::new(&[0.125]),
                &training,
                Budget::updates(9),
                0,
                &mut [&mut breaker, &mut recorder],
            );
            match &outcome.stop {
                Stop::Asked => assert!(!fails),
                Stop::Failed { update: 3, error } => {
                    assert!(fails && error.to_string().contains("disk = full"));
                }
                other => panic!("{other}"),
            }
            assert_eq!(outcome.updates, 3);
            let start = problem.initial_parameters(0);
            let expected: Vec<f64> = start.iter().map(|p| p + 0.375).collect();
            assert!(relative(&outcome.last_parameters, &expected) <= 1e-15);
            let loss = loss_of(&problem, &outcome.last_parameters, &problem.train);
            assert_eq!(outcome.last.train.to_bits(), loss.to_bits());
            let loss = loss_of(&problem, &outcome.parameters, &problem.train);
            assert_eq!(outcome.train_loss.to_bits(), loss.to_bits());
            // The observer after the one that broke is heard as well.
            assert_eq!(recorder.evaluated(), [0, 1, 2, 3]);
            assert_eq!(recorder.updates, [1, 2, 3]);
        }
    }
}

#[test]
fn an_observer_may_end_the_training_before_the_first_update() {
    let mut breaker = Breaker {
        at: 0,
        in_progress: false,
        fails: false,
    };
    let budget = Budget::updates(9);
    let outcome = run(
        &toy(),
        &Adam::default(),
        &batches_of(5),
        budget,
        0,
        &mut [&mut breaker],
    );
    assert!(matches!(outcome.stop, Stop::Asked));
    assert_eq!(outcome.updates, 0);
}

#[test]
fn a_step_whose_decomposition_fails_keeps_the_parameters() {
    /// Finite, but with a slope that overflows.
    struct Cliff;
    impl SampleFunction for Cliff {
        fn widths(&self) -> Widths {
            Root.widths()
        }
        fn evaluate<T: Real>(&self, _: &[f64], control: &[T], y: &mut [T]) {
            y[0] = control[0] * 1e200;
        }
    }
    let mut problem = root();
    parts_mut(&mut problem).physics = Box::new(Differentiated(Cliff));
    for s in 0..4 {
        problem.train.input[(s, 0)] = 1e120 * (1.0 + s as f64);
        problem.train.target[(s, 0)] = 0.0;
    }
    let start = vec![0.0, 0.0];
    let outcome = train(
        &problem,
        &Spectral::half_inverse(),
        start.clone(),
        &batches_of(4),
        Budget::updates(3),
        0,
        &mut [],
    )
    .unwrap();
    let Stop::Failed { update: 0, error } = &outcome.stop else {
        panic!("{}", outcome.stop);
    };
    assert!(matches!(error, Error::Decomposition { .. }), "{error}");
    assert_eq!(outcome.parameters, start);
}
