//! One Householder reflection.

/// What is too small to be squared counts as zero: the matrices that are reduced are scaled to about 1.
pub(super) const NEGLIGIBLE: f64 = 1e-280;

/// Turns x into the vector v (v₀ = 1) of the reflection 1 - τ·v·vᵀ that takes x to (β, 0, …); returns
/// τ and β.
#[inline(always)]
pub(super) fn reflection(x: &mut [f64]) -> (f64, f64) {
    let first = x[0];
    let rest = dot(&x[1..], &x[1..]);
    x[0] = 1.0;
    if rest < NEGLIGIBLE {
        x[1..].fill(0.0);
        return (0.0, first);
    }
    let beta = -(first * first + rest).sqrt().copysign(first);
    let scale = 1.0 / (first - beta);
    for v in &mut x[1..] {
        *v *= scale;
    }
    ((beta - first) / beta, beta)
}

/// Inner product with partial sums in vector registers.
#[inline(always)]
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let (a_parts, b_parts) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f64 = a_parts
        .remainder()
        .iter()
        .zip(b_parts.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a_parts.zip(b_parts) {
        for i in 0..LANES {
            sums[i] += a[i] * b[i];
        }
    }
    tail + sums.iter().sum::<f64>()
}
