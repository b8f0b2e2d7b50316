//! Image classification: the benchmark's ResNet of three stacks with one block each, after He et al. 2016,
//! arXiv:1512.03385.

use super::layers::{Activation, Conv, Layers};

/// `[1, 32, 32, 3]`: a picture, to 10 classes.
pub(super) fn build(layers: &mut Layers) {
    layers.channels_first();
    layers.conv("conv", 16, Conv::new([3, 3]));
    for (stack, channels, stride) in [(1, 16, 1), (2, 32, 2), (3, 64, 2)] {
        block(layers, &format!("stack{stack}"), channels, stride);
    }
    layers.average("average");
    layers.flatten("flatten");
    layers.dense("dense", 10, Activation::None);
    layers.softmax("softmax");
}

/// Two convolutions beside the identity, or beside a 1 × 1 convolution where the shape changes.
fn block(layers: &mut Layers, name: &str, channels: usize, stride: usize) {
    let input = layers.top();
    let mut shortcut = input.clone();
    if stride > 1 {
        layers.conv(&format!("{name}/shortcut"), channels, Conv::new([1, 1]).stride(stride).linear());
        shortcut = layers.top();
        layers.resume(&input);
    }
    layers.conv(&format!("{name}/conv1"), channels, Conv::new([3, 3]).stride(stride));
    layers.conv(&format!("{name}/conv2"), channels, Conv::new([3, 3]).linear());
    let residual = layers.top();
    layers.add_relu(&format!("{name}/add"), &shortcut, &residual);
}
