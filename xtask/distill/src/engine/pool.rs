//! Pools over h and w.

use super::batch::Batch;

/// Mean of each channel.
pub fn mean(x: &Batch) -> Batch {
    let (c, pixels) = (x.channels(), x.shape[0] * x.shape[1]);
    let mut y = Batch::zeros(x.n, [1, 1, c]);
    for (image, y) in x.data.chunks_exact(pixels * c).zip(y.data.chunks_exact_mut(c)) {
        for pixel in image.chunks_exact(c) {
            y.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += x);
        }
        y.iter_mut().for_each(|sum| *sum /= pixels as f32);
    }
    y
}

/// Gradient of [`mean`].
pub fn mean_backward(x: &Batch, dy: &Batch) -> Batch {
    let (c, pixels) = (x.channels(), x.shape[0] * x.shape[1]);
    let mut dx = Batch::zeros(x.n, x.shape);
    for (image, dy) in dx.data.chunks_exact_mut(pixels * c).zip(dy.data.chunks_exact(c)) {
        for pixel in image.chunks_exact_mut(c) {
            pixel.iter_mut().zip(dy).for_each(|(x, dy)| *x = dy / pixels as f32);
        }
    }
    dx
}

/// Largest of each window of `size`, which moves by its own size; what does not fill one is left out.
pub fn max(x: &Batch, size: [usize; 2]) -> Batch {
    let mut y = Batch::zeros(x.n, [x.shape[0] / size[0], x.shape[1] / size[1], x.channels()]);
    y.data.fill(f32::NEG_INFINITY);
    let image = y.image();
    for (n, y) in y.data.chunks_exact_mut(image).enumerate() {
        windows(x, size, n, |from, to| y[to] = y[to].max(x.data[from]));
    }
    y
}

/// Gradient of [`max`]: to the first of the largest.
pub fn max_backward(x: &Batch, dy: &Batch, size: [usize; 2]) -> Batch {
    let y = max(x, size);
    let mut dx = Batch::zeros(x.n, x.shape);
    let image = y.image();
    for n in 0..x.n {
        let mut taken = vec![false; image];
        windows(x, size, n, |from, to| {
            if !taken[to] && x.data[from] == y.data[n * image + to] {
                taken[to] = true;
                dx.data[from] = dy.data[n * image + to];
            }
        });
    }
    dx
}

/// Calls with the index of an input element (in the batch) and of its output element (in the image).
fn windows(x: &Batch, size: [usize; 2], n: usize, mut each: impl FnMut(usize, usize)) {
    let [h, w, c] = x.shape;
    let (rows, columns) = (h / size[0], w / size[1]);
    for y in 0..rows * size[0] {
        for column in 0..columns * size[1] {
            for channel in 0..c {
                let from = n * h * w * c + (y * w + column) * c + channel;
                each(from, ((y / size[0]) * columns + column / size[1]) * c + channel);
            }
        }
    }
}
