//! Named arrays in safetensors files, in f64 or f32, exchanged with PyTorch, JAX and NumPy.

use crate::error::{Error, Result};
use crate::matrix::Mat;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

/// An array in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Entries in row-major order.
    pub values: Vec<f64>,
}

/// The arrays of one file, by name.
#[derive(Debug, Clone, Default)]
pub struct Tensors {
    path: PathBuf,
    entries: Entries,
}

/// Type of the numbers in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 8 bytes each; a round trip keeps every bit.
    #[default]
    Double,
    /// 4 bytes each, rounded to nearest.
    Single,
}

impl Tensors {
    /// Reads a file.
    ///
    /// # Errors
    /// Unreadable file, not a safetensors file, a tensor that is neither F64 nor F32.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::file(path, e))?;
        let (entries, _) = Self::from_bytes(&bytes).map_err(|reason| Error::file(path, reason))?;
        Ok(Self {
            path: path.to_owned(),
            entries,
        })
    }

    /// The arrays and the metadata in the bytes of a file; the error is a reason in words.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<(Entries, Texts), String> {
        let not_one = |e| format!("not a safetensors file ({e})");
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(not_one)?;
        let file = SafeTensors::deserialize(bytes).map_err(not_one)?;
        let mut entries = BTreeMap::new();
        for (name, view) in file.tensors() {
            let values = match view.dtype() {
                Dtype::F64 => read(view.data(), f64::from_le_bytes),
                Dtype::F32 => read(view.data(), |bytes| f64::from(f32::from_le_bytes(bytes))),
                other => {
                    return Err(format!("tensor `{name}` is {other:?}, expected F64 or F32"));
                }
            };
            let shape = view.shape().to_vec();
            entries.insert(name, Tensor { shape, values });
        }
        let texts = metadata.metadata().clone().unwrap_or_default();
        Ok((entries, texts.into_iter().collect()))
    }

    /// Whether the file has a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// A tensor by name.
    ///
    /// # Errors
    /// No such tensor; the message lists those that exist.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.entries.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.names().collect();
            Error::file(
                &self.path,
                format!("no tensor `{name}`; it has: {}", known.join(", ")),
            )
        })
    }

    /// A two-dimensional tensor as a matrix (a one-dimensional one is a single column).
    ///
    /// # Errors
    /// No such tensor, or more than two dimensions.
    pub fn matrix(&self, name: &str) -> Result<Mat<f64>> {
        let tensor = self.get(name)?;
        let (rows, columns) = match tensor.shape[..] {
            [rows] => (rows, 1),
            [rows, columns] => (rows, columns),
            _ => {
                return Err(Error::file(
                    &self.path,
                    format!(
                        "tensor `{name}` has shape {:?}, expected samples x width",
                        tensor.shape
                    ),
                ));
            }
        };
        Ok(Mat::from_fn(rows, columns, |i, j| {
            tensor.values[i * columns + j]
        }))
    }

    /// Adds or replaces a tensor.
    pub fn insert(&mut self, name: &str, shape: Vec<usize>, values: Vec<f64>) {
        self.entries
            .insert(name.to_owned(), Tensor { shape, values });
    }

    /// Adds or replaces a matrix.
    pub fn insert_matrix(&mut self, name: &str, matrix: &Mat<f64>) {
        let (rows, columns) = (matrix.nrows(), matrix.ncols());
        let values = (0..rows * columns)
            .map(|k| matrix[(k / columns, k % columns)])
            .collect();
        self.insert(name, vec![rows, columns], values);
    }

    /// Writes the file in f64.
    ///
    /// # Errors
    /// The file cannot be written; an existing file is then left as it was.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.save_as(path, Precision::Double)
    }

    /// Writes the file in the given precision.
    ///
    /// # Errors
    /// The file cannot be written; an existing file is then left as it was.
    pub fn save_as(&self, path: &Path, precision: Precision) -> Result<()> {
        let bytes = serialized(self, precision, None).map_err(|e| Error::file(path, e))?;
        write_whole(path, &bytes)
    }
}

/// Arrays by name.
type Entries = BTreeMap<String, Tensor>;
/// Metadata by name.
type Texts = BTreeMap<String, String>;

/// The bytes of a file with metadata; the error is a reason in words.
pub(crate) fn serialized(
    tensors: &Tensors,
    precision: Precision,
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>, String> {
    let dtype = match precision {
        Precision::Double => Dtype::F64,
        Precision::Single => Dtype::F32,
    };
    let encoded: Vec<(&String, Vec<u8>, &Tensor)> = tensors
        .entries
        .iter()
        .map(|(name, tensor)| (name, encode(&tensor.values, precision), tensor))
        .collect();
    let views = encoded
        .iter()
        .map(|(name, bytes, tensor)| {
            TensorView::new(dtype, tensor.shape.clone(), bytes).map(|view| (*name, view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| e.to_string())?;
    safetensors::serialize(views, metadata).map_err(|e| e.to_string())
}

fn read<const N: usize>(data: &[u8], number: fn([u8; N]) -> f64) -> Vec<f64> {
    data.as_chunks::<N>().0.iter().map(|b| number(*b)).collect()
}

fn encode(values: &[f64], precision: Precision) -> Vec<u8> {
    match precision {
        Precision::Double => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Precision::Single => values
            .iter()
            .flat_map(|v| (*v as f32).to_le_bytes())
            .collect(),
    }
}

/// Writes a file whole or not at all: under a temporary name, synced, then renamed.
///
/// # Errors
/// The file cannot be written; an existing file is then left as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        sync_folder(path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(&temporary);
        Error::file(path, e)
    })
}

/// Without it a power failure may take the rename back.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    // A folder can be opened as a file on Unix only.
    if cfg!(unix) {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
