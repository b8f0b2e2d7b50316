//! Samples that stay in their file: read one by one, so that memory does not grow with their number.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::data::{Dataset, InputSpec};
use crate::npy::{Array, Arrays, Front};
use crate::{Failure, Result};

/// Bytes that hold any `.npy` header.
const FRONT: u64 = 1 << 16;

/// A `.npy` file of samples for the only input.
#[derive(Debug)]
pub struct SampleFile {
    path: PathBuf,
    file: Mutex<File>,
    front: Front,
    spec: InputSpec,
}

impl SampleFile {
    /// Opens the file; `None` for what has to be read as a whole: archives, arrays in Fortran order, single samples, and all
    /// that is damaged.
    ///
    /// # Errors
    /// [`Failure::Data`] where it cannot be read.
    pub fn open(path: &Path, spec: &InputSpec) -> Result<Option<Self>> {
        let unreadable = |error: std::io::Error| Failure::data(path, format!("cannot be read: {error}"));
        let mut file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        let mut start = Vec::new();
        file.by_ref().take(FRONT).read_to_end(&mut start).map_err(unreadable)?;
        let Ok(front) = Front::parse(&start) else { return Ok(None) };
        let whole = front.data_bytes().is_some_and(|data| front.offset() as u64 + data as u64 <= bytes);
        let rows = matches!(front.shape(), [_, rest @ ..] if rest == spec.sample_shape());
        let streamed = whole && rows && !front.is_fortran();
        Ok(streamed.then(|| Self {
            path: path.to_owned(),
            file: Mutex::new(file),
            front,
            spec: spec.clone(),
        }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.front.shape()[0]
    }

    /// Some of the samples.
    ///
    /// # Errors
    /// As [`Dataset::load`].
    pub fn read(&self, indices: &[usize]) -> Result<Dataset> {
        let mut bytes = Vec::new();
        for &i in indices {
            bytes.extend(self.row(i).map_err(|error| Failure::data(&self.path, error))?);
        }
        let array: Array = self.front.array([&[indices.len()], &self.front.shape()[1..]].concat(), bytes);
        Dataset::from_arrays(&self.origin(indices), Arrays::One(array), std::slice::from_ref(&self.spec))
            .map_err(|what| Failure::data(&self.path, what))
    }

    /// What messages call these samples.
    fn origin(&self, indices: &[usize]) -> String {
        match indices {
            [i] => format!("{}, sample {i}", self.path.display()),
            _ => self.path.display().to_string(),
        }
    }

    fn row(&self, i: usize) -> std::io::Result<Vec<u8>> {
        let bytes = self.front.data_bytes().unwrap_or(0) / self.samples().max(1);
        let mut row = vec![0; bytes];
        // A thread that panicked left a position behind, which is set anew.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.front.offset() as u64 + i as u64 * bytes as u64))?;
        file.read_exact(&mut row)?;
        Ok(row)
    }
}
