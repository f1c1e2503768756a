//! Points in a box and on its faces.

use crate::error::{Error, Result};
use crate::linalg::Mat;
use rand::RngExt;
use rand_pcg::Pcg64;
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

    /// Points uniform inside (count × coordinates).
    pub fn inside(&self, count: usize, random: &mut Pcg64) -> Mat<f64> {
        let mut points = Mat::zeros(count, self.sides.len());
        for s in 0..count {
            for (j, (lower, upper)) in self.sides.iter().enumerate() {
                points[(s, j)] = random.random_range(*lower..*upper);
            }
        }
        points
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
        let mut points = self.inside(count, random);
        for s in 0..count {
            let mut left = random.random_range(0.0..total);
            let found = shares.iter().position(|share| {
                left -= share;
                left < 0.0
            });
            let j = first + found.unwrap_or(shares.len() - 1);
            let (lower, upper) = self.sides[j];
            points[(s, j)] = if random.random::<bool>() {
                upper
            } else {
                lower
            };
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
        let mut points = self.inside(count, random);
        let (lower, end) = self.sides[coordinate];
        points
            .col_as_slice_mut(coordinate)
            .fill(if upper { end } else { lower });
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
