//! Random ops on int16: int8 inputs are widened, meet the operator, and its output is narrowed again.

use still8::format::{
    Add16Params, Conv2d16Params, ConvertParams, DataType, Mean16Params, OpCode, WideRecord,
};
use xtask::network::{Kind, Op, Tensor};
use xtask::quantization::Quantization;

use super::{Builder, NOTHING};

impl Builder {
    /// An op of one of these operators.
    pub(super) fn wide(&mut self, code: OpCode) {
        match code {
            OpCode::Convert => {
                let shape = self.random.shape();
                let input = self.widened(shape);
                let output = self.tensor16(shape);
                let record = self.record(16, 0);
                self.inner(Kind::Convert(ConvertParams { record }), vec![input], output);
                self.narrowed(output);
            }
            OpCode::Conv2d16 => self.convolution16(),
            OpCode::Add16 => {
                let shape = self.random.shape();
                let inputs = vec![self.widened(shape), self.widened(shape)];
                let output = self.tensor16(shape);
                let shift = self.random.size(40) as u8;
                let multipliers =
                    [0; 2].map(|_| self.random.below(1 << shift.min(30)) as i32 - (1 << (shift.min(30) - 1)));
                let (activation_min, activation_max) = self.clamp16();
                let params =
                    Add16Params { multipliers, shift, reserved: [0; 3], activation_min, activation_max };
                self.inner(Kind::Add16(params), inputs, output);
                self.narrowed(output);
            }
            OpCode::Mean16 => {
                let from = self.random.shape();
                let axes = self.random.below(16) as u8;
                let kept = (0..4).filter(|axis| axes >> axis & 1 == 0).map(|axis| from[axis]).product();
                let input = self.widened(from);
                let output = self.tensor16([1, 1, 1, kept]);
                let record = self.record(17, 0);
                let (activation_min, activation_max) = self.clamp16();
                let params = Mean16Params { record, axes, reserved: [0; 3], activation_min, activation_max };
                self.inner(Kind::Mean16(params), vec![input], output);
                self.narrowed(output);
            }
            OpCode::Table16 => {
                let shape = self.random.shape();
                let input = self.widened(shape);
                let output = self.tensor16(shape);
                let table = (0..513).map(|_| self.int16()).collect();
                self.inner(Kind::Table16 { table }, vec![input], output);
                self.narrowed(output);
            }
            other => panic!("{other:?} is no operator on int16"),
        }
    }

    fn int16(&mut self) -> i16 {
        (self.random.below(1 << 16) as u16 as i16).max(-i16::MAX)
    }

    fn clamp16(&mut self) -> (i16, i16) {
        let (a, b) = (self.int16(), self.int16());
        if self.random.one_in(2) { (-i16::MAX, i16::MAX) } else { (a.min(b), a.max(b)) }
    }

    /// A record for accumulators of about so many bits.
    fn record(&mut self, bits: usize, bias: i64) -> WideRecord {
        let shift = 24 + bits - 15 + self.random.below(3);
        let multiplier = (1 << 23) + self.random.below(1 << 23) as i32;
        let bias = bias as u64;
        WideRecord {
            bias: [bias as u32, (bias >> 32) as u32],
            multiplier,
            shift: shift as u8,
            reserved: [0; 3],
        }
    }

    fn tensor16(&mut self, shape: [usize; 4]) -> usize {
        let quantization = Quantization { scale: 0.001, zero_point: 0, dtype: DataType::Int16 };
        self.network.tensors.push(Tensor { shape, quantization, view_of: None });
        self.network.tensors.len() - 1
    }

    /// An op whose output is none of the network's.
    fn inner(&mut self, kind: Kind, inputs: Vec<usize>, output: usize) {
        let name = format!("op{}", self.network.ops.len());
        self.network.ops.push(Op { name, kind, inputs, output });
    }

    fn widened(&mut self, shape: [usize; 4]) -> usize {
        let zero_point = self.random.zero_point();
        let input = self.input(shape, zero_point);
        let output = self.tensor16(shape);
        let record = self.record(8, -i64::from(zero_point));
        self.inner(Kind::Convert(ConvertParams { record }), vec![input], output);
        output
    }

    /// A high and a low view of an int16 tensor: the second one shows the last bits where values are small.
    fn narrowed(&mut self, tensor: usize) {
        for bits in [16, 8] {
            let (shape, zero_point) = (self.network.tensors[tensor].shape, self.random.zero_point());
            let output = self.tensor(shape, zero_point);
            let record = WideRecord { shift: 24 + bits - 8, ..self.record(16, 0) };
            self.op(Kind::Convert(ConvertParams { record }), vec![tensor], output);
        }
    }

    fn convolution16(&mut self) {
        let window = self.window();
        let random = &mut self.random;
        let groups = random.choose(&[1, 1, 2, 5]);
        let (c_in, c_out) = (groups * random.size(9), groups * random.size(4));
        let (n, [h, w], out) = (random.size(2), random.pair(6), random.pair(5));
        let k = usize::from(window.kernel[0]) * usize::from(window.kernel[1]) * c_in / groups;
        let weights = random.weights(c_out * k, Default::default());
        let input = self.widened([n, h, w, c_in]);
        let bits = 23 + k.ilog2() as usize / 2;
        let channels = (0..c_out)
            .map(|_| {
                let bias = self.random.below(1 << 40) as i64 - (1 << 39);
                self.record(bits, bias >> 12)
            })
            .collect();
        let (activation_min, activation_max) = self.clamp16();
        let params = Conv2d16Params {
            kernel: window.kernel,
            stride: window.stride,
            dilation: window.dilation,
            padding: window.padding,
            groups: groups as u32,
            activation_min,
            activation_max,
            weights: NOTHING,
            channels: NOTHING,
        };
        let output = self.tensor16([n, out[0], out[1], c_out]);
        self.inner(Kind::Conv2d16 { params, weights, channels }, vec![input], output);
        self.narrowed(output);
    }
}
