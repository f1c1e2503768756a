//! How well each route knows a half-inverse step: relative errors against an independent one-sided
//! Jacobi SVD, for singular values spread evenly on a logarithmic axis from 1 down to s, all kept.
//!
//! Prints the table of docs/method.md.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{logarithmic, normal, reference_direction, relative, with_spectrum};
use hig::objective::ExplicitJacobian;
use hig::spectral::{Decomposition, Filter, Route};

fn main() -> hig::Result<()> {
    let (n, p) = (96, 200);
    println!("| s | K alone | K, `accuracy` 1e-3 (default) | K, `accuracy` 1e-12 | SVD of J |");
    println!("| --- | --- | --- | --- | --- |");
    for smallest in [1e-3, 1e-4, 1e-5, 1e-6, 1e-7] {
        let j = with_spectrum(n, p, &logarithmic(n, smallest), 3);
        let g = normal(n, 1, 9).col_as_slice(0).to_vec();
        let filter = Filter::truncated(0.5, 0.7 * smallest);
        let exact = reference_direction(&j, &g, |sigma, largest| filter.weight(sigma, largest));
        let jacobian = ExplicitJacobian::new(&j);
        let error = |route, accuracy| -> hig::Result<f64> {
            let parts = Decomposition::of(&jacobian, &g, &filter, route, accuracy)?;
            Ok(relative(&parts.direction(&filter)?, &exact))
        };
        println!(
            "| {smallest:.0e} | {:.0e} | {:.0e} | {:.0e} | {:.0e} |",
            // So little accuracy is asked that nothing is ever resolved again.
            error(Route::Gram, 1e20)?,
            error(Route::Gram, 1e-3)?,
            error(Route::Gram, 1e-12)?,
            error(Route::Svd, 1e-12)?,
        );
    }
    Ok(())
}
