//! Learning-rate schedules over the used fraction of the budget.

use super::Budget;
use crate::settings::{Rule, SettingType};

/// Shape of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleKind {
    /// The learning rate stays.
    Constant,
    /// Half a cosine from 1 to the final fraction (Loshchilov and Hutter 2017, arXiv 1608.03983,
    /// equation 5, without restarts).
    Cosine,
    /// A constant factor a unit of budget.
    Exponential,
    /// Three equal drops, after 1/4, 2/4 and 3/4 of the budget.
    Step,
}

crate::choices! {
    ScheduleKind, "schedule" {
        Constant = "constant", "the learning rate stays";
        Cosine = "cosine", "half a cosine down to the final fraction";
        Exponential = "exponential", "a constant factor a unit of budget";
        Step = "step", "three equal drops, after each quarter of the budget";
    }
}

/// Any schedule, as a setting.
pub const ANY_SCHEDULE: Rule<ScheduleKind> = Rule::any();

/// A factor of the learning rate that goes from 1 to `final_fraction` over the budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Shape.
    pub kind: ScheduleKind,
    /// Factor at the end of the budget.
    pub final_fraction: f64,
}

impl Schedule {
    /// The factor when `used` (0 to 1) of the budget is gone.
    ///
    /// ```
    /// use hig::trainer::{Schedule, ScheduleKind};
    /// let cosine = Schedule { kind: ScheduleKind::Cosine, final_fraction: 0.0 };
    /// assert_eq!(cosine.factor(0.0), 1.0);
    /// assert!((cosine.factor(0.5) - 0.5).abs() < 1e-15);
    /// ```
    pub fn factor(&self, used: f64) -> f64 {
        let used = used.clamp(0.0, 1.0);
        let last = self.final_fraction;
        // Zero has no logarithm: exponential shapes end at a millionth instead.
        let positive = last.max(1e-6);
        match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Cosine => {
                last + (1.0 - last) * 0.5 * (1.0 + (std::f64::consts::PI * used).cos())
            }
            ScheduleKind::Exponential => positive.powf(used),
            ScheduleKind::Step => positive.powf((4.0 * used).floor().min(3.0) / 3.0),
        }
    }
}

/// A training that goes on under another budget than it was begun with, by which its schedule goes: its
/// learning rate jumps, and it ends elsewhere than one that had this budget from the beginning.
#[derive(Debug, Clone, PartialEq)]
pub struct Rescheduled {
    /// The schedule.
    pub schedule: ScheduleKind,
    /// Updates done.
    pub update: usize,
    /// The budget before.
    pub before: Budget,
    /// The budget now.
    pub now: Budget,
    /// The factors of the learning rate that the two give to the next update.
    pub factors: (f64, f64),
}

impl std::fmt::Display for Rescheduled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            schedule,
            update,
            before,
            now,
            factors: (from, to),
        } = self;
        write!(
            f,
            "schedule = {} goes by the budget, which was {before} and is {now}: after update {update} the \
             learning rate goes from {from:.3} to {to:.3} of its full size, and the training ends elsewhere \
             than one of {now} from the beginning",
            schedule.value()
        )
    }
}
