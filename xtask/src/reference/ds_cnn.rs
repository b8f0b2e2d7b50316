//! Keyword spotting: a depthwise separable network after Zhang et al., "Hello Edge", 2017, arXiv:1711.07128.

use super::layers::{Activation, Conv, Layers};

const CHANNELS: usize = 64;

/// `[1, 49, 10, 1]`: 49 frames of 10 cepstral coefficients, to 12 classes.
pub(super) fn build(layers: &mut Layers) {
    // One channel: its place among the axes is only a matter of names.
    layers.reshape("channels_first", &[-1, 1, 49, 10], &[1, 1, 49, 10]);
    layers.conv("conv", CHANNELS, Conv::new([10, 4]).stride(2));
    for block in 1..=4 {
        layers.depthwise(&format!("block{block}/depthwise"), Conv::new([3, 3]));
        layers.conv(&format!("block{block}/pointwise"), CHANNELS, Conv::new([1, 1]));
    }
    layers.average("average");
    layers.flatten("flatten");
    layers.dense("dense", 12, Activation::None);
    layers.softmax("softmax");
}
