//! From nodes in order to the graph, going on behind nodes that are not supported so as to find them all.

use std::path::Path;
use std::rc::Rc;

use still8_validation::onnx::pb::tensor_proto::DataType;
use still8_validation::onnx::pb::tensor_shape_proto::dimension;
use still8_validation::onnx::pb::{GraphProto, NodeProto, ValueInfoProto, type_proto};
use still8_validation::{Failure, Result};

use super::call::{Call, refuse};
use super::check::{Complaints, label};
use super::constant::{Constant, read_tensor};
use super::fold;
use super::operators;
use super::order::order;
use super::quantized;
use super::scope::{Operand, Scope};
use super::sums;
use crate::graph::Graph;

/// Builds the graph of `source`, whose inputs' shapes are concrete, and says what the user should know. What is not
/// supported goes to `complaints`.
///
/// # Errors
/// [`Failure::Data`] if the model is not valid, [`Failure::Unsupported`] for what belongs to no node.
pub fn build(
    source: &GraphProto,
    opset: i64,
    folder: &Path,
    complaints: &mut Complaints,
) -> Result<(Graph, Vec<String>)> {
    let order = order(source)?;
    let mut scope = Scope::new(source, opset);
    for input in &source.input {
        let (kind, shape) = input_type(input)?;
        scope.add_input(input, kind, shape)?;
    }
    for tensor in &source.initializer {
        let contents = read_tensor(tensor, folder)?;
        if let (Constant::Int(_), Ok(kind)) = (&contents, DataType::try_from(tensor.data_type)) {
            scope.set_integer_type(&tensor.name, kind);
        }
        scope.bind(&tensor.name, Operand::Constant(Rc::new(contents)));
    }
    for index in order {
        let Some(node) = source.node.get(index) else {
            continue;
        };
        let complained = complaints.contains(index);
        match step(&mut Call { scope: &mut scope, node, folder }, complained) {
            Ok(()) => {}
            Err(Failure::Unsupported(reason)) => {
                complaints.add(index, reason);
                scope.poison(node, all_constant(&scope, node));
            }
            Err(Failure::Data(reason)) => {
                return Err(Failure::Data(format!(
                    "node {} ({}): {reason}",
                    label(index, node),
                    node.op_type
                )));
            }
            Err(other) => return Err(other),
        }
    }
    for output in &source.output {
        match scope.operand(&output.name) {
            Some(&(Operand::Activation(id) | Operand::Integers(id))) => {
                let id = scope.named_output(id, &output.name)?;
                scope.graph.outputs.push(id);
            }
            Some(Operand::Unknown { .. }) => {}
            Some(Operand::Sums(sums)) if !sums.is_float() => {
                return refuse(format!(
                    "output `{}` is int32 sums of products; multiply them by a scale",
                    output.name
                ));
            }
            Some(Operand::Sums(sums)) => {
                let id = sums.clone().settle(&mut scope, &output.name)?;
                scope.graph.outputs.push(id);
            }
            _ => return refuse(format!("output `{}` is constant", output.name)),
        }
    }
    for &input in &scope.graph.inputs {
        let name = &scope.graph.values[input].name;
        if scope.integer_type(name).is_some() && scope.graph.values[input].given.is_none() {
            return refuse(format!(
                "input `{name}` is of integers, and no DequantizeLinear says what they stand for"
            ));
        }
    }
    Ok((scope.graph, scope.warnings))
}

/// Adds one node. `complained`: its operator is known not to be supported.
fn step(call: &mut Call<'_>, complained: bool) -> Result<()> {
    let node = call.node;
    let constant = all_constant(call.scope, node);
    if complained {
        call.scope.poison(node, constant);
        return Ok(());
    }
    if node.op_type != "Split"
        && let Some(extra) =
            node.output.iter().skip(1).find(|name| !name.is_empty() && call.scope.reads(name) > 0)
    {
        return refuse(format!("its further output `{extra}` is used"));
    }
    let operands = node.input.iter().filter_map(|name| call.scope.operand(name));
    let unknown = operands.clone().any(|operand| matches!(operand, Operand::Unknown { .. }));
    let operator = operators::find(node);
    if unknown {
        return step_behind_unknown(call, operator.map_or(&[], |operator| operator.constants), constant);
    }
    if constant && fold::knows(&node.op_type) {
        let contents = fold::fold(call)?;
        quantized::bind_constant(call, contents);
        return Ok(());
    }
    let Some(operator) = operator else {
        return refuse("operator supported on constants only");
    };
    if sums::carry(call)? {
        return Ok(());
    }
    let integers = |name: &String| matches!(call.scope.operand(name), Some(Operand::Integers(_)));
    if let Some(name) = node.input.iter().find(|name| integers(name))
        && !quantized::takes_integers(&node.op_type)
    {
        return refuse(format!("it reads the integers `{name}`; put a DequantizeLinear before it"));
    }
    (operator.build)(call)
}

/// What can still be said of a node when a value that it reads has no shape.
fn step_behind_unknown(call: &mut Call<'_>, constants: &[usize], constant: bool) -> Result<()> {
    let activation = |i: usize| match call.operand(i) {
        Some(
            Operand::Activation(_)
            | Operand::Integers(_)
            | Operand::Sums(_)
            | Operand::Unknown { constant: false },
        ) => true,
        Some(Operand::Constant(_) | Operand::Unknown { constant: true }) | None => false,
    };
    if let Some(i) = constants.iter().find(|&&i| activation(i)) {
        return refuse(format!("input {i} (`{}`) must be constant", call.input_name(*i).unwrap_or_default()));
    }
    call.scope.poison(call.node, constant);
    Ok(())
}

/// Whether what `node` computes is known without running the model.
fn all_constant(scope: &Scope, node: &NodeProto) -> bool {
    let constant = |name: &String| match scope.operand(name) {
        Some(
            Operand::Activation(_)
            | Operand::Integers(_)
            | Operand::Sums(_)
            | Operand::Unknown { constant: false },
        ) => false,
        Some(Operand::Constant(_) | Operand::Unknown { constant: true }) | None => true,
    };
    fold::reads_shape_only(&node.op_type) || node.input.iter().all(constant)
}

/// Element type and shape of a graph input.
fn input_type(input: &ValueInfoProto) -> Result<(DataType, Vec<usize>)> {
    let Some(type_proto::Value::TensorType(tensor)) =
        input.r#type.as_ref().and_then(|kind| kind.value.as_ref())
    else {
        return refuse(format!("input `{}` is not a tensor", input.name));
    };
    let kind = DataType::try_from(tensor.elem_type).unwrap_or(DataType::Undefined);
    if !matches!(kind, DataType::Float | DataType::Int8 | DataType::Uint8) {
        let kind = kind.as_str_name();
        return refuse(format!(
            "input `{}` is of type {kind}; export the model with float32 (or quantized int8 or uint8) inputs",
            input.name
        ));
    }
    let size = |value: &Option<dimension::Value>| match value {
        Some(dimension::Value::DimValue(size)) => usize::try_from(*size).ok(),
        _ => None,
    };
    let shape =
        tensor.shape.iter().flat_map(|shape| &shape.dim).map(|dim| size(&dim.value)).collect::<Option<_>>();
    let shape = shape.ok_or_else(|| Failure::Data(format!("input `{}` has no fixed shape", input.name)))?;
    Ok((kind, shape))
}
