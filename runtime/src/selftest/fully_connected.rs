//! Random fully connected layers.

use super::case::{Case, Cost, Outcome, finish};
use super::random::channel_for;
use super::report::Parameters;
use crate::format::ChannelRecord;
use crate::packing::MatrixOrder;

impl Case<'_> {
    pub(super) fn fully_connected(&mut self) -> Outcome {
        let order = self.draw(Self::matrix, |order| Cost {
            bytes: order.bytes() + order.k + order.rows * (size_of::<ChannelRecord>() + 2),
            blocks: 5,
            macs: order.rows * order.k,
        });
        let (zero_point, activation) = (self.random.zero_point(), self.random.activation());
        let misalignment = if self.chance(16) { self.random.below(16) as usize } else { 0 };
        let stored = self.memory.take(order.bytes(), misalignment);
        self.random.fill_stored(stored, order.flips());
        let misalignment = 4 * self.random.below(4) as usize;
        let bytes = self.memory.take(order.rows * size_of::<ChannelRecord>(), misalignment);
        let channels: &mut [ChannelRecord] = bytemuck::cast_slice_mut(bytes);
        for (row, channel) in channels.iter_mut().enumerate() {
            *channel = channel_for(&mut self.random, zero_point, order.k);
            channel.bias = channel.bias.wrapping_add(order.folded(stored, row));
        }
        let input = self.tensor(order.k);
        let [mut expected, mut found] = self.outputs(order.rows);
        (self.reference.fully_connected)(order, stored, channels, activation, input, expected.payload());
        (self.variant.fully_connected)(order, stored, channels, activation, input, found.payload());
        let parameters = Parameters::FullyConnected { order, activation, zero_point, first: channels[0] };
        finish(parameters, [expected, found])
    }

    fn matrix(&mut self) -> MatrixOrder {
        let k = match self.random.below(4) {
            0 => self.size(16),
            1 => 16 * self.size(20),
            _ => self.size(400),
        };
        MatrixOrder { family: self.family, rows: self.size(40), k, dense: true }
    }
}
