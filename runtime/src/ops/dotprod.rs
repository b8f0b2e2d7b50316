//! The operators that have kernels for AArch64's dot-product instructions: the same operators, run by those.

#![allow(unsafe_code)]

use super::{ALL, Conv2d, DepthwiseConv2d, FullyConnected};
use crate::error::OpFault;
use crate::format::OpCode;
use crate::kernels::neon;
use crate::operator::{Node, OpEntry, Operator};

/// [`Conv2d`] by dot product; reachable through [`all_dotprod`] alone.
struct Conv2dDotprod;

impl Operator for Conv2dDotprod {
    const CODE: OpCode = Conv2d::CODE;
    const NAME: &'static str = Conv2d::NAME;
    type Params = <Conv2d as Operator>::Params;

    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        Conv2d::check(node)
    }

    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        // SAFETY: who called `all_dotprod` promised that the core has the instructions.
        Conv2d::run_by(node, arena, |conv, input, scratch, output| unsafe {
            neon::conv2d_dotprod(conv, input, scratch, output);
        });
    }
}

/// [`DepthwiseConv2d`] by dot product; reachable through [`all_dotprod`] alone.
struct DepthwiseConv2dDotprod;

impl Operator for DepthwiseConv2dDotprod {
    const CODE: OpCode = DepthwiseConv2d::CODE;
    const NAME: &'static str = DepthwiseConv2d::NAME;
    type Params = <DepthwiseConv2d as Operator>::Params;

    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        DepthwiseConv2d::check(node)
    }

    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        // SAFETY: as above.
        DepthwiseConv2d::run_by(node, arena, |conv, input, scratch, output| unsafe {
            neon::depthwise_conv2d_dotprod(conv, input, scratch, output);
        });
    }
}

/// [`FullyConnected`] by dot product; reachable through [`all_dotprod`] alone.
struct FullyConnectedDotprod;

impl Operator for FullyConnectedDotprod {
    const CODE: OpCode = FullyConnected::CODE;
    const NAME: &'static str = FullyConnected::NAME;
    type Params = <FullyConnected as Operator>::Params;

    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        FullyConnected::check(node)
    }

    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        // SAFETY: as above.
        FullyConnected::run_by(node, arena, |order, weights, channels, activation, input, output| unsafe {
            neon::fully_connected_dotprod(order, weights, channels, activation, input, output);
        });
    }
}

/// Every operator, by dot-product instructions where there are kernels for them: a table's entries in place of
/// [`ALL`], for a caller that found the instructions on its core.
///
/// # Safety
/// The core that runs these operators has the dot-product instructions (`FEAT_DotProd`; with `std`,
/// `std::arch::is_aarch64_feature_detected!("dotprod")`).
pub const unsafe fn all_dotprod() -> &'static [OpEntry] {
    const COUNT: usize = ALL.len();
    const DOTPROD: [OpEntry; COUNT] = {
        let mut entries = [ALL[0]; COUNT];
        let mut i = 0;
        while i < COUNT {
            entries[i] = match ALL[i].code() {
                OpCode::Conv2d => OpEntry::of::<Conv2dDotprod>(),
                OpCode::DepthwiseConv2d => OpEntry::of::<DepthwiseConv2dDotprod>(),
                OpCode::FullyConnected => OpEntry::of::<FullyConnectedDotprod>(),
                _ => ALL[i],
            };
            i += 1;
        }
        entries
    };
    &DOTPROD
}
