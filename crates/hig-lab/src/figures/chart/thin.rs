//! Long lines with fewer vertices, and lines with gaps.

use super::pen::Point;

/// The items between gaps (`None`); with very many gaps, all items as one run.
pub fn runs<T>(items: impl Iterator<Item = Option<T>>) -> Vec<Vec<T>> {
    let mut runs = vec![Vec::new()];
    for item in items {
        match (item, runs.last_mut()) {
            (Some(item), Some(run)) => run.push(item),
            (None, Some(run)) if !run.is_empty() => runs.push(Vec::new()),
            _ => {}
        }
    }
    runs.retain(|run| !run.is_empty());
    if runs.len() > 50 {
        runs = vec![runs.into_iter().flatten().collect()];
    }
    runs
}

/// How far along a line each vertex lies, from 0 to 1: half by horizontal travel, so that log
/// axes are served, and half by index, so that vertical strokes are.
pub fn shares(line: &[Point]) -> Vec<f64> {
    let steps = line.windows(2).map(|pair| (pair[1].0 - pair[0].0).abs());
    let travel = steps.clone().sum::<f64>().max(1e-9);
    let even = 1.0 / line.len().saturating_sub(1).max(1) as f64;
    let mut share = 0.0;
    let mut shares = vec![share; line.len().min(1)];
    shares.extend(steps.map(|step| {
        share += 0.5 * (step / travel + even);
        share
    }));
    shares
}

/// At most about `keep` vertices: both ends, and the extremes in x and y of every bucket. Smooth
/// lines have fewer distinct extremes, so finer buckets are tried first.
pub fn thin(line: &[Point], keep: usize) -> Vec<Point> {
    if line.len() <= keep.max(2) {
        return line.to_vec();
    }
    let shares = shares(line);
    let mut kept = Vec::new();
    for extremes in 2..=4 {
        kept = bucket_extremes(line, &shares, (keep / extremes).max(1));
        if kept.len() <= keep {
            break;
        }
    }
    kept.into_iter().map(|i| line[i]).collect()
}

fn bucket_extremes(line: &[Point], shares: &[f64], buckets: usize) -> Vec<usize> {
    let mut kept = vec![0, line.len() - 1];
    let mut start = 0;
    let bucket = |share: &f64| (share * buckets as f64 * 0.999_999) as usize;
    for group in shares.chunk_by(|a, b| bucket(a) == bucket(b)) {
        let range = start..start + group.len();
        start = range.end;
        for key in [|p: Point| p.0, |p: Point| p.1] {
            let by = |a: &usize, b: &usize| key(line[*a]).total_cmp(&key(line[*b]));
            kept.extend(range.clone().min_by(by));
            kept.extend(range.clone().max_by(by));
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
    fn gaps_cut_lines_unless_they_are_many() {
        let items = [None, Some(1), Some(2), None, None, Some(3), None];
        assert_eq!(runs(items.into_iter()), [vec![1, 2], vec![3]]);
        let dotted = (0..200).map(|k| (k % 2 == 0).then_some(k));
        assert_eq!(runs(dotted).len(), 1);
    }

    #[test]
    fn thinning_keeps_ends_and_spikes_and_never_grows() {
        let mut line: Vec<Point> = (0..100_000)
            .map(|k| (k as f64 * 0.006, 100.0 + (k as f64 * 0.7).sin()))
            .collect();
        line[33_333].1 = 250.0;
        line[77_777].1 = -40.0;
        let short = thin(&line, 800);
        assert!(short.len() <= 802, "{}", short.len());
        for kept in [line[0], line[99_999], line[33_333], line[77_777]] {
            assert!(short.contains(&kept));
        }
        for length in [0, 1, 2, 3, 50, 500] {
            for keep in [0, 1, 8, 100] {
                assert!(thin(&line[..length], keep).len() <= length);
            }
        }
    }
}
