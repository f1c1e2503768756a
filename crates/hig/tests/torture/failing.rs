//! A simulator that cannot: whatever it was asked for, and whenever, the training ends with the
//! simulator's own error, and everything before it is kept.

use crate::common::bits;
use crate::methods::{everything, told};
use crate::problems::{Smooth, problem_of, samples, whole};
use hig::files::SavedState;
use hig::linalg::{Mat, MatRef};
use hig::loss::SquaredError;
use hig::physics::{Differentiated, Record, Simulator, Widths};
use hig::step::Method;
use hig::trainer::{
    Budget, Checkpoint, Evaluation, Flow, Observer, Outcome, Progress, Start, Stop, Training, train,
};
use hig::{Error, Problem, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a simulator can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Record,
    Simulate,
    Rows,
    Vjp,
    Inverse,
}

const CALLS: [Call; 5] = [
    Call::Record,
    Call::Simulate,
    Call::Rows,
    Call::Vjp,
    Call::Inverse,
];

/// The error of somebody else's simulator.
#[derive(Debug, Clone, PartialEq)]
struct Diverged {
    call: Call,
    count: usize,
}

impl std::fmt::Display for Diverged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} number {} did not converge", self.call, self.count)
    }
}

impl std::error::Error for Diverged {}

/// The calls so far, and the one that fails.
#[derive(Default)]
struct Calls {
    counts: [AtomicUsize; CALLS.len()],
    fails: Option<Diverged>,
}

impl Calls {
    fn hear(&self, call: Call) -> Result<()> {
        let count = 1 + self.counts[call as usize].fetch_add(1, Ordering::SeqCst);
        let now = Diverged { call, count };
        match self.fails.as_ref() == Some(&now) {
            true => Err(Error::External(Box::new(now))),
            false => Ok(()),
        }
    }

    fn heard(&self, call: Call) -> usize {
        self.counts[call as usize].load(Ordering::SeqCst)
    }
}

fn healthy() -> Differentiated<Smooth> {
    Differentiated(Smooth { scale: 1.0 })
}

struct Failing(Arc<Calls>);

struct FailingRecord(Box<dyn Record>, Arc<Calls>);

impl Simulator for Failing {
    fn widths(&self) -> Widths {
        healthy().widths()
    }

    fn record(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        self.0.hear(Call::Record)?;
        let record = healthy().record(state, control)?;
        Ok(Box::new(FailingRecord(record, self.0.clone())))
    }

    fn simulate(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Mat<f64>> {
        self.0.hear(Call::Simulate)?;
        healthy().simulate(state, control)
    }

    fn inverse(
        &self,
        _: MatRef<'_, f64>,
        _: MatRef<'_, f64>,
        _: MatRef<'_, f64>,
    ) -> Result<Option<Mat<f64>>> {
        self.0.hear(Call::Inverse)?;
        Ok(None)
    }
}

impl Record for FailingRecord {
    fn y(&self) -> &Mat<f64> {
        self.0.y()
    }

    fn vjp(&self, cotangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        self.1.hear(Call::Vjp)?;
        self.0.vjp(cotangent)
    }

    fn rows(&self) -> Result<Mat<f64>> {
        self.1.hear(Call::Rows)?;
        self.0.rows()
    }
}

fn problem(fails: Option<Diverged>) -> (Problem, Arc<Calls>) {
    let calls = Arc::new(Calls {
        fails,
        ..Calls::default()
    });
    let physics = Failing(calls.clone());
    (
        problem_of(samples(1.0), physics, SquaredError::sum()),
        calls,
    )
}

/// Keeps the parameters after every update, the losses of every evaluation, and the last checkpoint.
#[derive(Default)]
struct Kept {
    parameters: Vec<Vec<f64>>,
    evaluations: Vec<(usize, u64)>,
    state: Option<Vec<u8>>,
}

impl Observer for Kept {
    fn progress(&mut self, now: &Progress<'_>) -> Result<Flow> {
        self.parameters.push(now.parameters.to_vec());
        Ok(Flow::Continue)
    }

    fn evaluation(&mut self, now: &Evaluation<'_>) -> Result<Flow> {
        self.evaluations
            .push((now.update, now.train_loss.to_bits()));
        Ok(Flow::Continue)
    }

    fn checkpoint(&mut self, now: &mut Checkpoint<'_>) -> Result<Flow> {
        self.state = Some((now.state)().to_bytes()?);
        Ok(Flow::Continue)
    }
}

const UPDATES: usize = 4;

/// Evaluates after every second update.
fn run(problem: &Problem, method: &dyn Method, start: Start) -> (Outcome, Kept) {
    let mut kept = Kept::default();
    let training = Training {
        evaluate_every: 2,
        ..whole()
    };
    let budget = Budget::updates(UPDATES);
    let observers: &mut [&mut dyn Observer] = &mut [&mut kept];
    let outcome = train(problem, method, start, &training, budget, 0, observers);
    (outcome.unwrap(), kept)
}

/// The update that failed, and whether the error is the simulator's own.
fn failed(outcome: &Outcome, expected: &Diverged, told: &str) -> usize {
    let Stop::Failed { update, error } = &outcome.stop else {
        panic!("{told}: {}", outcome.stop);
    };
    let Error::External(own) = error else {
        panic!("{told}: {error}");
    };
    assert_eq!(own.downcast_ref(), Some(expected), "{told}");
    assert!(error.to_string().contains(&expected.to_string()), "{error}");
    *update
}

#[test]
fn a_simulator_that_fails_ends_the_training_with_its_own_error_and_nothing_is_lost() {
    let mut tried = [0; CALLS.len()];
    for method in everything() {
        let told = told(method.as_ref());
        let (sound, calls) = problem(None);
        let start = sound.initial_parameters(0);
        let (expected, whole) = run(&sound, method.as_ref(), start.clone().into());
        assert!(
            matches!(expected.stop, Stop::Budget),
            "{told}: {}",
            expected.stop
        );
        assert_eq!(whole.parameters.len(), UPDATES);
        // Of this training, before the same physics serves others.
        let heard = CALLS.map(|call| calls.heard(call));
        assert!(heard[0] >= UPDATES && heard[1] >= 6, "{told}: {heard:?}");
        for (call, heard) in CALLS.into_iter().zip(heard) {
            for count in 1..=heard {
                tried[call as usize] += 1;
                let told = format!("{told}, {call:?} {count}");
                let fails = Diverged { call, count };
                let (broken, _) = problem(Some(fails.clone()));
                let (outcome, kept) = run(&broken, method.as_ref(), start.clone().into());
                let update = failed(&outcome, &fails, &told);
                // All updates before it are there, to the bit.
                assert_eq!(outcome.updates, update, "{told}");
                assert_eq!(kept.parameters, whole.parameters[..update], "{told}");
                let last = kept.parameters.last().unwrap_or(&start);
                assert_eq!(bits(&outcome.last_parameters), bits(last), "{told}");
                assert!(
                    outcome.last_parameters.iter().all(|p| p.is_finite()),
                    "{told}"
                );
                // An evaluation may have failed, or be made again because the training ended here.
                let known = kept.evaluations.iter().filter(|(at, _)| at % 2 == 0);
                for evaluation in known {
                    assert!(whole.evaluations.contains(evaluation), "{told}");
                }
                let again = match &kept.state {
                    Some(bytes) => Start::resume(SavedState::from_bytes(bytes).unwrap()).unwrap(),
                    None => start.clone().into(),
                };
                let (found, _) = run(&sound, method.as_ref(), again);
                assert!(matches!(found.stop, Stop::Budget), "{told}");
                assert_eq!(
                    bits(&found.parameters),
                    bits(&expected.parameters),
                    "{told}"
                );
                assert_eq!(found.train_loss.to_bits(), expected.train_loss.to_bits());
            }
        }
    }
    // Every kind of call was made by some method.
    assert!(tried.iter().all(|count| *count >= UPDATES), "{tried:?}");
}

#[test]
fn an_evaluation_alone_hands_the_error_on() {
    for call in [Call::Simulate, Call::Record] {
        let fails = Diverged { call, count: 1 };
        let (broken, _) = problem(Some(fails.clone()));
        let at = broken.initial_parameters(0);
        let error = match call {
            Call::Simulate => broken.objective.loss(&at, &broken.test).unwrap_err(),
            _ => match broken.objective.linearize(&broken.train, &at) {
                Err(error) => error,
                Ok(_) => panic!("linearized a batch that was not simulated"),
            },
        };
        let Error::External(own) = error else {
            panic!("{error}");
        };
        assert_eq!(own.downcast_ref(), Some(&fails));
    }
}

/// Whoever asks again may be answered: an error is no part of what a batch remembers.
#[test]
fn rows_that_failed_once_can_be_asked_for_again() {
    let fails = Diverged {
        call: Call::Rows,
        count: 1,
    };
    let (broken, _) = problem(Some(fails));
    let (sound, _) = problem(None);
    let at = broken.initial_parameters(0);
    let batch = broken.objective.linearize(&broken.train, &at).unwrap();
    assert!(batch.gram().is_err());
    let expected = sound.objective.linearize(&sound.train, &at).unwrap();
    let whole = |k: Result<hig::linalg::Symmetric>| k.unwrap().complete();
    assert_eq!(whole(batch.gram()), whole(expected.gram()));
}
