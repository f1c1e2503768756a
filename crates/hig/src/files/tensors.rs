//! Named arrays in safetensors files, in f64 or f32, exchanged with PyTorch, JAX and NumPy.

use super::checksum;
use super::whole::write_whole;
use crate::error::{Error, Result};
use crate::linalg::matrix::Mat;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
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
    /// Unreadable file, not a safetensors file, a tensor that is neither F64 nor F32; a file that this
    /// library wrote and that is not as it wrote it.
    pub fn load(path: &Path) -> Result<Self> {
        let foreign = format!("{NOT_ONE} (it does not begin with the header of one)");
        Self::from_bytes(path, &read_whole(path, &foreign)?)
    }

    /// Reads the bytes of a file, which messages call `path`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self> {
        let (entries, _) = Self::parse(bytes).map_err(|reason| Error::file(path, reason))?;
        if checksum::is_right(bytes, CHECKSUM) == Some(false) {
            return Err(Error::file(path, checksum::WRONG));
        }
        Ok(Self {
            path: path.to_owned(),
            entries,
        })
    }

    /// The arrays and the metadata in the bytes of a file; the error is a reason in words.
    pub(crate) fn parse(bytes: &[u8]) -> Result<(Entries, Texts), String> {
        let not_one = |e| format!("{NOT_ONE} ({e})");
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
    /// No such tensor, more than two dimensions, or no number in it.
    pub fn matrix(&self, name: &str) -> Result<Mat<f64>> {
        let tensor = self.get(name)?;
        let (rows, columns) = match tensor.shape[..] {
            [rows] => (rows, 1),
            [rows, columns] => (rows, columns),
            _ => (0, 0),
        };
        // Without numbers the other extent costs nothing, and a file may claim any.
        if rows == 0 || columns == 0 {
            let shape = &tensor.shape;
            let reason = format!("tensor `{name}` has shape {shape:?}, expected samples x width");
            return Err(Error::file(&self.path, reason));
        }
        Ok(Mat::from_fn(rows, columns, |i, j| {
            tensor.values[i * columns + j]
        }))
    }

    /// What is wrong with the tensors, with the name of their file.
    pub(crate) fn error(&self, reason: impl ToString) -> Error {
        Error::file(&self.path, reason)
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

    /// The bytes of a file in the given precision.
    ///
    /// # Errors
    /// A tensor whose shape does not fit its numbers.
    pub fn to_bytes(&self, precision: Precision) -> Result<Vec<u8>> {
        self.sealed(precision)
            .map_err(|e| Error::file(&self.path, e))
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
        let bytes = self.sealed(precision).map_err(|e| Error::file(path, e))?;
        write_whole(path, &bytes)
    }

    /// The bytes of a file with their checksum.
    fn sealed(&self, precision: Precision) -> Result<Vec<u8>, String> {
        let metadata = HashMap::from([(CHECKSUM.to_owned(), checksum::ZEROS.to_owned())]);
        let mut bytes = serialized(self, precision, Some(metadata))?;
        checksum::seal(&mut bytes, CHECKSUM);
        Ok(bytes)
    }
}

/// The name of the checksum in the metadata of a file, which other programs pass by.
const CHECKSUM: &str = "hig.crc32";
const NOT_ONE: &str = "not a safetensors file";
/// Bytes of the longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;

/// The bytes of a safetensors file. What does not begin like one is called `foreign` and not read to
/// its end, for which there may be no memory, or which it may not have.
pub(crate) fn read_whole(path: &Path, foreign: &str) -> Result<Vec<u8>> {
    let read = || -> std::io::Result<Option<Vec<u8>>> {
        let mut file = File::open(path)?;
        let mut bytes = Vec::new();
        (&mut file).take(9).read_to_end(&mut bytes)?;
        let header = bytes.first_chunk().copied().map(u64::from_le_bytes);
        let begins = header.is_some_and(|length| length <= LONGEST_HEADER);
        if !(begins && bytes.get(8) == Some(&b'{')) {
            return Ok(None);
        }
        file.read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    let bytes = read().map_err(|e| Error::file(path, e))?;
    bytes.ok_or_else(|| Error::file(path, foreign))
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
