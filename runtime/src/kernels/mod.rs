//! The one dispatch point: which kernels this build runs. `build.rs` chooses from target and core.
//!
//! The portable kernels define what every operator computes; a variant beside them must equal them bit for bit.

use crate::format::{Family, OpCode};

pub(crate) mod convolution;
#[cfg(any(kernels_dsp, test))]
pub(crate) mod dsp;
pub(crate) mod portable;
pub(crate) mod window;

pub(crate) use portable::{add, average_pool2d, concat, max_pool2d, mean, pad, softmax, table, transpose};

#[cfg(kernels_dsp)]
pub(crate) use dsp::{conv2d, depthwise_conv2d, fully_connected};
#[cfg(not(kernels_dsp))]
pub(crate) use portable::{conv2d, depthwise_conv2d, fully_connected};

/// Weight order that this build's kernels read fastest, and on a device the only one they take.
pub const FAMILY: Family = if cfg!(kernels_dsp) { Family::Dsp } else { Family::Portable };

/// Operators that a family has kernels of its own for; all others run the portable ones.
pub const fn variants(family: Family) -> &'static [OpCode] {
    match family {
        Family::Dsp => &[OpCode::Conv2d, OpCode::DepthwiseConv2d, OpCode::FullyConnected],
        Family::Portable | Family::Helium | Family::Neon => &[],
    }
}

/// Name of the kernel variant, for boot lines and reports.
pub const NAME: &str = FAMILY.name();

/// Whether this build runs plans of this family. The portable kernels read every order that exists; on a device
/// they take their own only, so that a plan packed for another core is noticed.
pub const fn accepts(family: Family) -> bool {
    if cfg!(any(target_os = "none", kernels_dsp)) {
        family as u8 == FAMILY as u8
    } else {
        matches!(family, Family::Portable | Family::Dsp)
    }
}
