//! Bars and text in one terminal: whoever writes a line moves the bars out of its way.

use indicatif::{MultiProgress, ProgressBar};
use std::sync::LazyLock;

static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Shows a bar with the others.
pub fn add(bar: ProgressBar) -> ProgressBar {
    BARS.add(bar)
}

/// Writes something while no bar is in the way.
pub fn aside<T>(write: impl FnOnce() -> T) -> T {
    BARS.suspend(write)
}
