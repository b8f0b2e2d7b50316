//! The student as ONNX, operator set 17: in float, or in QDQ form with the scales that it was trained with.

use still8::format::DataType;
use still8_validation::onnx::build::{int, ints};
use xtask::qdq::Writer;
use xtask::quantization::Quantization;

use crate::config::Layout;
use crate::engine::conv::Conv;
use crate::engine::fake;
use crate::engine::net::{Layer, Net, Node};
use crate::samples::Order;

/// The network's edge in its file.
pub struct Edge<'a> {
    /// The model's name.
    pub name: &'a str,
    /// The input's name.
    pub input: &'a str,
    /// Its shape, batch axis included.
    pub shape: &'a [usize],
    /// Its axes.
    pub layout: Layout,
    /// The output's name.
    pub output: &'a str,
}

/// The bytes of the ONNX file of a folded network. Nodes of fake quantization become QuantizeLinear and DequantizeLinear;
/// without them the file is plain float. `metadata` says where it came from.
pub fn onnx(net: &Net, edge: &Edge<'_>, metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut exporter = Exporter {
        net,
        edge,
        writer: Writer::new(edge.name, false),
        names: vec![edge.input.to_owned()],
        steps: vec![None],
        order: if edge.layout == Layout::Nhwc || edge.shape.len() == 2 {
            Order::Same
        } else {
            Order::ChannelsFirst
        },
    };
    exporter.writer.input(edge.input, edge.shape);
    if edge.layout == Layout::Nhwc && edge.shape.len() == 4 {
        // The integers of the file's own input; behind it, channels come first.
        let from = exporter.quantized_input(edge.input);
        exporter.writer.node(
            "Transpose",
            &[&from],
            "input/channels-first",
            vec![ints("perm", &[0, 3, 1, 2])],
        );
        exporter.names = vec!["input/channels-first".to_owned()];
    } else {
        exporter.names = vec![exporter.quantized_input(edge.input)];
    }
    for index in 0..net.nodes.len() {
        exporter.node(index);
    }
    let outputs: usize = net.nodes.last().map_or(net.input, |node| node.shape).iter().product();
    exporter.writer.output(edge.output, &[1, outputs]);
    exporter.writer.finish(metadata)
}

/// A folded network without its fake quantization. Its weights are the rounded ones that it was tuned with: what they were
/// rounded from is another network, and rounding them again changes nothing.
pub fn float(net: &Net) -> Net {
    let mut out = Net { input: net.input, nodes: Vec::new(), params: net.params.clone() };
    let mut place = vec![0];
    for node in &net.nodes {
        let inputs: Vec<usize> = node.inputs.iter().map(|&value| place[value]).collect();
        if matches!(node.layer, Layer::Fake(_)) {
            place.push(inputs[0]);
            continue;
        }
        let mut node = Node { inputs, ..node.clone() };
        if let Layer::Conv { conv, weights, bits, .. } = &mut node.layer
            && let Some(bits) = bits.take()
        {
            let data = &mut out.params[*weights].data;
            let scales = fake::weight_scales(data, conv.c_out, bits);
            *data = fake::weights(data, &scales, bits);
        }
        out.nodes.push(node);
        place.push(out.nodes.len());
    }
    out
}

struct Exporter<'a> {
    net: &'a Net,
    edge: &'a Edge<'a>,
    writer: Writer,
    /// The file's name of each value.
    names: Vec<String>,
    /// Its step, where it is quantized.
    steps: Vec<Option<f32>>,
    order: Order,
}

impl Exporter<'_> {
    fn range(&self, node: &Node) -> Option<Quantization> {
        let Layer::Fake(range) = node.layer else { return None };
        let data = &self.net.params[range].data;
        Some(Quantization::int8(data[0], data[1]))
    }

    /// The name of the input's values, rounded where the network's first node rounds them.
    fn quantized_input(&mut self, name: &str) -> String {
        let Some(quantization) = self.net.nodes.first().and_then(|node| self.range(node)) else {
            return name.to_owned();
        };
        self.rounded(name, "input", quantization)
    }

    /// Rounds a value; returns the name of what comes out.
    fn rounded(&mut self, floats: &str, name: &str, quantization: Quantization) -> String {
        let (integers, out) = (format!("{name}_quantized"), format!("{name}_dequantized"));
        self.writer.quantize(floats, quantization, &integers);
        self.writer.dequantize(&integers, quantization, &out);
        out
    }

    fn node(&mut self, index: usize) {
        let (net, node) = (self.net, &self.net.nodes[index]);
        let last = index + 1 == net.nodes.len();
        let name = if last { self.edge.output.to_owned() } else { node.name.clone() };
        let from = self.names[node.inputs[0]].clone();
        let mut step = self.steps[node.inputs[0]];
        let mut out = name.clone();
        match &node.layer {
            Layer::Conv { conv, weights, bias, bits } => {
                let weights = &net.params[*weights].data;
                let bias = bias.map(|bias| net.params[bias].data.as_slice());
                // The last node but the rounding of the output.
                let name =
                    if index + 2 == net.nodes.len() { format!("{}_float", self.edge.output) } else { name };
                self.conv(node, conv, weights, bias, *bits, (&from, step, &name));
                (out, step) = (name, None);
            }
            Layer::Clip { high } => {
                self.writer.clip(&from, 0.0, *high, &name);
                step = None;
            }
            Layer::Add => {
                let other = self.names[node.inputs[1]].clone();
                self.writer.named(&node.name, "Add", &[&from, &other], &name, vec![]);
                step = None;
            }
            Layer::Mean => {
                self.writer.named(&node.name, "GlobalAveragePool", &[&from], &name, vec![]);
                step = None;
            }
            Layer::MaxPool { size } => {
                let size = self.axes(net.shape(node.inputs[0]), *size);
                let attributes = vec![ints("kernel_shape", &size), ints("strides", &size)];
                self.writer.named(&node.name, "MaxPool", &[&from], &name, attributes);
            }
            Layer::Flatten => {
                if self.edge.shape.len() == 2 {
                    out = from;
                } else {
                    self.writer.named(&node.name, "Flatten", &[&from], &name, vec![int("axis", 1)]);
                }
            }
            Layer::Fake(_) => {
                let quantization = self.range(node).expect("the node is one of fake quantization");
                step = Some(quantization.scale);
                if index == 0 {
                    // Written in front of the transposition.
                    out = from;
                } else if last {
                    let integers = format!("{name}_quantized");
                    self.writer.quantize(&from, quantization, &integers);
                    self.writer.dequantize(&integers, quantization, &name);
                } else {
                    out = self.rounded(&from, node.name.trim_end_matches("/int8"), quantization);
                }
            }
            Layer::Norm(_) => unreachable!("normalizations are folded before export"),
        }
        self.names.push(out);
        self.steps.push(step);
    }

    /// Sizes along the axes that the file's images have: one where the input has three axes.
    fn axes(&self, _: [usize; 3], [h, w]: [usize; 2]) -> Vec<i64> {
        if self.edge.shape.len() == 3 { vec![w as i64] } else { vec![h as i64, w as i64] }
    }

    fn conv(
        &mut self,
        node: &Node,
        conv: &Conv,
        weights: &[f32],
        bias: Option<&[f32]>,
        bits: Option<u8>,
        (from, step, out): (&str, Option<f32>, &str),
    ) {
        let dense = node.shape[..2] == [1, 1] && self.flat(node.inputs[0]);
        let [kh, kw] = conv.window.kernel;
        let per_group = conv.fan_in() / (kh * kw);
        let spatial = if self.edge.shape.len() == 3 { vec![kw] } else { vec![kh, kw] };
        let (shape, source): (Vec<usize>, Box<dyn Fn(usize) -> usize>) = if dense {
            let order = self.flat_order(node.inputs[0], conv.c_in);
            let c_in = conv.c_in;
            (vec![conv.c_out, c_in], Box::new(move |i| order[i % c_in] * conv.c_out + i / c_in))
        } else {
            let taps = kh * kw;
            // [c_out, per_group, kh, kw] from [kh, kw, per_group, c_out].
            let source = move |i: usize| {
                ((i % taps) * per_group + i / taps % per_group) * conv.c_out + i / (taps * per_group)
            };
            ([vec![conv.c_out, per_group], spatial].concat(), Box::new(source))
        };
        let names = ["weight", "bias"].map(|what| format!("{}/{what}", node.name));
        let mut inputs = vec![from.to_owned()];
        match bits.zip(step) {
            None => {
                let data: Vec<f32> = (0..weights.len()).map(|i| weights[source(i)]).collect();
                inputs.push(self.writer.floats(&names[0], &shape, &data));
                if let Some(bias) = bias {
                    inputs.push(self.writer.floats(&names[1], &[bias.len()], bias));
                }
            }
            Some((bits, step)) => {
                let scales = fake::weight_scales(weights, conv.c_out, bits);
                let integer = |i: usize| fake::integer(weights[i], scales[i % conv.c_out], bits);
                let data: Vec<i32> = (0..weights.len()).map(|i| integer(source(i))).collect();
                let kind = if bits == 4 { DataType::Int4 } else { DataType::Int8 };
                inputs.push(self.writer.dequantized(&names[0], &shape, kind, &data, (0, &scales)));
                if let Some(bias) = bias {
                    let steps: Vec<f32> = scales.iter().map(|scale| scale * step).collect();
                    let integers: Vec<i32> =
                        bias.iter().zip(&steps).map(|(b, s)| (b / s).round() as i32).collect();
                    let name = self.writer.dequantized(
                        &names[1],
                        &[bias.len()],
                        DataType::Int32,
                        &integers,
                        (0, &steps),
                    );
                    inputs.push(name);
                }
            }
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        if dense {
            return self.writer.named(&node.name, "Gemm", &inputs, out, vec![int("transB", 1)]);
        }
        let [top, left, bottom, right] = conv.window.padding.map(|p| p as i64);
        let line = self.edge.shape.len() == 3;
        let pads = if line { vec![left, right] } else { vec![top, left, bottom, right] };
        let shape = self.net.shape(node.inputs[0]);
        let attributes = vec![
            ints("kernel_shape", &self.axes(shape, conv.window.kernel)),
            ints("strides", &self.axes(shape, conv.window.stride)),
            ints("dilations", &self.axes(shape, conv.window.dilation)),
            ints("pads", &pads),
            int("group", if conv.depthwise { conv.c_out as i64 } else { 1 }),
        ];
        self.writer.named(&node.name, "Conv", &inputs, out, attributes);
    }

    /// Whether a value has no axes but batch and channels in the file.
    fn flat(&self, value: usize) -> bool {
        let Some(node) = value.checked_sub(1).map(|node| &self.net.nodes[node]) else {
            return self.edge.shape.len() == 2;
        };
        match node.layer {
            Layer::Flatten => true,
            Layer::Conv { .. } | Layer::Clip { .. } | Layer::Fake(_) | Layer::Add => {
                self.flat(node.inputs[0])
            }
            _ => false,
        }
    }

    /// For each element of a flattened value in the file's order, its place in the engine's.
    fn flat_order(&self, value: usize, count: usize) -> Vec<usize> {
        let mut value = value;
        while let Some(node) = value.checked_sub(1).map(|node| &self.net.nodes[node]) {
            match node.layer {
                Layer::Flatten if self.order == Order::ChannelsFirst || self.edge.layout == Layout::Nhwc => {
                    let [h, w, c] = self.net.shape(node.inputs[0]);
                    return (0..count).map(|i| (i % (h * w)) * c + i / (h * w)).collect();
                }
                Layer::Fake(_) => value = node.inputs[0],
                _ => break,
            }
        }
        (0..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use half::f16;
    use ndarray::{ArrayD, IxDyn};
    use still8_validation::data::{Dataset, Tensor, Values};
    use still8_validation::oracle::Oracle;
    use still8_validation::random::SplitMix64;

    use super::*;
    use crate::engine::net::Kind;
    use crate::quantized::{folded, input_scale, unscaled, with_fake};
    use crate::samples::{Samples, geometry, to_model};
    use crate::student::{Family, Student, build};

    struct Exported {
        float: Net,
        fake: Net,
        samples: Samples,
        folder: tempfile::TempDir,
    }

    fn export(family: Family, shape: &[usize], layout: Layout, largest: f32) -> Exported {
        let (input, order) = geometry(shape, layout).unwrap();
        let outputs = if family == Family::Autoencoder { input.iter().product() } else { 5 };
        let layers = Student::of(family, 8, 3).layers(input, outputs).unwrap();
        let mut net = build(&layers, input, outputs, 1).unwrap();
        let mut random = SplitMix64::new(9);
        for param in net.params.iter_mut().filter(|param| param.kind != Kind::Weights) {
            param.data.iter_mut().for_each(|x| *x = random.uniform([0.5, 1.5]));
        }
        let mut values: Vec<f32> =
            (0..40 * shape.iter().product::<usize>()).map(|_| random.uniform([0.0, largest])).collect();
        values.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32());
        let tensor = Tensor::new([&[40], &shape[1..]].concat(), Values::Float(values));
        let data = Dataset {
            inputs: vec![("x".into(), tensor)],
            labels: None,
            targets: None,
            origin: "test".into(),
        };
        let samples = Samples::new(&data, input, order).unwrap();
        let scale = input_scale(largest);
        let net = folded(&net);
        let fake = unscaled(&with_fake(&net, &samples, scale, Some([0.0, largest]), |_| 8), scale, 1.0);
        let float = unscaled(&net, scale, 1.0);
        let folder = tempfile::tempdir().unwrap();
        let edge = Edge { name: "net", input: "x", shape, layout, output: "y" };
        for (name, net) in [("float.onnx", &float), ("qdq.onnx", &fake)] {
            std::fs::write(folder.path().join(name), onnx(net, &edge, &[("still8.seed", "1")])).unwrap();
        }
        Exported { float, fake, samples, folder }
    }

    #[test]
    fn the_float_student_has_the_weights_of_the_int8_one() {
        for bits in [4, 8] {
            let exported = export(Family::DsCnn, &[1, 2, 9, 11], Layout::Nchw, 1.0);
            let fake = with_fake(&exported.float, &exported.samples, 1.0, None, |_| bits);
            // Integers and scales of all layers.
            let rounded = |net: &Net| -> Vec<(i32, f32)> {
                let layer = |node: &Node| {
                    let Layer::Conv { conv, weights, .. } = &node.layer else { return Vec::new() };
                    let data = &net.params[*weights].data;
                    let scales = fake::weight_scales(data, conv.c_out, bits);
                    let scale = |i: usize| scales[i % conv.c_out];
                    data.iter()
                        .enumerate()
                        .map(|(i, &w)| (fake::integer(w, scale(i), bits), scale(i)))
                        .collect()
                };
                net.nodes.iter().flat_map(layer).collect()
            };
            let float = float(&fake);
            for ((a, scale), (b, same)) in rounded(&fake).into_iter().zip(rounded(&float)) {
                assert!(a == b && (scale / same - 1.0).abs() < 1e-6, "{bits} bits: {a} {scale}, {b} {same}");
            }
            let values: Vec<f32> = rounded(&fake).iter().map(|&(q, scale)| q as f32 * scale).collect();
            let given = float.nodes.iter().filter_map(|node| match node.layer {
                Layer::Conv { weights, .. } => Some(&float.params[weights].data),
                _ => None,
            });
            assert!(given.flatten().zip(&values).all(|(w, value)| (w - value).abs() <= 1e-6 * value.abs()));
        }
    }

    const CASES: [(Family, &[usize], Layout, f32); 6] = [
        (Family::DsCnn, &[1, 2, 9, 11], Layout::Nchw, 1.0),
        (Family::Resnet, &[1, 8, 8, 3], Layout::Nhwc, 255.0),
        (Family::Tcn, &[1, 6, 32], Layout::Nchw, 4.0),
        (Family::Mlp, &[1, 2, 3, 4], Layout::Nchw, 1.0),
        (Family::Autoencoder, &[1, 32], Layout::Nchw, 1.0),
        (Family::MobilenetV1, &[1, 6, 1, 32], Layout::Nchw, 30.0),
    ];

    #[test]
    fn files_say_what_the_engine_computes() {
        for (family, shape, layout, largest) in CASES {
            let exported = export(family, shape, layout, largest);
            for (file, net, tolerance) in
                [("float.onnx", &exported.float, 1e-4), ("qdq.onnx", &exported.fake, 0.05)]
            {
                let oracle = Oracle::load(&exported.folder.path().join(file), &[]).unwrap();
                let run = net.forward(exported.samples.batch(&(0..40).collect::<Vec<_>>(), 1.0), false);
                let size = run.output().image();
                let most = run.output().data.iter().fold(0f32, |most, y| most.max(y.abs()));
                for i in 0..40 {
                    let x =
                        to_model(&exported.samples.get(i), exported.samples.shape, exported.samples.order);
                    let y = oracle.run(&[ArrayD::from_shape_vec(IxDyn(shape), x).unwrap()]).unwrap();
                    for (a, b) in y[0].iter().zip(&run.output().data[i * size..][..size]) {
                        assert!(
                            (a - b).abs() <= tolerance * most,
                            "{} {file}: {a} is not {b}",
                            family.name()
                        );
                    }
                }
            }
        }
    }
}
