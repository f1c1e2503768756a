//! Fields that obey equations: rows, blocks, points, exact solutions, trainings.

mod common;

use common::*;
use hig::data::{Purpose, random};
use hig::linalg::{Mat, stack};
use hig::network::{Activation, Derivative, Initializer, Jets, Network};
use hig::objective::{Block, Cuboid, Equation, Field, Given, Objective, Residuals, Spread};
use hig::physics::{Dual, Real};
use hig::step::{LevenbergMarquardt, methods};
use hig::systems::{
    AllenCahnField, BurgersField, BurgersInverse, ConvectionField, Exact, FieldPoints,
    FokkerPlanckField, HeatField, HeatSolution, HelmholtzField, MlpSettings, NavierStokesField,
    Picture, PoissonField, PoissonSolution, System, relative_errors,
};
use hig::trainer::{Budget, Order, Stop, Training, train};
use hig::{Dataset, Problem};

/// Two fields (u, v) of (x, y): u·v_x + Δv - x·y, and u_xy - sin v.
struct Coupled;

impl Equation for Coupled {
    fn derivatives(&self) -> Jets {
        Jets::of(2).with_laplacian(0..2).with_second(0, 1)
    }

    fn count(&self) -> usize {
        2
    }

    fn residuals<T: Real>(&self, x: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        let v = u.of(1);
        residuals[0] = u.value() * v.first(0) + v.laplacian(0..2) - x[0] * x[1];
        residuals[1] = u.second(1, 0) - v.value().sin();
    }
}

/// ∂u/∂x - u² on a line, of another set of derivatives than [`Coupled`].
struct Slope;

impl Equation for Slope {
    fn derivatives(&self) -> Jets {
        Jets::of(2).with_first(0)
    }

    fn residuals<T: Real>(&self, _: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        residuals[0] = u.first(0) - u.value() * u.value();
    }
}

fn coupled(weights: [f64; 3]) -> Residuals {
    let (network, blocks) = coupled_blocks(weights);
    Residuals::new(network, blocks).unwrap()
}

fn coupled_blocks(weights: [f64; 3]) -> (Network, Vec<Block>) {
    let network = Network::mlp(&[2, 5, 4, 2], Activation::Tanh, Initializer::Uniform);
    let square = || Cuboid::new(&[(-1.0, 1.0), (0.0, 2.0)]).unwrap();
    let [first, second, third] = [square(), square(), square()];
    let blocks = vec![
        Block::of("interior", Coupled, 9, move |count, random| {
            first.inside(count, random)
        }),
        Block::of(
            "boundary",
            Given { coordinates: 2 },
            5,
            move |count, random| second.boundary(count, random),
        )
        .with_target(|x, u| u[0] = x[0] + x[1]),
        Block::of("start", Slope, 4, move |count, random| {
            third.face(0, false, count, random)
        }),
    ];
    let weighted = blocks.into_iter().zip(weights);
    let weighted = weighted.map(|(block, weight)| block.with_weight(weight));
    (network, weighted.collect())
}

fn drawn(residuals: &Residuals, seed: u64) -> Dataset {
    residuals.draw(residuals.points(), &mut random(seed, Purpose::Train))
}

#[test]
fn rows_are_the_derivatives_of_the_residuals() {
    let residuals = coupled([1.0, 2.0, 0.3]);
    let batch = drawn(&residuals, 1);
    let parameters = normal_vector(residuals.network().parameter_count(), 2);
    let y = |parameters: &[f64]| stack(residuals.outputs(parameters, &batch).unwrap().as_ref());
    let expected = difference_jacobian(&parameters, 1e-5, y);
    let at = residuals.linearize(&batch, &parameters).unwrap();
    assert_eq!((at.rows(), at.samples()), (36, Some(18)));
    let transposed = at.transposed().unwrap();
    let error = relative_matrix(&transpose(&transposed), &expected);
    assert!(error <= 1e-8, "{error:e}");
    let square = multiply(&transpose(&transposed), &transposed);
    let gram = at.gram().unwrap().complete();
    assert!(relative_matrix(&gram, &square) <= 1e-12);
    // The gradient of the loss, and y itself.
    let loss = |parameters: &[f64]| vec![residuals.loss(parameters, &batch).unwrap()];
    let slope = difference_jacobian(&parameters, 1e-6, loss);
    let slope: Vec<f64> = (0..parameters.len()).map(|j| slope[(0, j)]).collect();
    assert!(relative(&at.gradient().unwrap(), &slope) <= 1e-7);
    let error = (at.loss() / residuals.loss(&parameters, &batch).unwrap() - 1.0).abs();
    assert!(error <= 1e-14, "{error:e}");
}

/// A batch of so many points that it passes in pieces, in the order of its blocks and in one in which they alternate.
#[test]
fn points_that_pass_in_pieces_have_the_rows_that_they_have_alone() {
    let residuals = coupled([1.0, 2.0, 0.3]);
    let parameters = normal_vector(residuals.network().parameter_count(), 2);
    let direction = normal_vector(parameters.len(), 3);
    let many = residuals.draw(1300, &mut random(1, Purpose::Train));
    let count = many.len();
    let mixed: Vec<usize> = (0..count).map(|i| i * 7 % count).collect();
    for batch in [many.select(&mixed), many] {
        let at = residuals.linearize(&batch, &parameters).unwrap();
        let jacobian = transpose(&at.transposed().unwrap());
        let second = at.second_along(&direction).unwrap().unwrap();
        let y = at.outputs();
        // Some of them in a batch of their own, which is one piece.
        let places: Vec<usize> = (0..count).step_by(61).collect();
        let few = batch.select(&places);
        let alone = residuals.linearize(&few, &parameters).unwrap();
        let rows = transpose(&alone.transposed().unwrap());
        let second_alone = alone.second_along(&direction).unwrap().unwrap();
        let picked: Vec<usize> = (0..2)
            .flat_map(|residual| places.iter().map(move |place| residual * count + place))
            .collect();
        let expected = Mat::from_fn(picked.len(), rows.ncols(), |i, j| jacobian[(picked[i], j)]);
        assert!(relative_matrix(&rows, &expected) <= 1e-13);
        let pick = |values: &[f64]| -> Vec<f64> { picked.iter().map(|i| values[*i]).collect() };
        assert!(relative(&alone.outputs(), &pick(&y)) <= 1e-13);
        assert!(relative(&second_alone, &pick(&second)) <= 1e-12);
        assert!(relative(&residuals_of(&residuals, &batch, &parameters), &y) <= 1e-13);
        // Products, and what is condensed, are those of J.
        let w = normal_vector(y.len(), 4);
        let column = |values: &[f64]| Mat::from_fn(values.len(), 1, |i, _| values[i]);
        let product = multiply(&jacobian, &column(&direction));
        assert!(relative_matrix(&column(&at.jvp(&direction).unwrap()), &product) <= 1e-13);
        let product = multiply(&transpose(&jacobian), &column(&w));
        assert!(relative_matrix(&column(&at.vjp(&w).unwrap()), &product) <= 1e-13);
        let normal = at.normal().unwrap().complete();
        assert!(relative_matrix(&normal, &multiply(&transpose(&jacobian), &jacobian)) <= 1e-13);
        let gram = at.gram().unwrap().complete();
        assert!(relative_matrix(&gram, &multiply(&jacobian, &transpose(&jacobian))) <= 1e-13);
        let scaled = at.scaled_rows(&w).unwrap();
        let rows = Mat::from_fn(y.len(), parameters.len(), |i, j| w[i] * jacobian[(i, j)]);
        let normal = scaled.normal().unwrap().complete();
        assert!(relative_matrix(&normal, &multiply(&transpose(&rows), &rows)) <= 1e-13);
        // These rows were formed, and are read by the products.
        let product = multiply(&rows, &column(&direction));
        let found = scaled.jvp(&direction).unwrap();
        assert!(relative_matrix(&column(&found), &product) <= 1e-13);
        let product = multiply(&transpose(&rows), &column(&w));
        let found = scaled.vjp(&w).unwrap();
        assert!(relative_matrix(&column(&found), &product) <= 1e-13);
        let directions = Mat::from_fn(parameters.len(), 2, |i, j| direction[i] * (i + j) as f64);
        let images = multiply(&rows, &directions);
        let found = scaled
            .normal_image_gram(directions.as_ref())
            .unwrap()
            .complete();
        assert!(relative_matrix(&found, &multiply(&transpose(&images), &images)) <= 1e-13);
    }
}

fn residuals_of(residuals: &Residuals, batch: &Dataset, parameters: &[f64]) -> Vec<f64> {
    stack(residuals.outputs(parameters, batch).unwrap().as_ref())
}

#[test]
fn residuals_are_the_equation_at_the_jets_of_the_network() {
    let residuals = coupled([1.0; 3]);
    let batch = drawn(&residuals, 1);
    let parameters = normal_vector(residuals.network().parameter_count(), 2);
    let y = residuals.outputs(&parameters, &batch).unwrap();
    let jets = Coupled.derivatives();
    let points = batch.input.as_ref();
    let found = residuals
        .network()
        .jets(&parameters, points, &jets)
        .unwrap();
    let b = batch.len();
    let of = |derivative, s, o| found[(jets.place(derivative).unwrap() * b + s, o)];
    for s in 0..b {
        let (u, v) = (of(Derivative::Value, s, 0), of(Derivative::Value, s, 1));
        let x = batch.input.row(s);
        let expected = match batch.state[(s, 0)] as usize {
            0 => [
                u * of(Derivative::First(0), s, 1) + of(Derivative::Laplacian(0, 2), s, 1)
                    - x[0] * x[1],
                of(Derivative::Second(0, 1), s, 0) - v.sin(),
            ],
            1 => [u, 0.0],
            _ => [of(Derivative::First(0), s, 0) - u * u, 0.0],
        };
        for (j, expected) in expected.iter().enumerate() {
            let error = (y[(s, j)] - expected).abs();
            assert!(error <= 1e-13, "sample {s}, residual {j}: {error:e}");
        }
    }
}

/// ½·mean of the squares of (y - ŷ) of each block, from y alone.
fn halves(residuals: &Residuals, parameters: &[f64], samples: &Dataset) -> Vec<f64> {
    let y = residuals.outputs(parameters, samples).unwrap();
    let of = |block: usize| {
        let places: Vec<usize> = (0..samples.len())
            .filter(|s| samples.state[(*s, 0)] == block as f64)
            .collect();
        let squares = places.iter().map(|s| {
            let pair = (0..2).map(|j| (y[(*s, j)] - samples.target[(*s, j)]).powi(2));
            pair.sum::<f64>()
        });
        0.5 * squares.sum::<f64>() / places.len() as f64
    };
    (0..3).map(of).collect()
}

#[test]
fn balanced_weights_give_every_block_the_same_part_of_the_curvature_at_the_start() {
    let (seed, given) = (3, [2.0, 1.0, 0.5]);
    let (network, blocks) = coupled_blocks(given);
    let at = network.initial_parameters(seed);
    let balanced = Residuals::balanced(network, blocks, seed).unwrap();
    let names = ["interior", "boundary", "start"];
    // w/N·Σ|∂r/∂θ|² of a block, by other points than those that it was balanced by.
    let trace = |name: &str, weight: f64| {
        let points = balanced.draw_block(name, 400, &mut random(77, Purpose::Test));
        let j = balanced
            .linearize(&points, &at)
            .unwrap()
            .transposed()
            .unwrap();
        weight * j.squared_norm_l2() / 400.0
    };
    let weights = balanced.weights();
    assert_eq!(weights.iter().map(|w| w.0).collect::<Vec<_>>(), names);
    assert_eq!(weights[0].1, given[0]);
    let traces: Vec<f64> = weights.iter().map(|(name, w)| trace(name, *w)).collect();
    let before: Vec<f64> = names.iter().zip(given).map(|(n, w)| trace(n, w)).collect();
    for k in 1..3 {
        let ratio = traces[k] / traces[0];
        assert!((0.7..1.4).contains(&ratio), "{}: {ratio}", names[k]);
        let unbalanced = before[k] / before[0];
        assert!(
            !(0.7..1.4).contains(&unbalanced),
            "{}: {unbalanced}",
            names[k]
        );
    }
    // They are the weights of the loss.
    let [equal, other] = [coupled(given), balanced].map(|residuals| {
        let samples = drawn(&residuals, 1);
        residuals.blocks(&at, &samples).unwrap()
    });
    for ((equal, other), (w, given)) in equal.iter().zip(&other).zip(weights.iter().zip(given)) {
        let factor = w.1 / given;
        assert!((other.1 / equal.1 / factor - 1.0).abs() < 1e-12);
    }
}

#[test]
fn balanced_weights_are_told_and_refused_where_they_have_a_meaning() {
    let mut heat = hig::systems::system("heat-pinn").unwrap();
    let told = |heat: &dyn System| {
        let problem = heat.problem(1);
        heat.measures(&problem, &problem.initial_parameters(1))
    };
    quick_fields(heat.as_mut());
    assert!(
        told(heat.as_ref())
            .iter()
            .all(|(name, _)| !name.ends_with("weight"))
    );
    heat.set("weights", "balanced").unwrap();
    let told = told(heat.as_ref());
    let weight = |of: &str| told.iter().find(|(name, _)| *name == of).unwrap().1;
    assert_eq!(weight("interior_weight"), 1.0);
    for of in ["sides_weight", "initial_weight"] {
        assert!(weight(of) > 0.0 && weight(of) != 1.0, "{of}: {told:?}");
    }
    let mut inverse = hig::systems::system("burgers-inverse-pinn").unwrap();
    inverse.set("weights", "balanced").unwrap();
    assert_message(inverse.check_together(), &["weights", "likelihood"]);
}

#[test]
fn a_loss_is_the_weighted_sum_of_half_the_mean_squares_of_its_blocks() {
    let plain = coupled([1.0; 3]);
    let batch = drawn(&plain, 3);
    let parameters = normal_vector(plain.network().parameter_count(), 4);
    let halves = halves(&plain, &parameters, &batch);
    for weights in [[1.0, 1.0, 1.0], [2.0, 1.0, 1.0], [0.5, 7.0, 1e-3]] {
        let residuals = coupled(weights);
        let expected: f64 = halves.iter().zip(weights).map(|(h, w)| h * w).sum();
        let loss = residuals.loss(&parameters, &batch).unwrap();
        assert!((loss / expected - 1.0).abs() <= 1e-13, "{weights:?}");
        let told = residuals.blocks(&parameters, &batch).unwrap();
        let names: Vec<&str> = told.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["interior", "boundary", "start"]);
        for (k, (_, found)) in told.iter().enumerate() {
            assert!((found / (weights[k] * halves[k]) - 1.0).abs() <= 1e-13);
        }
        // g and C scale with the weight of their block, and with nothing else.
        let one = plain.linearize(&batch, &parameters).unwrap();
        let other = residuals.linearize(&batch, &parameters).unwrap();
        let pairs = [
            (one.cotangent().to_vec(), other.cotangent().to_vec()),
            (one.curvature().unwrap(), other.curvature().unwrap()),
        ];
        for (before, after) in pairs {
            for (row, (a, b)) in before.iter().zip(&after).enumerate() {
                let weight = weights[batch.state[(row % batch.len(), 0)] as usize];
                assert!((b - weight * a).abs() <= 1e-14 * a.abs());
            }
        }
    }
}

#[test]
fn the_mean_over_mini_batches_is_the_loss_of_all() {
    let residuals = coupled([1.0, 3.0, 0.2]);
    let all = drawn(&residuals, 5);
    let parameters = normal_vector(residuals.network().parameter_count(), 6);
    let expected = residuals.loss(&parameters, &all).unwrap();
    let parts = (0..all.len()).collect::<Vec<_>>();
    let parts = parts.chunks(3).map(|places| {
        let batch = all.select(places);
        residuals.linearize(&batch, &parameters).unwrap().loss()
    });
    let mean = parts.sum::<f64>() / 6.0;
    assert!((mean / expected - 1.0).abs() <= 1e-13);
}

#[test]
fn points_come_in_the_shares_of_their_blocks() {
    let residuals = coupled([1.0; 3]);
    let count = |samples: &Dataset| -> Vec<usize> {
        let of = |k: usize| (0..samples.len()).filter(move |s| samples.state[(*s, 0)] == k as f64);
        (0..3).map(|k| of(k).count()).collect()
    };
    for (total, expected) in [
        (18, [9, 5, 4]),
        (36, [18, 10, 8]),
        (7, [3, 2, 2]),
        (1, [1, 0, 0]),
    ] {
        let samples = residuals.draw(total, &mut random(1, Purpose::Train));
        assert_eq!(count(&samples), expected, "{total}");
        residuals.check_samples(&samples).unwrap();
    }
    let samples = drawn(&residuals, 2);
    for s in 0..samples.len() {
        let (x, y) = (samples.input[(s, 0)], samples.input[(s, 1)]);
        let at_end = |value: f64, ends: [f64; 2]| ends.contains(&value);
        let expected = match samples.state[(s, 0)] as usize {
            0 => x.abs() < 1.0 && y > 0.0 && y < 2.0,
            1 => at_end(x, [-1.0, 1.0]) || at_end(y, [0.0, 2.0]),
            _ => x == -1.0,
        };
        assert!(expected, "sample {s}: ({x}, {y})");
    }
}

#[test]
fn even_points_leave_no_gaps() {
    // Steinhaus: n multiples of a number leave gaps of at most three lengths on a circle; of the golden ratio
    // the longest is less than φ² + φ times the shortest.
    let line = Cuboid::unit(1).spread(Spread::Even);
    let points = line.inside(500, &mut random(4, Purpose::Train));
    let mut places = points.col_as_slice(0).to_vec();
    places.sort_by(f64::total_cmp);
    places.push(places[0] + 1.0);
    let mut gaps: Vec<f64> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_by(f64::total_cmp);
    assert!(gaps[499] / gaps[0] < 4.3);
    gaps.dedup_by(|a, b| (*a - *b).abs() < 1e-12);
    assert!(gaps.len() <= 3, "{gaps:?}");
    // The mean of exp(x + y + z) over the unit cube is (e - 1)³.
    let error = |spread: Spread, seed: u64| {
        let cube = Cuboid::unit(3).spread(spread);
        let points = cube.inside(2000, &mut random(seed, Purpose::Train));
        let each = (0..2000).map(|s| points.row(s).iter().sum::<f64>().exp());
        let mean = each.sum::<f64>() / 2000.0;
        (mean - (std::f64::consts::E - 1.0).powi(3)).powi(2)
    };
    let squares = |spread| (0..20).map(|seed| error(spread, seed)).sum::<f64>();
    let ratio = (squares(Spread::Uniform) / squares(Spread::Even)).sqrt();
    assert!(ratio > 4.0, "{ratio}");
    // Another seed begins elsewhere; the same one does not.
    let draw = |seed| line.inside(3, &mut random(seed, Purpose::Train));
    assert!(draw(4) == draw(4) && draw(4) != draw(5));
}

#[test]
fn boundary_points_are_as_dense_on_every_face() {
    // Faces of the areas 3, 3, 1, 1.
    let long = Cuboid::new(&[(0.0, 1.0), (0.0, 3.0)]).unwrap();
    for spread in [Spread::Uniform, Spread::Even] {
        let domain = long.clone().spread(spread);
        let points = domain.boundary(8000, &mut random(3, Purpose::Train));
        let on = |j: usize, end: f64| (0..8000).filter(|s| points[(*s, j)] == end).count() as f64;
        for (found, expected) in [
            (on(0, 0.0), 3000.0),
            (on(0, 1.0), 3000.0),
            (on(1, 0.0), 1000.0),
            (on(1, 3.0), 1000.0),
        ] {
            // Five standard deviations of a binomial count; even ones miss it by a few points.
            let allowed = match spread {
                Spread::Uniform => 5.0 * (expected * (1.0 - expected / 8000.0_f64)).sqrt(),
                Spread::Even => 4.0,
            };
            assert!(
                (found - expected).abs() <= allowed,
                "{spread:?}: {found} {expected}"
            );
        }
        // Where on a face they are: half of those on the long ones are in either half of it.
        let low = (0..8000).filter(|s| points[(*s, 1)] > 0.0 && points[(*s, 1)] < 1.5);
        assert!((low.count() as f64 - 3000.0).abs() < 200.0, "{spread:?}");
    }
    let sides = long.boundary_of(1..2, 50, &mut random(3, Purpose::Train));
    assert!((0..50).all(|s| sides[(s, 1)] == 0.0 || sides[(s, 1)] == 3.0));
    let grid = long.grid(4);
    assert_eq!(
        (grid.nrows(), grid[(0, 1)], grid[(15, 0)], grid[(15, 1)]),
        (16, 0.0, 1.0, 3.0)
    );
    assert_eq!((grid[(1, 0)], grid[(1, 1)], grid[(2, 1)]), (0.0, 1.0, 2.0));
    assert_message(Cuboid::new(&[]), &["sides", "one interval"]);
    assert_message(
        Cuboid::new(&[(1.0, 1.0)]),
        &["sides = 1 to 1", "up to another"],
    );
    assert_message(Cuboid::new(&[(0.0, f64::NAN)]), &["NaN"]);
}

/// u, its slopes and its second derivatives at a point, by dual numbers of dual numbers.
fn second(u: &impl Exact, x: &[f64], i: usize) -> [f64; 3] {
    let point: Vec<Dual<1, Dual<1>>> = x
        .iter()
        .enumerate()
        .map(|(j, value)| match i == j {
            true => Dual::variable(Dual::variable(*value, 0), 0),
            false => Dual::fixed(Dual::fixed(*value)),
        })
        .collect();
    let u = u.value(&point);
    [u.value.value, u.slopes[0].value, u.slopes[0].slopes[0]]
}

#[test]
fn exact_solutions_obey_their_equations() {
    let points = normal(20, 4, 1);
    let rows = || (0..20).map(|s| -> Vec<f64> { points.row(s).iter().copied().collect() });
    for solution in [
        PoissonSolution::Sines,
        PoissonSolution::Cosines,
        PoissonSolution::Products,
        PoissonSolution::Squares,
    ] {
        for x in rows() {
            let laplacian: f64 = (0..4).map(|i| second(&solution, &x, i)[2]).sum();
            let right = solution.right_side(&x);
            assert!(
                (laplacian + right).abs() <= 1e-12 * right.abs().max(10.0),
                "{solution:?}"
            );
        }
    }
    for (solution, d) in [(HeatSolution::Mode, 1), (HeatSolution::Sines, 3)] {
        for x in rows() {
            let x = &x[..d + 1];
            let rate = second(&solution, x, 0)[1];
            let laplacian: f64 = (1..=d).map(|i| second(&solution, x, i)[2]).sum();
            let size = rate.abs().max(1.0);
            assert!(
                (rate - 0.25 * laplacian).abs() <= 1e-12 * size,
                "{solution:?}"
            );
            for i in 0..=d {
                let slope = solution.slope(x, i);
                assert!((slope - second(&solution, x, i)[1]).abs() <= 1e-13 * slope.abs().max(1.0));
            }
        }
    }
}

#[test]
fn the_logarithm_of_a_density_obeys_its_equation() {
    let field = FokkerPlanckField {
        dimension: 3,
        ..FokkerPlanckField::default()
    };
    let points = normal(20, 4, 3);
    for s in 0..20 {
        let mut x: Vec<f64> = points.row(s).iter().copied().collect();
        x[0] = x[0].abs();
        let of = |i: usize| second(&field, &x, i);
        let mut residual = of(0)[1] - 1.5;
        for (i, x) in x.iter().enumerate().skip(1) {
            let [_, slope, bend] = of(i);
            residual -= bend + slope * slope + 0.5 * x * slope;
        }
        assert!(residual.abs() <= 1e-12, "{residual:e}");
    }
    // The integral of a density is 1.
    let line = FokkerPlanckField {
        dimension: 1,
        ..FokkerPlanckField::default()
    };
    let steps = (-200..=200).map(|i| 0.05 * f64::from(i));
    let whole: f64 = steps.map(|x| 0.05 * line.value(&[0.4, x]).exp()).sum();
    assert!((whole - 1.0).abs() < 1e-9, "{whole}");
}

#[test]
fn a_field_on_a_circle_has_its_start_built_in() {
    let system = AllenCahnField {
        points: FieldPoints {
            samples: 40,
            test_samples: 30,
            ..FieldPoints::default()
        },
        ..AllenCahnField::default()
    };
    let (problem, network) = (system.problem(1), system.network().unwrap());
    let parameters = problem.initial_parameters(2);
    let at = |t: f64, x: f64| {
        let point = Mat::from_fn(1, 2, |_, j| [t, x][j]);
        network.predict(&parameters, point.as_ref())[(0, 0)]
    };
    for x in [-1.0, -0.3, 0.0, 0.6] {
        let start = x * x * (std::f64::consts::PI * x).cos();
        assert!((at(0.0, x) - start).abs() < 1e-15);
    }
    let jump = (at(0.7, 1.0) - at(0.7, -1.0)).abs();
    assert!(jump < 1e-14, "{jump:e}");
    // All points are inside where the start is built in, and most of them where it is not.
    let inside = |system: &AllenCahnField| {
        let state = system.problem(1).train.state;
        state
            .col_as_slice(0)
            .iter()
            .filter(|block| **block == 0.0)
            .count()
    };
    assert_eq!(inside(&system), 40);
    let by_points = AllenCahnField {
        built_in_start: false,
        ..system
    };
    assert_eq!(inside(&by_points), 35);
}

#[test]
fn a_viscosity_is_found_within_its_standard_error() {
    let system = BurgersInverse {
        viscosity: 0.05,
        guess: 0.2,
        measurements: 150,
        noise: 0.02,
        tolerance: 2e-3,
        points: FieldPoints {
            samples: 500,
            boundary: 0.2,
            test_samples: 200,
            ..FieldPoints::default()
        },
        network: MlpSettings::tanh(vec![10, 10]),
    };
    let problem = system.problem(4);
    let measured: Vec<usize> = (0..650)
        .filter(|s| problem.train.state[(*s, 0)] == 3.0)
        .collect();
    assert_eq!(measured.len(), 150);
    let training = Training {
        batch: 650,
        order: Order::Fixed,
        ..Training::default()
    };
    let start = problem.initial_parameters(4);
    let budget = Budget::updates(120);
    let method = LevenbergMarquardt::default();
    let outcome = train(&problem, &method, start, &training, budget, 4, &mut []).unwrap();
    let found = hig::objective::estimates(
        problem.objective.as_ref(),
        &outcome.parameters,
        &problem.train,
    )
    .unwrap();
    let deviation = system.estimates_variance().sqrt();
    assert_eq!(deviation, 0.02);
    let (value, error) = (found[0].value, found[0].standard_error * deviation);
    assert!((value - 0.05).abs() <= 3.0 * error, "{value} with {error}");
    // The Cramér-Rao bound of measurements of the exact solution.
    let with = |viscosity: f64, s: usize| {
        let field = BurgersField {
            viscosity,
            ..BurgersField::default()
        };
        let x = problem.train.input.row(s);
        field.value(x[0], x[1])
    };
    let slope = |s: &usize| (with(0.0505, *s) - with(0.0495, *s)) / 1e-3;
    let information: f64 = measured.iter().map(|s| slope(s).powi(2)).sum();
    let bound = 0.02 / information.sqrt();
    assert!(
        error >= 0.97 * bound && error <= 1.3 * bound,
        "{error} beside {bound}"
    );
}

/// u, v or p of Kovasznay's flow.
struct Part(NavierStokesField, usize);

impl Exact for Part {
    fn value<T: Real>(&self, x: &[T]) -> T {
        self.0.flow(x)[self.1]
    }
}

#[test]
fn waves_and_the_flow_obey_their_equations() {
    let points = normal(20, 2, 2);
    for s in 0..20 {
        let x = [points[(s, 0)], points[(s, 1)]];
        let wave = ConvectionField::default();
        let [rate, slope] = [0, 1].map(|i| second(&wave, &x, i)[1]);
        assert!((rate + 40.0 * slope).abs() <= 1e-12 * 40.0);
        let helmholtz = HelmholtzField {
            wave_number: 3.0,
            waves: 2,
            ..HelmholtzField::default()
        };
        let laplacian: f64 = (0..2).map(|i| second(&helmholtz, &x, i)[2]).sum();
        let left = laplacian + 9.0 * helmholtz.value(&x);
        assert!((left - helmholtz.right_side(&x)).abs() <= 1e-12 * 60.0);
        for reynolds in [40.0, 3.0] {
            let flow = NavierStokesField {
                reynolds,
                ..NavierStokesField::default()
            };
            let part = |k: usize| [0, 1].map(|i| second(&Part(flow.clone(), k), &x, i));
            let [u, v, p] = [part(0), part(1), part(2)];
            for (i, w) in [u, v].iter().enumerate() {
                let terms = [
                    u[0][0] * w[0][1],
                    v[0][0] * w[1][1],
                    p[i][1],
                    -(w[0][2] + w[1][2]) / reynolds,
                ];
                let size: f64 = terms.iter().map(|t| t.abs()).sum();
                assert!(terms.iter().sum::<f64>().abs() <= 1e-12 * size.max(1.0));
            }
            assert!((u[0][1] + v[1][1]).abs() <= 1e-12 * u[0][1].abs().max(1.0));
        }
    }
}

#[test]
fn a_flow_is_asked_for_its_equations_and_judged_by_its_velocity() {
    let flow = NavierStokesField {
        points: FieldPoints {
            samples: 40,
            test_samples: 30,
            ..NavierStokesField::default().points
        },
        network: MlpSettings::tanh(vec![5]),
        reynolds: 7.0,
    };
    let (problem, network) = (flow.problem(3), flow.network().unwrap());
    let parameters = problem.initial_parameters(2);
    let (train, test) = (&problem.train, &problem.test);
    let y = problem.objective.outputs(&parameters, train).unwrap();
    let jets = Jets::of(2).with_gradient().with_laplacian(0..2);
    let found = network
        .jets(&parameters, train.input.as_ref(), &jets)
        .unwrap();
    for s in 0..40 {
        let get = |d, k| found[(jets.place(d).unwrap() * 40 + s, k)];
        let [u, v] = [0, 1].map(|k| get(Derivative::Value, k));
        let slope = |k, i| get(Derivative::First(i), k);
        let momentum = |k: usize| {
            u * slope(k, 0) + v * slope(k, 1) + slope(2, k)
                - get(Derivative::Laplacian(0, 2), k) / 7.0
        };
        let expected = match train.state[(s, 0)] {
            0.0 => [momentum(0), momentum(1), slope(0, 0) + slope(1, 1)],
            _ => [u, v, 0.0],
        };
        for (k, expected) in expected.into_iter().enumerate() {
            assert!((y[(s, k)] - expected).abs() <= 1e-12, "{s} {k}");
        }
    }
    let found = network.predict(&parameters, test.input.as_ref());
    let (mut error, mut size) = (0.0, 0.0);
    for s in 0..30 {
        let exact = flow.flow(&[test.input[(s, 0)], test.input[(s, 1)]]);
        for k in 0..2 {
            error += (found[(s, k)] - exact[k]).powi(2);
            size += exact[k].powi(2);
        }
    }
    let told = flow.measures(&problem, &parameters);
    assert!((told[0].1 / (error / size).sqrt() - 1.0).abs() <= 1e-12);
    let names: Vec<&str> = told.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["relative_l2", "interior_loss", "boundary_loss"]);
}

#[test]
fn the_cole_hopf_integral_obeys_the_equation_of_burgers() {
    // Derivatives by sixth-order differences of a step that the front is wide for.
    const WEIGHTS: [f64; 3] = [0.75, -0.15, 1.0 / 60.0];
    const SECOND: [f64; 4] = [-49.0 / 18.0, 1.5, -0.15, 1.0 / 90.0];
    for (viscosity, h) in [(0.1, 5e-3), (0.01, 1e-3)] {
        let field = BurgersField {
            viscosity,
            ..BurgersField::default()
        };
        for (t, x) in [
            (0.1, 0.3),
            (0.3, -0.2),
            (0.5, 0.05),
            (0.9, 0.7),
            (1.0, -0.01),
        ] {
            let u = |t: f64, x: f64| field.value(t, x);
            let slope = |f: &dyn Fn(f64) -> f64| -> f64 {
                let parts = WEIGHTS.iter().zip(1..);
                let pair = |k: i32| f(f64::from(k) * h) - f(-f64::from(k) * h);
                parts.map(|(w, k)| w * pair(k)).sum::<f64>() / h
            };
            let (rate, space) = (slope(&|e| u(t + e, x)), slope(&|e| u(t, x + e)));
            let pairs = SECOND[1..].iter().zip(1..);
            let pair = |k: i32| u(t, x + f64::from(k) * h) + u(t, x - f64::from(k) * h);
            let bend = SECOND[0] * u(t, x) + pairs.map(|(w, k)| w * pair(k)).sum::<f64>();
            let residual = rate + u(t, x) * space - viscosity * bend / (h * h);
            assert!(
                residual.abs() <= 1e-5 * space.abs().max(1.0),
                "{t} {x}: {residual:e}"
            );
        }
        for t in [0.0, 0.2, 1.0] {
            for x in [-1.0, 0.0, 1.0] {
                assert!(field.value(t, x).abs() <= 1e-12);
            }
            assert!((field.value(t, 0.4) + field.value(t, -0.4)).abs() <= 1e-13);
        }
        let near = field.value(1e-9, 0.3) + (0.3 * std::f64::consts::PI).sin();
        assert!(near.abs() <= 1e-7, "{near:e}");
    }
}

#[test]
fn errors_are_those_of_their_definitions() {
    let network = Network::mlp(&[2, 6, 1], Activation::Tanh, Initializer::Uniform);
    let parameters = network.initial_parameters(3);
    let exact = PoissonSolution::Cosines;
    let input = Cuboid::unit(2).inside(40, &mut random(1, Purpose::Test));
    let value = |s: usize| exact.value(&[input[(s, 0)], input[(s, 1)]]);
    let samples = Dataset {
        target: Mat::from_fn(40, 1, |s, _| value(s)),
        state: Mat::zeros(40, 1),
        input: input.clone(),
    };
    let slope = |x: &[f64], i: usize| exact.slope(x, i);
    let (l2, h1) = relative_errors(&network, &parameters, &samples, Some(&slope));
    let predicted = network.predict(&parameters, input.as_ref());
    let (mut error, mut size) = (0.0, 0.0);
    for s in 0..40 {
        error += (predicted[(s, 0)] - value(s)).powi(2);
        size += value(s).powi(2);
    }
    assert!((l2 - (error / size).sqrt()).abs() <= 1e-13);
    for i in 0..2 {
        for s in 0..40 {
            let moved = |sign: f64| {
                let step = |j: usize| if i == j { sign * 1e-5 } else { 0.0 };
                let x = [input[(s, 0)] + step(0), input[(s, 1)] + step(1)];
                let found = network.predict(&parameters, Mat::from_fn(1, 2, |_, j| x[j]).as_ref());
                (found[(0, 0)], exact.value(&x))
            };
            let (ahead, behind) = (moved(1.0), moved(-1.0));
            let (of_network, of_exact) = (ahead.0 - behind.0, ahead.1 - behind.1);
            error += ((of_network - of_exact) / 2e-5).powi(2);
            size += (of_exact / 2e-5).powi(2);
        }
    }
    assert!((h1.unwrap() / (error / size).sqrt() - 1.0).abs() <= 1e-7);
    assert!(
        relative_errors(&network, &parameters, &samples, None)
            .1
            .is_none()
    );
}

/// A number made of derivatives of a field at a point.
type OfDerivatives<'a> = dyn Fn(&dyn Fn(Derivative) -> f64) -> f64 + 'a;

#[test]
fn systems_ask_for_their_equations_and_judge_by_the_exact_solution() {
    let small = FieldPoints {
        samples: 60,
        boundary: 0.2,
        test_samples: 30,
        ..FieldPoints::default()
    };
    let network = MlpSettings::tanh(vec![6]);
    let poisson = PoissonField {
        dimension: 3,
        solution: PoissonSolution::Squares,
        points: small.clone(),
        network: network.clone(),
    };
    let heat = HeatField {
        dimension: 2,
        solution: HeatSolution::Sines,
        points: small.clone(),
        network: network.clone(),
    };
    let burgers = BurgersField {
        points: small,
        network,
        ..BurgersField::default()
    };
    // The left side of each equation from the jets of the network at the inner points.
    let left =
        |name: &str, problem: &Problem, net: &Network, jets: Jets, of: &OfDerivatives<'_>| {
            let parameters = problem.initial_parameters(1);
            let y = problem
                .objective
                .outputs(&parameters, &problem.train)
                .unwrap();
            let found = net
                .jets(&parameters, problem.train.input.as_ref(), &jets)
                .unwrap();
            let b = problem.train.len();
            for s in (0..b).filter(|s| problem.train.state[(*s, 0)] == 0.0) {
                let get = |derivative| found[(jets.place(derivative).unwrap() * b + s, 0)];
                let error = (y[(s, 0)] - of(&get)).abs();
                assert!(error <= 1e-12, "{name}: {error:e}");
            }
        };
    let (problem, net) = (poisson.problem(2), poisson.network().unwrap());
    left(
        "poisson",
        &problem,
        &net,
        Jets::of(3).with_laplacian(0..3),
        &|get| -get(Derivative::Laplacian(0, 3)),
    );
    assert!((0..48).all(|s| problem.train.target[(s, 0)] == -6.0));
    let (problem, net) = (heat.problem(2), heat.network().unwrap());
    let jets = Jets::of(3)
        .with_first(0)
        .with_second(1, 1)
        .with_second(2, 2);
    left("heat", &problem, &net, jets, &|get| {
        let laplacian = get(Derivative::Second(1, 1)) + get(Derivative::Second(2, 2));
        get(Derivative::First(0)) - 0.25 * laplacian
    });
    let at_start = (0..60)
        .filter(|s| problem.train.input[(*s, 0)] == 0.0)
        .count();
    assert_eq!(at_start, 6);
    let (problem, net) = (burgers.problem(2), burgers.network().unwrap());
    let jets = Jets::of(2).with_gradient().with_second(1, 1);
    left("burgers", &problem, &net, jets, &|get| {
        let convection = get(Derivative::Value) * get(Derivative::First(1));
        get(Derivative::First(0)) + convection - burgers.viscosity * get(Derivative::Second(1, 1))
    });
    // The test loss is ½·mean (u - u*)².
    let parameters = problem.initial_parameters(1);
    let loss = problem.objective.loss(&parameters, &problem.test).unwrap();
    let (l2, _) = relative_errors(&net, &parameters, &problem.test, None);
    let size: f64 = problem
        .test
        .target
        .col_as_slice(0)
        .iter()
        .map(|u| u * u)
        .sum();
    assert!((loss / (0.5 * l2 * l2 * size / 30.0) - 1.0).abs() <= 1e-12);
    let told = burgers.measures(&problem, &parameters);
    let names: Vec<&str> = told.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        ["relative_l2", "interior_loss", "sides_loss", "initial_loss"]
    );
}

#[test]
fn pictures_are_the_field_the_exact_one_and_what_is_left() {
    let system = PoissonField {
        points: FieldPoints {
            samples: 20,
            test_samples: 5,
            ..FieldPoints::default()
        },
        ..PoissonField::default()
    };
    let (problem, network) = (system.problem(0), system.network().unwrap());
    let parameters = problem.initial_parameters(3);
    let pictures = system.pictures(&problem, &parameters, 0);
    let fields: Vec<_> = pictures
        .iter()
        .map(|picture| match picture {
            Picture::Field(field) => field,
            other => panic!("{other:?} of a field over two coordinates"),
        })
        .collect();
    let titles: Vec<&str> = fields.iter().map(|field| field.title.as_str()).collect();
    assert_eq!(titles, ["field", "exact field", "error", "residual"]);
    let values = &fields[0].values;
    let (row, column) = (values.len() / 4, 2 * values[0].len() / 3);
    let place = |at: usize, count: usize| at as f64 / (count - 1) as f64;
    let x = [place(column, values[0].len()), place(row, values.len())];
    let point = Mat::from_fn(1, 2, |_, j| x[j]);
    let jets = Jets::of(2).with_laplacian(0..2);
    let found = network.jets(&parameters, point.as_ref(), &jets).unwrap();
    let laplacian = found[(jets.place(Derivative::Laplacian(0, 2)).unwrap(), 0)];
    let exact = PoissonSolution::Sines.value(&x);
    let expected = [
        found[(0, 0)],
        exact,
        found[(0, 0)] - exact,
        -laplacian - PoissonSolution::Sines.right_side(&x),
    ];
    for (field, expected) in fields.iter().zip(expected) {
        let error = (field.values[row][column] - expected).abs();
        assert!(error <= 1e-12, "{}: {error:e}", field.title);
    }
}

#[test]
fn settings_that_no_equation_can_be_asked_of_are_refused_by_name() {
    let mut poisson = PoissonField::default();
    poisson.network.layers.activation = Activation::Relu;
    assert_message(poisson.check_together(), &["Relu", "smooth"]);
    let odd = PoissonField {
        dimension: 3,
        solution: PoissonSolution::Products,
        ..PoissonField::default()
    };
    assert_message(odd.check_together(), &["dimension = 3", "even"]);
    let wide = PoissonField {
        dimension: usize::MAX >> 1,
        ..PoissonField::default()
    };
    assert_message(wide.check_together(), &["dimension", "at most 1000"]);
    let mode = HeatField {
        dimension: 2,
        ..HeatField::default()
    };
    assert_message(mode.check_together(), &["dimension = 2", "solution = mode"]);
    let thin = BurgersField {
        viscosity: 1e-9,
        ..BurgersField::default()
    };
    assert_message(thin.check_together(), &["viscosity", "at least 0.0001"]);
    let quick = ConvectionField {
        speed: 1e5,
        ..ConvectionField::default()
    };
    assert_message(quick.check_together(), &["speed", "at most 10000"]);
    let slow = NavierStokesField {
        reynolds: 1e-3,
        ..NavierStokesField::default()
    };
    assert_message(slow.check_together(), &["reynolds", "at least 0.1"]);
    let network = || Network::mlp(&[2, 3, 1], Activation::Tanh, Initializer::Uniform);
    let block = || Block::of("start", Slope, 3, |count, _| Mat::zeros(count, 2));
    assert_message(
        Residuals::new(network(), Vec::new()),
        &["points", "at least 1"],
    );
    for weight in [0.0, -1.0, f64::NAN] {
        let weighted = block().with_weight(weight);
        let refused = Residuals::new(network(), vec![weighted]);
        assert_message(refused, &["weight of block start", "above 0"]);
    }
    let line = Network::mlp(&[1, 3, 1], Activation::Tanh, Initializer::Uniform);
    assert_message(
        Residuals::new(line, vec![block()]),
        &["coordinates", "1 (the inputs"],
    );
    let residuals = coupled([1.0; 3]);
    let mut samples = drawn(&residuals, 1);
    samples.state[(4, 0)] = 3.0;
    assert_message(
        residuals.check_samples(&samples),
        &["state of sample 4", "0 to 2"],
    );
}

#[test]
fn what_is_not_finite_is_told_by_its_point() {
    /// ln u, where u may be below 0.
    struct Logarithm;
    impl Equation for Logarithm {
        fn derivatives(&self) -> Jets {
            Jets::of(1)
        }
        fn residuals<T: Real>(&self, _: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
            residuals[0] = u.value().ln();
        }
    }
    let network = Network::mlp(&[1, 1], Activation::Tanh, Initializer::Uniform);
    let line = Cuboid::new(&[(-1.0, 1.0)]).unwrap().grid(5);
    let block = Block::of("interior", Logarithm, 5, move |_, _| line.clone());
    let residuals = Residuals::new(network, vec![block]).unwrap();
    let samples = drawn(&residuals, 0);
    let at = residuals.linearize(&samples, &[1.0, 0.75]).unwrap();
    assert_message(at.check_finite(), &["residual", "sample of the batch 0"]);
    let broken = residuals.linearize(&samples, &[f64::NAN, 0.0]).unwrap();
    assert_message(broken.check_finite(), &["output of the network"]);
    let sound = residuals.linearize(&samples, &[0.5, 0.75]).unwrap();
    sound.check_finite().unwrap();
}

fn field() -> PoissonField {
    PoissonField {
        points: FieldPoints {
            samples: 120,
            boundary: 0.2,
            test_samples: 200,
            ..FieldPoints::default()
        },
        network: MlpSettings {
            hidden: vec![16],
            ..PoissonField::default().network
        },
        ..PoissonField::default()
    }
}

#[test]
fn a_small_network_finds_the_field_to_four_digits() {
    let system = field();
    let problem = system.problem(0);
    let training = Training {
        batch: 120,
        order: Order::Fixed,
        ..Training::default()
    };
    let method = LevenbergMarquardt::default();
    let start = problem.initial_parameters(0);
    let budget = Budget::updates(120);
    let outcome = train(&problem, &method, start, &training, budget, 0, &mut []).unwrap();
    assert!(matches!(outcome.stop, Stop::Budget), "{}", outcome.stop);
    let told = system.measures(&problem, &outcome.parameters);
    assert_eq!(told[0].0, "relative_l2");
    assert!(told[0].1 <= 1e-4, "{:e}", told[0].1);
}

#[test]
fn fresh_points_are_drawn_from_the_seed_and_every_method_trains_on_them() {
    let problem = field().problem(4);
    let draw = |seed| {
        let mut random = random(seed, Purpose::Order);
        let sampler = problem.sampler.as_ref().unwrap();
        [(); 2].map(|()| sampler(&[], 30, &mut random))
    };
    let [first, second] = draw(1);
    assert_eq!(
        bits(&entries(&first.input)),
        bits(&entries(&draw(1)[0].input))
    );
    assert_ne!(entries(&first.input), entries(&second.input));
    assert_ne!(entries(&first.input), entries(&draw(2)[0].input));
    let training = Training {
        batch: 60,
        order: Order::Fresh,
        ..Training::default()
    };
    for method in methods() {
        if method.name() == "sip" {
            continue;
        }
        let start = problem.initial_parameters(0);
        let budget = Budget::updates(3);
        let outcome = train(
            &problem,
            method.as_ref(),
            start,
            &training,
            budget,
            0,
            &mut [],
        );
        let outcome = outcome.unwrap();
        assert!(
            matches!(outcome.stop, Stop::Budget),
            "{}: {}",
            method.name(),
            outcome.stop
        );
    }
}

#[test]
fn candidates_gather_where_the_residual_is_large() {
    let system = PoissonField {
        points: FieldPoints {
            samples: 400,
            candidates: 6,
            ..field().points
        },
        ..field()
    };
    let problem = system.problem(1);
    let parameters = problem.initial_parameters(1);
    let size = |candidates: &Problem| {
        let draw = candidates.sampler.as_ref().unwrap();
        let points = draw(&parameters, 400, &mut random(5, Purpose::Order));
        let shares = (0..400).filter(|s| points.state[(*s, 0)] == 0.0).count();
        assert_eq!((points.len(), shares), (400, 320));
        let y = problem.objective.outputs(&parameters, &points).unwrap();
        let sizes = (0..shares).map(|s| (y[(s, 0)] - points.target[(s, 0)]).abs());
        let sizes: Vec<f64> = sizes.collect();
        let mean = sizes.iter().sum::<f64>() / 320.0;
        let square = sizes.iter().map(|r| r * r).sum::<f64>() / 320.0;
        (mean, square)
    };
    // With probabilities in proportion to 1 + |r|/m, where m is the mean of |r| over the domain, the mean over what is
    // chosen is (m + (mean of r²)/m)/2; none is certain here.
    let (mean, square) = size(&field().problem(1));
    let (found, _) = size(&problem);
    let expected = 0.5 * (mean + square / mean);
    assert!(expected > 1.1 * mean);
    assert!((found / expected - 1.0).abs() < 0.05, "{found} {expected}");
}
