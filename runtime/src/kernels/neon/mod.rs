//! Kernels for AArch64: NEON, and the dot-product instructions where the core has them.

// On the host, only tests reach a variant.
#[allow(unused_imports)]
pub(crate) use crate::kernels::portable::{
    add, average_pool2d, concat, conv2d, depthwise_conv2d, fully_connected, max_pool2d, mean, pad, softmax,
    table, transpose,
};
