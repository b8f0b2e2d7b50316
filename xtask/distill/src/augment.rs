//! Augmentations: seeded views of a sample. Which suit the data, `model.toml` says.

use serde::{Deserialize, Serialize};
use still8_validation::random::SplitMix64;

/// `[distill.augment]`. Each is off at its default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Largest shift along height and width, in elements; the edge is repeated.
    pub shift: [usize; 2],
    /// Mirrored left to right, every second time.
    pub flip: bool,
    /// Side of a square that is set to the sample's mean (DeVries and Taylor, arXiv:1708.04552).
    pub cut_out: usize,
    /// Most elements of a band along height and along width that is set to the sample's mean: masks of time and
    /// frequency (SpecAugment: Park et al., arXiv:1904.08779).
    pub mask: [usize; 2],
    /// Standard deviation of noise that is added to each element.
    pub noise: f32,
    /// Largest relative change of all elements by one factor.
    pub scale: f32,
    /// Largest angle, in degrees, by which triples of channels (three axes of a sensor) turn about a random axis.
    pub rotation: f32,
}

impl Augment {
    /// Whether every view is the sample itself.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// A view of `x`, of shape `[h, w, c]`.
    pub fn apply(&self, x: &mut Vec<f32>, [h, w, c]: [usize; 3], seed: u64) {
        if self.is_none() {
            return;
        }
        let mut random = SplitMix64::new(seed);
        // The first numbers of neighbouring seeds are alike.
        random.next_u64();
        let mut up_to = |most: usize| (random.next_u64() % (most as u64 + 1)) as usize;
        let shift = self.shift.map(|most| up_to(2 * most) as isize - most as isize);
        let flip = self.flip && up_to(1) == 1;
        let cut = [up_to(h.saturating_sub(1)), up_to(w.saturating_sub(1))];
        let bands = [(h, self.mask[0]), (w, self.mask[1])].map(|(size, most)| {
            let length = up_to(most.min(size));
            let start = up_to(size - length);
            start..start + length
        });
        if shift != [0, 0] || flip {
            let from = |at: usize, shift: isize, size: usize| {
                (at as isize + shift).clamp(0, size as isize - 1) as usize
            };
            let mut moved = Vec::with_capacity(x.len());
            for y in 0..h {
                for column in 0..w {
                    let column = if flip { w - 1 - column } else { column };
                    let pixel = from(y, shift[0], h) * w + from(column, shift[1], w);
                    moved.extend_from_slice(&x[pixel * c..][..c]);
                }
            }
            *x = moved;
        }
        if self.rotation != 0.0 {
            let matrix = rotation(&mut random, self.rotation);
            for pixel in x.chunks_exact_mut(c) {
                for triple in pixel.chunks_exact_mut(3) {
                    let turned = matrix.map(|row| row.iter().zip(&*triple).map(|(m, x)| m * x).sum::<f32>());
                    triple.copy_from_slice(&turned);
                }
            }
        }
        if self.scale != 0.0 {
            let factor = random.uniform([1.0 - self.scale, 1.0 + self.scale]);
            x.iter_mut().for_each(|x| *x *= factor);
        }
        if self.noise != 0.0 {
            x.iter_mut().for_each(|x| *x += self.noise * random.normal());
        }
        if self.cut_out != 0 || self.mask != [0, 0] {
            let mean = x.iter().sum::<f32>() / x.len() as f32;
            let near = |at: usize, centre: usize| 2 * at.abs_diff(centre) < self.cut_out;
            for (pixel, channels) in x.chunks_exact_mut(c).enumerate() {
                let (y, column) = (pixel / w, pixel % w);
                let hidden = bands[0].contains(&y) || bands[1].contains(&column);
                if hidden || (near(y, cut[0]) && near(column, cut[1])) {
                    channels.fill(mean);
                }
            }
        }
    }
}

/// A rotation by at most `degrees` about a random axis (Rodrigues' formula).
fn rotation(random: &mut SplitMix64, degrees: f32) -> [[f32; 3]; 3] {
    let axis = [(); 3].map(|()| random.normal());
    let length = axis.iter().map(|a| a * a).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    let [x, y, z] = axis.map(|a| a / length);
    let (sin, cos) = random.uniform([-degrees, degrees]).to_radians().sin_cos();
    let rest = 1.0 - cos;
    [
        [cos + x * x * rest, x * y * rest - z * sin, x * z * rest + y * sin],
        [y * x * rest + z * sin, cos + y * y * rest, y * z * rest - x * sin],
        [z * x * rest - y * sin, z * y * rest + x * sin, cos + z * z * rest],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(augment: &Augment, seed: u64) -> Vec<f32> {
        let mut x: Vec<f32> = (0..36).map(|i| i as f32).collect();
        augment.apply(&mut x, [3, 4, 3], seed);
        x
    }

    #[test]
    fn seeds_fix_the_views() {
        let augment = Augment {
            shift: [1, 2],
            flip: true,
            noise: 0.1,
            mask: [1, 1],
            scale: 0.1,
            rotation: 20.0,
            cut_out: 2,
        };
        assert_eq!(view(&augment, 7), view(&augment, 7));
        let different = (0..20).filter(|&seed| view(&augment, seed) != view(&augment, seed + 1)).count();
        assert!(different > 18);
        assert_eq!(view(&Augment::default(), 3), (0..36).map(|i| i as f32).collect::<Vec<_>>());
    }

    #[test]
    fn shifts_stay_inside_and_flips_mirror() {
        let flip = Augment { flip: true, ..Augment::default() };
        let mirrored: Vec<f32> =
            (0..36).map(|i| [9, 6, 3, 0][i / 3 % 4] as f32 + (i / 12 * 12 + i % 3) as f32).collect();
        let views: Vec<_> = (0..20).map(|seed| view(&flip, seed)).collect();
        assert!(views.contains(&mirrored) && views.contains(&view(&Augment::default(), 0)));
        let shift = Augment { shift: [2, 3], ..Augment::default() };
        for seed in 0..50 {
            assert!(
                view(&shift, seed)
                    .chunks(3)
                    .all(|p| p[0] % 3.0 == 0.0 && p[1] == p[0] + 1.0 && p[2] == p[0] + 2.0)
            );
        }
    }

    #[test]
    fn rotations_keep_lengths() {
        let augment = Augment { rotation: 180.0, ..Augment::default() };
        let length = |p: &[f32]| p.iter().map(|x| x * x).sum::<f32>().sqrt();
        let plain = view(&Augment::default(), 0);
        for seed in 0..20 {
            let turned = view(&augment, seed);
            for (a, b) in plain.chunks(3).zip(turned.chunks(3)) {
                assert!((length(a) - length(b)).abs() < 1e-3 * (1.0 + length(a)));
            }
        }
    }
}
