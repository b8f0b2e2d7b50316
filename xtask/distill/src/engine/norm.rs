//! Batch normalization by channel, over the samples that one thread holds (ghost batches: Hoffer, Hubara, Soudry,
//! arXiv:1705.08741), so that a step gives the same bits on any number of threads.

use super::batch::Batch;

/// Added to the variance.
pub const EPSILON: f32 = 1e-3;

/// What the backward pass needs of a forward pass in training.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    /// Mean by channel.
    pub mean: Vec<f32>,
    /// Variance by channel.
    pub variance: Vec<f32>,
}

/// Mean and variance of each channel.
pub fn moments(x: &Batch) -> Moments {
    let c = x.channels();
    let count = (x.data.len() / c).max(1) as f32;
    let mut mean = vec![0f32; c];
    for pixel in x.data.chunks_exact(c) {
        mean.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += x);
    }
    mean.iter_mut().for_each(|sum| *sum /= count);
    let mut variance = vec![0f32; c];
    for pixel in x.data.chunks_exact(c) {
        let differences = pixel.iter().zip(&mean).map(|(x, mean)| x - mean);
        variance.iter_mut().zip(differences).for_each(|(sum, d)| *sum += d * d);
    }
    variance.iter_mut().for_each(|sum| *sum /= count);
    Moments { mean, variance }
}

/// (x − mean) ⁄ √(variance + ε) · scale + offset.
pub fn forward(x: &Batch, moments: &Moments, scale: &[f32], offset: &[f32]) -> Batch {
    let c = x.channels();
    let factors: Vec<f32> = factors(moments).zip(scale).map(|(inverse, scale)| inverse * scale).collect();
    let terms: Vec<f32> =
        moments.mean.iter().zip(&factors).zip(offset).map(|((m, f), offset)| offset - m * f).collect();
    let mut data = Vec::with_capacity(x.data.len());
    for pixel in x.data.chunks_exact(c) {
        data.extend(pixel.iter().zip(&factors).zip(&terms).map(|((x, f), t)| x * f + t));
    }
    Batch { data, ..*x }
}

/// The gradient of x; those of scale and offset are added. The moments are those of x itself.
pub fn backward(
    x: &Batch,
    moments: &Moments,
    scale: &[f32],
    mut dy: Batch,
    d_scale: &mut [f32],
    d_offset: &mut [f32],
) -> Batch {
    let c = x.channels();
    let count = (x.data.len() / c).max(1) as f32;
    let inverse: Vec<f32> = factors(moments).collect();
    let (mut sums, mut products) = (vec![0f32; c], vec![0f32; c]);
    for (x, dy) in x.data.chunks_exact(c).zip(dy.data.chunks_exact(c)) {
        let to = sums.iter_mut().zip(&mut products);
        for ((x, dy), ((sum, product), mean)) in x.iter().zip(dy).zip(to.zip(&moments.mean)) {
            *sum += dy;
            *product += dy * (x - mean);
        }
    }
    products.iter_mut().zip(&inverse).for_each(|(product, inverse)| *product *= inverse);
    d_scale.iter_mut().zip(&products).for_each(|(d, p)| *d += p);
    d_offset.iter_mut().zip(&sums).for_each(|(d, s)| *d += s);
    // scale ⁄ σ · (dy − Σdy ⁄ count − x̂ · Σ(dy · x̂) ⁄ count), as a · dy + b · (x − mean) + c.
    let a: Vec<f32> = scale.iter().zip(&inverse).map(|(scale, inverse)| scale * inverse).collect();
    let b: Vec<f32> = (0..c).map(|i| -a[i] * inverse[i] * products[i] / count).collect();
    let terms: Vec<f32> = a.iter().zip(&sums).map(|(a, sum)| -a * sum / count).collect();
    for (x, dy) in x.data.chunks_exact(c).zip(dy.data.chunks_exact_mut(c)) {
        let channels = a.iter().zip(&b).zip(&terms).zip(&moments.mean);
        for ((dy, x), (((a, b), term), mean)) in dy.iter_mut().zip(x).zip(channels) {
            *dy = a * *dy + b * (x - mean) + term;
        }
    }
    dy
}

fn factors(moments: &Moments) -> impl Iterator<Item = f32> {
    moments.variance.iter().map(|variance| 1.0 / (variance + EPSILON).sqrt())
}
