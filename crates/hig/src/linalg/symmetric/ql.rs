//! A small tridiagonal matrix by the implicit QL method (Parlett, "The Symmetric Eigenvalue Problem",
//! section 8.12; Golub and Van Loan, "Matrix Computations", section 8.3).
//!
//! A rotation's angle takes so long that the rows which it turns are for nothing: so the eigenvectors
//! are formed here, and their products with a vector wait for no rotation.

/// Turns a tridiagonal matrix (diagonal, and the entries beside it with a last one to spare) into its
/// eigenvalues, and a matrix M (n × n, row after row) into Zᵀ·M; none where the iteration does not
/// converge.
#[inline(always)]
pub(super) fn diagonalise(d: &mut [f64], e: &mut [f64], rows: &mut [f64]) -> Option<()> {
    // The matrix is scaled to about 1: less than this is below the rounding of its largest
    // eigenvalue, which is all that the Gram routes count on.
    const NEGLIGIBLE: f64 = 1e-2 * f64::EPSILON;
    const MOST_SWEEPS: usize = 60;
    let n = d.len();
    for l in 0..n {
        for sweeps in 0.. {
            let negligible = |m: &usize| {
                let size = d[*m].abs() + d[*m + 1].abs();
                e[*m].abs() <= (f64::EPSILON * size).max(NEGLIGIBLE)
            };
            let m = (l..n - 1).find(negligible).unwrap_or(n - 1);
            if m == l {
                break;
            }
            if sweeps == MOST_SWEEPS {
                return None;
            }
            sweep(d, e, rows, l, m);
        }
    }
    Some(())
}

/// One implicit QL sweep with Wilkinson's shift over the unreduced block l..=m.
#[inline(always)]
fn sweep(d: &mut [f64], e: &mut [f64], rows: &mut [f64], l: usize, m: usize) {
    let n = d.len();
    let half = (d[l + 1] - d[l]) / (2.0 * e[l]);
    let root = half.hypot(1.0).copysign(half);
    // What is left of the diagonal entry after the shift, and the bulge that is chased.
    let mut shifted = d[m] - d[l] + e[l] / (half + root);
    let (mut sine, mut cosine, mut carried) = (1.0, 1.0, 0.0);
    let mut ended = false;
    for i in (l..m).rev() {
        let bulge = sine * e[i];
        let beside = cosine * e[i];
        let length = (bulge * bulge + shifted * shifted).sqrt();
        e[i + 1] = length;
        if length == 0.0 {
            d[i + 1] -= carried;
            ended = true;
            break;
        }
        (sine, cosine) = (bulge / length, shifted / length);
        let rest = d[i + 1] - carried;
        let mixed = (d[i] - rest) * sine + 2.0 * cosine * beside;
        carried = sine * mixed;
        d[i + 1] = rest + carried;
        shifted = cosine * mixed - beside;
        let (low, high) = rows[i * n..(i + 2) * n].split_at_mut(n);
        for (low, high) in low.iter_mut().zip(high) {
            (*low, *high) = (cosine * *low - sine * *high, sine * *low + cosine * *high);
        }
    }
    if !ended {
        d[l] -= carried;
        e[l] = shifted;
    }
    e[m] = 0.0;
}
