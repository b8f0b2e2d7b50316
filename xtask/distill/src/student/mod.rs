//! Students: a list of layers, given in `model.toml` or made from a family's name, width and depth, and the network of it.

mod build;
mod families;

pub use build::build;
pub use families::Family;

use serde::{Deserialize, Serialize};

/// `[distill.student]`: a family with width and depth, or a list of layers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Student {
    /// The family; absent where layers are listed.
    pub family: Option<Family>,
    /// Channels of the first layers.
    #[serde(default)]
    pub width: usize,
    /// Number of blocks.
    #[serde(default)]
    pub depth: usize,
    /// The layers, in order.
    #[serde(default, rename = "layer", skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerSpec>,
}

impl Student {
    /// A member of a family.
    pub fn of(family: Family, width: usize, depth: usize) -> Self {
        Self { family: Some(family), width, depth, layers: Vec::new() }
    }

    /// In words.
    pub fn describe(&self) -> String {
        match self.family {
            Some(family) => format!("{} width {} depth {}", family.name(), self.width, self.depth),
            None => format!("{} listed layers", self.layers.len()),
        }
    }

    /// All layers, the last of `outputs` elements, for an input of shape `[h, w, c]`.
    ///
    /// # Errors
    /// In words, where neither or both of family and layers are given, or a size is 0.
    pub fn layers(&self, input: [usize; 3], outputs: usize) -> Result<Vec<LayerSpec>, String> {
        match (self.family, self.layers.is_empty()) {
            (Some(_), false) => Err("`distill.student` has a family and layers; keep one of them".into()),
            (None, true) => {
                Err("`distill.student` needs `family` (with width and depth) or `[[distill.student.layer]]`"
                    .into())
            }
            (None, false) => Ok(self.layers.clone()),
            (Some(_), true) if self.width == 0 || self.depth == 0 => {
                Err("`distill.student` needs `width` and `depth` of 1 or more".into())
            }
            (Some(family), true) => Ok(family.layers(self.width, self.depth, input, outputs)),
        }
    }
}

/// One layer, by its `type`. Convolutions and dense layers but the last are followed by a normalization and a Relu.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LayerSpec {
    /// Convolution with "same" padding.
    Conv {
        /// Output channels.
        filters: usize,
        /// Height and width.
        kernel: [usize; 2],
        /// Step along height and width.
        #[serde(default = "ones")]
        stride: [usize; 2],
        /// Distance of taps.
        #[serde(default = "ones")]
        dilation: [usize; 2],
    },
    /// Depthwise convolution, then a pointwise one.
    Separable {
        /// Output channels.
        filters: usize,
        /// Height and width of the depthwise one.
        kernel: [usize; 2],
        /// Its step.
        #[serde(default = "ones")]
        stride: [usize; 2],
        /// The input is added behind the pointwise one, where it has the output's shape.
        #[serde(default)]
        residual: bool,
    },
    /// Two convolutions and a shortcut, by a pointwise convolution where the shape changes.
    Residual {
        /// Output channels.
        filters: usize,
        /// Height and width.
        kernel: [usize; 2],
        /// Step of the first.
        #[serde(default = "ones")]
        stride: [usize; 2],
        /// Distance of taps.
        #[serde(default = "ones")]
        dilation: [usize; 2],
    },
    /// Largest of each window.
    MaxPool {
        /// Height and width, and the step.
        size: [usize; 2],
    },
    /// Mean over height and width.
    Mean,
    /// Dense layer over all elements.
    Dense {
        /// Output elements.
        units: usize,
    },
}

fn ones() -> [usize; 2] {
    [1, 1]
}
