//! Operators that move elements and change none; the formulas are in [`crate::ops::Pad`],
//! [`crate::ops::Concat`], [`crate::ops::Transpose`] and [`crate::ops::Gather`]; and [`crate::ops::ResizeLinear`], which moves
//! them between others.

use crate::format::TapRecord;

/// Copies `input` into `output` at `before`, amid `value`.
#[inline]
pub(crate) fn pad(
    before: [usize; 4],
    value: i8,
    (from, input): ([usize; 4], &[i8]),
    (to, output): ([usize; 4], &mut [i8]),
) {
    output.fill(value);
    let mut rest = input;
    for n in before[0]..before[0] + from[0] {
        for h in before[1]..before[1] + from[1] {
            for w in before[2]..before[2] + from[2] {
                let at = ((n * to[1] + h) * to[2] + w) * to[3] + before[3];
                // Every place exists; so put, it costs no panic.
                if let Some((pixel, behind)) = rest.split_at_checked(from[3])
                    && let Some(to) = output.get_mut(at..at + from[3])
                {
                    to.copy_from_slice(pixel);
                    rest = behind;
                }
            }
        }
    }
}

/// Copies blocks of `block` elements of `input` to `offset` of blocks of `pitch` elements of `output`.
#[inline]
pub(crate) fn concat(block: usize, pitch: usize, offset: usize, input: &[i8], output: &mut [i8]) {
    let mut rest = input;
    let mut at = offset;
    while let Some((from, behind)) = rest.split_at_checked(block.max(1))
        && let Some(to) = output.get_mut(at..at + block)
    {
        to.copy_from_slice(from);
        rest = behind;
        at += pitch;
    }
}

/// Copies `input` into `output`, whose axis i, of size `shape[i]`, has stride `strides[i]` in the input.
#[inline]
pub(crate) fn transpose(shape: [usize; 4], strides: [usize; 4], input: &[i8], output: &mut [i8]) {
    let mut outputs = output.iter_mut();
    for n in 0..shape[0] {
        for h in 0..shape[1] {
            for w in 0..shape[2] {
                let at = n * strides[0] + h * strides[1] + w * strides[2];
                for (c, out) in outputs.by_ref().take(shape[3]).enumerate() {
                    *out = input.get(at + c * strides[3]).copied().unwrap_or_default();
                }
            }
        }
    }
}

/// Copies blocks of `block` elements, those of `indices` out of every `pitch` elements of the input.
pub(crate) fn gather(indices: &[u16], block: usize, pitch: usize, input: &[i8], output: &mut [i8]) {
    let mut outputs = output.chunks_exact_mut(block.max(1));
    for group in input.chunks_exact(pitch.max(1)) {
        for (&index, out) in indices.iter().zip(&mut outputs) {
            let at = usize::from(index) * block;
            // Every place exists; so read, it costs no panic.
            if let Some(from) = group.get(at..at + block) {
                out.copy_from_slice(from);
            }
        }
    }
}

/// Interpolates the rows and columns of `shape`.
pub(crate) fn resize_linear(
    (rows, columns): (&[TapRecord], &[TapRecord]),
    [_, h, w, c]: [usize; 4],
    input: &[i8],
    output: &mut [i8],
) {
    let mut outputs = output.chunks_exact_mut(c.max(1));
    for image in input.chunks_exact((h * w * c).max(1)) {
        for row in rows {
            for (column, out) in columns.iter().zip(&mut outputs) {
                let pixel = |y: u16, x: u16| {
                    let at = (usize::from(y) * w + usize::from(x)) * c;
                    image.get(at..at + c).unwrap_or_default()
                };
                let (share_y, share_x) = (i32::from(row.share), i32::from(column.share));
                let (rest_y, rest_x) = (2048 - share_y, 2048 - share_x);
                let above = pixel(row.low, column.low).iter().zip(pixel(row.low, column.high));
                let below = pixel(row.high, column.low).iter().zip(pixel(row.high, column.high));
                for ((above, below), out) in above.zip(below).zip(out) {
                    let between =
                        |(left, right): (&i8, &i8)| i32::from(*left) * rest_x + i32::from(*right) * share_x;
                    let acc = between(above) * rest_y + between(below) * share_y;
                    *out = ((acc + (1 << 21)) >> 22) as i8;
                }
            }
        }
    }
}
