//! Medians and shares with their confidence intervals, and losses between evaluations.

/// A number with a 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The quantile `q` by linear interpolation; values that are not finite count as infinitely large.
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let sorted = sorted(values);
    let place = q * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    if below == above || sorted[below] == sorted[above] {
        return sorted[below];
    }
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

/// The median with the distribution-free interval between two order statistics (David and
/// Nagaraja, "Order Statistics", section 7.1), of at least 95 % coverage where the sample allows.
pub fn median(values: &[f64]) -> Estimate {
    let sorted = sorted(values);
    let n = sorted.len();
    // The largest k with P(Binomial(n, 1/2) < k) ≤ 2.5 %.
    let (mut term, mut tail, mut k) = (0.5_f64.powi(n as i32), 0.0, 0);
    while tail + term <= 0.025 && k < n / 2 {
        tail += term;
        term *= (n - k) as f64 / (k + 1) as f64;
        k += 1;
    }
    let k = k.saturating_sub(1);
    Estimate {
        value: quantile(values, 0.5),
        low: sorted[k],
        high: sorted[n - 1 - k],
    }
}

/// The share `count / total` with Wilson's interval (Wilson 1927, doi 10.2307/2276774).
pub fn share(count: usize, total: usize) -> Estimate {
    const Z: f64 = 1.959_963_984_540_054;
    let n = total as f64;
    let p = count as f64 / n;
    let center = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    Estimate {
        value: p,
        low: (center - half).max(0.0),
        high: (center + half).min(1.0),
    }
}

/// The loss at a place between two evaluations, straight on a logarithmic axis; none beyond the last.
pub fn interpolated(axis: &[f64], losses: &[f64], place: f64) -> Option<f64> {
    let after = axis.partition_point(|at| *at < place * (1.0 - 1e-9));
    let (x1, y1) = (*axis.get(after)?, losses[after]);
    if after == 0 || x1 <= place * (1.0 + 1e-9) {
        return Some(y1);
    }
    let (x0, y0) = (axis[after - 1], losses[after - 1]);
    let weight = (place - x0) / (x1 - x0);
    Some((y0.ln() * (1.0 - weight) + y1.ln() * weight).exp())
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values
        .iter()
        .map(|v| if v.is_nan() { f64::INFINITY } else { *v })
        .collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_interval_has_the_tabulated_ranks() {
        // For n = 20 the tables give ranks 6 and 15, for n = 10 ranks 2 and 9.
        let to = |n: i32| (1..=n).map(f64::from).collect::<Vec<f64>>();
        let twenty = median(&to(20));
        assert_eq!((twenty.value, twenty.low, twenty.high), (10.5, 6.0, 15.0));
        let ten = median(&to(10));
        assert_eq!((ten.low, ten.high), (2.0, 9.0));
    }

    #[test]
    fn wilson_interval_matches_a_published_value() {
        // Newcombe 1998, table I: 15 of 148 gives 0.0624 to 0.1605.
        let estimate = share(15, 148);
        assert!((estimate.low - 0.0624).abs() < 5e-5);
        assert!((estimate.high - 0.1605).abs() < 5e-5);
    }

    #[test]
    fn what_is_not_finite_counts_as_large() {
        assert_eq!(quantile(&[1.0, f64::NAN, 2.0], 0.5), 2.0);
        assert_eq!(
            quantile(&[1.0, f64::NAN, f64::INFINITY], 1.0),
            f64::INFINITY
        );
    }

    #[test]
    fn interpolation_is_straight_on_a_log_axis() {
        let (axis, losses) = ([0.0, 1.0, 3.0], [1.0, 1e-2, 1e-6]);
        assert_eq!(interpolated(&axis, &losses, 1.0), Some(1e-2));
        let middle = interpolated(&axis, &losses, 2.0).unwrap();
        assert!((middle / 1e-4 - 1.0).abs() < 1e-12);
        assert_eq!(interpolated(&axis, &losses, 4.0), None);
    }
}
