//! Blocks of rows: an equation, and the points where it holds.

use super::super::equation::{AnyEquation, Equation};
use crate::data::Dataset;
use crate::linalg::{self, Mat};
use crate::network::Jets;
use rand::RngExt;
use rand_pcg::Pcg64;

type Draw = Box<dyn Fn(usize, &mut Pcg64) -> Mat<f64> + Send + Sync>;
type Target = Box<dyn Fn(&[f64], &mut [f64]) + Send + Sync>;

/// Where the points of a block come from.
pub(super) enum Source {
    /// Drawn, and what the equation should be there.
    Drawn(Draw, Option<Target>),
    /// These, with what was measured there.
    Rows(Mat<f64>, Mat<f64>),
}

/// Rows of one kind: an equation, and where it holds.
pub struct Block {
    pub(super) name: &'static str,
    pub(super) equation: Box<dyn AnyEquation>,
    pub(super) jets: Jets,
    pub(super) weight: f64,
    pub(super) points: usize,
    pub(super) source: Source,
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block")
            .field("name", &self.name)
            .field("jets", &self.jets)
            .field("weight", &self.weight)
            .field("points", &self.points)
            .finish_non_exhaustive()
    }
}

impl Block {
    /// An equation at so many points of every whole set, drawn by a function of their number and a random
    /// stream (count × coordinates). Its weight is 1.
    ///
    /// A block of no points is in no whole set: its samples are given, such as those by which the field is
    /// judged, and count as they are.
    pub fn of(
        name: &'static str,
        equation: impl Equation + 'static,
        points: usize,
        draw: impl Fn(usize, &mut Pcg64) -> Mat<f64> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            jets: equation.derivatives(),
            equation: Box::new(equation),
            weight: 1.0,
            points,
            source: Source::Drawn(Box::new(draw), None),
        }
    }

    /// An equation at points (N × coordinates) that are given, with what it should be there (N × residuals), such as
    /// measurements of the field. A whole set has all of them, a smaller one some.
    ///
    /// # Panics
    /// If there is not a row of values for every point, or not a value for every residual.
    pub fn of_rows(
        name: &'static str,
        equation: impl Equation + 'static,
        points: Mat<f64>,
        values: Mat<f64>,
    ) -> Self {
        let shape = (points.nrows(), equation.count());
        assert_eq!(values.shape(), shape, "values of block {name}");
        let count = points.nrows();
        Self {
            source: Source::Rows(points, values),
            ..Self::of(name, equation, count, |_, _| Mat::new())
        }
    }

    /// The same with what the equation's left side should be at a point: writes ŷ.
    ///
    /// # Panics
    /// If the values are [given](Self::of_rows) already.
    #[must_use]
    pub fn with_target(
        mut self,
        target: impl Fn(&[f64], &mut [f64]) + Send + Sync + 'static,
    ) -> Self {
        match &mut self.source {
            Source::Drawn(_, given) => *given = Some(Box::new(target)),
            Source::Rows(..) => panic!("the values of block {} are given", self.name),
        }
        self
    }

    /// The same with another weight.
    #[must_use]
    pub fn with_weight(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The derivatives that its equation names.
    pub fn derivatives(&self) -> &Jets {
        &self.jets
    }
}

/// All blocks, and how they share the points.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) blocks: Vec<Block>,
    /// ŷ of a sample, the most residuals of a block; others have 0 in the rest.
    pub(super) rows: usize,
}

impl Layout {
    pub(super) fn points(&self) -> usize {
        self.blocks.iter().map(|block| block.points).sum()
    }

    /// What a point of a block counts.
    pub(super) fn factor(&self, block: usize) -> f64 {
        let Block { weight, points, .. } = self.blocks[block];
        match points {
            0 => weight,
            points => weight * self.points() as f64 / points as f64,
        }
    }

    /// How many of so many points each block has: its share, the largest remainders rounded up.
    pub(super) fn counts(&self, total: usize) -> Vec<usize> {
        let all = self.points().max(1) as u128;
        let share = |block: &Block| (block.points as u128 * total as u128) / all;
        let rest = |block: &Block| (block.points as u128 * total as u128) % all;
        let mut counts: Vec<usize> = self.blocks.iter().map(|b| share(b) as usize).collect();
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by_key(|k| std::cmp::Reverse(rest(&self.blocks[*k])));
        let missing = total - counts.iter().sum::<usize>();
        order.into_iter().take(missing).for_each(|k| counts[k] += 1);
        counts
    }

    /// Points of one block.
    pub(super) fn draw_block(&self, block: usize, count: usize, random: &mut Pcg64) -> Dataset {
        let mut targets = Mat::zeros(count, self.rows);
        let (draw, target) = match &self.blocks[block].source {
            Source::Drawn(draw, target) => (draw, target),
            Source::Rows(points, values) => {
                let chosen = chosen_rows(points.nrows(), count, random);
                let given = linalg::gather_rows(values, &chosen);
                let columns = targets.as_mut().subcols_mut(0, given.ncols());
                { columns }.copy_from(&given);
                return Dataset {
                    state: Mat::full(count, 1, block as f64),
                    input: linalg::gather_rows(points, &chosen),
                    target: targets,
                };
            }
        };
        let input = draw(count, random);
        if let Some(write) = target {
            let mut values = vec![0.0; self.rows];
            for s in 0..count {
                let point: Vec<f64> = input.row(s).iter().copied().collect();
                values.fill(0.0);
                write(&point, &mut values);
                for (j, value) in values.iter().enumerate() {
                    targets[(s, j)] = *value;
                }
            }
        }
        Dataset {
            state: Mat::full(count, 1, block as f64),
            input,
            target: targets,
        }
    }

    pub(super) fn draw(&self, total: usize, random: &mut Pcg64) -> Dataset {
        let counts = self.counts(total).into_iter().enumerate();
        let parts: Vec<Dataset> = counts
            .filter(|(_, count)| *count > 0)
            .map(|(k, count)| self.draw_block(k, count, random))
            .collect();
        let join = |matrix: fn(&Dataset) -> &Mat<f64>| {
            let width = parts.first().map_or(0, |part| matrix(part).ncols());
            let mut joined = Mat::zeros(total, width);
            let mut first = 0;
            for part in parts.iter().map(matrix) {
                let target = joined.as_mut().subrows_mut(first, part.nrows());
                { target }.copy_from(part);
                first += part.nrows();
            }
            joined
        };
        Dataset {
            input: join(|part| &part.input),
            state: join(|part| &part.state),
            target: join(|part| &part.target),
        }
    }
}

/// `count` of so many rows: all in their order and again from the first where more are asked for, or else some,
/// each once.
fn chosen_rows(rows: usize, count: usize, random: &mut Pcg64) -> Vec<usize> {
    let mut all: Vec<usize> = (0..rows).collect();
    if count >= rows {
        return (0..count).map(|i| i % rows.max(1)).collect();
    }
    for i in 0..count {
        all.swap(i, random.random_range(i..rows));
    }
    all.truncate(count);
    all.sort_unstable();
    all
}

/// `count` places, each at most once, with probabilities in proportion to 1 + size/(mean size): those at which
/// the sum of the probabilities passes `start`, `start` + 1, … for a start in [0, 1).
pub(super) fn chosen_by_size(sizes: &[f64], count: usize, start: f64) -> Vec<usize> {
    let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
    let weight = |size: &f64| match (size / mean).is_finite() {
        true => 1.0 + size / mean,
        false => 1.0,
    };
    let mut weights: Vec<f64> = sizes.iter().map(weight).collect();
    // None is more than certain: what is above is shared by the others.
    for _ in 0..8 {
        let sum: f64 = weights.iter().sum();
        let scale = count as f64 / sum;
        weights.iter_mut().for_each(|w| *w = (*w * scale).min(1.0));
    }
    let mut chosen = Vec::with_capacity(count);
    let mut sum = start;
    for (place, weight) in weights.iter().enumerate() {
        // The last ones are taken where rounding, or what was above, has left too few.
        let left = weights.len() - place;
        sum += weight;
        if chosen.len() < count && (sum >= 1.0 || left <= count - chosen.len()) {
            chosen.push(place);
            sum = (sum - 1.0).max(0.0);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::chosen_by_size;

    #[test]
    fn points_are_chosen_in_proportion_to_one_and_their_size() {
        // Probabilities in the ratio 1 + 1/2 to 1 + 3/2 where half are three times as large.
        let sizes: Vec<f64> = (0..400).map(|i| [2.0, 6.0][i % 2]).collect();
        let mut found = [0.0; 2];
        for start in 0..100 {
            let chosen = chosen_by_size(&sizes, 80, f64::from(start) / 100.0);
            assert_eq!(chosen.len(), 80);
            assert!(chosen.is_sorted_by(|a, b| a < b));
            chosen.iter().for_each(|i| found[i % 2] += 1.0);
        }
        let ratio: f64 = found[1] / found[0];
        assert!((ratio / (2.5 / 1.5) - 1.0).abs() < 0.02, "{ratio}");
    }

    #[test]
    fn as_many_are_chosen_as_are_asked_for() {
        let mut sizes = vec![0.0; 50];
        let cases = |sizes: &[f64]| {
            for count in [0, 1, 7, 49, 50] {
                let chosen = chosen_by_size(sizes, count, 0.3);
                assert_eq!(chosen.len(), count, "{sizes:?}");
                assert!(chosen.is_sorted_by(|a, b| a < b));
            }
        };
        cases(&sizes);
        sizes[3] = 1e300;
        cases(&sizes);
        assert!(chosen_by_size(&sizes, 7, 0.3).contains(&3));
        sizes[4] = f64::NAN;
        cases(&sizes);
        assert!(chosen_by_size(&[], 0, 0.5).is_empty());
    }
}
