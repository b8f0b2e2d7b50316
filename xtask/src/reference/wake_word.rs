//! Streaming wake word: the benchmark's depthwise separable network along time, without padding.

use super::layers::{Activation, Conv, Layers};

/// Frames under each depthwise window, and output channels of the pointwise convolution behind it.
const BLOCKS: [(usize, usize); 4] = [(3, 128), (5, 128), (10, 128), (15, 32)];

/// `[1, 30, 1, 40]`: 30 frames of 40 band energies, to 3 classes.
pub(super) fn build(layers: &mut Layers) {
    layers.channels_first();
    for (i, (frames, channels)) in BLOCKS.into_iter().enumerate() {
        let block = i + 1;
        layers.depthwise(&format!("block{block}/depthwise"), Conv::new([frames, 1]).valid().linear());
        layers.conv(&format!("block{block}/pointwise"), channels, Conv::new([1, 1]).valid());
    }
    layers.flatten("flatten");
    layers.dense("dense", 3, Activation::None);
    layers.softmax("softmax");
}
