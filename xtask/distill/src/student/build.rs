//! From a list of layers to a network with random weights.

use still8_validation::random::SplitMix64;
use xtask::graph::Window;

use super::LayerSpec;
use crate::engine::conv::Conv;
use crate::engine::net::{Kind, Layer, Net, Node, Param, ParamId, ValueId};

/// The network, its weights normal with variance 2 ⁄ fan-in (He et al., arXiv:1502.01852).
///
/// # Errors
/// In words, where a layer does not fit its input or the network does not give `outputs` elements.
pub fn build(layers: &[LayerSpec], input: [usize; 3], outputs: usize, seed: u64) -> Result<Net, String> {
    let net = Net { input, nodes: Vec::new(), params: Vec::new() };
    let mut builder = Builder { net, random: SplitMix64::new(seed), at: 0, flat: false };
    for (index, layer) in layers.iter().enumerate() {
        let last = index + 1 == layers.len();
        builder
            .layer(layer, index, last)
            .map_err(|why| format!("layer {} of the student: {why}", index + 1))?;
    }
    let shape = builder.net.shape(builder.at);
    if shape.iter().product::<usize>() != outputs {
        return Err(format!(
            "the student gives {shape:?} (height, width, channels), but {outputs} elements are needed"
        ));
    }
    Ok(builder.net)
}

struct Builder {
    net: Net,
    random: SplitMix64,
    /// The value that the next layer reads.
    at: ValueId,
    /// Whether that has no axes of an image any more.
    flat: bool,
}

impl Builder {
    fn param(&mut self, name: &str, kind: Kind, data: Vec<f32>) -> ParamId {
        self.net.params.push(Param { name: name.to_owned(), kind, data });
        self.net.params.len() - 1
    }

    fn node(&mut self, name: String, layer: Layer, inputs: Vec<ValueId>, shape: [usize; 3]) {
        self.net.nodes.push(Node { name, layer, inputs, shape });
        self.at = self.net.nodes.len();
    }

    fn conv(&mut self, name: &str, conv: Conv, biased: bool) {
        let deviation = (2.0 / conv.fan_in() as f32).sqrt();
        let data = (0..conv.weights()).map(|_| self.random.normal() * deviation).collect();
        let weights = self.param(&format!("{name}/weight"), Kind::Weights, data);
        let bias = biased.then(|| self.param(&format!("{name}/bias"), Kind::Offset, vec![0.0; conv.c_out]));
        let shape = conv.output(self.net.shape(self.at));
        self.node(name.to_owned(), Layer::Conv { conv, weights, bias, bits: None }, vec![self.at], shape);
    }

    fn norm(&mut self, name: &str) {
        let shape = self.net.shape(self.at);
        let kinds = [
            ("scale", Kind::Offset, 1.0),
            ("offset", Kind::Offset, 0.0),
            ("mean", Kind::Statistics, 0.0),
            ("variance", Kind::Statistics, 1.0),
        ];
        let ids = kinds
            .map(|(what, kind, value)| self.param(&format!("{name}/{what}"), kind, vec![value; shape[2]]));
        self.node(format!("{name}/norm"), Layer::Norm(ids), vec![self.at], shape);
    }

    fn relu(&mut self, name: &str) {
        let shape = self.net.shape(self.at);
        self.node(format!("{name}/relu"), Layer::Clip { high: f32::INFINITY }, vec![self.at], shape);
    }

    fn window(&self, kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2]) -> Result<Window, String> {
        if [kernel, stride, dilation].concat().contains(&0) {
            return Err("kernel, stride and dilation are 1 or more".into());
        }
        let shape = self.net.shape(self.at);
        // ⌈size ⁄ stride⌉ outputs; where the padding is odd, the larger part is behind.
        let total = |axis: usize| {
            let reach = (shape[axis].div_ceil(stride[axis]) - 1) * stride[axis]
                + (kernel[axis] - 1) * dilation[axis]
                + 1;
            reach.saturating_sub(shape[axis])
        };
        let [y, x] = [total(0), total(1)];
        Ok(Window { kernel, stride, dilation, padding: [y / 2, x / 2, y - y / 2, x - x / 2] })
    }

    fn layer(&mut self, layer: &LayerSpec, index: usize, last: bool) -> Result<(), String> {
        let from = self.at;
        let c_in = self.net.shape(from)[2];
        let name = |what: &str| format!("layer{}/{what}", index + 1);
        if self.flat && !matches!(layer, LayerSpec::Dense { .. }) {
            return Err("behind a dense layer stand dense layers only".into());
        }
        match *layer {
            LayerSpec::Conv { filters, kernel, stride, dilation } => {
                let window = self.window(kernel, stride, dilation)?;
                self.conv(&name("conv"), Conv { window, c_in, c_out: filters, depthwise: false }, false);
                self.norm(&name("conv"));
                self.relu(&name("conv"));
            }
            LayerSpec::Separable { filters, kernel, stride, residual } => {
                let window = self.window(kernel, stride, [1, 1])?;
                self.conv(&name("depthwise"), Conv { window, c_in, c_out: c_in, depthwise: true }, false);
                self.norm(&name("depthwise"));
                self.relu(&name("depthwise"));
                self.conv(&name("pointwise"), Conv::dense(c_in, filters), false);
                self.norm(&name("pointwise"));
                let shape = self.net.shape(self.at);
                if residual && shape == self.net.shape(from) {
                    self.node(name("add"), Layer::Add, vec![from, self.at], shape);
                }
                self.relu(&name("pointwise"));
            }
            LayerSpec::Residual { filters, kernel, stride, dilation } => {
                let window = self.window(kernel, stride, dilation)?;
                self.conv(&name("conv1"), Conv { window, c_in, c_out: filters, depthwise: false }, false);
                self.norm(&name("conv1"));
                self.relu(&name("conv1"));
                let window = self.window(kernel, [1, 1], dilation)?;
                self.conv(
                    &name("conv2"),
                    Conv { window, c_in: filters, c_out: filters, depthwise: false },
                    false,
                );
                self.norm(&name("conv2"));
                let (main, shape) = (self.at, self.net.shape(self.at));
                self.at = from;
                if self.net.shape(from) != shape {
                    let window = Window { kernel: [1; 2], stride, dilation: [1; 2], padding: [0; 4] };
                    self.conv(
                        &name("shortcut"),
                        Conv { window, c_in, c_out: filters, depthwise: false },
                        false,
                    );
                    self.norm(&name("shortcut"));
                }
                self.node(name("add"), Layer::Add, vec![self.at, main], shape);
                self.relu(&name("add"));
            }
            LayerSpec::MaxPool { size } => {
                let [h, w, c] = self.net.shape(from);
                if size[0] == 0 || size[1] == 0 || size[0] > h || size[1] > w {
                    return Err(format!("a window of {size:?} does not fit {h} by {w}"));
                }
                self.node(name("max"), Layer::MaxPool { size }, vec![from], [h / size[0], w / size[1], c]);
            }
            LayerSpec::Mean => self.node(name("mean"), Layer::Mean, vec![from], [1, 1, c_in]),
            LayerSpec::Dense { units } => {
                let shape = self.net.shape(from);
                let elements = shape.iter().product();
                if !std::mem::replace(&mut self.flat, true) {
                    self.node(name("flatten"), Layer::Flatten, vec![from], [1, 1, elements]);
                }
                self.conv(&name("dense"), Conv::dense(elements, units), last);
                if !last {
                    self.norm(&name("dense"));
                    self.relu(&name("dense"));
                }
            }
        }
        if last && !matches!(layer, LayerSpec::Dense { .. }) {
            return Err("the last layer must be of type \"dense\"".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::student::{Family, Student};

    #[test]
    fn resnet_of_width_16_and_depth_3_is_resnet_8() {
        let layers = Student::of(Family::Resnet, 16, 3).layers([32, 32, 3], 10).unwrap();
        let net = build(&layers, [32, 32, 3], 10, 1).unwrap();
        // Figures of the MLPerf Tiny reference, normalizations folded.
        assert_eq!((net.parameters(), net.macs()), (77_706, 12_501_632));
    }

    #[test]
    fn every_family_builds_for_images_and_sequences() {
        for family in Family::ALL {
            for input in [[28, 28, 1], [1, 128, 6], [1, 1, 64]] {
                let outputs = if family == Family::Autoencoder { input.iter().product() } else { 7 };
                let layers = Student::of(family, 8, 4).layers(input, outputs).unwrap();
                let net = build(&layers, input, outputs, 1).unwrap();
                let x = crate::engine::batch::Batch::zeros(2, input);
                assert_eq!(
                    net.forward(x, true).output().data.len(),
                    2 * outputs,
                    "{} {input:?}",
                    family.name()
                );
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let pool = LayerSpec::MaxPool { size: [9, 9] };
        let error = build(&[pool, LayerSpec::Dense { units: 2 }], [4, 4, 1], 2, 1).unwrap_err();
        assert!(error.contains("layer 1") && error.contains("4 by 4"), "{error}");
        let error = build(&[LayerSpec::Mean, LayerSpec::Dense { units: 3 }], [4, 4, 1], 2, 1).unwrap_err();
        assert!(error.contains("2 elements"), "{error}");
    }
}
