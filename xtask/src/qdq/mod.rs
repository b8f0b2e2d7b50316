//! The quantized network as standard ONNX in QDQ form: what the integers of a plan mean, for other tools to open and run.
//!
//! Every value passes a QuantizeLinear and a DequantizeLinear; weights are int8 and biases int32 initializers behind a
//! DequantizeLinear. Names are the source's: the integers of a value `x` are `x_quantized`, what its layer computes before
//! they are made `x_float`.

mod nodes;
mod writer;

pub use writer::Writer;

use std::collections::HashSet;

use still8_validation::{Failure, Result};

use crate::graph::{Graph, Value, ValueId};
use crate::quantization::Quantization;
use crate::quantize::fuse::{Fused, fuse_activations};
use crate::quantize::scheme::Scheme;

/// Name of the integers of a value.
pub fn integers_of(name: &str) -> String {
    format!("{name}_quantized")
}

/// Name of what is rounded to a value's integers.
pub fn floats_of(name: &str) -> String {
    format!("{name}_float")
}

/// The bytes of the ONNX file. `sha256` is the source's.
///
/// # Errors
/// [`Failure::Unsupported`] names the node that has no QDQ form.
pub fn export(graph: &Graph, scheme: &Scheme, name: &str, sha256: [u8; 32]) -> Result<Vec<u8>> {
    let mut exporter = Exporter {
        graph,
        scheme,
        wide: false,
        converted: HashSet::new(),
        writer: Writer::new(name, !scheme.wide.is_empty() || scheme.weights.values().any(|w| w.bits == 4)),
    };
    for &input in &graph.inputs {
        let value = &graph.values[input];
        exporter.writer.input(&value.name, &value.shape);
        exporter.quantize(input, &value.name);
    }
    for step in fuse_activations(graph) {
        let node = &graph.nodes[step.node];
        exporter.step(&step).map_err(|why| {
            Failure::Unsupported(format!("node `{}` ({}): {why} in QDQ form", node.name, node.op.name()))
        })?;
        exporter.quantize(step.output, &floats_of(&graph.values[step.output].name));
    }
    exporter.wide = false;
    for &output in &graph.outputs {
        let value = &graph.values[output];
        // A plan's outputs are int8.
        let name = exporter.read(output);
        exporter.writer.output(&name, &value.shape);
    }
    let source: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(exporter.writer.finish(&[("still8.source_sha256", &source)]))
}

struct Exporter<'a> {
    graph: &'a Graph,
    scheme: &'a Scheme,
    /// Whether the step that is written runs on int16.
    wide: bool,
    /// Values that were written with the other kind of integers as well.
    converted: HashSet<ValueId>,
    writer: Writer,
}

impl Exporter<'_> {
    /// The quantization of a value.
    fn quantization(&self, value: ValueId) -> Quantization {
        self.scheme.values[&value]
    }

    /// A value as its own integers have it: its name, or what comes out of an input's DequantizeLinear.
    fn own(&self, value: ValueId) -> String {
        let name = &self.graph.values[value].name;
        if self.graph.inputs.contains(&value) { format!("{name}_dequantized") } else { name.clone() }
    }

    /// What the step's nodes read as a value. Where its integers are of another kind than the step's, they are converted.
    fn read(&mut self, value: ValueId) -> String {
        let own = self.own(value);
        if self.scheme.wide.contains(&value) == self.wide {
            return own;
        }
        let name = &self.graph.values[value].name;
        let (suffix, to) = match self.wide {
            true => ("int16", self.scheme.int16(value)),
            false => ("int8", self.quantization(value)),
        };
        let (integers, floats) = (format!("{name}_{suffix}_quantized"), format!("{name}_{suffix}"));
        if self.converted.insert(value) {
            self.writer.quantize(&own, to, &integers);
            self.writer.dequantize(&integers, to, &floats);
        }
        floats
    }

    /// What nodes read as an operand that may be constant: such a one is written as integers as well.
    fn constant_or_read(&mut self, value: ValueId) -> String {
        let Some(contents) = self.graph.constant(value) else { return self.read(value) };
        let Value { name, shape, .. } = &self.graph.values[value];
        let quantization = self.quantization(value);
        let integers: Vec<i32> = contents.iter().map(|&x| quantization.quantize(x)).collect();
        self.writer.constant(&integers_of(name), shape, quantization, &integers, &floats_of(name))
    }

    /// `floats` becomes the value's integers, and these become the value.
    fn quantize(&mut self, value: ValueId, floats: &str) {
        let integers = integers_of(&self.graph.values[value].name);
        let wide = self.scheme.wide.contains(&value);
        let quantization = if wide { self.scheme.int16(value) } else { self.quantization(value) };
        let own = self.own(value);
        self.writer.quantize(floats, quantization, &integers);
        self.writer.dequantize(&integers, quantization, &own);
    }

    /// The nodes of a step, up to `x_float`.
    fn step(&mut self, step: &Fused) -> std::result::Result<(), String> {
        let name = floats_of(&self.graph.values[step.output].name);
        self.wide = self.scheme.wide.contains(&step.output);
        match step.clip {
            None => self.node(step, &name),
            Some((low, high)) => {
                let inner = format!("{name}_unclipped");
                self.node(step, &inner)?;
                self.writer.clip(&inner, low, high, &name);
                Ok(())
            }
        }
    }
}
