//! Points in a box and on its faces.

use crate::error::{Error, Result};
use crate::linalg::Mat;
use crate::settings::Rule;
use rand::RngExt;
use rand_pcg::Pcg64;
use std::cmp::Ordering;
use std::ops::Range;

/// A box: the product of an interval for each coordinate. A time slab is one too, with time as one of the
/// coordinates.
///
/// ```
/// use hig::data::{Purpose, random};
/// use hig::objective::Cuboid;
/// let slab = Cuboid::new(&[(0.0, 1.0), (-1.0, 1.0)])?;
/// let start = slab.face(0, false, 5, &mut random(0, Purpose::Train));
/// assert!((0..5).all(|i| start[(i, 0)] == 0.0 && start[(i, 1)].abs() <= 1.0));
/// # Ok::<(), hig::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Cuboid {
    sides: Vec<(f64, f64)>,
    spread: Spread,
}

/// A part of a box that points are drawn in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The box itself.
    Inside,
    /// The faces where one of a range of coordinates ends.
    Boundary(Range<usize>),
    /// The face where a coordinate begins, or, where that is true, ends.
    Face(usize, bool),
}

/// How points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Each by itself.
    Uniform,
    /// Evenly: an additive recurrence that begins at a random place. Point i is the fractional part of
    /// s + i·(g⁻¹, g⁻², …), where g is the root of g^(d+1) = g + 1 for d numbers (1.618… for one): a mean over
    /// them errs nearly like 1/N where the function is smooth, that of independent points like 1/√N (Niederreiter
    /// 1992, "Random number generation and quasi-Monte Carlo methods", section 3.1).
    Even,
}

crate::choices! {
    Spread, "spread" {
        Uniform = "uniform", "each point by itself";
        Even = "even", "an additive recurrence from a random place on, which leaves no gaps";
    }
}

/// Any way to draw points, as a setting.
pub const ANY_SPREAD: Rule<Spread> = Rule::any();

impl Spread {
    /// So many points of [0, 1)^d (count × d).
    fn draw(self, count: usize, numbers: usize, random: &mut Pcg64) -> Mat<f64> {
        let mut points = Mat::zeros(count, numbers);
        match self {
            Self::Uniform => {
                for s in 0..count {
                    (0..numbers).for_each(|j| points[(s, j)] = random.random());
                }
            }
            Self::Even => {
                let root = root(numbers);
                for j in 0..numbers {
                    let (start, step) = (random.random::<f64>(), root.powi(-(j as i32 + 1)));
                    let column = points.col_as_slice_mut(j).iter_mut().enumerate();
                    column.for_each(|(i, x)| *x = (start + step * i as f64).fract());
                }
            }
        }
        points
    }
}

/// The root above 1 of g^(d+1) = g + 1.
fn root(numbers: usize) -> f64 {
    let power = 1.0 / (numbers as f64 + 1.0);
    // A contraction: its slope is below 1/(d+1).
    (0..64).fold(1.5_f64, |g, _| (1.0 + g).powf(power))
}

impl Cuboid {
    /// From the ends of its intervals.
    ///
    /// # Errors
    /// No coordinate; an interval that does not go from one finite number up to another.
    pub fn new(sides: &[(f64, f64)]) -> Result<Self> {
        if sides.is_empty() {
            return Err(Error::setting("sides", "none", "one interval or more"));
        }
        for (lower, upper) in sides {
            if !(lower < upper && (upper - lower).is_finite()) {
                let found = format!("{lower} to {upper}");
                let expected = "from one finite number up to another";
                return Err(Error::setting("sides", found, expected));
            }
        }
        Ok(Self {
            sides: sides.to_vec(),
            spread: Spread::Uniform,
        })
    }

    /// [0, 1] in so many coordinates.
    ///
    /// # Panics
    /// For no coordinate.
    pub fn unit(coordinates: usize) -> Self {
        Self::new(&vec![(0.0, 1.0); coordinates]).expect("at least one coordinate")
    }

    /// Number of coordinates.
    pub fn coordinates(&self) -> usize {
        self.sides.len()
    }

    /// The interval of each coordinate.
    pub fn sides(&self) -> &[(f64, f64)] {
        &self.sides
    }

    /// The same whose points are drawn in another way than each by itself.
    #[must_use]
    pub fn spread(self, spread: Spread) -> Self {
        Self { spread, ..self }
    }

    /// Points of a part (count × coordinates).
    ///
    /// # Panics
    /// With coordinates that there are not.
    pub fn draw(&self, part: &Part, count: usize, random: &mut Pcg64) -> Mat<f64> {
        match part {
            Part::Inside => self.inside(count, random),
            Part::Boundary(of) => self.boundary_of(of.clone(), count, random),
            Part::Face(coordinate, upper) => self.face(*coordinate, *upper, count, random),
        }
    }

    /// Points uniform inside (count × coordinates).
    pub fn inside(&self, count: usize, random: &mut Pcg64) -> Mat<f64> {
        let mut points = self.spread.draw(count, self.sides.len(), random);
        for j in 0..self.sides.len() {
            self.stretch(j, points.col_as_slice_mut(j));
        }
        points
    }

    /// Takes numbers from [0, 1) to the interval of a coordinate.
    fn stretch(&self, j: usize, numbers: &mut [f64]) {
        let (lower, upper) = self.sides[j];
        numbers
            .iter_mut()
            .for_each(|x| *x = (1.0 - *x) * lower + *x * upper);
    }

    /// Points uniform on the whole boundary.
    pub fn boundary(&self, count: usize, random: &mut Pcg64) -> Mat<f64> {
        self.boundary_of(0..self.sides.len(), count, random)
    }

    /// Points uniform on the faces where one of a range of coordinates ends: the sides of a time slab are
    /// those of its coordinates in space.
    ///
    /// # Panics
    /// For an empty range, or coordinates that there are not.
    pub fn boundary_of(&self, of: Range<usize>, count: usize, random: &mut Pcg64) -> Mat<f64> {
        let first = of.start;
        // All faces of a coordinate have the area of the box over its length.
        let shares: Vec<f64> = self.sides[of].iter().map(|(a, b)| 1.0 / (b - a)).collect();
        let total: f64 = shares.iter().sum();
        assert!(!shares.is_empty(), "a boundary of no coordinate");
        // A face takes the place of one coordinate: as many numbers say which and where.
        let numbers = self.spread.draw(count, self.sides.len(), random);
        let mut points = Mat::zeros(count, self.sides.len());
        for s in 0..count {
            let mut left = numbers[(s, 0)] * total;
            let mut face = 0;
            while face + 1 < shares.len() && left >= shares[face] {
                left -= shares[face];
                face += 1;
            }
            let (upper, face) = (left >= 0.5 * shares[face], first + face);
            let others = (0..self.sides.len()).filter(|j| *j != face);
            for (place, j) in others.enumerate() {
                points[(s, j)] = numbers[(s, place + 1)];
            }
            points[(s, face)] = f64::from(upper);
        }
        for j in 0..self.sides.len() {
            self.stretch(j, points.col_as_slice_mut(j));
        }
        points
    }

    /// Points uniform on one face: where a coordinate begins, or where it ends.
    pub fn face(
        &self,
        coordinate: usize,
        upper: bool,
        count: usize,
        random: &mut Pcg64,
    ) -> Mat<f64> {
        let numbers = self.spread.draw(count, self.sides.len() - 1, random);
        let mut points = Mat::from_fn(count, self.sides.len(), |s, j| match j.cmp(&coordinate) {
            Ordering::Less => numbers[(s, j)],
            Ordering::Equal => f64::from(upper),
            Ordering::Greater => numbers[(s, j - 1)],
        });
        for j in 0..self.sides.len() {
            self.stretch(j, points.col_as_slice_mut(j));
        }
        points
    }

    /// The points of a grid with so many along each side, ends included, the last coordinate fastest.
    ///
    /// # Panics
    /// With fewer than two along a side.
    pub fn grid(&self, along: usize) -> Mat<f64> {
        assert!(along >= 2, "a grid has two points along a side or more");
        let count = self.sides.iter().fold(1, |count, _| count * along);
        Mat::from_fn(count, self.sides.len(), |s, j| {
            let after = self.sides.len() - 1 - j;
            let place = s / along.pow(after as u32) % along;
            let (lower, upper) = self.sides[j];
            let part = place as f64 / (along - 1) as f64;
            (1.0 - part) * lower + part * upper
        })
    }
}
