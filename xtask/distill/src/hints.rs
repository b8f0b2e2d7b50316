//! Inner values of the student that follow the teacher's: matched layers, attention, similarity.

use serde::{Deserialize, Serialize};

use crate::engine::batch::Batch;
use crate::engine::net::ValueId;

/// `[[distill.hint]]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hint {
    /// What is compared.
    pub kind: Kind,
    /// Name of the teacher's value in its ONNX file, `[1, c, h, w]`.
    pub teacher: String,
    /// Name of the student's layer.
    pub student: String,
    /// Weight in the loss.
    pub weight: f32,
}

/// What of two values is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// All elements, of values of one shape: mean squared error (FitNets: Romero et al., arXiv:1412.6550).
    Feature,
    /// Where on the image the channels' squares are large, each map divided by its norm (Zagoruyko and Komodakis,
    /// arXiv:1612.03928).
    Attention,
    /// Which samples of a step are alike: products of all pairs, each row divided by its norm (Tung and Mori,
    /// arXiv:1907.09682).
    Similarity,
}

/// The teacher's values of the samples of a shard, channels first.
pub struct Given {
    /// The student's value.
    pub value: ValueId,
    /// What is compared.
    pub kind: Kind,
    /// Weight.
    pub weight: f32,
    /// One row a sample.
    pub rows: Vec<Vec<f32>>,
}

impl Given {
    /// Loss over the shard (mean over samples) and its gradient, times the weight.
    pub fn loss(&self, student: &Batch) -> (f32, Batch) {
        let mut gradient = Batch::zeros(student.n, student.shape);
        let loss = match self.kind {
            Kind::Feature => self.feature(student, &mut gradient),
            Kind::Attention => self.attention(student, &mut gradient),
            Kind::Similarity => self.similarity(student, &mut gradient),
        };
        gradient.data.iter_mut().for_each(|g| *g *= self.weight);
        (loss * self.weight, gradient)
    }

    fn feature(&self, student: &Batch, gradient: &mut Batch) -> f32 {
        let ([h, w, c], n) = (student.shape, student.data.len() as f32);
        let image = student.image();
        let mut loss = 0.0;
        for (i, (x, g)) in student.data.iter().zip(&mut gradient.data).enumerate() {
            let at = i % image;
            let difference = x - self.rows[i / image][(at % c) * h * w + at / c];
            loss += difference * difference / n;
            *g = 2.0 * difference / n;
        }
        loss
    }

    fn attention(&self, student: &Batch, gradient: &mut Batch) -> f32 {
        let [h, w, c] = student.shape;
        let (pixels, n) = (h * w, student.n as f32);
        let mut loss = 0.0;
        let images = student.data.chunks_exact(pixels * c).zip(gradient.data.chunks_exact_mut(pixels * c));
        for ((x, g), teacher) in images.zip(&self.rows) {
            let map: Vec<f32> = x.chunks_exact(c).map(|pixel| pixel.iter().map(|x| x * x).sum()).collect();
            let mut wanted = vec![0f32; pixels];
            for plane in teacher.chunks_exact(pixels) {
                wanted.iter_mut().zip(plane).for_each(|(sum, x)| *sum += x * x);
            }
            let (value, d_map) = normalized(&map, &wanted);
            loss += value / n;
            for ((x, g), d) in x.chunks_exact(c).zip(g.chunks_exact_mut(c)).zip(d_map) {
                x.iter().zip(g).for_each(|(x, g)| *g = 2.0 * x * d / n);
            }
        }
        loss
    }

    fn similarity(&self, student: &Batch, gradient: &mut Batch) -> f32 {
        let (count, n) = (student.image(), student.n);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let x: Vec<&[f32]> = student.data.chunks_exact(count).collect();
        let mut loss = 0.0;
        for i in 0..n {
            let row: Vec<f32> = (0..n).map(|j| dot(x[i], x[j])).collect();
            let wanted: Vec<f32> = (0..n).map(|j| dot(&self.rows[i], &self.rows[j])).collect();
            let (value, d_row) = normalized(&row, &wanted);
            loss += value / n as f32;
            for (j, d) in d_row.into_iter().enumerate() {
                let d = d / n as f32;
                // The product of i and j depends on both.
                let mut add = |to: usize, from: &[f32]| {
                    let sums = &mut gradient.data[to * count..][..count];
                    sums.iter_mut().zip(from).for_each(|(sum, x)| *sum += d * x);
                };
                add(i, x[j]);
                add(j, x[i]);
            }
        }
        loss
    }
}

/// |a ⁄ ‖a‖ − b ⁄ ‖b‖|² and its gradient with respect to a.
fn normalized(a: &[f32], b: &[f32]) -> (f32, Vec<f32>) {
    let norm = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
    let (a_norm, b_norm) = (norm(a), norm(b));
    let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a / a_norm - b / b_norm).collect();
    let loss = difference.iter().map(|d| d * d).sum();
    let along: f32 = difference.iter().zip(a).map(|(d, a)| d * a / a_norm).sum();
    let gradient = difference.iter().zip(a).map(|(d, a)| 2.0 * (d - along * a / a_norm) / a_norm).collect();
    (loss, gradient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use still8_validation::random::SplitMix64;

    #[test]
    fn gradients_hold() {
        let mut random = SplitMix64::new(5);
        let mut numbers =
            |count: usize| -> Vec<f32> { (0..count).map(|_| random.uniform([-1.0, 1.0])).collect() };
        let student = Batch { n: 3, shape: [2, 2, 2], data: numbers(24) };
        for (kind, teacher) in [(Kind::Feature, 8), (Kind::Attention, 12), (Kind::Similarity, 5)] {
            let rows = (0..3).map(|_| numbers(teacher)).collect();
            let given = Given { value: 0, kind, weight: 0.7, rows };
            let (_, gradient) = given.loss(&student);
            for i in 0..24 {
                let at = |offset: f32| {
                    let mut moved = student.clone();
                    moved.data[i] += offset;
                    f64::from(given.loss(&moved).0)
                };
                let expected = (at(1e-2) - at(-1e-2)) / 2e-2;
                let found = f64::from(gradient.data[i]);
                assert!(
                    (found - expected).abs() < 3e-3 * (1.0 + expected.abs()),
                    "{kind:?}: {found} is not {expected}"
                );
            }
        }
    }
}
