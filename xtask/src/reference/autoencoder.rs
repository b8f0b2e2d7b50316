//! Anomaly detection: the autoencoder of the DCASE 2020 baseline (Koizumi et al. 2020, arXiv:2006.05822).

use super::layers::{Activation, Layers};

/// Outputs of the layers between input and output.
const HIDDEN: [usize; 9] = [128, 128, 128, 128, 8, 128, 128, 128, 128];

/// `[1, 640]`: 5 frames of 128 band energies, to the same reconstructed.
pub(super) fn build(layers: &mut Layers) {
    for (i, units) in HIDDEN.into_iter().enumerate() {
        layers.dense(&format!("dense{}", i + 1), units, Activation::Relu);
    }
    layers.dense("dense10", 640, Activation::None);
}
