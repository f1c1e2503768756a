//! A step follows directions that are nothing but rounding.

use super::{Cause, Finding, Setup, View};
use crate::diagnostics;
use crate::files::Exchange;

/// Evaluations in a row: a single batch may be unlucky.
const IN_A_ROW: usize = 3;

#[derive(Debug, Default)]
pub struct Deficient {
    found: usize,
}

/// Directions that a filter weighs although their σ is lost in rounding: at most max(n, p)·ε·σ_max, by
/// which the numerical rank of a matrix is defined (Golub and Van Loan, "Matrix Computations", section
/// 5.4.1).
fn lost(setup: &Setup, spectrum: &[f64], size: usize) -> usize {
    let top = spectrum.first().copied().unwrap_or(0.0);
    let rounding = size as f64 * f64::EPSILON;
    let below = || spectrum.iter().filter(|s| **s <= rounding * top);
    if setup.is("treatment", "clamp") {
        return below().count();
    }
    if setup.is("treatment", "damp") {
        // Smaller than the rounding of K itself, it damps nothing.
        let damping = setup.number("damping").unwrap_or(0.0);
        return match damping < rounding * top * top {
            true => below().count(),
            false => 0,
        };
    }
    let Some(cutoff) = setup.number("cutoff") else {
        return 0;
    };
    below().filter(|s| **s > cutoff * top).count()
}

impl Cause for Deficient {
    fn name(&self) -> &'static str {
        "rank-deficient"
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.count("found", &mut self.found);
    }

    fn look(&mut self, view: &View<'_>) -> Option<Finding> {
        let (n, p) = (view.now.rows, view.now.parameters.len());
        let spectrum = view.now.spectrum;
        // Products alone see no more than g holds.
        if spectrum.is_empty() || view.told(diagnostics::VECTORS).is_some() {
            return None;
        }
        let lost = lost(view.setup, spectrum, n.max(p));
        // Only K itself has more eigenvalues than there are parameters.
        let too_many = spectrum.len() > p;
        self.found = match lost > 0 || too_many {
            true => self.found + 1,
            false => 0,
        };
        if self.found < IN_A_ROW {
            return None;
        }
        Some(if too_many {
            let message = format!(
                "K is singular: the batch has {n} rows and the network {p} parameters, so that {} of \
                 its {n} eigenvalues are rounding",
                n - p
            );
            let auto = view.setup.setting("route", "auto");
            let other = format!("{auto}, which then decomposes the smaller JᵀJ");
            view.setup
                .finding(message, &[("a smaller", "batch")], [other])
        } else {
            let message = format!(
                "the step follows {lost} of {} directions whose singular values are rounding (at most \
                 {:.0e} of the largest)",
                spectrum.len(),
                n.max(p) as f64 * f64::EPSILON
            );
            let changes = [
                ("a larger", "cutoff"),
                ("more", "damping"),
                ("a smaller", "batch"),
            ];
            let truncate = (!view.setup.is("treatment", "truncate"))
                .then(|| view.setup.setting("treatment", "truncate"));
            view.setup.finding(message, &changes, truncate)
        })
    }
}
