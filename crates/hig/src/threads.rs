//! Threads.

/// Runs work on a thread of the pool. A parallel loop that is called from any other thread hands its
/// work over and waits to be woken, which takes as long as the whole loop where matrices are small:
/// so whatever has several of them enters the pool once.
pub(crate) fn in_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}
