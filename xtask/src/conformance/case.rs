//! One case: its files, with everything that must be constant made so.

use std::path::Path;

use still8_validation::onnx::build::node;
use still8_validation::onnx::pb::tensor_proto::DataType;
use still8_validation::onnx::pb::tensor_shape_proto::{Dimension, dimension};
use still8_validation::onnx::pb::{
    GraphProto, ModelProto, TensorProto, TensorShapeProto, ValueInfoProto, type_proto,
};
use still8_validation::onnx::{self, Message};
use still8_validation::{Failure, Result, files};

use crate::import::{Constant, OPERATORS, folds, read_tensor};

/// A model with its inputs and the outputs that they must give.
pub struct Case {
    /// Name of its folder.
    pub name: String,
    /// The operators of its model, each once.
    pub operators: Vec<String>,
    /// The ONNX file's contents.
    pub model: Vec<u8>,
    /// Value of each of the graph's inputs, in order.
    pub inputs: Vec<Constant>,
    /// Value of each of the graph's outputs, in order.
    pub outputs: Vec<Constant>,
}

impl Case {
    /// The case in `folder`; `None` for what is none of ours: operators that are not known, other types than float32, no
    /// input that anything is computed from.
    ///
    /// # Errors
    /// [`Failure::Data`] where the files are damaged.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let file = folder.join("model.onnx");
        let Ok((_, model, mut graph)) = onnx::read(&file) else { return Ok(None) };
        let known = |operator: &str| {
            OPERATORS.iter().any(|known| known.name == operator) || folds(operator) || operator == "Constant"
        };
        if graph.node.iter().any(|node| !matches!(&*node.domain, "" | "ai.onnx") || !known(&node.op_type)) {
            return Ok(None);
        }
        // Sequences and optional values are no tensors.
        let tensor = |info: &ValueInfoProto| {
            let value = info.r#type.as_ref().and_then(|kind| kind.value.as_ref());
            matches!(value, Some(type_proto::Value::TensorType(_)))
        };
        if !graph.input.iter().chain(&graph.output).all(tensor) {
            return Ok(None);
        }
        // Mean and deviation of a normalization are of use in training alone.
        let of_training = |name: &str| {
            let mut normalizations = graph.node.iter().filter(|node| node.op_type == "LayerNormalization");
            normalizations.any(|node| node.output.iter().skip(1).any(|output| output == name))
        };
        let kept = graph.output.iter().filter(|output| !of_training(&output.name)).cloned().collect();
        graph.output = kept;
        let Some((inputs, outputs)) = data(folder, &graph)? else { return Ok(None) };
        let mut operators: Vec<String> = graph.node.iter().map(|node| node.op_type.clone()).collect();
        operators.sort();
        operators.dedup();
        let values = bind(&mut graph, inputs);
        if values.is_empty() || graph.node.is_empty() {
            return Ok(None);
        }
        let constant = |tensor: &TensorProto| read_tensor(tensor, folder);
        let inputs = values.iter().map(constant).collect::<Result<_>>()?;
        let outputs = outputs.iter().map(constant).collect::<Result<_>>()?;
        let model = ModelProto { graph: Some(graph), ..model }.encode_to_vec();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Some(Self { name, operators, model, inputs, outputs }))
    }
}

/// Inputs and outputs of the first set of data; `None` where the case is about other types.
fn data(folder: &Path, graph: &GraphProto) -> Result<Option<(Vec<TensorProto>, Vec<TensorProto>)>> {
    let set = folder.join("test_data_set_0");
    let read = |prefix: &str, count: usize, floats: bool| -> Result<Option<Vec<TensorProto>>> {
        let mut tensors = Vec::new();
        for i in 0..count {
            let path = set.join(format!("{prefix}_{i}.pb"));
            if !path.is_file() {
                return Ok(None);
            }
            let tensor = TensorProto::decode(&*files::read(&path)?)
                .map_err(|error| Failure::data(&path, format!("no tensor: {error}")))?;
            // A plan has no tensors without elements.
            if tensor.dims.contains(&0) && prefix == "input" && tensor.data_type == DataType::Float as i32 {
                return Ok(None);
            }
            let float = tensor.data_type == DataType::Float as i32;
            let integer = [DataType::Int64, DataType::Int32, DataType::Bool]
                .iter()
                .any(|&kind| tensor.data_type == kind as i32);
            if !float && (floats || !integer) {
                return Ok(None);
            }
            tensors.push(tensor);
        }
        Ok(Some(tensors))
    };
    let indices = graph.node.iter().any(|node| node.op_type == "ArgMax");
    let inputs = read("input", graph.input.len(), false)?;
    let outputs = read("output", graph.output.len(), !indices)?;
    Ok(inputs.zip(outputs))
}

/// Makes initializers of the inputs that have to be constant (shapes, axes, weights), fixes the shapes of the others, and
/// returns their values.
fn bind(graph: &mut GraphProto, tensors: Vec<TensorProto>) -> Vec<TensorProto> {
    let constant = |name: &str| {
        graph.node.iter().any(|node| {
            let operator = OPERATORS.iter().find(|known| known.name == node.op_type);
            node.input.iter().enumerate().any(|(i, input)| {
                input == name && operator.is_some_and(|operator| operator.constants.contains(&i))
            })
        })
    };
    let bound: Vec<bool> = graph
        .input
        .iter()
        .zip(&tensors)
        .map(|(input, tensor)| tensor.data_type != DataType::Float as i32 || constant(&input.name))
        .collect();
    let mut values = Vec::new();
    let mut inputs = Vec::new();
    let mut nodes = Vec::new();
    for ((mut input, mut tensor), bound) in graph.input.drain(..).zip(tensors).zip(bound) {
        if bound {
            tensor.name = input.name;
            graph.initializer.push(tensor);
            continue;
        }
        // The first axis of an input is the batch to a plan. The cases mean nothing by it.
        if tensor.dims.len() > 1 && tensor.dims[0] != 1 {
            let shape = format!("{}/shape", input.name);
            let batched = format!("{}/batched", input.name);
            nodes.push(node("Reshape", &[&batched, &shape], &input.name));
            graph.initializer.push(TensorProto {
                name: shape,
                data_type: DataType::Int64 as i32,
                dims: vec![tensor.dims.len() as i64],
                int64_data: tensor.dims.clone(),
                ..TensorProto::default()
            });
            input.name = batched;
            tensor.dims.insert(0, 1);
        }
        if let Some(type_proto::Value::TensorType(kind)) =
            input.r#type.as_mut().and_then(|kind| kind.value.as_mut())
        {
            let dim = |&size: &i64| Dimension {
                value: Some(dimension::Value::DimValue(size)),
                ..Dimension::default()
            };
            kind.shape = Some(TensorShapeProto { dim: tensor.dims.iter().map(dim).collect() });
        }
        inputs.push(input);
        values.push(tensor);
    }
    graph.input = inputs;
    nodes.append(&mut graph.node);
    graph.node = nodes;
    values
}
