//! Which nodes cannot be quantized, found before any shape is known: operators, domains and attributes.

use std::collections::BTreeMap;

use still8_validation::onnx::pb::{AttributeProto, GraphProto, NodeProto};
use still8_validation::{Failure, Result};

use super::model::is_default_domain;
use super::operators::{self, Fixed};
use super::{call, fold};

/// Reasons by node.
#[derive(Debug, Default)]
pub struct Complaints(BTreeMap<usize, Vec<String>>);

impl Complaints {
    /// Adds a reason why the node at `index` cannot be quantized.
    pub fn add(&mut self, index: usize, reason: String) {
        self.0.entry(index).or_default().push(reason);
    }

    /// Whether the node at `index` has been complained of.
    pub fn contains(&self, index: usize) -> bool {
        self.0.contains_key(&index)
    }

    /// One failure that lists every node: name, operator, reasons and, where one is known, the rewrite.
    ///
    /// # Errors
    /// If there is any complaint.
    pub fn into_result(self, graph: &GraphProto) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let line = |(&index, reasons): (&usize, &Vec<String>)| match graph.node.get(index) {
            Some(node) => format!("\n  {} ({}): {}", label(index, node), node.op_type, reasons.join("; ")),
            None => String::new(),
        };
        let lines: String = self.0.iter().map(line).collect();
        let count = self.0.len();
        let nodes = if count == 1 { "node is" } else { "nodes are" };
        Err(Failure::Unsupported(format!("{count} {nodes} not supported:{lines}")))
    }
}

/// How messages call a node.
pub fn label(index: usize, node: &NodeProto) -> String {
    if node.name.is_empty() { format!("#{index}") } else { format!("`{}`", node.name) }
}

/// Complains of operators and attributes.
pub fn check(graph: &GraphProto, complaints: &mut Complaints) {
    for (index, node) in graph.node.iter().enumerate() {
        if let Some(operator) = operators::find(node) {
            for attribute in &node.attribute {
                if !operator.attributes.contains(&attribute.name.as_str()) {
                    complaints.add(index, format!("attribute {} is not known", attribute.name));
                }
            }
            for (name, fixed) in operator.fixed {
                if let Some(value) = call::attribute(node, name).and_then(|found| violation(found, *fixed)) {
                    complaints.add(index, format!("attribute {name}={value} is not supported"));
                }
            }
        } else if !is_default_domain(&node.domain) {
            let rewrite = rewrite(&node.op_type).map_or(String::new(), |rewrite| format!("; {rewrite}"));
            complaints.add(index, format!("operator of domain `{}` is not supported{rewrite}", node.domain));
        } else if !fold::knows(&node.op_type) {
            let rewrite = rewrite(&node.op_type).map_or(String::new(), |rewrite| format!("; {rewrite}"));
            complaints.add(index, format!("operator not supported{rewrite}"));
        }
    }
}

/// The attribute's value in words, if it is not the one that is supported.
fn violation(attribute: &AttributeProto, fixed: Fixed) -> Option<String> {
    match fixed {
        Fixed::Int(value) => (attribute.i != value).then(|| attribute.i.to_string()),
        Fixed::Ones => attribute.ints.iter().any(|&i| i != 1).then(|| format!("{:?}", attribute.ints)),
        Fixed::Text(value) => {
            (attribute.s != value.as_bytes()).then(|| String::from_utf8_lossy(&attribute.s).into_owned())
        }
    }
}

/// What to do about an operator, where something can be done.
fn rewrite(operator: &str) -> Option<&'static str> {
    Some(match operator {
        operator if operator.starts_with("QLinear") || operator == "QGemm" => {
            "write the model in QDQ form (QuantFormat.QDQ of onnxruntime.quantization), or give the float model"
        }
        "DynamicQuantizeLinear" | "DynamicQuantizeMatMul" | "DynamicQuantizeLSTM" => {
            "dynamic quantization has no fixed scales: quantize the float model here, or statically in QDQ form \
             (onnxruntime.quantization.quantize_static with QuantFormat.QDQ)"
        }
        "Selu" | "Celu" | "Mish" | "ThresholdedRelu" => {
            "train the student with LeakyRelu, HardSwish, Gelu or Relu instead"
        }
        "InstanceNormalization" | "GroupNormalization" | "LRN" | "LpNormalization" => {
            "train the student with BatchNormalization, which folds into the layer before"
        }
        "If" | "Loop" | "Scan" => "export without control flow, by tracing, or run onnxsim over the file",
        "LSTM" | "GRU" | "RNN" => "use convolutions along the time axis instead",
        "LogSoftmax" => "end the model at the logits or with Softmax",
        "Einsum" => "write it as MatMul or Gemm",
        _ => return None,
    })
}
