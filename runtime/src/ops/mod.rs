//! The operators of a plan. Each file says what the operator computes, checks an op once, and calls its kernel.
//!
//! The formula in an operator's documentation is the contract: the compiler's constants, the portable kernel and
//! every variant follow it bit for bit. All tensors are int8, row-major `[n, h, w, c]`, with at least one element;
//! accumulators are int32 with wrapping arithmetic, and the compiler proves that none wraps.

mod add;
mod add16;
mod arg_max;
mod average_pool2d;
mod check;
mod concat;
mod constant;
mod conv2d;
mod conv2d16;
mod conv2d_int4;
mod convert;
mod convolution;
mod depthwise_conv2d;
mod depthwise_conv2d_int4;
#[cfg(kernels_neon)]
mod dotprod;
mod fully_connected;
mod fully_connected_int4;
mod gather;
mod layer_norm;
mod mat_mul;
mod max_pool2d;
mod mean;
mod mean16;
mod mul;
mod pad;
mod pool2d;
mod prelu;
mod resize_linear;
mod softmax;
mod table;
mod table16;
mod transpose;

pub use add::Add;
pub use add16::Add16;
pub use arg_max::ArgMax;
pub use average_pool2d::AveragePool2d;
pub use concat::Concat;
pub use constant::Constant;
pub use conv2d::Conv2d;
pub use conv2d_int4::Conv2dInt4;
pub use conv2d16::Conv2d16;
pub use convert::Convert;
pub use depthwise_conv2d::DepthwiseConv2d;
pub use depthwise_conv2d_int4::DepthwiseConv2dInt4;
#[cfg(kernels_neon)]
pub use dotprod::all_dotprod;
pub use fully_connected::FullyConnected;
pub use fully_connected_int4::FullyConnectedInt4;
pub use gather::Gather;
pub use layer_norm::LayerNorm;
pub use mat_mul::MatMul;
pub use max_pool2d::MaxPool2d;
pub use mean::Mean;
pub use mean16::Mean16;
pub use mul::Mul;
pub use pad::Pad;
pub use prelu::PRelu;
pub use resize_linear::ResizeLinear;
pub use softmax::Softmax;
pub use table::Table;
pub use table16::Table16;
pub use transpose::Transpose;

use crate::format::OpCode;
use crate::operator::{OpEntry, Operator};

/// Every operator.
pub const ALL: &[OpEntry] = &[
    OpEntry::of::<Conv2d>(),
    OpEntry::of::<DepthwiseConv2d>(),
    OpEntry::of::<FullyConnected>(),
    OpEntry::of::<Add>(),
    OpEntry::of::<AveragePool2d>(),
    OpEntry::of::<MaxPool2d>(),
    OpEntry::of::<Mean>(),
    OpEntry::of::<Pad>(),
    OpEntry::of::<Concat>(),
    OpEntry::of::<Softmax>(),
    OpEntry::of::<Transpose>(),
    OpEntry::of::<Table>(),
    OpEntry::of::<Mul>(),
    OpEntry::of::<PRelu>(),
    OpEntry::of::<MatMul>(),
    OpEntry::of::<LayerNorm>(),
    OpEntry::of::<Constant>(),
    OpEntry::of::<Gather>(),
    OpEntry::of::<ResizeLinear>(),
    OpEntry::of::<ArgMax>(),
    OpEntry::of::<Conv2dInt4>(),
    OpEntry::of::<DepthwiseConv2dInt4>(),
    OpEntry::of::<FullyConnectedInt4>(),
    OpEntry::of::<Convert>(),
    OpEntry::of::<Conv2d16>(),
    OpEntry::of::<Add16>(),
    OpEntry::of::<Mean16>(),
    OpEntry::of::<Table16>(),
];

/// Name of an operator. Apart from the operators' entries, so that an image without a log holds no names.
pub const fn name(code: OpCode) -> &'static str {
    match code {
        OpCode::Conv2d => Conv2d::NAME,
        OpCode::DepthwiseConv2d => DepthwiseConv2d::NAME,
        OpCode::FullyConnected => FullyConnected::NAME,
        OpCode::Add => Add::NAME,
        OpCode::AveragePool2d => AveragePool2d::NAME,
        OpCode::MaxPool2d => MaxPool2d::NAME,
        OpCode::Mean => Mean::NAME,
        OpCode::Pad => Pad::NAME,
        OpCode::Concat => Concat::NAME,
        OpCode::Softmax => Softmax::NAME,
        OpCode::Transpose => Transpose::NAME,
        OpCode::Table => Table::NAME,
        OpCode::Mul => Mul::NAME,
        OpCode::PRelu => PRelu::NAME,
        OpCode::MatMul => MatMul::NAME,
        OpCode::LayerNorm => LayerNorm::NAME,
        OpCode::Constant => Constant::NAME,
        OpCode::Gather => Gather::NAME,
        OpCode::ResizeLinear => ResizeLinear::NAME,
        OpCode::ArgMax => ArgMax::NAME,
        OpCode::Conv2dInt4 => Conv2dInt4::NAME,
        OpCode::DepthwiseConv2dInt4 => DepthwiseConv2dInt4::NAME,
        OpCode::FullyConnectedInt4 => FullyConnectedInt4::NAME,
        OpCode::Convert => Convert::NAME,
        OpCode::Conv2d16 => Conv2d16::NAME,
        OpCode::Add16 => Add16::NAME,
        OpCode::Mean16 => Mean16::NAME,
        OpCode::Table16 => Table16::NAME,
    }
}
