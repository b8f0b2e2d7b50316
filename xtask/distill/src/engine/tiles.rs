//! Sums of products over the pixels of an image, in tiles that stay in registers, compiled for several processors.
//!
//! A general product of matrices would first copy every window into a row of its own, then pack the rows: on layers of
//! few channels that costs more than the products. Here a window is read where it lies.

use fearless_simd::{Level, Simd, SimdBase, SimdFloat, dispatch, f32x16};

/// Output channels of a tile: one register of AVX-512, two of AVX2, four of NEON.
pub const LANES: usize = 16;

/// The lanes of one row of a block of channels.
pub type Lanes = [f32; LANES];

/// The windows of an image, one a row of a matrix: each is made of segments, which begin at fixed distances from it.
pub struct Windows<'a> {
    /// The image; all windows lie inside.
    pub data: &'a [f32],
    /// Where the segments begin, from the window's first element.
    pub segments: &'a [usize],
    /// Elements of a segment; depthwise, where a segment is one pixel, of no concern.
    pub run: usize,
    /// Lines of windows, and windows of a line.
    pub count: [usize; 2],
    /// Elements from a line to the next, and from a window to the next.
    pub step: [usize; 2],
}

/// Where sums are added, a pixel a window.
pub struct Sums<'a> {
    /// The elements.
    pub data: &'a mut [f32],
    /// Channels.
    pub channels: usize,
    /// Elements from a line to the next, and from a pixel to the next.
    pub step: [usize; 2],
}

/// Rows of `channels` elements as blocks of lanes, zero behind the last channel: all rows of the first block, then of the next.
pub fn blocks(rows: usize, channels: usize, at: impl Fn(usize, usize) -> f32) -> Vec<Lanes> {
    let lane = |row: usize, channel: usize| if channel < channels { at(row, channel) } else { 0.0 };
    let block = |block: usize| {
        let row = move |row| std::array::from_fn(|i| lane(row, block * LANES + i));
        (0..rows).map(row)
    };
    (0..channels.div_ceil(LANES)).flat_map(block).collect()
}

/// Calls `$tile` with the first of up to `$rows` of `$count` and with their number, a constant: a power of two up to 8.
macro_rules! in_tiles {
    ($count:expr, $rows:expr, |$at:ident, $size:ident| $tile:expr) => {{
        let mut $at = 0;
        while $at < $count {
            match ($count - $at).min($rows) {
                8.. => in_tiles!(@tile 8, $at, $size, $tile),
                4.. => in_tiles!(@tile 4, $at, $size, $tile),
                2.. => in_tiles!(@tile 2, $at, $size, $tile),
                _ => in_tiles!(@tile 1, $at, $size, $tile),
            }
        }
    }};
    (@tile $number:literal, $at:ident, $size:ident, $tile:expr) => {{
        const $size: usize = $number;
        $tile;
        $at += $size;
    }};
}

/// Rows of a tile: with the narrower vectors, lanes take more than one register.
#[inline(always)]
fn rows<S: Simd>() -> usize {
    if S::f32s::LEN >= LANES { 8 } else { 4 }
}

/// Adds windows times a matrix, whose `blocks` are given.
pub fn product(windows: &Windows<'_>, blocks: &[Lanes], sums: &mut Sums<'_>) {
    dispatch!(Level::new(), simd => product_by(simd, windows, blocks, sums));
}

#[inline(always)]
fn product_by<S: Simd>(simd: S, windows: &Windows<'_>, blocks: &[Lanes], sums: &mut Sums<'_>) {
    let height = windows.segments.len() * windows.run;
    for line in 0..windows.count[0] {
        for (block, matrix) in blocks.chunks_exact(height.max(1)).enumerate() {
            in_tiles!(windows.count[1], rows::<S>(), |at, SIZE| {
                let mut tile = [f32x16::splat(simd, 0.0); SIZE];
                let start = windows.start([line, at]);
                for (segment, matrix) in windows.segments.iter().zip(matrix.chunks_exact(windows.run)) {
                    let mut segments = [&windows.data[..0]; SIZE];
                    for (i, from) in segments.iter_mut().enumerate() {
                        *from = &windows.data[start + i * windows.step[1] + segment..][..matrix.len()];
                    }
                    // Four elements of each window at a time, so that finding them costs little beside the products.
                    let (groups, rest) = matrix.as_chunks::<4>();
                    for (group, rows) in groups.iter().enumerate() {
                        let rows = [0, 1, 2, 3].map(|k| f32x16::from_slice(simd, &rows[k]));
                        for i in 0..SIZE {
                            let x: &[f32; 4] = segments[i][group * 4..].first_chunk().expect("inside");
                            for k in 0..4 {
                                tile[i] = f32x16::splat(simd, x[k]).mul_add(rows[k], tile[i]);
                            }
                        }
                    }
                    for (k, row) in (groups.len() * 4..).zip(rest) {
                        let row = f32x16::from_slice(simd, row);
                        for i in 0..SIZE {
                            tile[i] = f32x16::splat(simd, segments[i][k]).mul_add(row, tile[i]);
                        }
                    }
                }
                sums.add([line, at], block, &tile);
            });
        }
    }
}

/// Adds transposed windows times `dy`, whose rows are whole blocks of lanes, to a matrix of `channels` columns.
pub fn product_gradient(windows: &Windows<'_>, dy: &[f32], channels: usize, matrix: &mut [f32]) {
    dispatch!(Level::new(), simd => product_gradient_by(simd, windows, dy, channels, matrix));
}

#[inline(always)]
fn product_gradient_by<S: Simd>(
    simd: S,
    windows: &Windows<'_>,
    dy: &[f32],
    channels: usize,
    matrix: &mut [f32],
) {
    let (dy, _) = dy.as_chunks::<LANES>();
    let count = channels.div_ceil(LANES);
    for (index, &segment) in windows.segments.iter().enumerate() {
        for block in 0..count {
            in_tiles!(windows.run, rows::<S>(), |at, SIZE| {
                let mut tile = [f32x16::splat(simd, 0.0); SIZE];
                for line in 0..windows.count[0] {
                    let dy = &dy[line * windows.count[1] * count..][..windows.count[1] * count];
                    let from = &windows.data[windows.start([line, 0]) + segment + at..];
                    for (column, dy) in dy.chunks_exact(count).enumerate() {
                        let x: &[f32; SIZE] = from[column * windows.step[1]..].first_chunk().expect("inside");
                        let dy = f32x16::from_slice(simd, &dy[block]);
                        for i in 0..SIZE {
                            tile[i] = f32x16::splat(simd, x[i]).mul_add(dy, tile[i]);
                        }
                    }
                }
                let rows = &mut matrix[(index * windows.run + at) * channels..];
                add_rows(rows, channels, block, &tile);
            });
        }
    }
}

/// Adds windows of one pixel a segment times a row of weights a segment, channel by channel; pixels are whole blocks of lanes.
pub fn depthwise(windows: &Windows<'_>, blocks: &[Lanes], sums: &mut Sums<'_>) {
    dispatch!(Level::new(), simd => depthwise_by(simd, windows, blocks, sums));
}

#[inline(always)]
fn depthwise_by<S: Simd>(simd: S, windows: &Windows<'_>, blocks: &[Lanes], sums: &mut Sums<'_>) {
    for line in 0..windows.count[0] {
        for (block, weights) in blocks.chunks_exact(windows.segments.len().max(1)).enumerate() {
            in_tiles!(windows.count[1], rows::<S>(), |at, SIZE| {
                let mut tile = [f32x16::splat(simd, 0.0); SIZE];
                let start = windows.start([line, at]) + block * LANES;
                for (segment, weights) in windows.segments.iter().zip(weights) {
                    let weights = f32x16::from_slice(simd, weights);
                    let from = &windows.data[start + segment..];
                    for (i, sum) in tile.iter_mut().enumerate() {
                        let x = f32x16::from_slice(simd, &from[i * windows.step[1]..][..LANES]);
                        *sum = x.mul_add(weights, *sum);
                    }
                }
                sums.add([line, at], block, &tile);
            });
        }
    }
}

/// Adds, channel by channel, windows times `dy` to the weights' gradients, a row of `channels` a segment.
pub fn depthwise_gradient(windows: &Windows<'_>, dy: &[f32], channels: usize, weights: &mut [f32]) {
    dispatch!(Level::new(), simd => depthwise_gradient_by(simd, windows, dy, channels, weights));
}

#[inline(always)]
fn depthwise_gradient_by<S: Simd>(
    simd: S,
    windows: &Windows<'_>,
    dy: &[f32],
    channels: usize,
    weights: &mut [f32],
) {
    let (dy, _) = dy.as_chunks::<LANES>();
    let count = channels.div_ceil(LANES);
    for block in 0..count {
        in_tiles!(windows.segments.len(), rows::<S>(), |at, SIZE| {
            let segments: &[usize; SIZE] = windows.segments[at..].first_chunk().expect("inside");
            let mut tile = [f32x16::splat(simd, 0.0); SIZE];
            for line in 0..windows.count[0] {
                let dy = &dy[line * windows.count[1] * count..][..windows.count[1] * count];
                for (column, dy) in dy.chunks_exact(count).enumerate() {
                    let from = &windows.data[windows.start([line, column]) + block * LANES..];
                    let dy = f32x16::from_slice(simd, &dy[block]);
                    for i in 0..SIZE {
                        let x = f32x16::from_slice(simd, &from[segments[i]..][..LANES]);
                        tile[i] = x.mul_add(dy, tile[i]);
                    }
                }
            }
            add_rows(&mut weights[at * channels..], channels, block, &tile);
        });
    }
}

impl Windows<'_> {
    #[inline(always)]
    fn start(&self, [line, column]: [usize; 2]) -> usize {
        line * self.step[0] + column * self.step[1]
    }
}

impl Sums<'_> {
    #[inline(always)]
    fn add<S: Simd>(&mut self, [line, column]: [usize; 2], block: usize, tile: &[f32x16<S>]) {
        for (i, lanes) in tile.iter().enumerate() {
            let start = line * self.step[0] + (column + i) * self.step[1] + block * LANES;
            add_lanes(&mut self.data[start..], self.channels - block * LANES, *lanes);
        }
    }
}

#[inline(always)]
fn add_rows<S: Simd>(rows: &mut [f32], channels: usize, block: usize, tile: &[f32x16<S>]) {
    for (i, lanes) in tile.iter().enumerate() {
        add_lanes(&mut rows[i * channels + block * LANES..], channels - block * LANES, *lanes);
    }
}

/// Adds as many lanes as there are channels left.
#[inline(always)]
fn add_lanes<S: Simd>(to: &mut [f32], left: usize, lanes: f32x16<S>) {
    let mut sums = [0f32; LANES];
    lanes.store_slice(&mut sums);
    to.iter_mut().zip(&sums[..left.min(LANES)]).for_each(|(to, sum)| *to += sum);
}
