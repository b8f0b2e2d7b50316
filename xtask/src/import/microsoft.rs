//! The operators of the domain `com.microsoft` that import knows: quantized ones, as ONNX Runtime's quantizer writes them.

use super::operators::{Fixed, Operator, operator};
use super::{ops::qlinear, quantized};

/// Channels come second, as in the default domain.
const CHANNELS_SECOND: &[(&str, Fixed)] = &[("channels_last", Fixed::Int(0))];

/// All of them, by name.
pub const MICROSOFT: &[Operator] = &[
    operator("DequantizeLinear", &["axis", "block_size"], &[1, 2], quantized::dequantize_linear)
        .fixed(&[("block_size", Fixed::Int(0))]),
    operator("MatMulIntegerToFloat", &[], &[1, 2, 3, 4, 5, 6], qlinear::mat_mul_integer_to_float),
    operator("QGemm", &["alpha", "transA", "transB"], &[1, 2, 3, 4, 5, 6, 7, 8], qlinear::gemm)
        .fixed(&[("transA", Fixed::Int(0))]),
    operator("QLinearAdd", &[], &[1, 2, 4, 5, 6, 7], qlinear::add),
    operator(
        "QLinearAveragePool",
        &["auto_pad", "ceil_mode", "channels_last", "count_include_pad", "kernel_shape", "pads", "strides"],
        &[1, 2, 3, 4],
        qlinear::average_pool,
    )
    .fixed(CHANNELS_SECOND),
    operator("QLinearConcat", &["axis"], &[0, 1], qlinear::concat),
    operator(
        "QLinearConv",
        &["auto_pad", "channels_last", "dilations", "group", "kernel_shape", "pads", "strides"],
        &[1, 2, 3, 4, 5, 6, 7, 8],
        qlinear::conv,
    )
    .fixed(CHANNELS_SECOND),
    operator("QLinearGlobalAveragePool", &["channels_last"], &[1, 2, 3, 4], qlinear::global_average_pool)
        .fixed(CHANNELS_SECOND),
    operator("QLinearLeakyRelu", &["alpha"], &[1, 2, 3, 4], qlinear::leaky_relu),
    operator("QLinearMul", &[], &[1, 2, 4, 5, 6, 7], qlinear::mul),
    operator("QLinearSigmoid", &[], &[1, 2, 3, 4], qlinear::sigmoid),
    operator("QLinearSoftmax", &["axis", "opset"], &[1, 2, 3, 4], qlinear::softmax),
    operator("QuantizeLinear", &["axis", "block_size"], &[1, 2], quantized::quantize_linear)
        .fixed(&[("block_size", Fixed::Int(0))]),
];
