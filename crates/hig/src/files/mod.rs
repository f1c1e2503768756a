//! Files: arrays by name (safetensors), the saved state of a training, and writing a file whole or
//! not at all.

mod checksum;
mod state;
mod tensors;
mod whole;

pub use state::{Exchange, SavedState};
pub use tensors::{Precision, Tensor, Tensors};
pub use whole::{WholeFile, sync_folder, write_whole};
