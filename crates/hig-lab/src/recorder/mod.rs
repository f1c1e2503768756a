//! What the files of a training hold, one file of code each.

pub mod pictures;
pub mod scalars;
pub mod spectrum;
pub mod timing;
