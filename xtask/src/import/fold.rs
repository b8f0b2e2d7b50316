//! Constants folded: the shape arithmetic that exporters leave in a file, and weights brought into another form.

use ndarray::{ArrayD, Axis, IxDyn, Slice};
use still8_validation::Result;

use super::call::{Call, bad, refuse};
use super::constant::{Constant, read_tensor};
use super::quantized;
use super::scope::Operand;
use super::shapes::{axis, flattened, permutation, reshaped, sizes, squeezed, unsqueezed};

mod arithmetic;

/// Most elements of a constant that folding creates.
pub const MAX_FOLDED: usize = 1 << 24;

/// Whether an operator can be folded where its inputs are constant.
pub fn knows(operator: &str) -> bool {
    matches!(
        operator,
        "Add"
            | "Cast"
            | "Concat"
            | "Constant"
            | "ConstantOfShape"
            | "DequantizeLinear"
            | "Div"
            | "Equal"
            | "Expand"
            | "Flatten"
            | "Gather"
            | "Identity"
            | "Max"
            | "Min"
            | "Mod"
            | "Mul"
            | "Neg"
            | "QuantizeLinear"
            | "Range"
            | "Reshape"
            | "Shape"
            | "Slice"
            | "Sqrt"
            | "Squeeze"
            | "Sub"
            | "Transpose"
            | "Unsqueeze"
            | "Where"
    )
}

/// Whether an operator needs no more than its input's shape.
pub fn reads_shape_only(operator: &str) -> bool {
    operator == "Shape"
}

macro_rules! keep_type {
    ($constant:expr, $x:ident => $result:expr) => {
        match $constant {
            Constant::Float($x) => Constant::Float($result),
            Constant::Int($x) => Constant::Int($result),
        }
    };
}

/// The node's value.
///
/// # Errors
/// If its inputs do not fit or the result is unreasonably large.
pub fn fold(call: &mut Call<'_>) -> Result<Constant> {
    match call.node.op_type.as_str() {
        "QuantizeLinear" => return quantized::fold_quantize(call),
        "DequantizeLinear" => return quantized::fold_dequantize(call),
        _ => {}
    }
    let call = &*call;
    let input = |i| match call.operand(i) {
        Some(Operand::Constant(constant)) => Ok((*constant).clone()),
        _ => bad(format!("input {i} is missing")),
    };
    let to_shape = |x: Constant, shape: Vec<usize>| Ok(keep_type!(x, x => with_shape(x, &shape)?));
    match call.node.op_type.as_str() {
        "Shape" => shape(call),
        "Constant" => constant(call),
        "Identity" => input(0),
        "Reshape" => {
            let (x, target) = (input(0)?, call.integers(1)?.unwrap_or_default());
            let to = reshaped(x.shape(), &target, call.int("allowzero")?.unwrap_or(0) != 0)?;
            to_shape(x, to)
        }
        "Flatten" => {
            let x = input(0)?;
            let to = flattened(x.shape(), call.int("axis")?.unwrap_or(1))?;
            to_shape(x, to)
        }
        "Squeeze" => {
            let x = input(0)?;
            let to = squeezed(x.shape(), call.integers_or_attribute(1, "axes")?.as_deref())?;
            to_shape(x, to)
        }
        "Unsqueeze" => {
            let x = input(0)?;
            let to = unsqueezed(x.shape(), &call.integers_or_attribute(1, "axes")?.unwrap_or_default())?;
            to_shape(x, to)
        }
        "Transpose" => {
            let x = input(0)?;
            let permutation = permutation(call.ints("perm")?, x.shape().len())?;
            Ok(keep_type!(x, x => x.permuted_axes(permutation).as_standard_layout().into_owned()))
        }
        "Concat" => concat(call, (0..call.node.input.len()).map(input).collect::<Result<_>>()?),
        "Gather" => gather(call, input(0)?, input(1)?),
        "Slice" => slice(call, input(0)?),
        "Cast" => cast(call, input(0)?),
        "ConstantOfShape" => constant_of_shape(call),
        "Expand" => {
            let target = sizes(&call.integers(1)?.unwrap_or_default(), "target shape")?;
            arithmetic::expand(input(0)?, &target)
        }
        "Range" => arithmetic::range(input(0)?, input(1)?, input(2)?),
        "Where" => arithmetic::select(input(0)?, input(1)?, input(2)?),
        "Neg" => arithmetic::negate(input(0)?),
        "Sqrt" => arithmetic::square_root(input(0)?),
        operator => arithmetic::binary(operator, input(0)?, input(1)?),
    }
}

fn with_shape<T: Clone>(x: ArrayD<T>, shape: &[usize]) -> Result<ArrayD<T>> {
    let x = x.as_standard_layout().into_owned();
    let from = x.shape().to_vec();
    x.into_shape_with_order(IxDyn(shape)).or_else(|_| bad(format!("shape {from:?} cannot become {shape:?}")))
}

fn integers(data: Vec<i64>) -> Constant {
    Constant::Int(ndarray::Array1::from_vec(data).into_dyn())
}

fn shape(call: &Call<'_>) -> Result<Constant> {
    let shape = match call.operand(0) {
        Some(Operand::Activation(id) | Operand::Integers(id)) => call.shape(id),
        Some(Operand::Constant(constant)) => constant.shape().to_vec(),
        _ => return bad("input 0 is missing"),
    };
    let sizes: Vec<_> = shape.iter().map(|&size| size as i64).collect();
    let rank = sizes.len() as i64;
    let position = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let start = position(call.int("start")?.unwrap_or(0));
    let end = position(call.int("end")?.unwrap_or(rank)).max(start);
    Ok(integers(sizes[start..end].to_vec()))
}

fn constant(call: &Call<'_>) -> Result<Constant> {
    if let Some(tensor) = call.tensor("value")? {
        return read_tensor(tensor, call.folder);
    }
    if let Some(value) = call.float("value_float")? {
        return Ok(Constant::Float(ArrayD::from_elem(IxDyn(&[]), value)));
    }
    if let Some(value) = call.int("value_int")? {
        return Ok(Constant::Int(ArrayD::from_elem(IxDyn(&[]), value)));
    }
    if let Some(values) = call.floats("value_floats")? {
        return Ok(Constant::Float(ndarray::Array1::from_vec(values.to_vec()).into_dyn()));
    }
    match call.ints("value_ints")? {
        Some(values) => Ok(integers(values.to_vec())),
        None => refuse("only constants of numbers are supported"),
    }
}

fn concat(call: &Call<'_>, parts: Vec<Constant>) -> Result<Constant> {
    let axis = axis(call.int("axis")?.unwrap_or(0), parts.first().map_or(0, |part| part.shape().len()))?;
    let misfit = |_| bad(format!("parts do not fit along axis {axis}"));
    let ints: Option<Vec<_>> =
        parts.iter().map(|part| if let Constant::Int(x) = part { Some(x.view()) } else { None }).collect();
    if let Some(ints) = ints {
        return ndarray::concatenate(Axis(axis), &ints).map(Constant::Int).or_else(misfit);
    }
    let floats: Option<Vec<_>> =
        parts.iter().map(|part| if let Constant::Float(x) = part { Some(x.view()) } else { None }).collect();
    match floats {
        Some(floats) => ndarray::concatenate(Axis(axis), &floats).map(Constant::Float).or_else(misfit),
        None => bad("parts are of different types"),
    }
}

fn gather(call: &Call<'_>, x: Constant, indices: Constant) -> Result<Constant> {
    let Constant::Int(indices) = indices else {
        return bad("indices must be integers");
    };
    let at = axis(call.int("axis")?.unwrap_or(0), x.shape().len())?;
    let (before, behind) = (&x.shape()[..at], &x.shape()[at + 1..]);
    let shape = [before, indices.shape(), behind].concat();
    arithmetic::check_size(&shape)?;
    let positions = indices.iter().map(|&i| axis(i, x.shape()[at])).collect::<Result<Vec<_>>>()?;
    Ok(keep_type!(x, x => with_shape(x.select(Axis(at), &positions), &shape)?))
}

fn slice(call: &Call<'_>, x: Constant) -> Result<Constant> {
    let starts = call.integers_or_attribute(1, "starts")?.unwrap_or_default();
    let ends = call.integers_or_attribute(2, "ends")?.unwrap_or_default();
    let named = call.integers_or_attribute(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = call.integers(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), named.len(), steps.len()] != [starts.len(); 3] {
        return bad("starts, ends, axes and steps are not of one length");
    }
    let mut x = x;
    for (i, &named) in named.iter().enumerate() {
        let at = axis(named, x.shape().len())?;
        let size = x.shape()[at] as i64;
        let position = |to: i64| (if to < 0 { to.saturating_add(size) } else { to }).clamp(0, size) as isize;
        let start = position(starts[i]);
        let end = position(ends[i]).max(start);
        let Some(step) = isize::try_from(steps[i]).ok().filter(|&step| step > 0) else {
            return refuse(format!("steps={steps:?}: only positive steps are supported"));
        };
        x = keep_type!(x, x => x.slice_axis(Axis(at), Slice::new(start, Some(end), step)).to_owned());
    }
    Ok(x)
}

fn cast(call: &Call<'_>, x: Constant) -> Result<Constant> {
    use still8_validation::onnx::pb::tensor_proto::DataType;
    let to = call.int("to")?.and_then(|to| DataType::try_from(i32::try_from(to).ok()?).ok());
    match (to, x) {
        (Some(DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16), x) => {
            Ok(match x {
                Constant::Int(x) => Constant::Float(x.mapv(|x| x as f32)),
                float => float,
            })
        }
        (Some(DataType::Bool), Constant::Float(x)) => Ok(Constant::Int(x.mapv(|x| i64::from(x != 0.0)))),
        (Some(DataType::Bool), Constant::Int(x)) => Ok(Constant::Int(x.mapv(|x| i64::from(x != 0)))),
        (Some(DataType::Int64 | DataType::Int32), x) => Ok(match x {
            Constant::Float(x) => Constant::Int(x.mapv(|x| x as i64)),
            int => int,
        }),
        (to, _) => {
            refuse(format!("cast to {} is not supported", to.map_or("nothing", |to| to.as_str_name())))
        }
    }
}

fn constant_of_shape(call: &Call<'_>) -> Result<Constant> {
    let shape = sizes(&call.integers(0)?.unwrap_or_default(), "shape")?;
    arithmetic::check_size(&shape)?;
    let value = match call.tensor("value")? {
        Some(tensor) => read_tensor(tensor, call.folder)?,
        None => Constant::Float(ArrayD::zeros(IxDyn(&[1]))),
    };
    Ok(keep_type!(value, value => match value.first() {
        Some(&first) => ArrayD::from_elem(IxDyn(&shape), first),
        None => return bad("attribute value is empty"),
    }))
}
