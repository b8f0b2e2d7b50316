//! What calibration observed, kept in files named by a hash of everything that it depends on: graph, values, samples.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use still8_validation::data::{Dataset, Values};
use still8_validation::{Result, files};

use super::Histogram;
use crate::graph::{Graph, ValueId};

/// Part of every hash: another one for another way of observing or of writing it down.
const VERSION: &[u8] = b"still8 calibration 1";

/// Files that are kept; older ones are removed.
const FILES: usize = 32;

/// A folder of histograms.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// Names what was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// Of `values` of `graph` on samples with this hash.
    pub fn new(graph: &Graph, values: &[ValueId], samples: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(VERSION);
        for value in &graph.values {
            hash.update(format!("{:?} {:?}", value.name, value.shape));
            for x in value.constant.iter().flatten() {
                hash.update(x.to_bits().to_le_bytes());
            }
        }
        for node in &graph.nodes {
            hash.update(format!("{node:?}"));
        }
        hash.update(format!("{:?} {values:?}", graph.inputs));
        hash.update(samples);
        Self(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// A hash of some samples of a data set.
pub fn hash_samples(data: &Dataset, samples: std::ops::Range<usize>) -> Vec<u8> {
    let mut hash = Sha256::new();
    for (name, tensor) in &data.inputs {
        hash.update(format!("{name:?} {:?} {samples:?}", tensor.shape()));
        let elements = tensor.sample_elements();
        let range = samples.start * elements..samples.end * elements;
        match tensor.values() {
            Values::Float(values) => hash.update(bytemuck::cast_slice::<f32, u8>(&values[range])),
            Values::Int8(values) => hash.update(bytemuck::cast_slice::<i8, u8>(&values[range])),
        }
    }
    hash.finalize().to_vec()
}

impl Cache {
    /// In `folder`, which need not exist.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(&key.0)
    }

    /// What was stored under `key`: `count` histograms; `None` where there is nothing, or something damaged.
    pub fn load(&self, key: &Key, count: usize) -> Option<Vec<Histogram>> {
        let bytes = std::fs::read(self.path(key)).ok()?;
        let (payload, sum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        if Sha256::digest(payload).as_slice() != sum || payload.len() != count * Histogram::BYTES {
            return None;
        }
        payload.chunks_exact(Histogram::BYTES).map(Histogram::from_bytes).collect()
    }

    /// Stores histograms under `key`.
    ///
    /// # Errors
    /// [`Failure::Data`](still8_validation::Failure::Data) where the folder cannot be written.
    pub fn store(&self, key: &Key, histograms: &[Histogram]) -> Result<()> {
        let payload: Vec<u8> = histograms.iter().flat_map(Histogram::to_bytes).collect();
        let sum = Sha256::digest(&payload);
        files::write_atomically(&self.path(key), |file| {
            file.write_all(&payload)?;
            file.write_all(&sum)
        })?;
        prune(&self.folder);
        Ok(())
    }
}

/// Removes the files that were written longest ago.
fn prune(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let written = |entry: std::fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
    let mut files: Vec<_> = entries.flatten().filter_map(written).collect();
    files.sort();
    let old = files.len().saturating_sub(FILES);
    for (_, path) in files.drain(..old) {
        // What somebody else removed is gone as well.
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("new"));
        let key = Key::new(&Graph::default(), &[], b"samples");
        assert_ne!(key, Key::new(&Graph::default(), &[], b"others"));
        let mut histogram = Histogram::new(-1.5, 2.0);
        [0.0, 0.3, -1.5, 2.0, 0.3].into_iter().for_each(|x| histogram.add(x));
        assert!(cache.load(&key, 1).is_none());
        cache.store(&key, &[histogram.clone(), histogram.clone()]).unwrap();
        let read = cache.load(&key, 2).unwrap();
        assert_eq!(read[1].to_bytes(), histogram.to_bytes());
        assert!(cache.load(&key, 1).is_none(), "another number of values");
        let path = cache.path(&key);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[40] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(cache.load(&key, 2).is_none(), "a damaged file");
        bytes.truncate(10);
        std::fs::write(&path, &bytes).unwrap();
        assert!(cache.load(&key, 2).is_none(), "a file cut short");
    }

    #[test]
    fn old_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned());
        for i in 0..FILES + 5 {
            let key = Key::new(&Graph::default(), &[], &i.to_le_bytes());
            cache.store(&key, &[Histogram::new(0.0, 1.0)]).unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), FILES);
    }
}
