//! Random pads, concatenations and transpositions.

use super::case::{Case, Cost, Outcome, finish};
use super::report::Parameters;

/// Elements of a shape.
fn len(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

impl Case<'_> {
    pub(super) fn pad(&mut self) -> Outcome {
        let [from, before, to] = self.draw(
            |case| {
                let from = case.shape();
                let before = core::array::from_fn(|_| case.random.below(3) as usize);
                let behind: [usize; 4] = core::array::from_fn(|_| case.random.below(3) as usize);
                [from, before, core::array::from_fn(|i| before[i] + from[i] + behind[i])]
            },
            |&[from, _, to]| Cost { bytes: len(from) + 2 * len(to), blocks: 3, macs: len(to) },
        );
        let value = self.random.zero_point();
        let input = self.tensor(len(from));
        let [mut expected, mut found] = self.outputs(len(to));
        (self.reference.pad)(before, value, (from, input), (to, expected.payload()));
        (self.variant.pad)(before, value, (from, input), (to, found.payload()));
        finish(Parameters::Pad { before, value, from, to }, [expected, found])
    }

    pub(super) fn concat(&mut self) -> Outcome {
        let (rows, block, pitch) = self.draw(
            |case| {
                let block = case.channels();
                (case.size(20), block, block + case.random.below(40) as usize)
            },
            |(rows, block, pitch)| Cost { bytes: rows * (block + 2 * pitch), blocks: 3, macs: rows * pitch },
        );
        let offset = self.random.below((pitch - block) as u64 + 1) as usize;
        let input = self.tensor(rows * block);
        let [mut expected, mut found] = self.outputs(rows * pitch);
        // What other inputs put into the output must stay.
        self.random.fill(expected.payload());
        found.payload().copy_from_slice(expected.payload());
        (self.reference.concat)(block, pitch, offset, input, expected.payload());
        (self.variant.concat)(block, pitch, offset, input, found.payload());
        finish(Parameters::Concat { rows, block, pitch, offset }, [expected, found])
    }

    pub(super) fn transpose(&mut self) -> Outcome {
        let from =
            self.draw(Self::shape, |&shape| Cost { bytes: 3 * len(shape), blocks: 3, macs: len(shape) });
        let mut permutation = [0, 1, 2, 3];
        for i in (1..4).rev() {
            permutation.swap(i, self.random.below(i as u64 + 1) as usize);
        }
        let [_, h, w, c] = from;
        let shape = permutation.map(|axis: usize| from[axis]);
        let strides = permutation.map(|axis| [h * w * c, w * c, c, 1][axis]);
        let input = self.tensor(len(from));
        let [mut expected, mut found] = self.outputs(len(from));
        (self.reference.transpose)(shape, strides, input, expected.payload());
        (self.variant.transpose)(shape, strides, input, found.payload());
        finish(Parameters::Transpose { shape, strides }, [expected, found])
    }
}
