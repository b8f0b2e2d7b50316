//! Every variant over its models, and kernels that are wrong in one thing.

use super::kernels::{BUILD, Kernels, PORTABLE, kernels_in};
use super::*;
use crate::format::{ChannelRecord, Family, OpCode};
use crate::kernels as modules;
use crate::kernels::convolution::Convolution;
use crate::kernels::portable;
use crate::packing::MatrixOrder;
use crate::requantize::requantize;

/// Miri takes a thousand times as long.
const CASES: u32 = if cfg!(miri) { 15 } else { 3000 };

fn run_with(seed: u64, cases: u32, memory: usize, variant: &Kernels) -> Result<Summary, Difference> {
    let mut units = vec![Align16::ZERO; Align16::count(memory)];
    run_kernels(Settings { seed, first: 0, cases }, &mut units, &PORTABLE, variant)
}

#[track_caller]
fn passes(variant: &Kernels) {
    for memory in MEMORY_BYTES {
        if cfg!(miri) && memory > MEMORY_BYTES[0] {
            return;
        }
        let summary = run_with(1, CASES, memory, variant).unwrap_or_else(|difference| panic!("{difference}"));
        assert_eq!(summary.cases, CASES);
        // A difference in bytes that saturate would be hidden.
        assert!(summary.inner * 2 > summary.bytes, "{summary:?}");
    }
}

#[test]
fn this_build_equals_portable() {
    passes(&BUILD);
}

#[test]
fn dsp_equals_portable() {
    passes(&kernels_in!("dsp", Family::Dsp, modules::dsp));
    passes(&kernels_in!("dsp", Family::Dsp1, modules::dsp));
}

#[test]
fn scalar_equals_portable() {
    passes(&kernels_in!("scalar", Family::Scalar, modules::scalar));
}

#[test]
fn helium_equals_portable() {
    passes(&kernels_in!("helium", Family::Helium, modules::helium));
}

#[test]
fn neon_equals_portable() {
    passes(&kernels_in!("neon", Family::Neon, modules::neon));
    #[cfg(target_arch = "aarch64")]
    if !std::arch::is_aarch64_feature_detected!("dotprod") {
        return;
    }
    passes(&kernels::DOTPROD);
}

#[test]
fn a_case_is_the_same_whatever_ran_before() {
    let mut units = vec![Align16::ZERO; Align16::count(MEMORY_BYTES[0])];
    let mut wrong = PORTABLE;
    wrong.table = |table, input, output| {
        portable::table(table, input, output);
        output[0].set(output[0].get().wrapping_add(1));
    };
    let mut find = |first| {
        run_kernels(Settings { seed: 5, first, cases: 1000 }, &mut units, &PORTABLE, &wrong).unwrap_err()
    };
    let found = find(0);
    assert_eq!(found.op, OpCode::Table);
    assert!(found.case > 0, "{found}");
    assert_eq!(find(found.case).to_string(), found.to_string());
    let text = found.to_string();
    assert!(
        text.contains("seed 5, case") && text.contains("Table, portable kernels: output[0]: expected"),
        "{text}"
    );
}

/// Asserts that a kernel which is wrong is found out, in an operator of that code.
#[track_caller]
fn fails(op: OpCode, family: Family, change: impl Fn(&mut Kernels)) {
    let mut kernels = Kernels { name: "wrong", family, ..PORTABLE };
    change(&mut kernels);
    for memory in MEMORY_BYTES {
        let found = run_with(2, 3000, memory, &kernels).expect_err("a wrong kernel passed");
        assert_eq!(found.op, op, "{found}");
    }
}

/// The portable convolution with records of other values.
fn with_channels(conv: &Convolution<'_>, change: fn(&mut ChannelRecord)) -> Vec<ChannelRecord> {
    conv.channels
        .iter()
        .map(|&channel| {
            let mut channel = channel;
            change(&mut channel);
            channel
        })
        .collect()
}

#[test]
fn another_upper_bound_is_found() {
    fails(OpCode::DepthwiseConv2d, Family::Portable, |kernels| {
        kernels.depthwise_conv2d = |conv, input, scratch, output| {
            let activation = (conv.activation.0, conv.activation.1.max(1));
            portable::depthwise_conv2d(&Convolution { activation, ..*conv }, input, scratch, output);
        };
    });
}

#[test]
fn zero_for_padding_is_found() {
    fails(OpCode::Conv2d, Family::Portable, |kernels| {
        kernels.conv2d = |conv, input, scratch, output| {
            portable::conv2d(&Convolution { zero_point: 0, ..*conv }, input, scratch, output);
        };
    });
}

#[test]
fn a_left_shift_that_is_left_out_is_found() {
    fails(OpCode::Conv2d, Family::Portable, |kernels| {
        kernels.conv2d = |conv, input, scratch, output| {
            let channels = with_channels(conv, |channel| channel.left = 0);
            portable::conv2d(&Convolution { channels: &channels, ..*conv }, input, scratch, output);
        };
    });
}

#[test]
fn a_lowest_bit_of_the_multiplier_is_found() {
    fails(OpCode::DepthwiseConv2d, Family::Portable, |kernels| {
        kernels.depthwise_conv2d = |conv, input, scratch, output| {
            let channels = with_channels(conv, |channel| channel.multiplier &= !0xffff);
            portable::depthwise_conv2d(&Convolution { channels: &channels, ..*conv }, input, scratch, output);
        };
    });
}

#[test]
fn rounding_half_down_is_found() {
    fails(OpCode::Conv2d, Family::Portable, |kernels| {
        kernels.conv2d = |conv, input, scratch, output| {
            let channels = with_channels(conv, |channel| channel.offset -= 1);
            portable::conv2d(&Convolution { channels: &channels, ..*conv }, input, scratch, output);
        };
    });
}

#[test]
fn products_of_minus_128_cut_to_those_of_minus_127_are_found() {
    fails(OpCode::FullyConnected, Family::Portable, |kernels| {
        kernels.fully_connected = |order, weights, channels, activation, input, output| {
            fully_connected(order, weights, channels, activation, input, output, |acc, product| {
                acc.wrapping_add(product.clamp(-16129, 16129))
            });
        };
    });
}

#[test]
fn sums_of_three_products_in_sixteen_bits_are_found() {
    fails(OpCode::FullyConnected, Family::Portable, |kernels| {
        kernels.fully_connected = |order, weights, channels, activation, input, output| {
            if order.family != Family::Portable {
                return portable::fully_connected(order, weights, channels, activation, input, output);
            }
            for (row, (out, channel)) in output.iter_mut().zip(channels).enumerate() {
                let weights = &weights[row * order.k..][..order.k];
                let products: Vec<i16> =
                    input.iter().zip(weights).map(|(&x, &w)| i16::from(x) * i16::from(w)).collect();
                let acc = products.chunks(3).fold(channel.bias, |acc, products| {
                    acc.wrapping_add(products.iter().fold(0, |sum: i16, &p| sum.wrapping_add(p)).into())
                });
                *out = requantize(acc, channel, activation.0, activation.1);
            }
        };
    });
}

#[test]
fn sums_that_saturate_are_found() {
    fails(OpCode::FullyConnected, Family::Portable, |kernels| {
        kernels.fully_connected = |order, weights, channels, activation, input, output| {
            fully_connected(order, weights, channels, activation, input, output, i32::saturating_add);
        };
    });
}

/// A fully connected layer in row-major order whose sums are formed by `sum`.
fn fully_connected(
    order: MatrixOrder,
    weights: &[i8],
    channels: &[ChannelRecord],
    activation: (i8, i8),
    input: &[i8],
    output: &mut [i8],
    sum: fn(i32, i32) -> i32,
) {
    if order.family != Family::Portable {
        return portable::fully_connected(order, weights, channels, activation, input, output);
    }
    for (row, (out, channel)) in output.iter_mut().zip(channels).enumerate() {
        let products =
            input.iter().enumerate().map(|(k, &x)| i32::from(x) * i32::from(order.weight(weights, row, k)));
        *out = requantize(products.fold(channel.bias, sum), channel, activation.0, activation.1);
    }
}

#[test]
fn filling_weights_that_count_are_found() {
    fails(OpCode::FullyConnected, Family::Neon, |kernels| {
        kernels.fully_connected = |order, weights, channels, activation, input, output| {
            let longer = MatrixOrder { k: order.padded_k(), ..order };
            let mut filled = input.to_vec();
            filled.resize(longer.k, 1);
            portable::fully_connected(longer, weights, channels, activation, &filled, output);
        };
    });
}

#[test]
fn contents_of_scratch_memory_that_count_are_found() {
    fails(OpCode::Conv2d, Family::Portable, |kernels| {
        kernels.conv2d = |conv, input, scratch, output| {
            let stale = scratch.last().copied();
            portable::conv2d(conv, input, scratch, output);
            if stale.is_some_and(|byte| byte & 7 == 3) {
                output[0] = output[0].wrapping_add(1);
            }
        };
    });
}

#[test]
fn a_byte_that_is_not_written_is_found() {
    fails(OpCode::MaxPool2d, Family::Portable, |kernels| {
        kernels.max_pool2d = |window, params, zero_point, channels, input, output| {
            let before = output[output.len() - 1];
            portable::max_pool2d(window, params, zero_point, channels, input, output);
            if output.len() == 70 {
                output[69] = before;
            }
        };
    });
}

#[test]
fn a_wrong_order_in_place_is_found() {
    fails(OpCode::Add, Family::Portable, |kernels| {
        // Writes its output before it has read all of its inputs.
        kernels.add = |params, a, b, output| {
            output[0].set(0);
            portable::add(params, a, b, output);
        };
    });
}

#[test]
fn bytes_of_another_input_that_are_written_are_found() {
    fails(OpCode::Concat, Family::Portable, |kernels| {
        kernels.concat = |block, pitch, offset, input, output| {
            portable::concat(block, pitch, offset, input, output);
            if offset > 0 {
                output[offset - 1] = 7;
            }
        };
    });
}
