//! Float ONNX models written in code: one builder, functions for nodes and attributes.
//!
//! ```
//! use still8_validation::onnx::build::{ModelBuilder, With, ints, node};
//! let bytes = ModelBuilder::new(17)
//!     .input("x", &[1, 4, 8, 8])
//!     .floats("w", &[2, 4, 3, 3], &[0.5; 72])
//!     .node(node("Conv", &["x", "w"], "y").with(ints("pads", &[1, 1, 1, 1])))
//!     .output("y")
//!     .bytes();
//! assert!(!bytes.is_empty());
//! ```

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};

/// A model under construction. The fields may be changed at will before [`ModelBuilder::bytes`].
#[derive(Clone, Debug, Default)]
pub struct ModelBuilder {
    /// Version of the default operator set.
    pub opset: i64,
    /// The graph.
    pub graph: GraphProto,
}

impl ModelBuilder {
    /// An empty model. Its graph has the name that stands for none: importers call it after its file.
    pub fn new(opset: i64) -> Self {
        Self { opset, graph: GraphProto { name: "graph".into(), ..GraphProto::default() } }
    }

    /// Names the graph.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.graph.name);
        self
    }

    /// Adds a float32 input of fixed shape.
    pub fn input(self, name: &str, shape: &[i64]) -> Self {
        let dims: Vec<_> = shape.iter().map(|&size| dimension::Value::DimValue(size)).collect();
        self.input_of(name, dims)
    }

    /// Adds a float32 input with symbols in its shape: what does not parse as a number is one.
    pub fn symbolic_input(self, name: &str, shape: &[&str]) -> Self {
        let dim = |text: &&str| match text.parse() {
            Ok(size) => dimension::Value::DimValue(size),
            Err(_) => dimension::Value::DimParam((*text).to_owned()),
        };
        self.input_of(name, shape.iter().map(dim).collect())
    }

    fn input_of(mut self, name: &str, dims: Vec<dimension::Value>) -> Self {
        self.graph.input.push(value_info(name, DataType::Float, Some(dims)));
        self
    }

    /// Adds a float32 initializer.
    pub fn floats(self, name: &str, shape: &[i64], data: &[f32]) -> Self {
        self.initializer(TensorProto { float_data: data.to_vec(), ..tensor(name, DataType::Float, shape) })
    }

    /// Adds an int64 initializer of rank 1.
    pub fn integers(self, name: &str, data: &[i64]) -> Self {
        let shape = [data.len() as i64];
        self.initializer(TensorProto { int64_data: data.to_vec(), ..tensor(name, DataType::Int64, &shape) })
    }

    /// Adds any initializer.
    pub fn initializer(mut self, tensor: TensorProto) -> Self {
        self.graph.initializer.push(tensor);
        self
    }

    /// Adds a node.
    pub fn node(mut self, node: NodeProto) -> Self {
        self.graph.node.push(node);
        self
    }

    /// Adds a graph output.
    pub fn output(mut self, name: &str) -> Self {
        self.graph.output.push(value_info(name, DataType::Float, None));
        self
    }

    /// The file's contents.
    pub fn bytes(&self) -> Vec<u8> {
        let mut sets = vec![OperatorSetIdProto { domain: String::new(), version: self.opset }];
        for node in &self.graph.node {
            if !sets.iter().any(|set| set.domain == node.domain) {
                sets.push(OperatorSetIdProto { domain: node.domain.clone(), version: 1 });
            }
        }
        let model = ModelProto {
            ir_version: 8,
            opset_import: sets,
            graph: Some(self.graph.clone()),
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }
}

/// A node with one output, named after it.
pub fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: format!("{output}/node"),
        op_type: operator.to_owned(),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

/// Adds an attribute to a node.
pub trait With {
    /// The node with one attribute more.
    fn with(self, attribute: AttributeProto) -> Self;
}

impl With for NodeProto {
    fn with(mut self, attribute: AttributeProto) -> Self {
        self.attribute.push(attribute);
        self
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: kind as i32, ..AttributeProto::default() }
}

/// An integer attribute.
pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i, ..attribute(name, AttributeType::Int) }
}

/// An attribute of several integers.
pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { ints: ints.to_vec(), ..attribute(name, AttributeType::Ints) }
}

/// A float attribute.
pub fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { f, ..attribute(name, AttributeType::Float) }
}

/// A text attribute.
pub fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto { s: s.as_bytes().to_vec(), ..attribute(name, AttributeType::String) }
}

/// A tensor attribute.
pub fn tensor_attribute(name: &str, t: TensorProto) -> AttributeProto {
    AttributeProto { t: Some(t), ..attribute(name, AttributeType::Tensor) }
}

/// A tensor without contents.
pub fn tensor(name: &str, kind: DataType, shape: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        data_type: kind as i32,
        dims: shape.to_vec(),
        ..TensorProto::default()
    }
}

/// A declared value.
pub fn value_info(name: &str, kind: DataType, dims: Option<Vec<dimension::Value>>) -> ValueInfoProto {
    let dim = |value| Dimension { value: Some(value), ..Dimension::default() };
    let shape = dims.map(|dims| TensorShapeProto { dim: dims.into_iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: kind as i32, shape };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { value, ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}
