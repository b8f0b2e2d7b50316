//! Every operator against the independent model of [`cases`](super::cases).

use proptest::prelude::*;

use super::builder::{ALL, run};
use super::cases::case;
use super::random::Bytes;
use super::wide_cases::wide;
use crate::format::{Family, OpCode};
use crate::{Align16, Plan, Session};

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

/// The output bytes of op `index`.
fn op_output(plan: &[Align16], inputs: &[Vec<i8>], index: usize) -> Vec<i8> {
    let plan = Plan::from_bytes(bytemuck::cast_slice(plan), &ALL).expect("the plan is valid");
    let mut arena = vec![Align16([0x5a; 16]); Align16::count(plan.arena_bytes())];
    let mut session = Session::new(&plan, &mut arena).expect("the arena is large enough");
    for (i, bytes) in inputs.iter().enumerate() {
        session.input(i).expect("the plan has this input").copy_from_slice(bytes);
    }
    let mut output = Vec::new();
    session.run_observed(|op, bytes| {
        if op == index {
            output = bytes.to_vec();
        }
    });
    output
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 600 }))]

    #[test]
    fn int16_operators_follow_their_formulas(seed in any::<u64>(), which in 0usize..5) {
        let code = [OpCode::Convert, OpCode::Conv2d16, OpCode::Add16, OpCode::Mean16, OpCode::Table16][which];
        let wide = wide(code, Family::Portable, &mut Bytes::new(seed));
        let found = op_output(&wide.case.builder.build(), &wide.case.inputs, wide.op);
        let found: Vec<i16> =
            found.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(pair.map(|b| b as u8))).collect();
        prop_assert_eq!(&found, &wide.middle);
        prop_assert_eq!(&run(&wide.case.builder.build(), &wide.case.inputs), &[wide.case.expected]);
    }
}
