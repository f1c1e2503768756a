//! Files: arrays by name (safetensors), the saved state of a training, writing a file whole or not
//! at all, and files that one process at a time holds.

mod checksum;
mod lock;
mod state;
mod tensors;
mod whole;

pub use lock::Lock;
pub use state::{Exchange, SavedState};
pub use tensors::{Precision, Tensor, Tensors};
pub use whole::{WholeFile, sync_folder, write_whole};
