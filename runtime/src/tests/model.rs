//! Every operator against the independent model of [`cases`](super::cases).

use proptest::prelude::*;

use super::builder::run;
use super::cases::case;
use super::random::Bytes;
use crate::format::{Family, OpCode};

/// One test per operator.
macro_rules! operators {
    ($($name:ident: $code:ident),* $(,)?) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 600 }))]
            $(
                #[test]
                fn $name(seed in any::<u64>()) {
                    for family in Family::ALL {
                        let case = case(OpCode::$code, family, &mut Bytes::new(seed));
                        let found = run(&case.builder.build(), &case.inputs);
                        prop_assert_eq!(&found, &[case.expected]);
                    }
                }
            )*
        }
    };
}

operators! {
    conv2d_follows_its_formula: Conv2d,
    depthwise_conv2d_follows_its_formula: DepthwiseConv2d,
    fully_connected_follows_its_formula: FullyConnected,
    add_follows_its_formula: Add,
    average_pool2d_follows_its_formula: AveragePool2d,
    max_pool2d_follows_its_formula: MaxPool2d,
    mean_follows_its_formula: Mean,
    pad_follows_its_formula: Pad,
    concat_follows_its_formula: Concat,
    softmax_follows_its_formula: Softmax,
    transpose_follows_its_formula: Transpose,
    table_follows_its_formula: Table,
    mul_follows_its_formula: Mul,
    prelu_follows_its_formula: PRelu,
    mat_mul_follows_its_formula: MatMul,
    layer_norm_follows_its_formula: LayerNorm,
    constant_follows_its_formula: Constant,
    gather_follows_its_formula: Gather,
    resize_linear_follows_its_formula: ResizeLinear,
    arg_max_follows_its_formula: ArgMax,
    conv2d_int4_follows_its_formula: Conv2dInt4,
    depthwise_conv2d_int4_follows_its_formula: DepthwiseConv2dInt4,
    fully_connected_int4_follows_its_formula: FullyConnectedInt4,
}
