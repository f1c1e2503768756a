//! Threads.

/// Runs work on a thread of the pool. A parallel loop that is called from any other thread hands its
/// work over and waits to be woken, which takes as long as the whole loop where matrices are small:
/// so whatever has several of them enters the pool once.
pub(crate) fn in_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    keep_memory();
    rayon::scope(|_| work())
}

/// What an update frees the next one takes again. In between glibc gives it back to the system, and every
/// page of it costs a fault when it is touched again, until a larger piece was freed once: from then on it
/// keeps as much as twice that piece. The piece itself is never touched; elsewhere nothing follows.
fn keep_memory() {
    const PIECE: usize = 16 << 20;
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(PIECE))));
}
