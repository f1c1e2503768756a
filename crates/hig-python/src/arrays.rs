//! NumPy arrays and matrices. The Python half hands over float64 arrays of the right dimension.

use hig::linalg::{Mat, MatRef};
use numpy::npyffi::NPY_ORDER;
use numpy::{
    PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

/// A matrix in NumPy's hands.
pub type Array2<'py> = Bound<'py, PyArray2<f64>>;

/// The transpose of an array that is contiguous by rows or by columns, where it lies.
pub fn transposed<'a>(array: &'a PyReadonlyArray2<'_, f64>) -> PyResult<MatRef<'a, f64>> {
    let (rows, columns) = (array.shape()[0], array.shape()[1]);
    let entries = array.as_slice()?;
    Ok(match array.is_c_contiguous() {
        true => MatRef::from_column_major_slice(entries, columns, rows),
        false => MatRef::from_column_major_slice(entries, rows, columns).transpose(),
    })
}

/// A copy of an array as a matrix.
pub fn matrix(array: &PyReadonlyArray2<'_, f64>) -> PyResult<Mat<f64>> {
    Ok(transposed(array)?.transpose().to_owned())
}

/// A copy of a one-dimensional array.
pub fn vector(array: &PyReadonlyArray1<'_, f64>) -> PyResult<Vec<f64>> {
    Ok(array.as_slice()?.to_vec())
}

/// A matrix as an array that is contiguous by rows, as simulators expect it.
pub fn by_rows<'py>(py: Python<'py>, matrix: MatRef<'_, f64>) -> PyResult<Array2<'py>> {
    let (rows, columns) = (matrix.nrows(), matrix.ncols());
    let mut entries = vec![0.0; rows * columns];
    for (j, column) in matrix.col_iter().enumerate() {
        for (i, v) in column.iter().enumerate() {
            entries[i * columns + j] = *v;
        }
    }
    shaped(py, entries, [rows, columns], NPY_ORDER::NPY_CORDER)
}

/// A matrix as an array that is contiguous by columns, as it lies here.
pub fn by_columns<'py>(py: Python<'py>, matrix: MatRef<'_, f64>) -> PyResult<Array2<'py>> {
    let shape = [matrix.nrows(), matrix.ncols()];
    let entries = hig::linalg::stack(matrix);
    shaped(py, entries, shape, NPY_ORDER::NPY_FORTRANORDER)
}

fn shaped(
    py: Python<'_>,
    entries: Vec<f64>,
    shape: [usize; 2],
    order: NPY_ORDER,
) -> PyResult<Array2<'_>> {
    PyArray1::from_vec(py, entries).reshape_with_order(shape, order)
}
