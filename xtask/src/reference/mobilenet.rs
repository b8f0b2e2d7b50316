//! Visual wake words: MobileNetV1 (Howard et al. 2017, arXiv:1704.04861) with a quarter of its channels.

use super::layers::{Activation, Conv, Layers};

/// Output channels and stride of each depthwise separable block.
const BLOCKS: [(usize, usize); 13] = [
    (16, 1),
    (32, 2),
    (32, 1),
    (64, 2),
    (64, 1),
    (128, 2),
    (128, 1),
    (128, 1),
    (128, 1),
    (128, 1),
    (128, 1),
    (256, 2),
    (256, 1),
];

/// `[1, 96, 96, 3]`: a picture, to 2 classes.
pub(super) fn build(layers: &mut Layers) {
    layers.channels_first();
    layers.conv("conv", 8, Conv::new([3, 3]).stride(2));
    for (i, (channels, stride)) in BLOCKS.into_iter().enumerate() {
        let block = i + 1;
        layers.depthwise(&format!("block{block}/depthwise"), Conv::new([3, 3]).stride(stride));
        layers.conv(&format!("block{block}/pointwise"), channels, Conv::new([1, 1]));
    }
    layers.average("average");
    layers.flatten("flatten");
    layers.dense("dense", 2, Activation::None);
    layers.softmax("softmax");
}
