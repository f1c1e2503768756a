//! Memory that a loop uses again.

use super::matrix::{Mat, MatMut, MatRef};
use faer::mat::AsMatRef;
use std::sync::{Mutex, PoisonError};

/// Memory for intermediate results, taken and given back by explicit calls: a loop that asks for the
/// same shapes again allocates nothing after its first pass.
///
/// It is passed down as `&mut Scratch`; work on several threads asks for one each with
/// [`with_another`](Self::with_another). What is taken and not given back is freed when it is dropped.
///
/// ```
/// let mut scratch = hig::linalg::Scratch::new();
/// let mut product = scratch.take(3, 2);
/// product.as_mut().fill(1.0);
/// assert_eq!(product.as_ref().sum(), 6.0);
/// scratch.give(product);
/// ```
#[derive(Debug, Default)]
pub struct Scratch {
    numbers: Pool<f64>,
    indices: Pool<usize>,
    lists: Vec<Vec<(usize, Buffer)>>,
    others: Mutex<Vec<Scratch>>,
    loans: Mutex<Pool<f64>>,
}

/// A matrix with contiguous columns, taken from a [`Scratch`].
#[derive(Debug, Default)]
pub struct Buffer {
    numbers: Vec<f64>,
    /// Where the matrix starts, and from where to where its columns go.
    start: usize,
    stride: usize,
    rows: usize,
    columns: usize,
}

/// A matrix that a [`Scratch`] lends: it goes back when it is dropped.
#[derive(Debug)]
pub struct Lent<'a> {
    scratch: &'a Scratch,
    buffer: Buffer,
}

// Numbers up to which what was lent is kept for the next loan (32 MiB).
const KEPT: usize = 1 << 22;

// Numbers of a cache line: columns start at one, as those of `Mat` do, so that products take the same
// way and give the same bits.
const LINE: usize = 8;

impl Scratch {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// A matrix; what it holds is arbitrary.
    pub fn take(&mut self, rows: usize, columns: usize) -> Buffer {
        Buffer::of(&mut self.numbers, rows, columns)
    }

    /// A copy of a matrix.
    pub fn copy(&mut self, matrix: MatRef<'_, f64>) -> Buffer {
        let mut buffer = self.take(matrix.nrows(), matrix.ncols());
        buffer.as_mut().copy_from(matrix);
        buffer
    }

    /// Gives a matrix back.
    pub fn give(&mut self, buffer: Buffer) {
        self.numbers.give(buffer.numbers);
    }

    /// Numbers; what they are is arbitrary.
    pub fn take_numbers(&mut self, count: usize) -> Vec<f64> {
        self.numbers.take(count)
    }

    /// Gives numbers back.
    pub fn give_numbers(&mut self, numbers: Vec<f64>) {
        self.numbers.give(numbers);
    }

    /// An empty list with room for that many indices.
    pub fn take_indices(&mut self, room: usize) -> Vec<usize> {
        let mut indices = self.indices.take(room);
        indices.clear();
        indices
    }

    /// Gives indices back.
    pub fn give_indices(&mut self, indices: Vec<usize>) {
        self.indices.give(indices);
    }

    /// An empty list for matrices, each with a number that tells what it is.
    pub fn take_list(&mut self) -> Vec<(usize, Buffer)> {
        self.lists.pop().unwrap_or_default()
    }

    /// Gives a list and the matrices in it back.
    pub fn give_list(&mut self, mut list: Vec<(usize, Buffer)>) {
        for (_, buffer) in list.drain(..) {
            self.give(buffer);
        }
        self.lists.push(list);
    }

    /// A matrix on loan, on any thread; what it holds is arbitrary.
    pub(crate) fn lend(&self, rows: usize, columns: usize) -> Lent<'_> {
        let mut pool = self.loans.lock().unwrap_or_else(PoisonError::into_inner);
        Lent {
            scratch: self,
            buffer: Buffer::of(&mut pool, rows, columns),
        }
    }

    /// Does work with a scratch of its own, which the next such work on any thread may use again.
    pub fn with_another<R>(&self, work: impl FnOnce(&mut Scratch) -> R) -> R {
        let lock = || self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let mut another = lock().pop().unwrap_or_default();
        let result = work(&mut another);
        lock().push(another);
        result
    }
}

impl Buffer {
    fn of(pool: &mut Pool<f64>, rows: usize, columns: usize) -> Self {
        let stride = rows.next_multiple_of(LINE);
        let numbers = pool.take(stride * columns + LINE);
        let start = numbers.as_ptr().align_offset(LINE * size_of::<f64>());
        Self {
            numbers,
            // No place at all is allowed as an answer.
            start: start.min(LINE),
            stride,
            rows,
            columns,
        }
    }
}

impl Lent<'_> {
    /// The matrix.
    pub fn as_ref(&self) -> MatRef<'_, f64> {
        self.buffer.as_ref()
    }

    /// The matrix, to be written.
    pub fn as_mut(&mut self) -> MatMut<'_, f64> {
        self.buffer.as_mut()
    }

    /// Adds a matrix.
    pub fn add(&mut self, matrix: MatRef<'_, f64>) {
        self.buffer.add(matrix);
    }
}

impl AsMatRef for Lent<'_> {
    type T = f64;
    type Rows = usize;
    type Cols = usize;
    type Owned = Mat<f64>;

    fn as_mat_ref(&self) -> MatRef<'_, f64> {
        self.buffer.as_ref()
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let numbers = std::mem::take(&mut self.buffer.numbers);
        if numbers.len() <= KEPT {
            let pool = self.scratch.loans.lock();
            pool.unwrap_or_else(PoisonError::into_inner).give(numbers);
        }
    }
}

impl Buffer {
    /// The matrix.
    pub fn as_ref(&self) -> MatRef<'_, f64> {
        let numbers = &self.numbers[self.start..];
        let (rows, columns) = (self.rows, self.columns);
        MatRef::from_column_major_slice_with_stride(numbers, rows, columns, self.stride)
    }

    /// The matrix, to be written.
    pub fn as_mut(&mut self) -> MatMut<'_, f64> {
        let numbers = &mut self.numbers[self.start..];
        let (rows, columns) = (self.rows, self.columns);
        MatMut::from_column_major_slice_with_stride_mut(numbers, rows, columns, self.stride)
    }

    /// Adds a matrix.
    pub fn add(&mut self, matrix: MatRef<'_, f64>) {
        for j in 0..self.columns {
            super::matrix::add(self.column_mut(j), super::matrix::column(matrix, j));
        }
    }

    /// A column.
    pub fn column(&self, j: usize) -> &[f64] {
        super::matrix::column(self.as_ref(), j)
    }

    /// A column, to be written.
    pub fn column_mut(&mut self, j: usize) -> &mut [f64] {
        super::matrix::column_mut(self.as_mut(), j)
    }
}

/// Free vectors. Their capacities are powers of two, so that shapes which vary do not fill it with
/// vectors that none of them needs.
#[derive(Debug)]
struct Pool<T>(Vec<Vec<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy + Default> Pool<T> {
    fn take(&mut self, count: usize) -> Vec<T> {
        let room = count.next_power_of_two();
        let fits = |free: &Vec<T>| (room..2 * room).contains(&free.capacity());
        let mut taken = match self.0.iter().rposition(fits) {
            Some(place) => self.0.swap_remove(place),
            None => Vec::with_capacity(room),
        };
        taken.resize(count, T::default());
        taken
    }

    fn give(&mut self, vector: Vec<T>) {
        self.0.push(vector);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_taken_again_and_starts_at_a_cache_line() {
        let mut scratch = Scratch::new();
        for (rows, columns) in [(0, 0), (0, 3), (1, 1), (5, 0), (5, 7), (8, 2), (33, 4)] {
            let mut first = scratch.take(rows, columns);
            first.as_mut().fill(2.0);
            assert_eq!(
                (first.as_ref().nrows(), first.as_ref().ncols()),
                (rows, columns)
            );
            assert_eq!(first.as_ref().sum(), 2.0 * (rows * columns) as f64);
            for j in 0..columns {
                assert_eq!(first.column(j).as_ptr() as usize % 64, 0);
            }
            let place = first.numbers.as_ptr();
            scratch.give(first);
            let again = scratch.take(rows, columns);
            assert_eq!(again.numbers.as_ptr(), place);
            let other = scratch.take(rows, columns);
            assert_ne!(other.numbers.as_ptr(), place);
            scratch.give(again);
            scratch.give(other);
        }
        assert_eq!(scratch.take_numbers(9).len(), 9);
        assert!(scratch.take_indices(9).is_empty());
    }

    #[test]
    fn shapes_that_vary_share_their_memory() {
        let mut scratch = Scratch::new();
        for rows in 1..=1000 {
            let taken = scratch.take_numbers(rows);
            assert_eq!(taken.len(), rows);
            scratch.give_numbers(taken);
        }
        let held: usize = scratch.numbers.0.iter().map(Vec::capacity).sum();
        assert!(held < 2 * 1024, "{held}");
    }

    #[test]
    fn what_is_lent_goes_back_when_it_is_dropped() {
        let scratch = Scratch::new();
        let place = |lent: &Lent<'_>| lent.buffer.numbers.as_ptr();
        let first = scratch.lend(30, 4);
        // Within work with a scratch of its own as well.
        let second = scratch.with_another(|_| scratch.lend(30, 4));
        let places = [place(&first), place(&second)];
        drop((first, second));
        let again = [scratch.lend(30, 4), scratch.lend(30, 4)];
        assert!(again.iter().all(|lent| places.contains(&place(lent))));
        assert_ne!(place(&again[0]), place(&again[1]));
        let large = scratch.lend(KEPT, 1);
        drop(large);
        let held = |pool: &Pool<f64>| pool.0.iter().map(Vec::capacity).sum::<usize>();
        assert!(held(&scratch.loans.lock().unwrap()) < KEPT);
    }

    #[test]
    fn work_on_several_threads_has_a_scratch_each() {
        use rayon::prelude::*;
        let scratch = Scratch::new();
        let sums = (0..64_usize).into_par_iter().map(|i| {
            scratch.with_another(|own| {
                let mut buffer = own.take(16, 4);
                buffer.as_mut().fill(i as f64);
                std::thread::yield_now();
                let sum = buffer.as_ref().sum();
                own.give(buffer);
                sum
            })
        });
        let sums: Vec<f64> = sums.collect();
        assert!((0..64).all(|i| sums[i] == 64.0 * i as f64));
        assert!(scratch.others.lock().unwrap().len() <= rayon::current_num_threads());
    }
}
