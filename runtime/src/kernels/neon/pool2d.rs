//! Averages over windows, sixteen channels at a time; the formula is in [`crate::ops::AveragePool2d`]. The loops over a block
//! are plain: the compiler turns them into vector instructions.

use crate::format::Pool2dParams;
use crate::kernels::portable;
use crate::kernels::window::Window;

/// Channels in a block.
const BLOCK: usize = 16;

/// Averages over windows of `input` `[n, h, w, channels]`.
pub(crate) fn average_pool2d(
    window: &Window,
    params: &Pool2dParams,
    zero_point: i8,
    channels: usize,
    input: &[i8],
    output: &mut [i8],
) {
    let Window { y, x } = *window;
    let mut pixels = output.chunks_exact_mut(channels.max(1));
    for image in input.chunks_exact(window.image(channels).max(1)) {
        for (oy, ox) in (0..y.output).flat_map(|oy| (0..x.output).map(move |ox| (oy, ox))) {
            let Some(pixel) = pixels.next() else { return };
            let (rows, columns) = (y.positions(oy), x.positions(ox));
            let inside = (rows.len() * columns.len()) as i32;
            let count = if params.count_padding == 1 { window.taps() as i32 } else { inside };
            let padding = (count - inside).wrapping_mul(zero_point.into());
            for (block, out) in pixel.chunks_mut(BLOCK).enumerate() {
                let mut sums = [padding; BLOCK];
                for at in rows.clone().flat_map(|y| columns.clone().map(move |x| (y, x))) {
                    let first = (at.0 * x.input + at.1) * channels + block * BLOCK;
                    add(&mut sums, &image[first..first + out.len()]);
                }
                for (out, sum) in out.iter_mut().zip(sums) {
                    let q = match count {
                        0 => zero_point.into(),
                        _ => portable::average(sum, count, params),
                    };
                    *out = q.max(params.activation_min.into()).min(params.activation_max.into()) as i8;
                }
            }
        }
    }
}

#[inline(always)]
fn add(sums: &mut [i32; BLOCK], elements: &[i8]) {
    if let Ok(elements) = <&[i8; BLOCK]>::try_from(elements) {
        sums.iter_mut().zip(elements).for_each(|(sum, &x)| *sum += i32::from(x));
    } else {
        sums.iter_mut().zip(elements).for_each(|(sum, &x)| *sum += i32::from(x));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::window::Axis;
    use crate::kernels::{cases, portable};
    use crate::tests::random::{Bytes, activation};

    proptest! {
        #![proptest_config(cases::config())]

        #[test]
        fn average_pool2d_equals_portable(
            sizes in proptest::array::uniform2((1usize..8, 1usize..7, 1usize..6, 1usize..4, 0usize..7)),
            channels in 1usize..40,
            activation in activation(), count_padding in 0u8..2, ties_away in 0u8..2, zero_point in any::<i8>(), seed in any::<u64>(),
        ) {
            let [y, x] = sizes.map(|(input, output, kernel, stride, padding)| {
                Axis { input, output, kernel, stride, dilation: 1, padding }
            });
            let window = Window { y, x };
            let input = Bytes::new(seed).vec(2 * window.image(channels));
            let pair = |f: fn(&Axis) -> usize| [f(&y) as u16, f(&x) as u16];
            let params = Pool2dParams {
                kernel: pair(|axis| axis.kernel),
                stride: pair(|axis| axis.stride),
                padding: pair(|axis| axis.padding),
                count_padding,
                ties_away,
                activation_min: activation.0,
                activation_max: activation.1,
            };
            let [expected, found] = [portable::average_pool2d, average_pool2d].map(|kernel| {
                let mut output = vec![99; 2 * y.output * x.output * channels].into_boxed_slice();
                kernel(&window, &params, zero_point, channels, &input, &mut output);
                output
            });
            prop_assert_eq!(expected, found);
        }
    }
}
