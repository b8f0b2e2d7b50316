//! The operators that import knows, one entry each.

use still8_validation::Result;

use super::call::Call;
use super::{ops, quantized};

/// An ONNX operator.
#[derive(Debug)]
pub struct Operator {
    /// Its name in the default domain.
    pub name: &'static str,
    /// Attributes that are read, in any version of the operator.
    pub attributes: &'static [&'static str],
    /// Attributes with one supported value.
    pub fixed: &'static [(&'static str, Fixed)],
    /// Inputs that must be constant.
    pub constants: &'static [usize],
    /// Adds the operator to the graph.
    pub(super) build: fn(&mut Call<'_>) -> Result<()>,
}

/// The one value of an attribute that is supported.
#[derive(Clone, Copy, Debug)]
pub enum Fixed {
    /// This integer.
    Int(i64),
    /// Integers, all 1.
    Ones,
    /// This text.
    Text(&'static str),
}

const fn operator(
    name: &'static str,
    attributes: &'static [&'static str],
    constants: &'static [usize],
    build: fn(&mut Call<'_>) -> Result<()>,
) -> Operator {
    Operator { name, attributes, fixed: &[], constants, build }
}

impl Operator {
    const fn fixed(self, fixed: &'static [(&'static str, Fixed)]) -> Self {
        Self { fixed, ..self }
    }
}

/// All of them, by name.
pub const OPERATORS: &[Operator] = &[
    operator("Add", &[], &[], ops::arithmetic::add),
    operator(
        "AveragePool",
        &["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"],
        &[],
        ops::pool::average,
    )
    .fixed(&[("dilations", Fixed::Ones)]),
    operator(
        "BatchNormalization",
        &["epsilon", "momentum", "spatial", "training_mode"],
        &[1, 2, 3, 4],
        ops::normalization::batch,
    )
    .fixed(&[("spatial", Fixed::Int(1)), ("training_mode", Fixed::Int(0))]),
    operator("Clip", &["max", "min"], &[1, 2], ops::clip::clip),
    operator("Concat", &["axis"], &[], ops::concat::concat),
    operator(
        "Conv",
        &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"],
        &[1, 2],
        ops::conv::conv,
    ),
    operator(
        "DequantizeLinear",
        &["axis", "block_size", "output_dtype"],
        &[1, 2],
        quantized::dequantize_linear,
    )
    .fixed(&[("block_size", Fixed::Int(0))]),
    operator("Div", &[], &[1], ops::arithmetic::div),
    operator("Dropout", &["ratio", "seed"], &[1, 2], ops::reshape::dropout),
    operator("Flatten", &["axis"], &[], ops::reshape::flatten),
    operator("Gemm", &["alpha", "beta", "transA", "transB"], &[1, 2], ops::dense::gemm)
        .fixed(&[("transA", Fixed::Int(0))]),
    operator("GlobalAveragePool", &[], &[], ops::pool::global_average),
    operator("GlobalMaxPool", &[], &[], ops::pool::global_max),
    operator("Identity", &[], &[], ops::reshape::identity),
    operator("MatMul", &[], &[], ops::dense::mat_mul),
    operator(
        "MaxPool",
        &["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"],
        &[],
        ops::pool::max,
    )
    .fixed(&[("dilations", Fixed::Ones), ("storage_order", Fixed::Int(0))]),
    operator("Mul", &[], &[], ops::arithmetic::mul),
    operator("Pad", &["mode", "pads", "value"], &[1, 2, 3], ops::pad::pad)
        .fixed(&[("mode", Fixed::Text("constant"))]),
    operator(
        "QuantizeLinear",
        &["axis", "block_size", "output_dtype", "precision", "saturate"],
        &[1, 2],
        quantized::quantize_linear,
    )
    .fixed(&[("block_size", Fixed::Int(0))]),
    operator("ReduceMean", &["axes", "keepdims", "noop_with_empty_axes"], &[1], ops::reduce::mean),
    operator("Relu", &[], &[], ops::clip::relu),
    operator("Reshape", &["allowzero"], &[1], ops::reshape::reshape),
    operator("Softmax", &["axis"], &[], ops::softmax::softmax),
    operator("Squeeze", &["axes"], &[1], ops::reshape::squeeze),
    operator("Sub", &[], &[], ops::arithmetic::sub),
    operator("Transpose", &["perm"], &[], ops::transpose::transpose),
    operator("Unsqueeze", &["axes"], &[1], ops::reshape::unsqueeze),
];
