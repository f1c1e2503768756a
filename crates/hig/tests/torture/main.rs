//! Extreme numbers: every method, route and treatment ends in a defined step or in a defined error.
//!
//! Whatever physics, loss, data or learning rate do, a training neither panics nor hangs, and no
//! parameter that is not finite is handed back. Where mathematics says what a step is (scales,
//! duplicates, nothing to see), it is that.

#[path = "../common/mod.rs"]
mod common;

mod duplicates;
mod extremes;
mod failing;
mod given;
mod going_back;
mod methods;
mod nothing;
mod one;
mod poison;
mod problems;
mod scales;
