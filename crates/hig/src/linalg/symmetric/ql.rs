//! Small tridiagonal matrices by the implicit QL method (Parlett, "The Symmetric Eigenvalue Problem",
//! section 8.12; Golub and Van Loan, "Matrix Computations", section 8.3).
//!
//! The angle of a rotation waits for that of the one before it, and takes so long that the rows which it
//! turns are for nothing: so the eigenvectors are formed here, and two matrices take turns.

/// A matrix on its way to its eigenvalues.
pub(super) struct Ql<'a> {
    /// The diagonal, and at last the eigenvalues.
    d: &'a mut [f64],
    /// The entries beside it, with a last one to spare.
    e: &'a mut [f64],
    /// M (n × n, row after row), which becomes Zᵀ·M.
    rows: &'a mut [f64],
    /// The first eigenvalue that is not found, and the sweeps that have been made for it.
    first: usize,
    sweeps: usize,
    /// The sweep at hand, which goes from the last row of an unreduced block up to `first`.
    sweep: Option<Sweep>,
}

/// What a sweep carries from one rotation to the next.
struct Sweep {
    last: usize,
    /// Rotations that are left.
    left: usize,
    shifted: f64,
    sine: f64,
    cosine: f64,
    carried: f64,
}

/// How far a matrix is.
#[derive(PartialEq)]
enum Progress {
    Turned,
    Done,
    Failed,
}

/// Brings matrices to their eigenvalues, in turns; none where an iteration does not converge.
#[inline(always)]
pub(super) fn diagonalise<const COUNT: usize>(mut all: [Ql<'_>; COUNT]) -> Option<()> {
    loop {
        let mut done = true;
        for ql in &mut all {
            match ql.advance() {
                Progress::Turned => done = false,
                Progress::Done => {}
                Progress::Failed => return None,
            }
        }
        if done {
            return Some(());
        }
    }
}

impl<'a> Ql<'a> {
    #[inline(always)]
    pub(super) fn new(d: &'a mut [f64], e: &'a mut [f64], rows: &'a mut [f64]) -> Self {
        Self {
            d,
            e,
            rows,
            first: 0,
            sweeps: 0,
            sweep: None,
        }
    }

    /// One rotation.
    #[inline(always)]
    fn advance(&mut self) -> Progress {
        if self.sweep.is_none() {
            self.sweep = match self.next() {
                Ok(Some(sweep)) => Some(sweep),
                Ok(None) => return Progress::Done,
                Err(()) => return Progress::Failed,
            };
        }
        let Self {
            d,
            e,
            rows,
            first,
            sweep: found,
            ..
        } = self;
        let Some(sweep) = found else {
            return Progress::Done;
        };
        let (n, first) = (d.len(), *first);
        let i = first + sweep.left - 1;
        let bulge = sweep.sine * e[i];
        let beside = sweep.cosine * e[i];
        let length = (bulge * bulge + sweep.shifted * sweep.shifted).sqrt();
        e[i + 1] = length;
        if length == 0.0 {
            d[i + 1] -= sweep.carried;
            e[sweep.last] = 0.0;
            *found = None;
            return Progress::Turned;
        }
        let (sine, cosine) = (bulge / length, sweep.shifted / length);
        let rest = d[i + 1] - sweep.carried;
        let mixed = (d[i] - rest) * sine + 2.0 * cosine * beside;
        sweep.carried = sine * mixed;
        d[i + 1] = rest + sweep.carried;
        sweep.shifted = cosine * mixed - beside;
        (sweep.sine, sweep.cosine) = (sine, cosine);
        let (low, high) = rows[i * n..(i + 2) * n].split_at_mut(n);
        for (low, high) in low.iter_mut().zip(high) {
            (*low, *high) = (cosine * *low - sine * *high, sine * *low + cosine * *high);
        }
        sweep.left -= 1;
        if sweep.left == 0 {
            d[first] -= sweep.carried;
            e[first] = sweep.shifted;
            e[sweep.last] = 0.0;
            *found = None;
        }
        Progress::Turned
    }

    /// The next sweep, with Wilkinson's shift; none where all eigenvalues are found.
    #[inline(always)]
    fn next(&mut self) -> Result<Option<Sweep>, ()> {
        // The matrix is scaled to about 1: less than this is below the rounding of its largest
        // eigenvalue, which is all that the Gram routes count on.
        const NEGLIGIBLE: f64 = 1e-2 * f64::EPSILON;
        const MOST_SWEEPS: usize = 60;
        let (d, e) = (&*self.d, &*self.e);
        while self.first < d.len() {
            let l = self.first;
            let negligible = |m: &usize| {
                let size = d[*m].abs() + d[*m + 1].abs();
                e[*m].abs() <= (f64::EPSILON * size).max(NEGLIGIBLE)
            };
            let last = (l..d.len() - 1).find(negligible).unwrap_or(d.len() - 1);
            if last == l {
                (self.first, self.sweeps) = (l + 1, 0);
                continue;
            }
            if self.sweeps == MOST_SWEEPS {
                return Err(());
            }
            self.sweeps += 1;
            let half = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let root = half.hypot(1.0).copysign(half);
            return Ok(Some(Sweep {
                last,
                left: last - l,
                // What is left of the diagonal entry after the shift.
                shifted: d[last] - d[l] + e[l] / (half + root),
                sine: 1.0,
                cosine: 1.0,
                carried: 0.0,
            }));
        }
        Ok(None)
    }
}
