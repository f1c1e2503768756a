//! Rows of numbers in bounded memory.

/// Takes rows one by one and keeps at most about `limit` of them: all while there are few, later one
/// of every 2, 4, 8, … Of these the one that is lowest in a chosen column stays, so that the lowest
/// row of all does; the first and the last row always stay.
#[derive(Debug)]
pub struct Bounded {
    width: usize,
    limit: usize,
    lows: Option<usize>,
    stride: usize,
    rows: Vec<f64>,
    group: Vec<f64>,
    in_group: usize,
    last: Vec<f64>,
}

impl Bounded {
    /// Keeps rows of `width` > 0 numbers.
    pub fn new(width: usize, limit: usize, lows: Option<usize>) -> Self {
        Self {
            width,
            limit: limit.max(4),
            lows,
            stride: 1,
            rows: Vec::new(),
            group: Vec::new(),
            in_group: 0,
            last: Vec::new(),
        }
    }

    /// Takes a row.
    pub fn push(&mut self, row: &[f64]) {
        debug_assert_eq!(row.len(), self.width);
        self.last.clear();
        self.last.extend_from_slice(row);
        if self.rows.is_empty() {
            self.rows.extend_from_slice(row);
            return;
        }
        if self.in_group == 0 || lower(self.lows, row, &self.group) {
            self.group.clear();
            self.group.extend_from_slice(row);
        }
        self.in_group += 1;
        if self.in_group == self.stride {
            self.in_group = 0;
            self.rows.extend_from_slice(&self.group);
            if self.rows.len() > self.limit * self.width {
                self.halve();
            }
        }
    }

    fn halve(&mut self) {
        let (width, lows) = (self.width, self.lows);
        let (first, rest) = self.rows.split_at(width);
        let mut kept = first.to_vec();
        for pair in rest.chunks(2 * width) {
            let (one, other) = pair.split_at(width);
            let second = !other.is_empty() && lower(lows, other, one);
            kept.extend_from_slice(if second { other } else { one });
        }
        self.rows = kept;
        self.stride *= 2;
    }

    /// The rows that were kept, in their order, one vector a column.
    pub fn columns(mut self) -> Vec<Vec<f64>> {
        if self.in_group > 0 {
            self.rows.extend_from_slice(&self.group);
        }
        let end = self.rows.len().saturating_sub(self.width);
        let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
        if !self.rows[end..].iter().zip(&self.last).all(same) {
            self.rows.extend_from_slice(&self.last);
        }
        let column = |j| {
            let column = self.rows.iter().skip(j).step_by(self.width);
            column.copied().collect()
        };
        (0..self.width).map(column).collect()
    }
}

fn lower(lows: Option<usize>, row: &[f64], than: &[f64]) -> bool {
    lows.is_some_and(|j| row[j] < than[j] || (than[j].is_nan() && !row[j].is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(rows: usize, limit: usize, loss: impl Fn(usize) -> f64) -> Vec<Vec<f64>> {
        let mut bounded = Bounded::new(2, limit, Some(1));
        (0..rows).for_each(|k| bounded.push(&[k as f64, loss(k)]));
        bounded.columns()
    }

    #[test]
    fn few_rows_stay_as_they_are() {
        let columns = kept(100, 100, |k| 1.0 / k as f64);
        assert_eq!(columns[0], (0..100).map(|k| k as f64).collect::<Vec<_>>());
        assert!(Bounded::new(2, 9, None).columns().iter().all(Vec::is_empty));
    }

    #[test]
    fn many_rows_keep_the_ends_the_order_and_the_lowest() {
        for rows in [101, 150, 1000, 4321, 100_000] {
            for low in [1, rows / 3, rows / 2 + 1, rows - 2] {
                let columns = kept(rows, 100, |k| if k == low { -1.0 } else { f64::NAN });
                let [updates, losses] = &columns[..] else {
                    unreachable!()
                };
                assert!(updates.len() <= 102, "{}", updates.len());
                assert!(updates.is_sorted_by(|a, b| a < b));
                assert_eq!(updates[0], 0.0);
                assert_eq!(updates.last(), Some(&((rows - 1) as f64)));
                let place = losses.iter().position(|l| *l == -1.0).unwrap();
                assert_eq!(updates[place], low as f64);
            }
        }
    }
}
