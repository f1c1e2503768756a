//! What a training has found of the unknowns of the physics, with standard errors.
//!
//! Where the loss of a sample is its negative log-likelihood up to a constant, as ½ Σ w·(y - ŷ)² is for
//! independent normal noise of variance 1/w, H = Σ Jᵀ·C·J over all samples is the Fisher information of the parameters
//! at the model, and H⁻¹ the covariance of their estimates for many samples (Seber and Wild, "Nonlinear
//! Regression", 1989, section 2.1.2). Of all parameters the unknowns φ are asked for and the others w, the weights of
//! a network, are not: their covariance is (H_φφ - H_φw·H_ww⁻¹·H_wφ)⁻¹, what the observations tell of the
//! unknowns beyond all that the network could say instead.

use super::{Linearized, Objective, whitened};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::linalg::{Mat, Symmetric, symmetric};
use crate::network::Unknown;

/// A value that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Its name.
    pub name: &'static str,
    /// The value.
    pub value: f64,
    /// Its standard error: infinite where the observations do not tell the value, 0 where it was held
    /// fixed.
    pub standard_error: f64,
}

/// Most parameters that standard errors are computed for: H has the square of this many numbers.
const MOST: usize = 8192;

/// Part of the largest eigenvalue below which a direction of the network's weights is rounding.
const ROUNDING: f64 = 1e-12;

/// Part of what the observations tell of an unknown that must be left when all the others are known as little.
const LEFT: f64 = 1e-10;

/// The unknowns of an objective at trained parameters, with the standard errors that the samples give them.
///
/// The loss of a sample must be its negative log-likelihood up to a constant. A constant factor on the loss
/// is one on the inverse squares of the standard errors. They say nothing of a model that is wrong, or of a
/// training that has not come to its end.
///
/// # Errors
/// A simulation that fails, derivatives that are not finite, more than 8192 parameters.
pub fn estimates(
    objective: &dyn Objective,
    parameters: &[f64],
    samples: &Dataset,
) -> Result<Vec<Estimate>> {
    let unknowns = objective.unknowns();
    let free: Vec<usize> = unknowns.iter().filter_map(|(_, place)| *place).collect();
    let mut deviations = deviations(objective, parameters, samples, &free)?.into_iter();
    let told = unknowns.into_iter().map(|(unknown, place)| {
        let (value, deviation) = match place {
            Some(place) => (unknown.value(parameters[place]), deviations.next()),
            None => (unknown.initial, None),
        };
        Estimate {
            name: unknown.name,
            standard_error: deviation.map_or(0.0, |d| d * unknown.slope(value).abs()),
            value,
        }
    });
    Ok(told.collect())
}

/// The values alone, without samples.
pub fn values(objective: &dyn Objective, parameters: &[f64]) -> Vec<(&'static str, f64)> {
    let value = |(unknown, place): (Unknown, Option<usize>)| {
        let value = place.map_or(unknown.initial, |place| unknown.value(parameters[place]));
        (unknown.name, value)
    };
    objective.unknowns().into_iter().map(value).collect()
}

/// Standard errors of some parameters.
fn deviations(
    objective: &dyn Objective,
    parameters: &[f64],
    samples: &Dataset,
    free: &[usize],
) -> Result<Vec<f64>> {
    if free.is_empty() {
        return Ok(Vec::new());
    }
    if parameters.len() > MOST {
        let expected = format!("at most {MOST} for standard errors");
        return Err(Error::setting("parameters", parameters.len(), expected));
    }
    let information = information(objective, parameters, samples)?;
    let rest: Vec<usize> = (0..parameters.len())
        .filter(|i| !free.contains(i))
        .collect();
    let part = |rows: &[usize], columns: &[usize]| {
        Mat::from_fn(rows.len(), columns.len(), |i, j| {
            information[(rows[i], columns[j])]
        })
    };
    let (mut left, across) = (part(free, free), part(&rest, free));
    let told: Vec<f64> = (0..free.len()).map(|i| left[(i, i)].sqrt()).collect();
    if !rest.is_empty() {
        let (values, vectors) = symmetric::eigen(part(&rest, &rest), NAME)?;
        let images = vectors.transpose() * &across;
        for (k, value) in values.iter().enumerate() {
            if *value > ROUNDING * values[0] {
                for i in 0..free.len() {
                    for j in 0..free.len() {
                        left[(i, j)] -= images[(k, i)] * images[(k, j)] / value;
                    }
                }
            }
        }
    }
    // In units of what the observations would tell if all the rest were known; nothing at all is nothing.
    let unit = |i: usize| if told[i] > 0.0 { told[i] } else { 1.0 };
    let scaled = Mat::from_fn(free.len(), free.len(), |i, j| {
        left[(i, j)] / (unit(i) * unit(j))
    });
    let (values, vectors) = symmetric::eigen(scaled, NAME)?;
    let variance = |i: usize| -> f64 {
        let directions = values.iter().enumerate();
        let parts = directions.map(|(k, value)| match vectors[(i, k)].powi(2) {
            part if *value > LEFT => part / value,
            // The direction is not told: unless it is another's.
            part if part <= LEFT => 0.0,
            _ => f64::INFINITY,
        });
        parts.sum()
    };
    Ok((0..free.len())
        .map(|i| variance(i).sqrt() / unit(i))
        .collect())
}

const NAME: &str = "Fisher information";

/// H (p × p).
fn information(
    objective: &dyn Objective,
    parameters: &[f64],
    samples: &Dataset,
) -> Result<Mat<f64>> {
    let mut sum: Option<Mat<f64>> = None;
    // One sample at a time: whatever the objective makes of many, it is the loss of one that counts.
    for sample in 0..samples.len() {
        let one = samples.select(&[sample]);
        let at: Box<dyn Linearized> = objective.linearize(&one, parameters)?;
        let of_one: Symmetric = whitened(at.as_ref())?.0.normal()?;
        at.check_finite()?;
        let lower = of_one.into_lower();
        match &mut sum {
            Some(sum) => *sum += lower,
            None => sum = Some(lower),
        }
    }
    let p = parameters.len();
    let sum = sum.unwrap_or_else(|| Mat::zeros(p, p));
    Ok(Symmetric::from_lower(sum)?.complete())
}
