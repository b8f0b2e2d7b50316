//! The five networks of MLPerf Tiny with weights of our own, for measuring: what a device spends on a network depends
//! on its shapes alone.
//!
//! Architectures are those of the benchmark's reference models (Banbury et al., "MLPerf Tiny Benchmark", 2021,
//! arXiv:2106.07597), down to the order of the nodes and the axes of the input. Weights are seeded random numbers of
//! the spread that He et al. 2015 (arXiv:1502.01852) start training with; batch normalization counts as folded.
//! Nothing is read from disk, and the same bytes come out every time.
//!
//! ```no_run
//! // The float network as a file, for other engines.
//! std::fs::write("kws.onnx", xtask::reference::onnx("kws").unwrap()).unwrap();
//! ```

mod autoencoder;
mod ds_cnn;
mod layers;
mod mobilenet;
pub mod peers;
mod resnet;
mod wake_word;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use still8_validation::data::{Dataset, InputSpec};
use still8_validation::{Failure, Result};
use tempfile::TempDir;

use crate::network::Network;
use crate::quantize::{Progress, Quantized, Settings, Source};
use layers::Layers;

/// Seed of the calibration samples.
const SEED: u64 = 1;
/// Calibration samples: as few as give ranges without a warning.
const SAMPLES: usize = 32;
/// Name of the one input.
const INPUT: &str = "input";

/// A network that is built in code.
#[derive(Debug)]
pub struct Reference {
    /// What commands take in place of a path.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Source layout, a batch of 1.
    input: &'static [usize],
    /// Real range of the input: that of the benchmark's data.
    range: [f32; 2],
    /// Adds all layers behind the input.
    build: fn(&mut Layers),
}

/// All of them.
pub const REFERENCES: [Reference; 5] = [
    Reference {
        name: "kws",
        about: "keyword spotting: DS-CNN on 49 x 10 coefficients",
        input: &[1, 49, 10, 1],
        range: [-123.0, 26.0],
        build: ds_cnn::build,
    },
    Reference {
        name: "ic",
        about: "image classification: ResNet-8 on 32 x 32 x 3 pixels",
        input: &[1, 32, 32, 3],
        range: [0.0, 255.0],
        build: resnet::build,
    },
    Reference {
        name: "ad",
        about: "anomaly detection: fully connected autoencoder on 640 band energies",
        input: &[1, 640],
        range: [-85.0, 15.0],
        build: autoencoder::build,
    },
    Reference {
        name: "vww",
        about: "visual wake words: MobileNetV1 0.25 on 96 x 96 x 3 pixels",
        input: &[1, 96, 96, 3],
        range: [0.0, 1.0],
        build: mobilenet::build,
    },
    Reference {
        name: "sww",
        about: "streaming wake word: one-dimensional DS-CNN on 30 x 40 band energies",
        input: &[1, 30, 1, 40],
        range: [0.0, 1.0],
        build: wake_word::build,
    },
];

/// The reference network that `source` names; none where a file or folder of that name exists.
pub fn find(source: &Path) -> Option<&'static Reference> {
    if source.exists() {
        return None;
    }
    REFERENCES.iter().find(|reference| source == Path::new(reference.name))
}

/// The int8 network called `name`, with its golden self-test.
///
/// # Errors
/// [`Failure::Usage`] for an unknown name; those of [`Reference::quantize`].
pub fn network(name: &str, progress: &(impl Progress + Sync)) -> Result<Network> {
    Ok(named(name)?.quantize(progress)?.network)
}

/// The float network called `name`, as the contents of an ONNX file.
///
/// # Errors
/// [`Failure::Usage`] for an unknown name.
pub fn onnx(name: &str) -> Result<Vec<u8>> {
    Ok(named(name)?.onnx())
}

fn named(name: &str) -> Result<&'static Reference> {
    REFERENCES.iter().find(|reference| reference.name == name).ok_or_else(|| {
        let known = REFERENCES.map(|reference| reference.name).join(", ");
        Failure::Usage(format!("no reference network is called `{name}`; known: {known}"))
    })
}

impl Reference {
    /// The float network, as the contents of an ONNX file.
    pub fn onnx(&self) -> Vec<u8> {
        let mut layers = Layers::new(self.name, INPUT, self.input, self.range);
        (self.build)(&mut layers);
        layers.finish()
    }

    /// Writes the float network into `folder` and returns the file's path.
    ///
    /// # Errors
    /// [`Failure::Data`] where it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(self.name).with_extension("onnx");
        std::fs::write(&path, self.onnx()).map_err(|error| Failure::data(&path, error))?;
        Ok(path)
    }

    /// Name and input range, for [`Source::quantize`].
    pub fn settings(&self) -> Settings {
        let [low, high] = self.range;
        Settings {
            name: self.name.to_owned(),
            input_ranges: HashMap::from([(INPUT.to_owned(), (low, high))]),
            ..Settings::default()
        }
    }

    /// Calibration samples: seeded, uniform over the input's range.
    pub fn calibration(&self) -> Dataset {
        let spec = InputSpec { name: INPUT.to_owned(), shape: self.input.to_vec(), range: Some(self.range) };
        Dataset::random(SEED, &[spec], SAMPLES)
    }

    /// The float network as a file in a temporary folder, which goes away with the first value.
    ///
    /// # Errors
    /// [`Failure::Data`] without room for it.
    pub fn temporary(&self) -> Result<(TempDir, PathBuf)> {
        let folder = tempfile::tempdir().map_err(|error| Failure::data(&std::env::temp_dir(), error))?;
        let path = self.write(folder.path())?;
        Ok((folder, path))
    }

    /// The int8 network, by the way that every model takes.
    ///
    /// # Errors
    /// As [`Self::temporary`].
    pub fn quantize(&self, progress: &(impl Progress + Sync)) -> Result<Quantized> {
        let (_folder, path) = self.temporary()?;
        Source::open(&path, &[])?.quantize(&self.calibration(), &self.settings(), progress)
    }
}
