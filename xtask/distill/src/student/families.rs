//! Families of students, scaled by width and depth.

use serde::{Deserialize, Serialize};

use super::LayerSpec;

/// A family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// One convolution, then `depth` separable ones of one width (Zhang et al., arXiv:1711.07128).
    DsCnn,
    /// Separable convolutions whose width doubles with every stride (Howard et al., arXiv:1704.04861).
    MobilenetV1,
    /// `depth` residual blocks, the second and later ones halve the image and double the width (He et al.,
    /// arXiv:1512.03385); width 16 and depth 3 is ResNet-8.
    Resnet,
    /// Dense layers of one width.
    Mlp,
    /// Dense layers down to an eighth of the width and up again to the input's size.
    Autoencoder,
    /// Residual convolutions along time whose dilation doubles (Bai et al., arXiv:1803.01271).
    Tcn,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 6] =
        [Self::DsCnn, Self::MobilenetV1, Self::Resnet, Self::Mlp, Self::Autoencoder, Self::Tcn];

    /// As in `model.toml`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DsCnn => "ds-cnn",
            Self::MobilenetV1 => "mobilenet-v1",
            Self::Resnet => "resnet",
            Self::Mlp => "mlp",
            Self::Autoencoder => "autoencoder",
            Self::Tcn => "tcn",
        }
    }

    /// Its layers for an input of shape `[h, w, c]`. Along an axis of one element nothing slides.
    pub fn layers(self, width: usize, depth: usize, [h, w, c]: [usize; 3], outputs: usize) -> Vec<LayerSpec> {
        // A sequence has more taps than an image has along an axis.
        let taps = |size: usize| {
            [h, w].map(|axis| {
                if axis == 1 {
                    1
                } else if h == 1 || w == 1 {
                    2 * size - 1
                } else {
                    size
                }
            })
        };
        let step = |stride: usize| [h, w].map(|axis| if axis == 1 { 1 } else { stride });
        let separable = |filters: usize, stride: usize| LayerSpec::Separable {
            filters,
            kernel: taps(3),
            stride: step(stride),
            residual: stride == 1,
        };
        let stem = |stride: usize| LayerSpec::Conv {
            filters: width,
            kernel: taps(3),
            stride: step(stride),
            dilation: [1, 1],
        };
        let dense = |units: usize| LayerSpec::Dense { units };
        let mut layers = Vec::new();
        match self {
            Self::DsCnn => {
                layers.push(stem(2));
                layers.extend((0..depth).map(|block| separable(width, if block == 1 { 2 } else { 1 })));
            }
            Self::MobilenetV1 => {
                layers.push(stem(2));
                let mut filters = width;
                for block in 0..depth {
                    let stride = if block % 2 == 1 && block < 8 { 2 } else { 1 };
                    filters *= if block == 0 || stride == 2 { 2 } else { 1 };
                    layers.push(separable(filters, stride));
                }
            }
            Self::Resnet => {
                layers.push(stem(1));
                layers.extend((0..depth).map(|block| LayerSpec::Residual {
                    filters: width << block,
                    kernel: taps(3),
                    stride: step(if block == 0 { 1 } else { 2 }),
                    dilation: [1, 1],
                }));
            }
            Self::Tcn => {
                layers.push(stem(2));
                layers.extend((0..depth).map(|block| {
                    let dilation = step(1 << block);
                    LayerSpec::Residual { filters: width, kernel: step(3), stride: [1, 1], dilation }
                }));
            }
            Self::Mlp => {
                layers.extend((0..depth).map(|_| dense(width)));
                layers.push(dense(outputs));
                return layers;
            }
            Self::Autoencoder => {
                layers.extend((0..depth).map(|_| dense(width)));
                layers.push(dense(width.div_ceil(8)));
                layers.extend((0..depth).map(|_| dense(width)));
                layers.push(dense(h * w * c));
                return layers;
            }
        }
        layers.extend([LayerSpec::Mean, dense(outputs)]);
        layers
    }
}
