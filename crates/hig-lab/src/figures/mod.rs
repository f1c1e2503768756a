//! Figures as SVG and PNG files.

pub mod chart;
pub mod run;
pub mod styles;
