//! Convolutions over batches in NHWC, forward and backward.

use xtask::graph::Window;

use super::batch::Batch;
use super::tiles::{self, LANES, Lanes, Sums, Windows};

/// Pixels of images that are taken as one where each pixel is by itself: as many as stay in a processor's cache.
const PIXELS: usize = 1024;

/// A convolution, apart from its weights: these are `[taps · c_in, c_out]`, depthwise `[taps, c]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv {
    /// The window.
    pub window: Window,
    /// Input channels.
    pub c_in: usize,
    /// Output channels; depthwise, as many as input channels.
    pub c_out: usize,
    /// Each channel by itself.
    pub depthwise: bool,
}

impl Conv {
    /// A product with a matrix: a window of one element.
    pub fn dense(c_in: usize, c_out: usize) -> Self {
        let window = Window { kernel: [1; 2], stride: [1; 2], dilation: [1; 2], padding: [0; 4] };
        Self { window, c_in, c_out, depthwise: false }
    }

    fn taps(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1]
    }

    /// Products that reach one output.
    pub fn fan_in(&self) -> usize {
        self.taps() * if self.depthwise { 1 } else { self.c_in }
    }

    /// Number of weights.
    pub fn weights(&self) -> usize {
        self.fan_in() * self.c_out
    }

    /// Shape of the output for an input of this shape, `[h, w, c]`.
    pub fn output(&self, [h, w, _]: [usize; 3]) -> [usize; 3] {
        let Window { kernel, stride, dilation, padding } = self.window;
        let size = |axis: usize, size: usize| {
            let span = dilation[axis] * (kernel[axis] - 1) + 1;
            (size + padding[axis] + padding[axis + 2]).saturating_sub(span) / stride[axis] + 1
        };
        [size(0, h), size(1, w), self.c_out]
    }

    /// Whether a pixel of the output is made of the same pixel of the input.
    fn pointwise(&self) -> bool {
        self.window.kernel == [1, 1] && self.window.stride == [1, 1] && self.window.padding == [0; 4]
    }

    /// The images, or, pointwise, some of them as one line of pixels: shape and elements of each part.
    fn parts<'a>(&self, x: &'a Batch) -> impl Iterator<Item = ([usize; 3], &'a [f32])> {
        let images = if self.pointwise() { PIXELS.div_ceil(x.shape[0] * x.shape[1]) } else { 1 };
        let (one, c) = (self.pointwise(), x.channels());
        x.data
            .chunks((images * x.image()).max(1))
            .map(move |part| (if one { [1, part.len() / c, c] } else { x.shape }, part))
    }

    /// Where the taps lie, from the first, in an image of this shape; depthwise or dilated one by one, else those of a line
    /// together. With it, the elements of each.
    fn segments(&self, [_, w, c]: [usize; 3]) -> (Vec<usize>, usize) {
        let Window { kernel, dilation, .. } = self.window;
        if dilation[1] == 1 && !self.depthwise {
            return ((0..kernel[0]).map(|y| y * dilation[0] * w * c).collect(), kernel[1] * c);
        }
        let tap = |tap: usize| (tap / kernel[1] * dilation[0] * w + tap % kernel[1] * dilation[1]) * c;
        ((0..self.taps()).map(tap).collect(), c)
    }

    /// Calls with the windows of each part of x.
    fn windows(&self, x: &Batch, mut each: impl FnMut(&Windows<'_>)) {
        let Window { stride, padding, .. } = self.window;
        let mut room = Room::default();
        for (shape, part) in self.parts(x) {
            let [h, w, _] = self.output(shape);
            let (data, shape) = room.around(part, shape, padding, self.depthwise);
            let (segments, run) = self.segments(shape);
            let step = [stride[0] * shape[1] * shape[2], stride[1] * shape[2]];
            each(&Windows { data, segments: &segments, run, count: [h, w], step });
        }
    }

    /// x ∗ weights + bias; `bias` is empty where there is none.
    pub fn forward(&self, x: &Batch, weights: &[f32], bias: &[f32]) -> Batch {
        let mut y = Batch::zeros(x.n, self.output(x.shape));
        let c = self.c_out;
        if !bias.is_empty() {
            y.data.chunks_exact_mut(c).for_each(|pixel| pixel.copy_from_slice(bias));
        }
        let blocks = tiles::blocks(self.fan_in(), c, |row, channel| weights[row * c + channel]);
        let mut rest = y.data.as_mut_slice();
        self.windows(x, |windows| {
            let [h, w] = windows.count;
            let (data, others) = std::mem::take(&mut rest).split_at_mut(h * w * c);
            rest = others;
            let mut sums = Sums { data, channels: c, step: [w * c, c] };
            self.add_products()(windows, &blocks, &mut sums);
        });
        y
    }

    /// The gradients of weights and bias (which may be empty) are added to `dw` and `db`; that of x is returned where
    /// it is `wanted`.
    pub fn backward(
        &self,
        x: &Batch,
        weights: &[f32],
        dy: &Batch,
        (dw, db): (&mut [f32], &mut [f32]),
        wanted: bool,
    ) -> Option<Batch> {
        let c = self.c_out;
        if !db.is_empty() {
            for pixel in dy.data.chunks_exact(c) {
                db.iter_mut().zip(pixel).for_each(|(sum, g)| *sum += g);
            }
        }
        let mut room = Room::default();
        let mut rest = dy.data.as_slice();
        self.windows(x, |windows| {
            let [h, w] = windows.count;
            let (part, others) = rest.split_at(h * w * c);
            rest = others;
            let (dy, _) = room.around(part, [h, w, c], [0; 4], true);
            let add = if self.depthwise { tiles::depthwise_gradient } else { tiles::product_gradient };
            add(windows, dy, c, dw);
        });
        wanted.then(|| self.input_gradient(x, weights, dy))
    }

    /// The gradient of x: for each phase of the stride, a convolution of `dy` with the taps that meet it.
    fn input_gradient(&self, x: &Batch, weights: &[f32], dy: &Batch) -> Batch {
        let mut dx = Batch::zeros(x.n, x.shape);
        let Window { kernel, stride, dilation, padding } = self.window;
        let phases: Vec<Phase> = (0..stride[0] * stride[1])
            .map(|phase| self.phase([phase / stride[1], phase % stride[1]], weights))
            .collect();
        let mut room = Room::default();
        let mut rest = dx.data.as_mut_slice();
        for ((to, _), (from, part)) in self.parts(x).zip(self.parts(dy)) {
            let [h, w, c] = to;
            let (data, others) = std::mem::take(&mut rest).split_at_mut(h * w * c);
            rest = others;
            let before = [0, 1].map(|axis| dilation[axis] * (kernel[axis] - 1) / stride[axis]);
            let after = [0, 1]
                .map(|axis| ((to[axis] - 1 + padding[axis]) / stride[axis] + 1).saturating_sub(from[axis]));
            let margin = [before[0], before[1], after[0], after[1]];
            let (part, from) = room.around(part, from, margin, self.depthwise);
            let step = [from[1] * from[2], from[2]];
            for Phase { at, taps, blocks } in &phases {
                let place = |[y, x]: &[isize; 2]| {
                    y.wrapping_add_unsigned(before[0]) as usize * step[0]
                        + x.wrapping_add_unsigned(before[1]) as usize * step[1]
                };
                let segments: Vec<usize> = taps.iter().map(place).collect();
                let count = [0, 1].map(|axis| to[axis].saturating_sub(at[axis]).div_ceil(stride[axis]));
                if count.contains(&0) {
                    continue;
                }
                let windows = Windows { data: part, segments: &segments, run: from[2], count, step };
                let data = &mut data[(at[0] * w + at[1]) * c..];
                let mut sums = Sums { data, channels: c, step: [stride[0] * w * c, stride[1] * c] };
                self.add_products()(&windows, blocks, &mut sums);
            }
        }
        dx
    }

    /// The taps under which the pixels `at` of every stride lie.
    fn phase(&self, at: [usize; 2], weights: &[f32]) -> Phase {
        let Window { kernel, stride, dilation, padding } = self.window;
        let from = |axis: usize, tap: usize| {
            let place = (at[axis] + padding[axis]) as isize - (tap * dilation[axis]) as isize;
            let stride = stride[axis] as isize;
            (place % stride == 0).then_some(place / stride)
        };
        let meets = |tap: usize| Some((tap, [from(0, tap / kernel[1])?, from(1, tap % kernel[1])?]));
        let (met, taps): (Vec<usize>, _) = (0..self.taps()).filter_map(meets).unzip();
        let (c_in, c_out) = (self.c_in, self.c_out);
        let blocks = if self.depthwise {
            tiles::blocks(met.len(), c_in, |row, channel| weights[met[row] * c_in + channel])
        } else {
            tiles::blocks(met.len() * c_out, c_in, |row, channel| {
                weights[(met[row / c_out] * c_in + channel) * c_out + row % c_out]
            })
        };
        Phase { at, taps, blocks }
    }

    fn add_products(&self) -> fn(&Windows<'_>, &[Lanes], &mut Sums<'_>) {
        if self.depthwise { tiles::depthwise } else { tiles::product }
    }
}

/// What reaches every stride-th pixel of an input.
struct Phase {
    /// The first of these pixels.
    at: [usize; 2],
    /// For each tap, the output pixel that it belongs to, from the first.
    taps: Vec<[isize; 2]>,
    /// The taps' weights, transposed.
    blocks: Vec<Lanes>,
}

/// An image with zeros around it, in memory that the next image takes over.
#[derive(Default)]
struct Room {
    data: Vec<f32>,
    key: ([usize; 3], [usize; 4]),
}

impl Room {
    /// The image with zero pixels above, left, below and right, and its new shape; with `lanes`, zeros also fill each pixel
    /// up to whole blocks. The image itself where nothing is added.
    fn around<'a>(
        &'a mut self,
        image: &'a [f32],
        shape: [usize; 3],
        margin: [usize; 4],
        lanes: bool,
    ) -> (&'a [f32], [usize; 3]) {
        let [h, w, c] = shape;
        let pixel = if lanes { c.next_multiple_of(LANES) } else { c };
        if margin == [0; 4] && pixel == c {
            return (image, shape);
        }
        let to = [h + margin[0] + margin[2], w + margin[1] + margin[3], pixel];
        if self.key != (shape, margin) {
            self.key = (shape, margin);
            self.data.clear();
            self.data.resize(to.iter().product(), 0.0);
        }
        for (y, line) in image.chunks_exact(w * c).enumerate() {
            let start = ((y + margin[0]) * to[1] + margin[1]) * pixel;
            if pixel == c {
                self.data[start..][..w * c].copy_from_slice(line);
                continue;
            }
            let pixels = self.data[start..][..w * pixel].chunks_exact_mut(pixel);
            pixels.zip(line.chunks_exact(c)).for_each(|(to, from)| to[..c].copy_from_slice(from));
        }
        (&self.data, to)
    }
}
