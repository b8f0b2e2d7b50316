//! A network of independent random ops, each with graph inputs and outputs of its own, over the whole numbers contract.
//!
//! Extremes are drawn on purpose: zero points at the ends of int8, weights of ±127, biases that wrap, left shifts, the
//! smallest scales, padding that swallows whole windows, channel counts that fill no vector.

#[path = "random_single_kernel.rs"]
mod single_kernel;
#[path = "random_wide.rs"]
mod wide;

use still8::format::{
    AddParams, ChannelRecord, ConcatParams, Conv2dParams, DataRef, FullyConnectedParams, MeanParams, OpCode,
    PadParams, Pool2dParams, TransposeParams,
};
use still8::requantize;
use still8_validation::random::SplitMix64;
use xtask::network::{Bits, Kind, Network, Op, Port, Tensor};

const NOTHING: DataRef = DataRef { offset: 0, bytes: 0 };

/// A network with so many ops of each operator.
pub fn network(seed: u64, counts: &[(OpCode, usize)]) -> Network {
    let mut builder = Builder {
        random: Random(SplitMix64::new(seed)),
        network: Network { name: format!("random-{seed}"), ..Network::default() },
    };
    for &(code, count) in counts {
        for _ in 0..count {
            builder.add(code);
        }
    }
    builder.network
}

/// Random numbers with a liking for extremes.
pub struct Random(pub SplitMix64);

impl Random {
    /// Below `end`.
    fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() >> 16) as usize % end
    }

    /// In `1..=end`.
    fn size(&mut self, end: usize) -> usize {
        1 + self.below(end)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn int8(&mut self) -> i8 {
        self.0.next_u64() as i8
    }

    /// Activations: some at either end of int8.
    pub fn activations(&mut self, len: usize) -> Vec<i8> {
        (0..len)
            .map(|_| match self.below(16) {
                0 => i8::MIN,
                1 => i8::MAX,
                _ => self.int8(),
            })
            .collect()
    }

    fn zero_point(&mut self) -> i8 {
        let any = self.int8();
        self.choose(&[-128, -127, 127, 0, any, any])
    }

    /// Lowest and highest output.
    fn clamp(&mut self) -> (i8, i8) {
        let (a, b) = (self.int8(), self.int8());
        match self.below(4) {
            0 => (a.min(b), a.max(b)),
            1 => (a.min(40), i8::MAX),
            _ => (i8::MIN, i8::MAX),
        }
    }

    /// Weights: over the whole range, at its ends, or few and small, so that left shifts find small accumulators.
    fn weights(&mut self, len: usize, bits: Bits) -> Vec<i8> {
        let style = self.below(8);
        (0..len)
            .map(|_| match style {
                0 => self.choose(&[-127, 127]),
                1 => self.choose(&[0, 0, 0, 0, 0, 0, -1, 1]),
                _ => self.int8().max(-127),
            })
            .map(|w: i8| if bits == Bits::Four { (w & -16).max(-112) } else { w })
            .collect()
    }

    /// A record for sums of `terms` products; half of them bring such sums into the range of int8.
    fn channel(&mut self, zero_point: i8, terms: usize) -> ChannelRecord {
        let any = (1 << 30) + self.below(1 << 30) as i32;
        let fitting = 5 + terms.max(1).ilog2() as u8 / 2;
        let (shift, left, multiplier) = match self.below(8) {
            0 => (1, self.below(32) as u8, any),
            1 => (23, 0, self.choose(&[0, 1, 1 << 20, i32::MAX])),
            2 => (1 + self.below(23) as u8, 0, self.choose(&[1 << 30, i32::MAX, any])),
            _ => (fitting + self.below(4) as u8 - 1, 0, any),
        };
        let bias = match self.below(24) {
            0 => i32::MAX,
            1 => i32::MIN,
            2..8 => 0,
            _ => self.below(1 << 15) as i32 - (1 << 14),
        };
        let offset = requantize::offset(zero_point, shift);
        ChannelRecord { bias, multiplier, offset, shift, left, reserved: 0 }
    }

    fn channels(&mut self, count: usize, zero_point: i8, terms: usize) -> Vec<ChannelRecord> {
        (0..count).map(|_| self.channel(zero_point, terms)).collect()
    }

    fn pair(&mut self, end: usize) -> [usize; 2] {
        [self.size(end), self.size(end)]
    }

    fn shape(&mut self) -> [usize; 4] {
        let n = if self.one_in(4) { 2 } else { 1 };
        let c = self.choose(&[1, 2, 3, 4, 5, 7, 8, 13]);
        [n, self.size(6), self.size(6), c]
    }
}

struct Builder {
    random: Random,
    network: Network,
}

impl Builder {
    fn add(&mut self, code: OpCode) {
        match code {
            OpCode::Conv2d => self.convolution(Bits::Eight),
            OpCode::DepthwiseConv2d => self.depthwise(Bits::Eight),
            OpCode::FullyConnected => self.fully_connected(Bits::Eight),
            OpCode::Conv2dInt4 => self.convolution(Bits::Four),
            OpCode::DepthwiseConv2dInt4 => self.depthwise(Bits::Four),
            OpCode::FullyConnectedInt4 => self.fully_connected(Bits::Four),
            OpCode::Add => self.sum(),
            OpCode::AveragePool2d | OpCode::MaxPool2d => self.pool(code),
            OpCode::Mean => self.mean(),
            OpCode::Pad => self.pad(),
            OpCode::Concat => self.concat(),
            OpCode::Softmax => self.softmax(),
            OpCode::Transpose => self.transpose(),
            OpCode::Table => self.table(),
            OpCode::Convert | OpCode::Conv2d16 | OpCode::Add16 | OpCode::Mean16 | OpCode::Table16 => {
                self.wide(code);
            }
            other => self.single_kernel(other),
        }
    }

    fn tensor(&mut self, shape: [usize; 4], zero_point: i8) -> usize {
        self.network.tensors.push(Tensor::int8(shape, 0.1, zero_point));
        self.network.tensors.len() - 1
    }

    fn port(&self, name: String, tensor: usize) -> Port {
        Port {
            name,
            shape: self.network.tensors[tensor].shape.to_vec(),
            permutation: vec![0, 1, 2, 3],
            tensor,
        }
    }

    fn input(&mut self, shape: [usize; 4], zero_point: i8) -> usize {
        let tensor = self.tensor(shape, zero_point);
        let port = self.port(format!("x{tensor}"), tensor);
        self.network.inputs.push(port);
        tensor
    }

    /// Makes a tensor an output too, so that no op writes over it.
    fn keep(&mut self, tensor: usize) {
        let port = self.port(format!("kept{tensor}"), tensor);
        self.network.outputs.push(port);
    }

    fn op(&mut self, kind: Kind, inputs: Vec<usize>, output: usize) {
        let name = format!("op{}", self.network.ops.len());
        let port = self.port(format!("y{output}"), output);
        self.network.outputs.push(port);
        self.network.ops.push(Op { name, kind, inputs, output });
    }

    /// Output height and width are free: padding below and to the right follows from them.
    fn window(&mut self) -> Conv2dParams {
        let random = &mut self.random;
        let mut params = Conv2dParams {
            kernel: random.pair(5).map(|k| k as u16),
            stride: random.pair(3).map(|s| s as u16),
            dilation: random.pair(2).map(|d| d as u16),
            padding: [random.below(7) as u16, random.below(7) as u16],
            groups: 1,
            activation_min: 0,
            activation_max: 0,
            reserved: 0,
            weights: NOTHING,
            channels: NOTHING,
            scratch: NOTHING,
        };
        // Padding as large as kernel and input leaves whole rows without one input pixel: often, not mostly.
        if !random.one_in(3) {
            params.padding = params.padding.map(|p| p % 3);
        }
        (params.activation_min, params.activation_max) = random.clamp();
        params
    }

    fn convolution(&mut self, bits: Bits) {
        let mut params = self.window();
        let random = &mut self.random;
        let groups = if bits == Bits::Four { 1 } else { random.choose(&[1, 1, 1, 2, 3]) };
        let c_in = groups * random.choose(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17]);
        // Some weights of four bits are more than are unpacked at once.
        let most = if bits == Bits::Four && random.one_in(2) { 60 } else { 7 };
        let c_out = groups * random.size(most);
        let n = random.choose(&[1, 1, 1, 2]);
        let ([h, w], mut out) = (random.pair(7), random.pair(6));
        if random.one_in(4) {
            (params.kernel, params.padding) = ([1, 1], [0, 0]);
            // One pixel for one pixel, which needs no gathering.
            if random.one_in(2) {
                (params.stride, out) = ([1, 1], [h, w]);
            }
        }
        params.groups = groups as u32;
        let k = usize::from(params.kernel[0]) * usize::from(params.kernel[1]) * c_in / groups;
        let (zp_in, zp_out) = (random.zero_point(), random.zero_point());
        let weights = random.weights(c_out * k, bits);
        let channels = random.channels(c_out, zp_out, k);
        let input = self.input([n, h, w, c_in], zp_in);
        let output = self.tensor([n, out[0], out[1], c_out], zp_out);
        let kind = Kind::Conv2d { bits, params, weights, channels };
        self.op(kind, vec![input], output);
    }

    fn depthwise(&mut self, bits: Bits) {
        let mut params = self.window();
        let random = &mut self.random;
        let c_in = random.choose(&[2, 3, 4, 5, 6, 7, 8, 9, 16, 19]);
        let c_out = c_in * random.choose(&[1, 1, 1, 2, 3]);
        let n = random.choose(&[1, 1, 1, 2]);
        let ([h, w], out) = (random.pair(7), random.pair(6));
        if random.one_in(3) {
            params.kernel = [3, 3];
            params.dilation = [1, 1];
        }
        params.groups = c_in as u32;
        let taps = usize::from(params.kernel[0]) * usize::from(params.kernel[1]);
        let (zp_in, zp_out) = (random.zero_point(), random.zero_point());
        let weights = random.weights(taps * c_out, bits);
        let channels = random.channels(c_out, zp_out, taps);
        let input = self.input([n, h, w, c_in], zp_in);
        let output = self.tensor([n, out[0], out[1], c_out], zp_out);
        let kind = Kind::DepthwiseConv2d { bits, params, weights, channels };
        self.op(kind, vec![input], output);
    }

    fn fully_connected(&mut self, bits: Bits) {
        let random = &mut self.random;
        let shape = random.choose(&[[1, 1, 1, 0], [1, 2, 3, 0], [1, 3, 3, 0]]);
        let shape = [shape[0], shape[1], shape[2], random.size(if shape[1] == 1 { 90 } else { 9 })];
        let (k, c_out) = (shape.iter().product::<usize>(), random.size(21));
        let (zp_in, zp_out) = (random.zero_point(), random.zero_point());
        let (activation_min, activation_max) = random.clamp();
        let weights = random.weights(c_out * k, bits);
        let channels = random.channels(c_out, zp_out, k);
        let input = self.input(shape, zp_in);
        let output = self.tensor([1, 1, 1, c_out], zp_out);
        let params = FullyConnectedParams {
            weights: NOTHING,
            channels: NOTHING,
            activation_min,
            activation_max,
            reserved: 0,
        };
        let kind = Kind::FullyConnected { bits, params, weights, channels };
        self.op(kind, vec![input], output);
    }

    fn sum(&mut self) {
        let random = &mut self.random;
        let shape = random.shape();
        let shift = random.size(30) as u8;
        // Factors around 2ˢʰⁱᶠᵗ, so that few sums leave int8, and never more than the bound of int32 allows.
        let largest = (1usize << shift.min(22)).saturating_mul(2);
        let multipliers = [0; 2].map(|_| {
            let m = random.below(largest) as i32;
            if random.one_in(8) { -m } else { m }
        });
        let sum: i64 = multipliers.iter().map(|m| i64::from(*m).abs()).sum();
        let room = (1i64 << 31) - 1 - 128 * sum;
        let wanted = (random.below(512) as i64 - 256) << shift;
        let offset = wanted.clamp(-room, room) as i32;
        let (activation_min, activation_max) = random.clamp();
        let params = AddParams { multipliers, offset, shift, reserved: 0, activation_min, activation_max };
        let (zero_points, which) = ([0; 3].map(|_| random.zero_point()), random.below(5));
        let a = self.input(shape, zero_points[0]);
        let b = if which == 0 { a } else { self.input(shape, zero_points[1]) };
        // An input that is an output stays; so the sum goes over the other one, or over neither.
        if which == 1 || which == 2 {
            self.keep(a);
        }
        if which == 2 {
            self.keep(b);
        }
        let output = self.tensor(shape, zero_points[2]);
        self.op(Kind::Add(params), vec![a, b], output);
    }

    fn pool(&mut self, code: OpCode) {
        let window = self.window();
        let random = &mut self.random;
        let ([n, h, w, c], out) = (random.shape(), random.pair(6));
        let zero_point = random.zero_point();
        let params = Pool2dParams {
            kernel: window.kernel,
            stride: window.stride,
            padding: window.padding,
            count_padding: (code == OpCode::AveragePool2d && random.one_in(2)).into(),
            ties_away: random.one_in(2).into(),
            activation_min: window.activation_min,
            activation_max: window.activation_max,
        };
        let input = self.input([n, h, w, c], zero_point);
        let output = self.tensor([n, out[0], out[1], c], zero_point);
        let kind = match code {
            OpCode::AveragePool2d => Kind::AveragePool2d(params),
            _ => Kind::MaxPool2d(params),
        };
        self.op(kind, vec![input], output);
    }

    fn mean(&mut self) {
        let random = &mut self.random;
        let (shape, axes) = (random.shape(), random.below(16) as u8);
        let reduced = |axis: usize| axes & (1 << axis) != 0;
        let count: usize = (0..4).filter(|&axis| reduced(axis)).map(|axis| shape[axis]).product();
        let (zp_in, zp_out) = (random.zero_point(), random.zero_point());
        let mut channel = random.channel(zp_out, count * 4);
        // Sums of activations alone are some 2⁶ smaller than sums of products.
        if (8..22).contains(&channel.shift) {
            channel.shift -= 6;
            channel.offset = requantize::offset(zp_out, channel.shift);
        }
        channel.bias = -(count as i32) * i32::from(zp_in);
        let (activation_min, activation_max) = random.clamp();
        let params = MeanParams { channel, axes, reserved: 0, activation_min, activation_max };
        let input = self.input(shape, zp_in);
        let to = [0, 1, 2, 3].map(|axis| if reduced(axis) { 1 } else { shape[axis] });
        let output = self.tensor(to, zp_out);
        self.op(Kind::Mean(params), vec![input], output);
    }

    fn pad(&mut self) {
        let random = &mut self.random;
        let shape = random.shape();
        let before = [random.below(2), random.below(4), random.below(4), random.below(4)];
        let to =
            [0, 1, 2, 3].map(|axis| shape[axis] + before[axis] + random.below(3) * usize::from(axis > 0));
        let (value, zero_point) = (random.int8(), random.zero_point());
        let params = PadParams { before: before.map(|b| b as u16), value, reserved: [0; 3] };
        let input = self.input(shape, zero_point);
        let output = self.tensor(to, zero_point);
        self.op(Kind::Pad(params), vec![input], output);
    }

    fn concat(&mut self) {
        let random = &mut self.random;
        let (mut shape, axis, count) = (random.shape(), random.below(4), random.size(4));
        let zero_point = random.zero_point();
        let sizes: Vec<usize> = (0..count).map(|_| random.size(5)).collect();
        let mut inputs = Vec::new();
        for &size in &sizes {
            shape[axis] = size;
            inputs.push(self.input(shape, zero_point));
        }
        shape[axis] = sizes.iter().sum();
        let output = self.tensor(shape, zero_point);
        let params = ConcatParams { axis: axis as u8, reserved: [0; 3] };
        self.op(Kind::Concat(params), inputs, output);
    }

    fn softmax(&mut self) {
        let random = &mut self.random;
        let scale = f64::from(random.0.uniform([-9.0, 0.5])).exp2();
        let c = if random.one_in(4) { 300 } else { random.size(20) };
        let shape = [1, 1, random.size(5), c];
        let entry = |d: u32| ((-scale * f64::from(d)).exp() * f64::from(1u32 << 20)).round() as u32;
        let zero_point = random.zero_point();
        let keep = random.one_in(2);
        let input = self.input(shape, zero_point);
        if keep {
            self.keep(input);
        }
        let output = self.tensor(shape, -128);
        self.network.tensors[output].quantization.scale = 1.0 / 256.0;
        let table = (0..256).map(entry).take_while(|&entry| entry > 0).collect();
        self.op(Kind::Softmax { table }, vec![input], output);
    }

    fn transpose(&mut self) {
        let random = &mut self.random;
        let shape = random.shape();
        let mut permutation = [0u8, 1, 2, 3];
        for i in (1..4).rev() {
            permutation.swap(i, random.below(i + 1));
        }
        let zero_point = random.zero_point();
        let input = self.input(shape, zero_point);
        let output = self.tensor(permutation.map(|axis| shape[usize::from(axis)]), zero_point);
        self.op(Kind::Transpose(TransposeParams { permutation }), vec![input], output);
    }

    fn table(&mut self) {
        let random = &mut self.random;
        let (shape, zero_point) = (random.shape(), random.zero_point());
        let table = (0..256).map(|_| random.int8()).collect();
        let keep = random.one_in(2);
        let input = self.input(shape, zero_point);
        if keep {
            self.keep(input);
        }
        let output = self.tensor(shape, zero_point);
        self.op(Kind::Table { table }, vec![input], output);
    }
}
