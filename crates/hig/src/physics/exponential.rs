//! Exponential Runge-Kutta methods for u' = Λu + N(u) with a diagonal Λ (Cox and Matthews 2002,
//! doi 10.1006/jcph.2002.6995): Λ is integrated exactly, so that a stiff one does not bound the step.

use crate::settings::Rule;

/// How many evaluations a step of an exponential Runge-Kutta method takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// One, of first order.
    Etd1,
    /// Two, of second order (ETD2RK, equation 22 of the source).
    Etd2,
    /// Four, of fourth order (ETD4RK, equations 26 to 29 of the source).
    Etd4,
}

crate::choices! {
    Scheme, "scheme" {
        Etd1 = "etd1", "exponential Euler steps, of first order";
        Etd2 = "etd2", "exponential Runge-Kutta steps of second order";
        Etd4 = "etd4", "exponential Runge-Kutta steps of fourth order";
    }
}

/// Every scheme is allowed.
pub const ANY_SCHEME: Rule<Scheme> = Rule::any();

/// A factor of a mode with λ·h = z.
type Factor = fn(f64) -> f64;

/// A point that a step computes: carry·u + Σ_j weights_j·N(point j), each a factor of every mode.
#[derive(Debug, Clone)]
pub struct Combination {
    pub carry: Vec<f64>,
    pub weights: Vec<Vec<f64>>,
}

impl Scheme {
    /// Number of evaluations of N in a step.
    pub fn stages(self) -> usize {
        match self {
            Self::Etd1 => 1,
            Self::Etd2 => 2,
            Self::Etd4 => 4,
        }
    }

    /// The points of a step of length h behind its start, the last of which is its end, for modes with
    /// these rates.
    pub fn combinations(self, rates: &[f64], h: f64) -> Vec<Combination> {
        let of = |carry: Factor, weights: &[Factor]| {
            let each = |f: Factor, factor: f64| -> Vec<f64> {
                rates.iter().map(|rate| factor * f(rate * h)).collect()
            };
            Combination {
                carry: each(carry, 1.0),
                weights: weights.iter().map(|f| each(*f, h)).collect(),
            }
        };
        let half: Factor = |z| 0.5 * phi(1, 0.5 * z);
        let nothing: Factor = |_| 0.0;
        let whole_step: Factor = f64::exp;
        let half_step: Factor = |z| (0.5 * z).exp();
        match self {
            Self::Etd1 => vec![of(whole_step, &[|z| phi(1, z)])],
            Self::Etd2 => vec![
                of(whole_step, &[|z| phi(1, z)]),
                of(whole_step, &[|z| phi(1, z) - phi(2, z), |z| phi(2, z)]),
            ],
            Self::Etd4 => vec![
                of(half_step, &[half]),
                of(half_step, &[nothing, half]),
                // The third point continues from the first: its e^{z/2} times that one's combination.
                of(
                    whole_step,
                    &[
                        |z| 0.5 * phi(1, 0.5 * z) * (0.5 * z).exp_m1(),
                        nothing,
                        |z| phi(1, 0.5 * z),
                    ],
                ),
                of(
                    whole_step,
                    &[
                        |z| phi(1, z) - 3.0 * phi(2, z) + 4.0 * phi(3, z),
                        |z| 2.0 * phi(2, z) - 4.0 * phi(3, z),
                        |z| 2.0 * phi(2, z) - 4.0 * phi(3, z),
                        |z| 4.0 * phi(3, z) - phi(2, z),
                    ],
                ),
            ],
        }
    }
}

/// φ_k(z) = Σ_j z^j/(j + k)!, that is φ₁ = (eᶻ - 1)/z and φ_{k+1} = (φ_k - 1/k!)/z.
fn phi(k: u32, z: f64) -> f64 {
    // Near 0 the differences cancel.
    const SERIES_BELOW: f64 = 1.0;
    const TERMS: u32 = 20;
    if z.abs() < SERIES_BELOW {
        let factorial: f64 = (1..=k).map(f64::from).product();
        let (mut term, mut sum) = (1.0 / factorial, 0.0);
        for j in 1..=TERMS {
            sum += term;
            term *= z / f64::from(j + k);
        }
        return sum;
    }
    let (mut value, mut factorial) = (z.exp_m1() / z, 1.0);
    for below in 1..k {
        factorial *= f64::from(below);
        value = (value - 1.0 / factorial) / z;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phi_has_its_series_and_its_recurrence_alike() {
        for k in 1..=3 {
            // On both sides of the place where they change over, and far out.
            for z in [-1.0 + 1e-12, 1.0 - 1e-12] {
                let (inside, outside) = (phi(k, z), phi(k, z + z.signum() * 1e-11));
                assert!((inside / outside - 1.0).abs() < 1e-10, "{k} {z}");
            }
            let factorial: f64 = (1..=k).map(f64::from).product();
            assert!((phi(k, 0.0) * factorial - 1.0).abs() < 1e-15);
            for z in [-0.9_f64, -1e-3, 0.4, 3.0, -40.0] {
                let below = if k == 1 { z.exp() } else { phi(k - 1, z) };
                let last: f64 = (1..k).map(f64::from).product();
                let error = z * phi(k, z) + 1.0 / last - below;
                assert!(
                    error.abs() < 1e-14 * below.abs().max(1.0),
                    "{k} {z}: {error:e}"
                );
            }
        }
    }
}
