//! Activations of some samples.

/// `n` images in NHWC.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Samples.
    pub n: usize,
    /// `[h, w, c]` of each.
    pub shape: [usize; 3],
    /// The elements.
    pub data: Vec<f32>,
}

impl Batch {
    /// All zero.
    pub fn zeros(n: usize, shape: [usize; 3]) -> Self {
        Self { n, shape, data: vec![0.0; n * shape.iter().product::<usize>()] }
    }

    /// Elements of one image.
    pub fn image(&self) -> usize {
        self.shape.iter().product()
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.shape[2]
    }

    /// Adds another of the same shape.
    pub fn add(&mut self, other: &Self) {
        debug_assert_eq!((self.n, self.shape), (other.n, other.shape));
        self.data.iter_mut().zip(&other.data).for_each(|(a, b)| *a += b);
    }
}
