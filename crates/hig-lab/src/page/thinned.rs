//! Long curves with fewer rows, to be drawn.

/// Of `count` rows at most about `keep`: both ends, and in every bucket its first row and the lowest
/// and highest of each curve. Half of the buckets are even in the place, half in its logarithm, which
/// serves both kinds of axes.
pub fn rows(count: usize, keep: usize, curves: &[&[f64]]) -> Vec<usize> {
    if count <= keep.max(2) {
        return (0..count).collect();
    }
    let buckets = (keep / (1 + 2 * curves.len())).max(2) / 2;
    let end = (count - 1) as f64;
    let even = (0..=buckets).map(|k| k as f64 / buckets as f64 * end);
    let geometric = (0..=buckets).map(|k| end.powf(k as f64 / buckets as f64));
    let mut bounds: Vec<usize> = even.chain(geometric).map(|b| b.round() as usize).collect();
    bounds.sort_unstable();
    bounds.dedup();
    let mut kept = vec![count - 1];
    for pair in bounds.windows(2) {
        let bucket = pair[0]..pair[1].min(count);
        kept.push(bucket.start);
        for curve in curves {
            let by = |a: &usize, b: &usize| curve[*a].total_cmp(&curve[*b]);
            let finite = bucket.clone().filter(|i| !curve[*i].is_nan());
            kept.extend(finite.clone().min_by(by));
            kept.extend(finite.max_by(by));
        }
    }
    kept.sort_unstable();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_spikes_stay_and_the_number_is_kept_to() {
        let mut curve: Vec<f64> = (0..100_000).map(|k| 1.0 / f64::from(k + 1)).collect();
        (curve[3], curve[70_001], curve[99_998]) = (9.0, 5.0, f64::NAN);
        let rows = rows(curve.len(), 2000, &[&curve]);
        assert!(rows.len() <= 2002, "{}", rows.len());
        assert!(rows.is_sorted_by(|a, b| a < b));
        for place in [0, 3, 70_001, 99_999] {
            assert!(rows.contains(&place), "{place}");
        }
        let early = rows.iter().filter(|i| **i < 1000).count();
        // An even choice would have 20.
        assert!(early > 150, "{early}");
    }

    #[test]
    fn short_curves_are_left_as_they_are() {
        for count in [0, 1, 2, 3, 2000] {
            assert_eq!(rows(count, 2000, &[]).len(), count);
        }
        for count in [3, 4, 7, 100] {
            let rows = rows(count, 2, &[]);
            assert_eq!((rows[0], *rows.last().unwrap()), (0, count - 1));
        }
    }
}
