//! Samples that stay in their file: read one by one, so that memory does not grow with their number.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use zip::ZipArchive;

use crate::data::{Dataset, InputSpec, ONLY_INPUT};
use crate::npy::{Array, Arrays, Front};
use crate::{Failure, Result};

/// Bytes that hold any `.npy` header.
const FRONT: u64 = 1 << 16;

/// A file of samples for the only input: a `.npy` file, or the array of a `.npz` file, unpacked to a temporary one.
#[derive(Debug)]
pub struct SampleFile {
    path: PathBuf,
    file: Mutex<File>,
    front: Front,
    spec: InputSpec,
}

impl SampleFile {
    /// Opens the file; `None` for what has to be read as a whole: arrays in Fortran order, single samples, and all that is
    /// damaged; and for at most `few` samples.
    ///
    /// # Errors
    /// [`Failure::Data`] where it cannot be read, or unpacked.
    pub fn open(path: &Path, spec: &InputSpec, few: usize) -> Result<Option<Self>> {
        let unreadable = |error: io::Error| Failure::data(path, format!("cannot be read: {error}"));
        let mut file = File::open(path).map_err(unreadable)?;
        let rows = |front: &Front| match front.shape() {
            [samples, rest @ ..] => *samples > few && rest == spec.sample_shape() && !front.is_fortran(),
            [] => false,
        };
        let mut front = front_of(&mut file).map_err(unreadable)?;
        if front.is_none() {
            let unpacked = unpacked(&file, spec, rows);
            let unpacked =
                unpacked.map_err(|error| Failure::data(path, format!("cannot be unpacked: {error}")));
            let Some(array) = unpacked? else { return Ok(None) };
            file = array;
            front = front_of(&mut file).map_err(unreadable)?;
        }
        let Some(front) = front.filter(rows) else { return Ok(None) };
        let bytes = file.metadata().map_err(unreadable)?.len();
        let whole = front.data_bytes().is_some_and(|data| front.offset() as u64 + data as u64 <= bytes);
        Ok(whole.then(|| Self { path: path.to_owned(), file: Mutex::new(file), front, spec: spec.clone() }))
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

    fn row(&self, i: usize) -> io::Result<Vec<u8>> {
        let bytes = self.front.data_bytes().unwrap_or(0) / self.samples().max(1);
        let mut row = vec![0; bytes];
        // A thread that panicked left a position behind, which is set anew.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.front.offset() as u64 + i as u64 * bytes as u64))?;
        file.read_exact(&mut row)?;
        Ok(row)
    }
}

/// What stands before the elements of a `.npy` file; `None` for any other file.
fn front_of(mut file: impl Read + Seek) -> io::Result<Option<Front>> {
    file.rewind()?;
    read_front(&mut file)
}

fn read_front(file: &mut impl Read) -> io::Result<Option<Front>> {
    let mut start = Vec::new();
    file.take(FRONT).read_to_end(&mut start)?;
    Ok(Front::parse(&start).ok())
}

/// The input's array out of an archive, as a temporary file, where its front is `wanted`.
fn unpacked(file: &File, spec: &InputSpec, wanted: impl Fn(&Front) -> bool) -> io::Result<Option<File>> {
    let Ok(mut archive) = ZipArchive::new(file) else { return Ok(None) };
    let names = [spec.name.as_str(), ONLY_INPUT].map(|name| format!("{name}.npy"));
    let Some(index) = names.iter().find_map(|name| archive.index_for_name(name)) else { return Ok(None) };
    let front = archive.by_index(index).and_then(|mut entry| Ok(read_front(&mut entry)?));
    if !matches!(front, Ok(Some(front)) if wanted(&front)) {
        return Ok(None);
    }
    let mut array = tempfile::tempfile()?;
    io::copy(&mut archive.by_index(index)?, &mut array)?;
    Ok(Some(array))
}
