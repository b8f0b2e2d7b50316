//! Nodes and initializers of an ONNX file under construction.

use still8::format::DataType;
use still8_validation::onnx::Message;
use still8_validation::onnx::build::{ModelBuilder, With, int, ints, node, tensor};
use still8_validation::onnx::pb::tensor_proto::DataType as Element;
use still8_validation::onnx::pb::tensor_shape_proto::dimension;
use still8_validation::onnx::pb::{AttributeProto, ModelProto, StringStringEntryProto, TensorProto};

use crate::quantization::Quantization;

/// The operator set that is written: the first with int8 per channel is 13, the last without other rules for Reduce 17;
/// int16 and int4 need 21.
const OPSET: i64 = 17;
const OPSET_OTHER_THAN_INT8: i64 = 21;

/// A file under construction.
pub struct Writer {
    builder: ModelBuilder,
}

impl Writer {
    /// A file that holds int16 or int4 tensors, or none.
    pub fn new(name: &str, other_than_int8: bool) -> Self {
        let opset = if other_than_int8 { OPSET_OTHER_THAN_INT8 } else { OPSET };
        Self { builder: ModelBuilder::new(opset).named(name) }
    }

    fn add(&mut self, change: impl FnOnce(ModelBuilder) -> ModelBuilder) {
        self.builder = change(std::mem::take(&mut self.builder));
    }

    /// A float32 graph input.
    pub fn input(&mut self, name: &str, shape: &[usize]) {
        let shape: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        self.add(|builder| builder.input(name, &shape));
    }

    /// A float32 graph output.
    pub fn output(&mut self, name: &str, shape: &[usize]) {
        let dims = shape.iter().map(|&size| dimension::Value::DimValue(size as i64)).collect();
        let info = still8_validation::onnx::build::value_info(name, Element::Float, Some(dims));
        self.add(|mut builder| {
            builder.graph.output.push(info);
            builder
        });
    }

    /// A node named after its output.
    pub fn node(&mut self, operator: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) {
        self.named(&format!("{output}/node"), operator, inputs, output, attributes);
    }

    /// A node.
    pub fn named(
        &mut self,
        name: &str,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: Vec<AttributeProto>,
    ) {
        let mut made = attributes.into_iter().fold(node(operator, inputs, output), With::with);
        name.clone_into(&mut made.name);
        self.add(|builder| builder.node(made));
    }

    /// A float32 initializer.
    pub fn floats(&mut self, name: &str, shape: &[usize], data: &[f32]) -> String {
        let shape: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        self.add(|builder| builder.floats(name, &shape, data));
        name.to_owned()
    }

    /// An int64 initializer of rank 1.
    pub fn indices(&mut self, name: &str, data: &[i64]) -> String {
        self.add(|builder| builder.integers(name, data));
        name.to_owned()
    }

    /// An initializer of integers of this type.
    fn integers(&mut self, name: &str, shape: &[usize], kind: DataType, data: &[i32]) {
        let shape: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        let element = match kind {
            DataType::Int16 => Element::Int16,
            DataType::Int32 => Element::Int32,
            DataType::Int8 => Element::Int8,
            DataType::Int4 => {
                let byte = |pair: &[i32]| {
                    let nibble = |i: usize| pair.get(i).map_or(0, |&q| q as u8 & 15);
                    nibble(1) << 4 | nibble(0)
                };
                let raw_data = data.chunks(2).map(byte).collect();
                let packed = TensorProto { raw_data, ..tensor(name, Element::Int4, &shape) };
                return self.add(|builder| builder.initializer(packed));
            }
        };
        let initializer = TensorProto { int32_data: data.to_vec(), ..tensor(name, element, &shape) };
        self.add(|builder| builder.initializer(initializer));
    }

    fn parameters(&mut self, name: &str, quantization: Quantization) -> [String; 2] {
        let [scale, zero_point] = ["scale", "zero_point"].map(|what| format!("{name}_{what}"));
        if !self.builder.graph.initializer.iter().any(|known| known.name == scale) {
            self.floats(&scale, &[], &[quantization.scale]);
            self.integers(&zero_point, &[], quantization.dtype, &[quantization.zero_point]);
        }
        [scale, zero_point]
    }

    /// `integers` of `floats`.
    pub fn quantize(&mut self, floats: &str, quantization: Quantization, integers: &str) {
        let [scale, zero_point] = self.parameters(integers, quantization);
        self.node("QuantizeLinear", &[floats, &scale, &zero_point], integers, vec![]);
    }

    /// `floats` of `integers`.
    pub fn dequantize(&mut self, integers: &str, quantization: Quantization, floats: &str) {
        let [scale, zero_point] = self.parameters(integers, quantization);
        self.node("DequantizeLinear", &[integers, &scale, &zero_point], floats, vec![]);
    }

    /// An initializer of integers with one scale, and the name of its floats. What is there already is not written again.
    pub fn constant(
        &mut self,
        integers: &str,
        shape: &[usize],
        quantization: Quantization,
        data: &[i32],
        floats: &str,
    ) -> String {
        if !self.builder.graph.initializer.iter().any(|known| known.name == integers) {
            self.integers(integers, shape, quantization.dtype, data);
            self.dequantize(integers, quantization, floats);
        }
        floats.to_owned()
    }

    /// An initializer of integers with a scale for each element of `axis`, and the name of its floats.
    pub fn dequantized(
        &mut self,
        name: &str,
        shape: &[usize],
        kind: DataType,
        data: &[i32],
        (axis, scales): (usize, &[f32]),
    ) -> String {
        let [integers, scale, zero_point, floats] =
            ["quantized", "scale", "zero_point", "dequantized"].map(|what| format!("{name}_{what}"));
        self.integers(&integers, shape, kind, data);
        self.floats(&scale, &[scales.len()], scales);
        self.integers(&zero_point, &[scales.len()], kind, &vec![0; scales.len()]);
        let axis = vec![int("axis", axis as i64)];
        self.node("DequantizeLinear", &[&integers, &scale, &zero_point], &floats, axis);
        floats
    }

    /// Relu, or Clip between two initializers.
    pub fn clip(&mut self, input: &str, low: f32, high: f32, output: &str) {
        if low == 0.0 && high == f32::INFINITY {
            return self.node("Relu", &[input], output, vec![]);
        }
        let bound = |writer: &mut Self, what: &str, value: f32| {
            if value.is_finite() {
                writer.floats(&format!("{output}_{what}"), &[], &[value])
            } else {
                String::new()
            }
        };
        let (low, high) = (bound(self, "min", low), bound(self, "max", high));
        self.node("Clip", &[input, &low, &high], output, vec![]);
    }

    /// A reduction, whose axes are an attribute or an input by the operator set.
    pub fn reduce(&mut self, operator: &str, x: &str, axes: &[usize], keep: bool, output: &str) {
        let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let keep = int("keepdims", keep.into());
        if operator == "ReduceSum" || self.builder.opset >= 18 {
            let axes = self.indices(&format!("{output}_axes"), &axes);
            self.node(operator, &[x, &axes], output, vec![keep]);
        } else {
            self.node(operator, &[x], output, vec![ints("axes", &axes), keep]);
        }
    }

    /// The file's bytes.
    pub fn finish(self, metadata: &[(&str, &str)]) -> Vec<u8> {
        let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        // The builder's own bytes decode: they were made by the same library.
        let mut model = ModelProto::decode(self.builder.bytes().as_slice()).unwrap_or_default();
        model.metadata_props = metadata.iter().map(entry).collect();
        model.producer_name = "still8".to_owned();
        if self.builder.opset >= OPSET_OTHER_THAN_INT8 {
            model.ir_version = 10;
        }
        model.encode_to_vec()
    }
}
