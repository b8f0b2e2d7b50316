//! Losses and their gradients with respect to the student's output.

use crate::config::Loss;
use crate::engine::batch::Batch;

/// Softmax of logits over a temperature.
pub fn softmax(logits: impl Iterator<Item = f32>, temperature: f32) -> Vec<f32> {
    let scaled: Vec<f32> = logits.map(|z| z / temperature).collect();
    let most = scaled.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut powers: Vec<f32> = scaled.iter().map(|z| (z - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter_mut().for_each(|p| *p /= sum);
    powers
}

/// What an output is held to.
pub struct Target<'a> {
    /// Class.
    pub label: Option<usize>,
    /// What the teacher says.
    pub teacher: Option<&'a [f32]>,
}

/// (1 − share) · cross-entropy(label) + share · T² · KL(teacher ⁄ T ‖ student ⁄ T) (Hinton, Vinyals, Dean,
/// arXiv:1503.02531), of one sample, where the recipe says so between standardized logits; the gradient is written to
/// `gradient`. What is missing leaves all weight to the other.
pub fn classification(z: &[f32], target: &Target<'_>, of: Loss, gradient: &mut [f32]) -> f32 {
    let share = match (target.label, target.teacher) {
        (None, _) => 1.0,
        (_, None) => 0.0,
        _ => of.teacher,
    };
    let mut loss = 0.0;
    gradient.fill(0.0);
    if let (Some(label), true) = (target.label, share < 1.0) {
        let p = softmax(z.iter().copied(), 1.0);
        loss -= (1.0 - share) * p[label].max(1e-30).ln();
        for (class, (g, p)) in gradient.iter_mut().zip(&p).enumerate() {
            *g += (1.0 - share) * (p - f32::from(u8::from(class == label)));
        }
    }
    if let (Some(teacher), true) = (target.teacher, share > 0.0) {
        let t = of.temperature;
        let standard = |z: &[f32]| if of.standardize { standardized(z) } else { (z.to_vec(), 1.0) };
        let ((teacher, _), (student, deviation)) = (standard(teacher), standard(z));
        let p = softmax(teacher.iter().copied(), t);
        let q = softmax(student.iter().copied(), t);
        for (p, q) in p.iter().zip(&q).filter(|(p, _)| **p > 0.0) {
            loss += share * t * t * p * (p / q.max(1e-30)).ln();
        }
        let mut inner: Vec<f32> = p.iter().zip(&q).map(|(p, q)| share * t * (q - p)).collect();
        if of.standardize {
            // The gradient of z from that of (z − mean) ⁄ deviation; the sum of `inner` is 0.
            let n = z.len() as f32;
            let along = inner.iter().zip(&student).map(|(g, u)| g * u).sum::<f32>() / n;
            inner.iter_mut().zip(&student).for_each(|(g, u)| *g = (*g - u * along) / deviation);
        }
        gradient.iter_mut().zip(&inner).for_each(|(g, inner)| *g += inner);
    }
    loss
}

/// Logits with mean 0 and deviation 1, and the deviation that they had.
fn standardized(z: &[f32]) -> (Vec<f32>, f32) {
    let n = z.len() as f32;
    let mean = z.iter().sum::<f32>() / n;
    let deviation = (z.iter().map(|z| (z - mean).powi(2)).sum::<f32>() / n + 1e-6).sqrt();
    (z.iter().map(|z| (z - mean) / deviation).collect(), deviation)
}

/// (1 − share) · mean squared error to `own`, the label's or the sample itself, + share · that to the teacher; each element counts
/// by its weight, 1 where there are none. What is missing leaves all weight to the other.
pub fn regression(
    z: &[f32],
    (own, teacher): (Option<&[f32]>, Option<&[f32]>),
    share: f32,
    weights: &[f32],
    gradient: &mut [f32],
) -> f32 {
    let share = match (own, teacher) {
        (None, _) => 1.0,
        (_, None) => 0.0,
        _ => share,
    };
    let n = z.len() as f32;
    let mut loss = 0.0;
    for (i, (z, g)) in z.iter().zip(gradient).enumerate() {
        let [a, b] = [own, teacher].map(|to| to.map_or(0.0, |to| z - to[i]));
        let weight = weights.get(i).copied().unwrap_or(1.0) / n;
        loss += weight * ((1.0 - share) * a * a + share * b * b);
        *g = 2.0 * weight * ((1.0 - share) * a + share * b);
    }
    loss
}

/// Index of the largest.
pub fn largest(z: impl Iterator<Item = f32>) -> usize {
    z.enumerate().fold((0, f32::NEG_INFINITY), |best, (i, z)| if z > best.1 { (i, z) } else { best }).0
}

/// Rows of a batch.
pub fn rows(batch: &Batch) -> impl Iterator<Item = &[f32]> {
    batch.data.chunks_exact(batch.image())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient_holds(z: &[f32], loss: impl Fn(&[f32], &mut [f32]) -> f32) {
        let mut gradient = vec![0.0; z.len()];
        loss(z, &mut gradient);
        for i in 0..z.len() {
            let at = |offset: f32| {
                let mut z = z.to_vec();
                z[i] += offset;
                f64::from(loss(&z, &mut vec![0.0; z.len()]))
            };
            let expected = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!((f64::from(gradient[i]) - expected).abs() < 2e-3, "{} is not {expected}", gradient[i]);
        }
    }

    #[test]
    fn gradients_hold() {
        let (z, teacher) = ([0.3, -1.2, 0.8], [1.0, 0.2, -0.4]);
        for (label, given) in [(Some(1), None), (None, Some(&teacher[..])), (Some(2), Some(&teacher[..]))] {
            let target = Target { label, teacher: given };
            for standardize in [false, true] {
                let of = Loss { teacher: 0.7, temperature: 3.0, standardize };
                gradient_holds(&z, |z, g| classification(z, &target, of, g));
            }
        }
        let own = [0.1, 0.2, 0.3];
        for (own, given) in [(Some(&own[..]), None), (None, Some(&teacher[..])), (Some(&own), Some(&teacher))]
        {
            for weights in [&[][..], &[0.5, 2.0, 1.0]] {
                gradient_holds(&z, |z, g| regression(z, (own, given), 0.4, weights, g));
            }
        }
    }

    #[test]
    fn a_student_that_equals_its_teacher_has_no_loss() {
        let z = [0.3, -1.2, 0.8];
        let mut gradient = [1.0; 3];
        let target = |teacher| Target { label: None, teacher: Some(teacher) };
        let loss = classification(&z, &target(&z), Loss::default(), &mut gradient);
        assert!(loss.abs() < 1e-6 && gradient.iter().all(|g| g.abs() < 1e-6));
        // Standardized, one that is surer of the same.
        let sure = z.map(|z| 5.0 * z + 1.0);
        let of = Loss { standardize: true, ..Loss::default() };
        let loss = classification(&z, &target(&sure), of, &mut gradient);
        assert!(loss.abs() < 1e-4 && gradient.iter().all(|g| g.abs() < 1e-4), "{loss} {gradient:?}");
    }
}
