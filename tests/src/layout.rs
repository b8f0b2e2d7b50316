//! Between the source graph's layout and the device's.
//!
//! Device axis i is source axis `permutation[i]`; both sides are row-major.

/// A permutation of the axes of one shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permutation {
    /// Index in the source of every element, in the device's order.
    source_index: Vec<usize>,
}

impl Permutation {
    /// The permutation for source `shape`; `None` where `axes` is no permutation of its axes or the shape
    /// overflows.
    pub fn new(shape: &[usize], axes: &[usize]) -> Option<Self> {
        let rank = shape.len();
        let complete = axes.len() == rank && (0..rank).all(|axis| axes.contains(&axis));
        let elements = shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim))?;
        if !complete {
            return None;
        }
        if elements == 0 {
            return Some(Self { source_index: Vec::new() });
        }
        let mut strides = vec![1; rank];
        for axis in (1..rank).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        let mut source_index = vec![0];
        source_index.reserve(elements);
        for &axis in axes {
            source_index = source_index
                .iter()
                .flat_map(|&base| (0..shape[axis]).map(move |i| (base, i)))
                .map(|(base, i)| base + i * strides[axis])
                .collect();
        }
        Some(Self { source_index })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.source_index.len()
    }

    /// Whether the shape has no elements.
    pub fn is_empty(&self) -> bool {
        self.source_index.is_empty()
    }

    /// Index in the source of every element, in the device's order.
    pub fn source_index(&self) -> &[usize] {
        &self.source_index
    }

    /// Brings `source` into the device's order.
    ///
    /// # Panics
    /// Where a slice has another length than [`Self::len`].
    pub fn to_device<T: Copy>(&self, source: &[T], device: &mut [T]) {
        assert_eq!((source.len(), device.len()), (self.len(), self.len()));
        for (value, &index) in device.iter_mut().zip(&self.source_index) {
            *value = source[index];
        }
    }

    /// Brings `device` into the source's order.
    ///
    /// # Panics
    /// Where a slice has another length than [`Self::len`].
    pub fn to_source<T: Copy>(&self, device: &[T], source: &mut [T]) {
        assert_eq!((source.len(), device.len()), (self.len(), self.len()));
        for (&value, &index) in device.iter().zip(&self.source_index) {
            source[index] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nchw_becomes_nhwc() {
        // Source [1, 2, 1, 3]: two channels of three pixels.
        let permutation = Permutation::new(&[1, 2, 1, 3], &[0, 2, 3, 1]).unwrap();
        let mut device = [0; 6];
        permutation.to_device(&[1, 2, 3, 10, 20, 30], &mut device);
        assert_eq!(device, [1, 10, 2, 20, 3, 30]);
        let mut source = [0; 6];
        permutation.to_source(&device, &mut source);
        assert_eq!(source, [1, 2, 3, 10, 20, 30]);
    }

    #[test]
    fn agrees_with_ndarray() {
        use ndarray::{Array, IxDyn};
        let shape = [2, 3, 4, 5];
        let source: Vec<u8> = (0..120).collect();
        for axes in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [0, 2, 3, 1]] {
            let array = Array::from_shape_vec(IxDyn(&shape), source.clone()).unwrap();
            let expected: Vec<u8> = array.permuted_axes(IxDyn(&axes)).iter().copied().collect();
            let mut device = [0; 120];
            Permutation::new(&shape, &axes).unwrap().to_device(&source, &mut device);
            assert_eq!(device[..], expected);
        }
    }

    #[test]
    fn scalar_has_one_element_and_an_empty_axis_none() {
        assert_eq!(Permutation::new(&[], &[]).unwrap().len(), 1);
        assert!(Permutation::new(&[2, 0], &[1, 0]).unwrap().is_empty());
        assert!(Permutation::new(&[0, 1 << 62, 1 << 62], &[1, 2, 0]).unwrap().is_empty());
    }

    #[test]
    fn refuses_what_is_no_permutation() {
        for axes in [&[0, 0][..], &[0], &[0, 2], &[0, 1, 2]] {
            assert_eq!(Permutation::new(&[2, 2], axes), None);
        }
        assert_eq!(Permutation::new(&[usize::MAX, 2], &[0, 1]), None);
    }
}
