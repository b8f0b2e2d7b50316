//! One concrete shape for every graph input: a batch of 1, and sizes given for the names that the exporter left open.

use std::collections::HashSet;

use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{GraphProto, TensorShapeProto, ValueInfoProto, type_proto};

use crate::{Failure, Result};

/// Removes constants from the list of graph inputs and gives every axis of the others a size. Returns notes on what was
/// pinned.
///
/// The first axis of an input, where it has no size, is the batch and becomes 1. Other axes without a size take it from
/// `dims` by their name.
///
/// # Errors
/// [`Failure::Usage`] if a size is missing, is 0 or belongs to no axis; [`Failure::Unsupported`] for a batch above 1 and
/// for inputs without a shape.
pub fn pin_inputs(graph: &mut GraphProto, dims: &[(String, usize)]) -> Result<Vec<String>> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    graph.input.retain(|input| !constants.contains(input.name.as_str()));
    let mut symbols = Vec::new();
    let mut notes = Vec::new();
    for input in &mut graph.input {
        let name = input.name.clone();
        let shape = shape_mut(input).ok_or_else(|| {
            Failure::Unsupported(format!("input `{name}` is not a tensor with a shape; export it with one"))
        })?;
        let rank = shape.dim.len();
        for (axis, dim) in shape.dim.iter_mut().enumerate() {
            let size = match &dim.value {
                Some(dimension::Value::DimValue(size)) if *size > 0 => *size,
                Some(dimension::Value::DimParam(symbol)) if !symbol.is_empty() => {
                    symbols.push(symbol.clone());
                    let given = dims.iter().find(|(name, _)| name == symbol).map(|(_, size)| *size);
                    symbolic(&name, axis, symbol, given, &mut notes)?
                }
                // A size of 0 or −1 is how some exporters write "any".
                _ if axis == 0 => {
                    notes.push(format!("input `{name}`: the batch has no size and is pinned to 1"));
                    1
                }
                _ => {
                    let text = "has neither a size nor a name; export it with a fixed size";
                    return Err(Failure::Unsupported(format!("input `{name}`: axis {axis} {text}")));
                }
            };
            if axis == 0 && rank > 1 && size != 1 {
                let text = "is not supported: a plan runs one sample at a time. Export with a batch of 1 or a symbol";
                return Err(Failure::Unsupported(format!("input `{name}`: a batch of {size} {text}")));
            }
            *dim = Dimension { value: Some(dimension::Value::DimValue(size)), ..Dimension::default() };
        }
    }
    if let Some((name, _)) = dims.iter().find(|(name, _)| !symbols.contains(name)) {
        let known = if symbols.is_empty() { "none".to_owned() } else { symbols.join(", ") };
        return Err(Failure::Usage(format!(
            "--dim {name}: no input has an axis of that name (there are: {known})"
        )));
    }
    Ok(notes)
}

fn symbolic(
    input: &str,
    axis: usize,
    symbol: &str,
    given: Option<usize>,
    notes: &mut Vec<String>,
) -> Result<i64> {
    match given {
        Some(0) => Err(Failure::Usage(format!("--dim {symbol}=0: a size is at least 1"))),
        Some(size) => {
            i64::try_from(size).map_err(|_| Failure::Usage(format!("--dim {symbol}={size}: too large")))
        }
        None if axis == 0 => {
            notes.push(format!("input `{input}`: batch `{symbol}` pinned to 1"));
            Ok(1)
        }
        None => Err(Failure::Usage(format!(
            "input `{input}`: axis {axis} is the symbol `{symbol}`; give it a size with `--dim {symbol}=N`"
        ))),
    }
}

fn shape_mut(input: &mut ValueInfoProto) -> Option<&mut TensorShapeProto> {
    let type_proto::Value::TensorType(tensor) = input.r#type.as_mut()?.value.as_mut()?;
    tensor.shape.as_mut()
}
