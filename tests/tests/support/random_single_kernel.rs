//! Random ops of the operators that have one kernel for all cores.

use still8::format::{
    ArgMaxParams, ChannelRecord, LayerNormParams, MatMulParams, MulParams, NormRecord, OpCode, PReluParams,
    TapRecord,
};
use xtask::network::Kind;

use super::{Builder, NOTHING};

impl Builder {
    /// An op of one of these operators.
    pub(super) fn single_kernel(&mut self, code: OpCode) {
        match code {
            OpCode::Mul => self.product(),
            OpCode::PRelu => self.prelu(),
            OpCode::MatMul => self.mat_mul(),
            OpCode::LayerNorm => self.layer_norm(),
            OpCode::Constant => self.constant(),
            OpCode::Gather => self.gather(),
            OpCode::ResizeLinear => self.resize_linear(),
            OpCode::ArgMax => self.arg_max(),
            other => panic!("{other:?} has kernels of its own"),
        }
    }

    fn product(&mut self) {
        let random = &mut self.random;
        let shape = random.shape();
        let other = shape.map(|size| if random.one_in(2) { 1 } else { size });
        let zero_points = [random.zero_point(), random.zero_point(), random.zero_point()];
        let (activation_min, activation_max) = random.clamp();
        let channel = ChannelRecord { bias: 0, ..random.channel(zero_points[2], 1) };
        let inputs = vec![self.input(shape, zero_points[0]), self.input(other, zero_points[1])];
        let output = self.tensor(shape, zero_points[2]);
        let params = MulParams { channel, activation_min, activation_max, reserved: 0 };
        self.op(Kind::Mul(params), inputs, output);
    }

    fn prelu(&mut self) {
        let random = &mut self.random;
        let (shape, zero_points) = (random.shape(), [random.zero_point(), random.zero_point()]);
        let factor = |i: usize| random.below(1 << (2 + i % 20)) as i32 - (1 << (1 + i % 20));
        let slopes: Vec<i32> = (0..shape[3]).map(factor).collect();
        let (multiplier, shift) = (random.below(1 << 21) as i32, random.size(22) as u8);
        let offset = (i32::from(zero_points[1]) << shift) + (1 << (shift - 1));
        let params = PReluParams { slopes: NOTHING, multiplier, offset, shift, reserved: [0; 3] };
        let input = self.input(shape, zero_points[0]);
        let output = self.tensor(shape, zero_points[1]);
        self.op(Kind::PRelu { params, slopes }, vec![input], output);
    }

    fn mat_mul(&mut self) {
        let random = &mut self.random;
        let ([n, h], [rows, columns], k) = (random.pair(3), random.pair(6), random.size(40));
        let zero_points = [random.zero_point(), random.zero_point(), random.zero_point()];
        let (activation_min, activation_max) = random.clamp();
        let channel = ChannelRecord { bias: 0, ..random.channel(zero_points[2], k) };
        let inputs =
            vec![self.input([n, h, rows, k], zero_points[0]), self.input([n, h, columns, k], zero_points[1])];
        let output = self.tensor([n, h, rows, columns], zero_points[2]);
        let params = MatMulParams { channel, activation_min, activation_max, reserved: 0 };
        self.op(Kind::MatMul(params), inputs, output);
    }

    fn layer_norm(&mut self) {
        let random = &mut self.random;
        let mut shape = random.shape();
        shape[3] = random.size(70);
        let zero_points = [random.zero_point(), random.zero_point()];
        let shift = random.size(20) as u8;
        let record = |_| NormRecord {
            multiplier: random.below(256 << shift) as i32 - (128 << shift),
            offset: (i32::from(zero_points[1]) << shift) + random.below(16 << shift) as i32,
        };
        let channels = (0..shape[3]).map(record).collect();
        let epsilon = [random.choose(&[0, 1, 5000, u32::MAX]), random.choose(&[0, 0, 1 << 28])];
        let params = LayerNormParams { channels: NOTHING, epsilon, shift, reserved: [0; 3] };
        let input = self.input(shape, zero_points[0]);
        let output = self.tensor(shape, zero_points[1]);
        self.op(Kind::LayerNorm { params, channels }, vec![input], output);
    }

    fn constant(&mut self) {
        let shape = self.random.shape();
        let contents = (0..shape.iter().product()).map(|_| self.random.int8()).collect();
        let output = self.tensor(shape, 0);
        self.op(Kind::Constant { contents }, vec![], output);
    }

    fn gather(&mut self) {
        let random = &mut self.random;
        let (mut shape, axis, zero_point) = (random.shape(), random.below(4), random.zero_point());
        let count = random.size(9);
        let indices: Vec<u16> = (0..count).map(|_| random.below(shape[axis]) as u16).collect();
        let input = self.input(shape, zero_point);
        shape[axis] = count;
        let output = self.tensor(shape, zero_point);
        self.op(Kind::Gather { axis: axis as u8, indices }, vec![input], output);
    }

    fn resize_linear(&mut self) {
        let random = &mut self.random;
        let ([n, h, w, c], zero_point) = (random.shape(), random.zero_point());
        let mut taps = |size: usize| -> Vec<TapRecord> {
            let tap = |_| TapRecord {
                low: random.below(size) as u16,
                high: random.below(size) as u16,
                share: random.below(2049) as u16,
                reserved: 0,
            };
            (0..size + 2).map(tap).collect()
        };
        let (rows, columns) = (taps(h), taps(w));
        let input = self.input([n, h, w, c], zero_point);
        let output = self.tensor([n, rows.len(), columns.len(), c], zero_point);
        self.op(Kind::ResizeLinear { rows, columns }, vec![input], output);
    }

    fn arg_max(&mut self) {
        let random = &mut self.random;
        let ([n, h, w, c], zero_point) = (random.shape(), random.zero_point());
        let params = ArgMaxParams { last: random.below(2) as u8, reserved: [0; 3] };
        let input = self.input([n, h, w, c], zero_point);
        let output = self.tensor([n, h, w, 1], -128);
        self.network.tensors[output].quantization.scale = 1.0;
        self.op(Kind::ArgMax(params), vec![input], output);
    }
}
