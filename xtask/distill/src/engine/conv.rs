//! Convolutions over batches in NHWC, forward and backward: products of matrices, or, depthwise, sums by channel.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use xtask::graph::Window;

use super::batch::Batch;

/// Rows that make a product worth while: several small images are multiplied at once.
const ROWS: usize = 256;

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

    fn pointwise(&self) -> bool {
        self.window.kernel == [1, 1] && self.window.stride == [1, 1] && self.window.padding == [0; 4]
    }

    /// Calls with output pixel, tap, the input pixel under that tap, and for how many taps from there both lie side by side
    /// inside the image; for all taps that lie there.
    #[inline]
    fn walk(&self, shape: [usize; 3], mut each: impl FnMut(usize, usize, usize, usize)) {
        let Window { kernel, stride, dilation, padding } = self.window;
        let [h, w, _] = self.output(shape);
        for oy in 0..h {
            for ky in 0..kernel[0] {
                let y = (oy * stride[0] + ky * dilation[0]).wrapping_sub(padding[0]);
                if y >= shape[0] {
                    continue;
                }
                for ox in 0..w {
                    let (pixel, first) = (oy * w + ox, (ox * stride[1]).wrapping_sub(padding[1]));
                    if dilation[1] == 1 {
                        let before = 0usize.wrapping_sub(first);
                        let skip = if before <= padding[1] { before } else { 0 };
                        let x = first.wrapping_add(skip);
                        let run = kernel[1].saturating_sub(skip).min(shape[1].saturating_sub(x));
                        if run > 0 {
                            each(pixel, ky * kernel[1] + skip, y * shape[1] + x, run);
                        }
                        continue;
                    }
                    for kx in 0..kernel[1] {
                        let x = first.wrapping_add(kx * dilation[1]);
                        if x < shape[1] {
                            each(pixel, ky * kernel[1] + kx, y * shape[1] + x, 1);
                        }
                    }
                }
            }
        }
    }

    /// The input elements under all taps, one row an output pixel; `images` themselves where that is the same.
    fn columns<'a>(&self, images: &'a [f32], shape: [usize; 3], columns: &'a mut Vec<f32>) -> &'a [f32] {
        if self.pointwise() {
            return images;
        }
        let (c, k) = (self.c_in, self.fan_in());
        let [h, w, _] = self.output(shape);
        let image = shape.iter().product::<usize>();
        columns.clear();
        columns.resize(images.len() / image * h * w * k, 0.0);
        for (x, rows) in images.chunks_exact(image).zip(columns.chunks_exact_mut(h * w * k)) {
            self.walk(shape, |pixel, tap, from, run| {
                rows[pixel * k + tap * c..][..run * c].copy_from_slice(&x[from * c..][..run * c]);
            });
        }
        columns
    }

    /// x ∗ weights + bias; `bias` is empty where there is none.
    pub fn forward(&self, x: &Batch, weights: &[f32], bias: &[f32]) -> Batch {
        let mut y = Batch::zeros(x.n, self.output(x.shape));
        if !bias.is_empty() {
            y.data.chunks_exact_mut(self.c_out).for_each(|pixel| pixel.copy_from_slice(bias));
        }
        let [image, out, c] = [x.image(), y.image(), self.c_out];
        if self.depthwise {
            for (x_image, y_image) in x.data.chunks_exact(image).zip(y.data.chunks_exact_mut(out)) {
                self.walk(x.shape, |pixel, tap, from, run| {
                    let sums = &mut y_image[pixel * c..][..c];
                    let taps = x_image[from * c..][..run * c].chunks_exact(c);
                    for (x, weights) in taps.zip(weights[tap * c..].chunks_exact(c)) {
                        let products = x.iter().zip(weights);
                        sums.iter_mut().zip(products).for_each(|(sum, (x, w))| *sum += x * w);
                    }
                });
            }
            return y;
        }
        let weights = matrix(weights, self.fan_in());
        let mut columns = Vec::new();
        let group = ROWS.div_ceil(out / c);
        for (images, y) in x.data.chunks(group * image).zip(y.data.chunks_mut(group * out)) {
            let rows = y.len() / c;
            let a = matrix(self.columns(images, x.shape, &mut columns), rows);
            general_mat_mul(1.0, &a, &weights, 1.0, &mut matrix_mut(y, rows));
        }
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
        let [image, out] = [x.image(), dy.image()];
        let mut dx = Batch::zeros(if wanted { x.n } else { 0 }, x.shape);
        if self.depthwise {
            for (i, (x_image, dy)) in x.data.chunks_exact(image).zip(dy.data.chunks_exact(out)).enumerate() {
                self.walk(x.shape, |pixel, tap, from, run| {
                    let dy = &dy[pixel * c..][..c];
                    let taps = x_image[from * c..][..run * c].chunks_exact(c);
                    for (x, sums) in taps.zip(dw[tap * c..].chunks_exact_mut(c)) {
                        let products = x.iter().zip(dy);
                        sums.iter_mut().zip(products).for_each(|(sum, (x, g))| *sum += x * g);
                    }
                });
                let Some(dx) = dx.data.get_mut(i * image..(i + 1) * image) else { continue };
                self.walk(x.shape, |pixel, tap, from, run| {
                    let dy = &dy[pixel * c..][..c];
                    let taps = dx[from * c..][..run * c].chunks_exact_mut(c);
                    for (sums, weights) in taps.zip(weights[tap * c..].chunks_exact(c)) {
                        let products = dy.iter().zip(weights);
                        sums.iter_mut().zip(products).for_each(|(sum, (g, w))| *sum += g * w);
                    }
                });
            }
            return wanted.then_some(dx);
        }
        let k = self.fan_in();
        let weights = matrix(weights, k);
        let mut dw = matrix_mut(dw, k);
        let (mut columns, mut gradient) = (Vec::new(), Vec::new());
        let group = ROWS.div_ceil(out / c);
        for (i, (images, dy)) in x.data.chunks(group * image).zip(dy.data.chunks(group * out)).enumerate() {
            let rows = dy.len() / c;
            let dy = matrix(dy, rows);
            let a = matrix(self.columns(images, x.shape, &mut columns), rows);
            general_mat_mul(1.0, &a.t(), &dy, 1.0, &mut dw);
            if !wanted {
                continue;
            }
            let dx = &mut dx.data[i * group * image..][..images.len()];
            if self.pointwise() {
                general_mat_mul(1.0, &dy, &weights.t(), 0.0, &mut matrix_mut(dx, rows));
                continue;
            }
            gradient.resize(rows * k, 0.0);
            general_mat_mul(1.0, &dy, &weights.t(), 0.0, &mut matrix_mut(&mut gradient, rows));
            let per_image = rows / (images.len() / image) * k;
            for (dx, rows) in dx.chunks_exact_mut(image).zip(gradient.chunks_exact(per_image)) {
                self.walk(x.shape, |pixel, tap, from, run| {
                    let from = &mut dx[from * self.c_in..][..run * self.c_in];
                    let row = &rows[pixel * k + tap * self.c_in..][..run * self.c_in];
                    from.iter_mut().zip(row).for_each(|(sum, g)| *sum += g);
                });
            }
        }
        wanted.then_some(dx)
    }
}

fn matrix(data: &[f32], rows: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((rows, data.len() / rows.max(1)), data).expect("whole rows")
}

fn matrix_mut(data: &mut [f32], rows: usize) -> ArrayViewMut2<'_, f32> {
    let columns = data.len() / rows.max(1);
    ArrayViewMut2::from_shape((rows, columns), data).expect("whole rows")
}
