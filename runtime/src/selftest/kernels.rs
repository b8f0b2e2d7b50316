//! A kernel variant as a table of functions.

use core::cell::Cell;

use crate::format::{AddParams, ChannelRecord, Family, MeanParams, Pool2dParams};
use crate::kernels;
use crate::kernels::convolution::Convolution;
use crate::kernels::window::Window;
use crate::packing::MatrixOrder;

type Cells<'a> = &'a [Cell<i8>];
type ConvolutionKernel = fn(&Convolution<'_>, &[i8], &mut [i8], &mut [i8]);
type FullyConnectedKernel = fn(MatrixOrder, &[i8], &[ChannelRecord], (i8, i8), &[i8], &mut [i8]);
type PoolKernel = fn(&Window, &Pool2dParams, i8, usize, &[i8], &mut [i8]);
type PadKernel = fn([usize; 4], i8, ([usize; 4], &[i8]), ([usize; 4], &mut [i8]));
type TransposeKernel = fn([usize; 4], [usize; 4], &[i8], &mut [i8]);

/// The kernels of one variant.
#[derive(Clone, Copy)]
pub(super) struct Kernels {
    /// For reports.
    pub name: &'static str,
    /// The weight order that they read fastest.
    pub family: Family,
    pub conv2d: ConvolutionKernel,
    pub depthwise_conv2d: ConvolutionKernel,
    pub fully_connected: FullyConnectedKernel,
    pub add: fn(&AddParams, Cells<'_>, Cells<'_>, Cells<'_>),
    pub table: fn(&[i8; 256], Cells<'_>, Cells<'_>),
    pub softmax: fn(&[u32], usize, Cells<'_>, Cells<'_>),
    pub average_pool2d: PoolKernel,
    pub max_pool2d: PoolKernel,
    pub mean: fn(&MeanParams, [usize; 4], &[i8], &mut [i8]),
    pub pad: PadKernel,
    pub concat: fn(usize, usize, usize, &[i8], &mut [i8]),
    pub transpose: TransposeKernel,
}

/// The table of a module with kernels.
macro_rules! kernels_in {
    ($name:expr, $family:expr, $($module:ident)::+) => {
        $crate::selftest::kernels::Kernels {
            name: $name,
            family: $family,
            conv2d: $($module)::+::conv2d,
            depthwise_conv2d: $($module)::+::depthwise_conv2d,
            fully_connected: $($module)::+::fully_connected,
            add: $($module)::+::add,
            table: $($module)::+::table,
            softmax: $($module)::+::softmax,
            average_pool2d: $($module)::+::average_pool2d,
            max_pool2d: $($module)::+::max_pool2d,
            mean: $($module)::+::mean,
            pad: $($module)::+::pad,
            concat: $($module)::+::concat,
            transpose: $($module)::+::transpose,
        }
    };
}
#[cfg(test)]
pub(super) use kernels_in;

/// What defines the results.
pub(super) static PORTABLE: Kernels = kernels_in!("portable", Family::Portable, kernels::portable);

/// What this build runs.
pub(super) static BUILD: Kernels = kernels_in!(kernels::NAME, kernels::FAMILY, kernels);

/// What a caller that found dot-product instructions runs.
#[cfg(any(kernels_neon, test))]
#[allow(unsafe_code)]
pub(super) static DOTPROD: Kernels = Kernels {
    name: "neon dot-product",
    // SAFETY: [`run_dotprod`](super::run_dotprod) asks for the instructions; the host runs models of them.
    conv2d: |conv, input, scratch, output| unsafe {
        kernels::neon::conv2d_dotprod(conv, input, scratch, output);
    },
    // SAFETY: as above.
    depthwise_conv2d: |conv, input, scratch, output| unsafe {
        kernels::neon::depthwise_conv2d_dotprod(conv, input, scratch, output);
    },
    // SAFETY: as above.
    fully_connected: |order, weights, channels, activation, input, output| unsafe {
        kernels::neon::fully_connected_dotprod(order, weights, channels, activation, input, output);
    },
    ..kernels_in!("neon", Family::Neon, kernels::neon)
};
