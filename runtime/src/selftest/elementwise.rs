//! Random sums, tables and softmaxes, also in place.

use core::cell::Cell;

use super::case::{Case, Cost, Outcome, finish};
use super::memory::Guarded;
use super::random::Bytes;
use super::report::Parameters;
use crate::format::AddParams;

/// Entry 0 of a softmax table, its largest.
const ONE: u32 = 1 << 20;

/// Cells of a tensor.
fn cells(bytes: &mut [i8]) -> &[Cell<i8>] {
    Cell::from_mut(bytes).as_slice_of_cells()
}

/// Parameters that the operator's check lets pass: 128 · (|m₀| + |m₁|) + |offset| < 2³¹.
fn add_params(random: &mut Bytes) -> AddParams {
    let bits = 1 + random.below(23);
    let multipliers: [i32; 2] = core::array::from_fn(|_| random.below(1 << bits) as i32 - (1 << (bits - 1)));
    let products: i64 = multipliers.iter().map(|&m| 128 * i64::from(m).abs()).sum();
    let room = ((1 << 31) - 1 - products).max(0);
    let offset = match random.below(8) {
        0 => room,
        1 => -room,
        2 => random.below(room as u64 * 2 + 1) as i64 - room,
        _ => (random.below(1 << (bits + 7)) as i64 - (1 << (bits + 6))).clamp(-room, room),
    };
    let shift = if random.below(4) == 0 { 1 + random.below(30) } else { bits + random.below(3) };
    let (activation_min, activation_max) = random.activation();
    let shift = shift.min(30) as u8;
    AddParams { multipliers, offset: offset as i32, shift, reserved: 0, activation_min, activation_max }
}

impl<'m> Case<'m> {
    pub(super) fn add(&mut self) -> Outcome {
        let len = self.draw(|case| case.size(300), |&len| Cost { bytes: 4 * len, blocks: 4, macs: len });
        let params = add_params(&mut self.random);
        let in_place = self.random.one_of(&[None, None, Some(0), Some(1)]);
        let (a, b) = (self.tensor(len), self.tensor(len));
        let [mut expected, mut found] = self.outputs(len);
        match in_place {
            Some(0) => found.payload().copy_from_slice(a),
            Some(_) => found.payload().copy_from_slice(b),
            None => (),
        }
        let (a, b) = (cells(a), cells(b));
        (self.reference.add)(&params, a, b, expected.cells());
        let output = found.cells();
        let pick = |i: u8, input| if in_place == Some(i) { output } else { input };
        (self.variant.add)(&params, pick(0, a), pick(1, b), output);
        finish(Parameters::Add { len, params, in_place }, [expected, found])
    }

    pub(super) fn table(&mut self) -> Outcome {
        let len = self.draw(|case| case.size(300), |&len| Cost { bytes: 3 * len, blocks: 3, macs: len });
        let mut table = [0; 256];
        self.random.fill(&mut table);
        let (input, in_place, [mut expected, mut found]) = self.unary(len);
        let input = cells(input);
        (self.reference.table)(&table, input, expected.cells());
        let output = found.cells();
        (self.variant.table)(&table, if in_place { output } else { input }, output);
        finish(Parameters::Elements { len, in_place }, [expected, found])
    }

    pub(super) fn softmax(&mut self) -> Outcome {
        let [rows, channels] = self.draw(
            |case| if case.chance(16) { [1, case.size(2047)] } else { [case.size(8), case.size(70)] },
            |[rows, channels]| Cost { bytes: 3 * rows * channels, blocks: 3, macs: rows * channels },
        );
        let mut table = [ONE; 256];
        // Falling by a factor of its own, as tables of an exponential do, or whatever the check lets pass.
        let (falling, factor) = (!self.chance(4), self.random.below(1 << 16));
        for d in 1..table.len() {
            table[d] = if falling {
                ((u64::from(table[d - 1]) * factor) >> 16) as u32
            } else {
                self.random.below(u64::from(ONE) + 1) as u32
            };
        }
        // A table may end where it reaches 0.
        let table = &table[..if self.chance(4) { self.size(256) } else { 256 }];
        let (input, in_place, [mut expected, mut found]) = self.unary(rows * channels);
        let input = cells(input);
        (self.reference.softmax)(table, channels, input, expected.cells());
        let output = found.cells();
        (self.variant.softmax)(table, channels, if in_place { output } else { input }, output);
        finish(Parameters::Softmax { rows, channels, in_place }, [expected, found])
    }

    /// An input, whether the variant works in place, and outputs; then the variant's holds the input.
    fn unary(&mut self, len: usize) -> (&'m mut [i8], bool, [Guarded<'m>; 2]) {
        let (input, in_place) = (self.tensor(len), self.chance(2));
        let mut outputs = self.outputs(len);
        if in_place {
            outputs[1].payload().copy_from_slice(input);
        }
        (input, in_place, outputs)
    }
}
