//! A float network under construction, layer by layer, with seeded weights.

use still8_validation::onnx::build::{ModelBuilder, With, int, ints, node};
use still8_validation::onnx::pb::NodeProto;
use still8_validation::random::SplitMix64;

/// The operator set that the benchmark's models are exported with.
const OPSET: i64 = 13;
/// Standard deviation of biases; activations have a mean square of about 1.
const BIAS: f32 = 0.1;

/// What follows a layer with weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    None,
    Relu,
}

/// Padding of a window, as TensorFlow names it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Padding {
    /// As much as makes the output ⌈size ⁄ stride⌉; an odd element goes behind.
    Same,
    /// None.
    Valid,
}

/// A convolution; kernels and strides are `[h, w]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conv {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: Padding,
    pub activation: Activation,
}

impl Conv {
    /// Stride 1, padding `Same`, then Relu.
    pub fn new(kernel: [usize; 2]) -> Self {
        Self { kernel, stride: [1, 1], padding: Padding::Same, activation: Activation::Relu }
    }

    /// The same stride along both axes.
    pub fn stride(self, stride: usize) -> Self {
        Self { stride: [stride; 2], ..self }
    }

    /// Without padding.
    pub fn valid(self) -> Self {
        Self { padding: Padding::Valid, ..self }
    }

    /// Without Relu.
    pub fn linear(self) -> Self {
        Self { activation: Activation::None, ..self }
    }
}

/// A value: name, and shape with its batch of 1.
#[derive(Clone, Debug)]
pub(super) struct Top {
    name: String,
    shape: Vec<usize>,
}

/// The network so far. Each layer reads [`Self::top`] and leaves its own output there.
pub(super) struct Layers {
    model: ModelBuilder,
    random: SplitMix64,
    top: Top,
    /// Root mean square of the input, by which the first weights are divided; 1 behind them.
    rms: f32,
}

impl Layers {
    /// A network of one input, uniform in `range`. Its name is the seed of its weights.
    pub fn new(name: &str, input: &str, shape: &[usize], range: [f32; 2]) -> Self {
        let model = ModelBuilder::new(OPSET).named(name).input(input, &to_i64(shape));
        let seed = name.bytes().fold(0, |seed, byte| seed << 8 | u64::from(byte));
        let [low, high] = range;
        Self {
            model,
            random: SplitMix64::new(seed),
            top: Top { name: input.to_owned(), shape: shape.to_vec() },
            rms: ((low * low + low * high + high * high) / 3.0).sqrt(),
        }
    }

    /// The value that the next layer reads.
    pub fn top(&self) -> Top {
        self.top.clone()
    }

    /// Goes on from `top`.
    pub fn resume(&mut self, top: &Top) {
        self.top = top.clone();
    }

    /// NHWC to NCHW.
    pub fn channels_first(&mut self) {
        let [n, h, w, c] = self.shape();
        let node = node("Transpose", &[&self.top.name], "channels_first").with(ints("perm", &[0, 3, 1, 2]));
        self.push(node, &[n, c, h, w]);
    }

    /// The same elements in another shape, which the file states as `target` (-1: what is left).
    pub fn reshape(&mut self, name: &str, target: &[i64], shape: &[usize]) {
        let constant = format!("{name}/shape");
        self.update(|model| model.integers(&constant, target));
        let node = node("Reshape", &[&self.top.name, &constant], name);
        self.push(node, shape);
    }

    /// `[1, ..]` to `[1, k]`.
    pub fn flatten(&mut self, name: &str) {
        let size = self.top.shape.iter().product();
        self.reshape(name, &[-1, size as i64], &[1, size]);
    }

    /// Convolution over all channels.
    pub fn conv(&mut self, name: &str, c_out: usize, conv: Conv) {
        self.grouped(name, c_out, 1, conv);
    }

    /// Convolution of each channel by itself.
    pub fn depthwise(&mut self, name: &str, conv: Conv) {
        let channels = self.shape()[1];
        self.grouped(name, channels, channels, conv);
    }

    fn grouped(&mut self, name: &str, c_out: usize, groups: usize, conv: Conv) {
        let [n, c_in, h, w] = self.shape();
        let [kh, kw] = conv.kernel;
        let c_group = c_in / groups;
        let (weights, bias) =
            self.weights(name, &[c_out, c_group, kh, kw], c_group * kh * kw, c_out, conv.activation);
        let [rows, columns] = [(h, 0), (w, 1)].map(|(size, axis)| {
            let (kernel, stride) = (conv.kernel[axis], conv.stride[axis]);
            match conv.padding {
                Padding::Same => same(size, kernel, stride),
                Padding::Valid => ((size - kernel) / stride + 1, [0, 0]),
            }
        });
        let pads = [rows.1[0], columns.1[0], rows.1[1], columns.1[1]];
        let node = node("Conv", &[&self.top.name, &weights, &bias], name)
            .with(ints("kernel_shape", &to_i64(&conv.kernel)))
            .with(ints("strides", &to_i64(&conv.stride)))
            .with(ints("dilations", &[1, 1]))
            .with(ints("pads", &to_i64(&pads)))
            .with(int("group", groups as i64));
        self.push(node, &[n, c_out, rows.0, columns.0]);
        self.activate(name, conv.activation);
    }

    /// Matrix product and bias: `[1, k]` to `[1, m]`.
    pub fn dense(&mut self, name: &str, m: usize, activation: Activation) {
        let k = self.top.shape[1];
        let (weights, bias) = self.weights(name, &[k, m], k, m, activation);
        let product = node("MatMul", &[&self.top.name, &weights], &format!("{name}/product"));
        self.push(product, &[1, m]);
        let sum = node("Add", &[&self.top.name, &bias], name);
        self.push(sum, &[1, m]);
        self.activate(name, activation);
    }

    /// Sum of two values of one shape, then Relu.
    pub fn add_relu(&mut self, name: &str, a: &Top, b: &Top) {
        self.push(node("Add", &[&a.name, &b.name], name), &a.shape);
        self.activate(name, Activation::Relu);
    }

    /// Average over height and width.
    pub fn average(&mut self, name: &str) {
        let [n, c, h, w] = self.shape();
        let node = node("AveragePool", &[&self.top.name], name)
            .with(ints("kernel_shape", &to_i64(&[h, w])))
            .with(ints("strides", &to_i64(&[h, w])));
        self.push(node, &[n, c, 1, 1]);
    }

    /// Softmax over the last axis.
    pub fn softmax(&mut self, name: &str) {
        let shape = self.top.shape.clone();
        let node = node("Softmax", &[&self.top.name], name).with(int("axis", -1));
        self.push(node, &shape);
    }

    /// The file's contents; the top is the output.
    pub fn finish(self) -> Vec<u8> {
        self.model.output(&self.top.name).bytes()
    }

    /// Adds weights of a layer and their bias. Their spread keeps a mean square of 1 from layer to layer: variance
    /// 2 ⁄ fan-in before a Relu, which halves it, and 1 ⁄ fan-in elsewhere. Returns the names.
    fn weights(
        &mut self,
        name: &str,
        shape: &[usize],
        fan_in: usize,
        c_out: usize,
        activation: Activation,
    ) -> (String, String) {
        let gain = if activation == Activation::Relu { 2.0 } else { 1.0 };
        let deviation = (gain / fan_in as f32).sqrt() / self.rms;
        self.rms = 1.0;
        let mut draw = |count: usize, deviation: f32| -> Vec<f32> {
            (0..count).map(|_| deviation * self.random.normal()).collect()
        };
        let (weights, bias) = (draw(shape.iter().product(), deviation), draw(c_out, BIAS));
        let names = (format!("{name}/weights"), format!("{name}/bias"));
        self.update(|model| {
            model.floats(&names.0, &to_i64(shape), &weights).floats(&names.1, &[c_out as i64], &bias)
        });
        names
    }

    fn activate(&mut self, name: &str, activation: Activation) {
        if activation == Activation::Relu {
            let shape = self.top.shape.clone();
            self.push(node("Relu", &[&self.top.name], &format!("{name}/relu")), &shape);
        }
    }

    /// Adds a node, which is named after its output.
    fn push(&mut self, mut node: NodeProto, shape: &[usize]) {
        node.name.clone_from(&node.output[0]);
        self.top = Top { name: node.name.clone(), shape: shape.to_vec() };
        self.update(|model| model.node(node));
    }

    fn update(&mut self, change: impl FnOnce(ModelBuilder) -> ModelBuilder) {
        self.model = change(std::mem::take(&mut self.model));
    }

    /// The top's four axes. The architectures are constants, so that another rank is a mistake in this module.
    fn shape(&self) -> [usize; 4] {
        self.top.shape.as_slice().try_into().expect("windows and transposes stand behind values of four axes")
    }
}

/// Output size of padding `Same` along an axis, and elements before and behind.
fn same(size: usize, kernel: usize, stride: usize) -> (usize, [usize; 2]) {
    let output = size.div_ceil(stride);
    let padding = ((output - 1) * stride + kernel).saturating_sub(size);
    (output, [padding / 2, padding - padding / 2])
}

fn to_i64(sizes: &[usize]) -> Vec<i64> {
    sizes.iter().map(|&size| size as i64).collect()
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn an_odd_element_of_padding_goes_behind() {
        assert_eq!(same(49, 10, 2), (25, [4, 5]));
        assert_eq!(same(10, 4, 2), (5, [1, 1]));
        assert_eq!(same(96, 3, 2), (48, [0, 1]));
        assert_eq!(same(32, 1, 2), (16, [0, 0]));
        assert_eq!(same(25, 3, 1), (25, [1, 1]));
    }
}
