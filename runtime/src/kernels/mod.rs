//! The one dispatch point: which kernels this build runs. `build.rs` chooses from target and core.
//!
//! The portable kernels define what every operator computes; a variant beside them must equal them bit for bit.

use crate::format::{Family, OpCode};

#[cfg(test)]
mod cases;
pub(crate) mod convolution;
#[cfg(any(kernels_dsp, test))]
pub(crate) mod dsp;
#[cfg(any(kernels_dsp, test))]
pub(crate) mod element;
#[cfg(any(kernels_helium, test))]
pub(crate) mod helium;
pub(crate) mod int4;
#[cfg(any(kernels_neon, test))]
pub(crate) mod neon;
// Where a variant has kernels of its own, the self-test alone calls the portable ones.
#[cfg_attr(any(kernels_dsp, kernels_neon), allow(dead_code, unused_imports))]
pub(crate) mod portable;
#[cfg(any(kernels_scalar, test))]
pub(crate) mod scalar;
pub(crate) mod scratch;
pub(crate) mod window;

#[cfg(kernels_dsp)]
use dsp as variant;
#[cfg(kernels_helium)]
use helium as variant;
#[cfg(kernels_neon)]
use neon as variant;
#[cfg(not(any(kernels_dsp, kernels_helium, kernels_neon, kernels_scalar)))]
use portable as variant;
#[cfg(kernels_scalar)]
use scalar as variant;

// One kernel for all cores.
pub(crate) use portable::{
    add16, arg_max, gather, layer_norm, mat_mul, mean16, mul, narrow, prelu, rescale, resize_linear, table16,
    widen,
};
pub(crate) use variant::{
    add, average_pool2d, concat, conv2d, conv2d16, depthwise_conv2d, fully_connected, max_pool2d, mean, pad,
    softmax, table, transpose,
};

/// Weight order that this build's kernels read fastest.
pub const FAMILY: Family = if cfg!(kernels_dsp) {
    Family::Dsp
} else if cfg!(kernels_helium) {
    Family::Helium
} else if cfg!(kernels_neon) {
    Family::Neon
} else if cfg!(kernels_scalar) {
    Family::Scalar
} else {
    Family::Portable
};

/// Operators that a family has kernels of its own for; all others run the portable ones.
pub const fn variants(family: Family) -> &'static [OpCode] {
    match family {
        Family::Scalar => &[OpCode::Conv2d, OpCode::DepthwiseConv2d, OpCode::FullyConnected],
        Family::Dsp => &[OpCode::Conv2d, OpCode::DepthwiseConv2d, OpCode::FullyConnected, OpCode::Conv2d16],
        Family::Helium => &[
            OpCode::Conv2d,
            OpCode::DepthwiseConv2d,
            OpCode::FullyConnected,
            OpCode::Add,
            OpCode::AveragePool2d,
            OpCode::Mean,
        ],
        Family::Neon => &[
            OpCode::Conv2d,
            OpCode::DepthwiseConv2d,
            OpCode::FullyConnected,
            OpCode::Add,
            OpCode::AveragePool2d,
        ],
        Family::Portable | Family::Dsp1 => &[],
    }
}

/// Name of the kernel variant, for boot lines and reports.
pub const NAME: &str = FAMILY.name();

/// Whether this build runs plans of this family. The portable kernels read every order; a device takes those that
/// were packed for it, so that a plan for another core is noticed.
pub const fn accepts(family: Family) -> bool {
    !cfg!(target_os = "none") || FAMILY.runs(family)
}
