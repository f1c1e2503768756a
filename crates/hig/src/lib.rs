//! # hig: half-inverse gradients for physics-based deep learning
//!
//! Trains neural networks through differentiable physics with half-inverse gradients (HIG; Schnell,
//! Holl and Thuerey, ICLR 2022, arXiv 2203.10131), beside the methods they are compared with.
//!
//! The modules stand in the order in which data flows:
//!
//! [`data`] → [`network`] → [`physics`] → [`loss`] → [`objective`] → [`spectral`] → [`step`] → parameters,
//!
//! and around them [`trainer`], [`warnings`] of what a training does that it should not, and [`systems`]
//! (complete problems).
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod data;
pub mod diagnostics;
mod error;
pub mod files;
pub mod linalg;
pub mod loss;
pub mod network;
pub mod objective;
pub mod physics;
mod problem;
pub mod settings;
pub mod spectral;
pub mod step;
pub mod systems;
mod threads;
pub mod timing;
pub mod trainer;
pub mod warnings;

pub use data::Dataset;
pub use error::{Error, Result, SamplePlace};
pub use objective::Linearization;
pub use problem::{Problem, Sampler};

/// The code of the documents is compiled and run with the tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../../README.md")]
    struct Readme;
    #[doc = include_str!("../../../docs/tutorial.md")]
    struct Tutorial;
    #[doc = include_str!("../../../docs/physics.md")]
    struct Physics;
    #[doc = include_str!("../../../docs/networks.md")]
    struct Networks;
    #[doc = include_str!("../../../docs/residuals.md")]
    struct Residuals;
}
