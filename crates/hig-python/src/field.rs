//! Fields that obey equations which were written in Python.

use crate::arrays::matrix;
use crate::errors::raise;
use crate::network::Network;
use hig::data::{Purpose, random};
use hig::network::{Derivative, Network as Layers, Unknown};
use hig::objective::{
    Block, Cuboid, Equation, Formula, Function, Operation, Pair, Part, Residuals, Spread, Weights,
};
use hig::{Error, Result};
use numpy::PyReadonlyArray2;
use pyo3::prelude::*;

/// Operations by name, with their operands and a number each, and the places of the residuals.
pub type Told = (Vec<(String, Vec<usize>, f64)>, Vec<usize>);

/// Where points are drawn: what part of a box, its sides, how, and which coordinates.
type Drawn = (String, Vec<(f64, f64)>, String, Vec<usize>);

/// The points of a block.
#[derive(FromPyObject)]
pub enum Points<'py> {
    /// Drawn.
    Drawn(Drawn),
    /// These, with what the equation should be there.
    Rows((PyReadonlyArray2<'py, f64>, PyReadonlyArray2<'py, f64>)),
}

/// A block: name, equation, weight, number of points, where they come from.
pub type BlockParts<'py> = (String, Told, f64, usize, Points<'py>);

/// Name, value at the start, bounds by name, and the least and the largest value of `between`.
pub type UnknownParts = (String, f64, String, f64, f64);

/// What a field is judged by: its exact solution, where, at how many points.
pub type Judged = (Told, Drawn, usize);

/// A problem, the network that predicts, and what both are, by name.
pub type Made = (hig::Problem, Layers, Vec<(String, String)>);

/// A name for as long as the program runs, as those of blocks and unknowns are.
fn kept(name: String) -> &'static str {
    Box::leak(name.into_boxed_str())
}

fn formula((operations, residuals): Told, coordinates: usize, fields: usize) -> Result<Formula> {
    let operation = |(name, operands, number): (String, Vec<usize>, f64)| {
        Ok(match (name.as_str(), operands.as_slice()) {
            ("constant", []) => Operation::Constant(number),
            ("coordinate", [i]) => Operation::Coordinate(*i),
            ("field", [k]) => Operation::Field(Derivative::Value, *k),
            ("first", [k, i]) => Operation::Field(Derivative::First(*i), *k),
            ("second", [k, i, j]) => Operation::Field(Derivative::Second(*i.min(j), *i.max(j)), *k),
            ("laplacian", [k, i, j]) => Operation::Field(Derivative::Laplacian(*i, *j), *k),
            ("power", [x]) => Operation::Power(*x, number),
            (name, [x]) => Operation::Of(name.parse::<Function>()?, *x),
            (name, [x, y]) => Operation::Both(name.parse::<Pair>()?, *x, *y),
            (name, operands) => {
                let found = format!("{name} of {} operands", operands.len());
                return Err(Error::setting(
                    "operation",
                    found,
                    "one of one or two operands",
                ));
            }
        })
    };
    let operations: Result<Vec<Operation>> = operations.into_iter().map(operation).collect();
    Formula::new(coordinates, fields, operations?, residuals)
}

/// A box and the part of it that points are drawn in.
fn place((part, sides, spread, which): Drawn) -> Result<(Cuboid, Part)> {
    let domain = Cuboid::new(&sides)?.spread(spread.parse::<Spread>()?);
    let count = sides.len();
    let part = match (part.as_str(), which.as_slice()) {
        ("inside", []) => Part::Inside,
        ("boundary", [from, to]) if from < to && *to <= count => Part::Boundary(*from..*to),
        ("face", [coordinate, upper]) if *coordinate < count => Part::Face(*coordinate, *upper > 0),
        _ => {
            let found = format!("{part} of coordinates {which:?}");
            let expected = format!("a part of a box of {count} coordinates");
            return Err(Error::setting("points", found, expected));
        }
    };
    Ok((domain, part))
}

/// Numbers that nobody knows, as they were told.
pub fn unknowns_of(told: Vec<UnknownParts>) -> Vec<Unknown> {
    let unknown = |(name, initial, bounds, least, most): UnknownParts| {
        let name = kept(name);
        match bounds.as_str() {
            "free" => Unknown::free(name, initial),
            "positive" => Unknown::positive(name, initial),
            _ => Unknown::between(name, initial, least, most),
        }
    };
    told.into_iter().map(unknown).collect()
}

/// The problem of a network that should obey equations, and what it is, by name.
///
/// # Errors
/// Parts that do not fit.
pub fn problem(
    network: &Network,
    blocks: Vec<BlockParts<'_>>,
    unknowns: Vec<UnknownParts>,
    judged: Option<Judged>,
    (candidates, weights): (usize, &str),
    seed: u64,
) -> PyResult<Made> {
    let weights: Weights = weights.parse().map_err(raise)?;
    let mut told: Vec<(String, String)> = network
        .told()
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect();
    told.push(("unknowns".into(), format!("{unknowns:?}")));
    told.push(("weights".into(), weights.to_string()));
    let unknowns = unknowns_of(unknowns);
    let build = || network.build_beside(unknowns.clone());
    // One predicts, the other is trained: a network holds shapes only.
    let (layers, trained) = (build().map_err(raise)?, build().map_err(raise)?);
    let (coordinates, fields) = (layers.inputs(), layers.outputs());
    let mut all = Vec::with_capacity(blocks.len() + 1);
    for (name, equation, weight, count, points) in blocks {
        let formula = formula(equation, coordinates, fields).map_err(raise)?;
        told.push((
            format!("block {name}"),
            format!("{count} points of weight {weight}: {formula:?}"),
        ));
        let name = kept(name);
        let block = match points {
            Points::Drawn(drawn) => {
                told.push((format!("points of {name}"), format!("{drawn:?}")));
                let (domain, part) = place(drawn).map_err(raise)?;
                Block::of(name, formula, count, move |count, random| {
                    domain.draw(&part, count, random)
                })
            }
            Points::Rows((points, values)) => {
                Block::of_rows(name, formula, matrix(&points)?, matrix(&values)?)
            }
        };
        all.push(block.with_weight(weight));
    }
    let Some((exact, drawn, count)) = judged else {
        let residuals = Residuals::weighted(trained, all, weights, seed).map_err(raise)?;
        let sampler = residuals.adaptive_sampler(candidates);
        let problem = hig::Problem::of_residuals(residuals, seed);
        return Ok((problem.with_adaptive_sampler(sampler), layers, told));
    };
    let exact = formula(exact, coordinates, 0).map_err(raise)?;
    let known = (0..exact.count()).collect::<Vec<_>>();
    let values = known
        .iter()
        .map(|k| Operation::Field(Derivative::Value, *k));
    let values = Formula::new(coordinates, fields, values.collect(), known).map_err(raise)?;
    let name = "exact";
    let (domain, part) = place(drawn).map_err(raise)?;
    let judged = Block::of(name, values, 0, move |count, random| {
        domain.draw(&part, count, random)
    });
    all.push(judged.with_target(move |x, u| {
        let found = exact.of_point(x, &[]);
        u[..found.len()].copy_from_slice(&found);
    }));
    let residuals = Residuals::weighted(trained, all, weights, seed).map_err(raise)?;
    let train = residuals.draw(residuals.points(), &mut random(seed, Purpose::Train));
    let test = residuals.draw_block(name, count, &mut random(seed, Purpose::Test));
    let sampler = residuals.adaptive_sampler(candidates);
    let problem = hig::Problem::of(train, test, residuals);
    Ok((problem.with_adaptive_sampler(sampler), layers, told))
}
