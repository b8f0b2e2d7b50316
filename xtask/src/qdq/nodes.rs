//! The ONNX form of each operator, on dequantized inputs.

use still8::format::DataType;
use still8_validation::onnx::build::{float, int, ints};
use still8_validation::onnx::pb::AttributeProto;
use still8_validation::onnx::pb::tensor_proto::DataType as Element;

use super::Exporter;
use crate::expression::Expression;
use crate::function::Function;
use crate::graph::{Node, Op, Reduction, Tap, ValueId, Window};
use crate::quantize::channel::integer_bias;
use crate::quantize::fuse::Fused;

type Exports<T = ()> = Result<T, String>;

impl Exporter<'_> {
    /// The nodes that compute `output` out of the step's node, its clip apart.
    pub(super) fn node(&mut self, step: &Fused, output: &str) -> Exports {
        let node = &self.graph.nodes[step.node];
        // Another shape in other integers is rounded once.
        let x = match node.op {
            Op::Reshape => self.own(node.inputs[0]),
            _ => self.constant_or_read(node.inputs[0]),
        };
        let spatial = self.graph.values[node.inputs[0]].shape.len().saturating_sub(2);
        let from = &self.graph.values[node.inputs[0]].shape;
        let to: Vec<usize> = self.graph.values[node.output].shape.clone();
        match &node.op {
            Op::Conv { window, groups } => {
                let weights = self.weights(step, 0)?;
                let mut inputs = vec![x, weights];
                inputs.extend(self.bias(step, &[])?);
                let mut attributes = window_attributes(window, spatial);
                attributes.push(ints("dilations", &last(&window.dilation, spatial)));
                attributes.push(int("group", *groups as i64));
                self.writer.node("Conv", &texts(&inputs), output, attributes);
            }
            Op::MatMul => {
                let weights = self.weights(step, 1)?;
                let product = format!("{output}_product");
                self.writer.node("MatMul", &[&x, &weights], &product, vec![]);
                self.add_bias(step, &product, &[], output)?;
            }
            Op::ScaleOffset => {
                let weights = self.weights(step, 0)?;
                let product = format!("{output}_product");
                self.writer.node("Mul", &[&x, &weights], &product, vec![]);
                let ones = vec![1; from.len().saturating_sub(2)];
                self.add_bias(step, &product, &ones, output)?;
            }
            Op::Clip { low, high } => self.writer.clip(&x, *low, *high, output),
            Op::Map(expression) => self.expression(expression, &x, output),
            Op::Add | Op::Sub | Op::Mul | Op::BatchMatMul => {
                let name = if node.op == Op::BatchMatMul { "MatMul" } else { node.op.name() };
                let operands = [0, 1].map(|i| self.constant_or_read(node.inputs[i]));
                self.writer.node(name, &[&operands[0], &operands[1]], output, vec![]);
            }
            Op::PRelu => {
                let ones = vec![1; from.len().saturating_sub(2)];
                let slopes = self.plain(node.inputs[1], &format!("{output}_slopes"), &ones)?;
                self.writer.node("PRelu", &[&x, &slopes], output, vec![]);
            }
            Op::LayerNorm { epsilon } => {
                let scale = self.plain(node.inputs[1], &format!("{output}_scale"), &[])?;
                let offset = self.plain(node.inputs[2], &format!("{output}_offset"), &[])?;
                let attributes = vec![int("axis", -1), float("epsilon", *epsilon)];
                self.writer.node("LayerNormalization", &[&x, &scale, &offset], output, attributes);
            }
            Op::ArgMax { axis, last } => {
                let keep = i64::from(to.len() == from.len());
                let attributes = vec![
                    int("axis", *axis as i64),
                    int("keepdims", keep),
                    int("select_last_index", i64::from(*last)),
                ];
                let index = format!("{output}_index");
                self.writer.node("ArgMax", &[&x], &index, attributes);
                self.writer.node("Cast", &[&index], output, vec![int("to", Element::Float as i64)]);
            }
            Op::Gather { axis, indices } => {
                let indices: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
                let indices = self.writer.indices(&format!("{output}_indices"), &indices);
                self.writer.node("Gather", &[&x, &indices], output, vec![int("axis", *axis as i64)]);
            }
            Op::Resize { rows, columns } => self.resize(&x, from, (rows, columns), output),
            Op::MaxPool { window } => {
                self.writer.node("MaxPool", &[&x], output, window_attributes(window, spatial));
            }
            Op::AveragePool { window, count_padding, half_up } => {
                let mut attributes = window_attributes(window, spatial);
                attributes.push(int("count_include_pad", i64::from(*count_padding)));
                let up = *half_up || self.graph.values[step.output].given.is_none();
                let (own, input) = (self.quantization(step.output), self.quantization(node.inputs[0]));
                if self.wide || own != input || !up {
                    self.writer.node("AveragePool", &[&x], output, attributes);
                    return Ok(());
                }
                // Over the input's own integers many averages lie at a half, which QuantizeLinear rounds to even and the plan up:
                // an eighth of the least difference of two averages tells it so, and changes no other.
                let average = format!("{output}_average");
                self.writer.node("AveragePool", &[&x], &average, attributes);
                let count = (window.kernel[0] * window.kernel[1]) as f32;
                let offset = own.scale / (8.0 * count);
                let offset = self.writer.floats(&format!("{output}_half_up"), &[], &[offset]);
                self.writer.node("Add", &[&average, &offset], output, vec![]);
            }
            Op::Reduce { reduction, axes } => {
                let name = match reduction {
                    Reduction::Mean => "ReduceMean",
                    Reduction::Max => "ReduceMax",
                    Reduction::Sum => "ReduceSum",
                };
                self.writer.reduce(name, &x, axes, to.len() == from.len(), output);
            }
            Op::Reshape => {
                let shape: Vec<i64> = to.iter().map(|&size| size as i64).collect();
                let shape = self.writer.indices(&format!("{output}_shape"), &shape);
                self.writer.node("Reshape", &[&x, &shape], output, vec![]);
            }
            Op::Transpose { permutation } => {
                let permutation: Vec<i64> = permutation.iter().map(|&axis| axis as i64).collect();
                self.writer.node("Transpose", &[&x], output, vec![ints("perm", &permutation)]);
            }
            Op::Pad { before, after, value } => {
                let pads: Vec<i64> = before.iter().chain(after).map(|&pad| pad as i64).collect();
                let pads = self.writer.indices(&format!("{output}_pads"), &pads);
                // What int8 cannot hold, −∞ above all, is the least that it can.
                let value = value.max(self.quantization(step.output).range().0);
                let value = self.writer.floats(&format!("{output}_value"), &[], &[value]);
                self.writer.node("Pad", &[&x, &pads, &value], output, vec![]);
            }
            Op::Concat { axis } => {
                let inputs: Vec<String> = node.inputs.iter().map(|&input| self.read(input)).collect();
                self.writer.node("Concat", &texts(&inputs), output, vec![int("axis", *axis as i64)]);
            }
            Op::Softmax { axis } => {
                self.writer.node("Softmax", &[&x], output, vec![int("axis", *axis as i64)]);
            }
        }
        Ok(())
    }

    /// A float constant of one axis with further axes behind.
    fn plain(&mut self, value: ValueId, name: &str, behind: &[usize]) -> Exports<String> {
        let contents = self.graph.constant(value).ok_or("its parameters are not constant")?;
        let shape = [contents.shape(), behind].concat();
        Ok(self.writer.floats(name, &shape, &contents.iter().copied().collect::<Vec<_>>()))
    }

    /// Linear interpolation as products with the matrices of its shares, rounded as the plan has them: rows · x · columns.
    fn resize(&mut self, x: &str, from: &[usize], (rows, columns): (&[Tap], &[Tap]), output: &str) {
        let share = |tap: &Tap, i: usize| {
            let high = (f64::from(tap.fraction) * 2048.0).round() as f32 / 2048.0;
            let of = |index: usize, share: f32| if index == i { share } else { 0.0 };
            of(tap.low, 1.0 - high) + of(tap.high, high)
        };
        let [.., width] = from else { return };
        let matrix = |taps: &[Tap], size: usize| -> Vec<f32> {
            taps.iter().flat_map(|tap| (0..size).map(move |i| share(tap, i))).collect()
        };
        let mut x = x.to_owned();
        if let [_, _, height, _] = from {
            let shares = matrix(rows, *height);
            let name = self.writer.floats(&format!("{output}_rows"), &[rows.len(), *height], &shares);
            let between = format!("{output}_between");
            self.writer.node("MatMul", &[&name, &x], &between, vec![]);
            x = between;
        }
        let shares = matrix(columns, *width);
        let mut transposed = vec![0.0; shares.len()];
        for (i, &share) in shares.iter().enumerate() {
            transposed[i % width * columns.len() + i / width] = share;
        }
        let name = self.writer.floats(&format!("{output}_columns"), &[*width, columns.len()], &transposed);
        self.writer.node("MatMul", &[&x, &name], output, vec![]);
    }

    /// The nodes of an expression of `x`.
    fn expression(&mut self, expression: &Expression, x: &str, output: &str) {
        let inner = |name: &str| format!("{output}_{name}");
        match expression {
            Expression::X => self.writer.node("Identity", &[x], output, vec![]),
            Expression::Function(function, e) => {
                let e = self.operand(e, x, &inner("x"));
                self.function(*function, &e, output);
            }
            Expression::Clip(low, high, e) => {
                let e = self.operand(e, x, &inner("x"));
                self.writer.clip(&e, *low, *high, output);
            }
            Expression::Affine(scale, offset, e) => {
                let e = self.operand(e, x, &inner("x"));
                let scale = self.writer.floats(&inner("scale"), &[], &[*scale]);
                let offset = self.writer.floats(&inner("offset"), &[], &[*offset]);
                let product = inner("product");
                self.writer.node("Mul", &[&e, &scale], &product, vec![]);
                self.writer.node("Add", &[&product, &offset], output, vec![]);
            }
            Expression::Sum(a, b) | Expression::Difference(a, b) | Expression::Product(a, b) => {
                let operator = match expression {
                    Expression::Sum(..) => "Add",
                    Expression::Difference(..) => "Sub",
                    _ => "Mul",
                };
                let (a, b) = (self.operand(a, x, &inner("a")), self.operand(b, x, &inner("b")));
                self.writer.node(operator, &[&a, &b], output, vec![]);
            }
        }
    }

    /// The name of an expression's value: `x` itself, or what is computed under `name`.
    fn operand(&mut self, expression: &Expression, x: &str, name: &str) -> String {
        if *expression == Expression::X {
            return x.to_owned();
        }
        self.expression(expression, x, name);
        name.to_owned()
    }

    fn function(&mut self, function: Function, x: &str, output: &str) {
        let erf_or_tanh = |e: Expression| {
            let half = Expression::Affine(0.5, 0.5, Box::new(e));
            Expression::Product(Box::new(Expression::X), Box::new(half))
        };
        match function {
            Function::LeakyRelu { alpha } | Function::Elu { alpha } => {
                self.writer.node(function.name(), &[x], output, vec![float("alpha", alpha)]);
            }
            Function::HardSigmoid { alpha, beta } => {
                let attributes = vec![float("alpha", alpha), float("beta", beta)];
                self.writer.node("HardSigmoid", &[x], output, attributes);
            }
            Function::Power { exponent } => {
                let exponent = self.writer.floats(&format!("{output}_exponent"), &[], &[exponent]);
                self.writer.node("Pow", &[x, &exponent], output, vec![]);
            }
            Function::Silu => {
                let sigmoid = format!("{output}_sigmoid");
                self.writer.node("Sigmoid", &[x], &sigmoid, vec![]);
                self.writer.node("Mul", &[x, &sigmoid], output, vec![]);
            }
            // Operators of their own since operator set 20 only.
            Function::Gelu => {
                let scaled =
                    Expression::Affine(std::f32::consts::FRAC_1_SQRT_2, 0.0, Box::new(Expression::X));
                let erf = Expression::Function(Function::Erf, Box::new(scaled));
                self.expression(&erf_or_tanh(erf), x, output);
            }
            Function::GeluTanh => {
                let x_of = || Box::new(Expression::X);
                let square = Expression::Product(x_of(), x_of());
                let cubic = Expression::Affine(0.044_715, 1.0, Box::new(square));
                let inner = Expression::Product(x_of(), Box::new(cubic));
                let root = (2.0 / std::f32::consts::PI).sqrt();
                let tanh = Expression::Affine(root, 0.0, Box::new(inner));
                let tanh = Expression::Function(Function::Tanh, Box::new(tanh));
                self.expression(&erf_or_tanh(tanh), x, output);
            }
            Function::Sigmoid
            | Function::Tanh
            | Function::HardSwish
            | Function::Exp
            | Function::Sqrt
            | Function::Abs
            | Function::Erf
            | Function::Softplus
            | Function::Reciprocal => self.writer.node(function.name(), &[x], output, vec![]),
        }
    }

    /// The name of the step's weights, whose channels lie along `axis`.
    fn weights(&mut self, step: &Fused, axis: usize) -> Exports<String> {
        let node = &self.graph.nodes[step.node];
        let weights = self.scheme.weights.get(&step.output).ok_or("it has no weights")?;
        let mut shape = self.graph.values[node.inputs[1]].shape.clone();
        if node.op == Op::ScaleOffset {
            // Along axis 1 of what it multiplies.
            let behind = self.graph.values[node.inputs[0]].shape.len().saturating_sub(2);
            shape.extend(vec![1; behind]);
        }
        let integers: Vec<i32> = weights.integers.iter().map(|&q| q.into()).collect();
        let name = format!("{}_weights", self.graph.values[step.output].name);
        let kind = if weights.bits == 4 { DataType::Int4 } else { DataType::Int8 };
        Ok(self.writer.dequantized(&name, &shape, kind, &integers, (axis, &weights.scales)))
    }

    /// The name of the step's bias, `None` without one; `behind` are further axes.
    fn bias(&mut self, step: &Fused, behind: &[usize]) -> Exports<Option<String>> {
        let node: &Node = &self.graph.nodes[step.node];
        let Some(&bias) = node.inputs.get(2) else {
            return Ok(None);
        };
        let bias = self.graph.constant(bias).ok_or("its bias is not constant")?;
        let weights = self.scheme.weights.get(&step.output).ok_or("it has no weights")?;
        let input = self.quantization(node.inputs[0]);
        if self.wide {
            // Of 64 bits in the plan, which no tensor of a file has.
            let name = format!("{}_bias", self.graph.values[step.output].name);
            let shape = [&[bias.len()], behind].concat();
            return Ok(Some(self.writer.floats(&name, &shape, &bias.iter().copied().collect::<Vec<_>>())));
        }
        let unit = f32::from(weights.unit());
        let scales: Vec<f32> = weights.scales.iter().map(|scale| scale / unit * input.scale).collect();
        let integers: Vec<i32> = bias
            .iter()
            .zip(&weights.scales)
            .map(|(&bias, &scale)| integer_bias(bias, scale / unit, &input) as i32)
            .collect();
        let shape = [&[integers.len()], behind].concat();
        let name = format!("{}_bias", self.graph.values[step.output].name);
        Ok(Some(self.writer.dequantized(&name, &shape, DataType::Int32, &integers, (0, &scales))))
    }

    fn add_bias(&mut self, step: &Fused, product: &str, behind: &[usize], output: &str) -> Exports {
        match self.bias(step, behind)? {
            Some(bias) => self.writer.node("Add", &[product, &bias], output, vec![]),
            None => self.writer.node("Identity", &[product], output, vec![]),
        }
        Ok(())
    }
}

fn texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// The last `rank` of height and width.
fn last(pair: &[usize; 2], rank: usize) -> Vec<i64> {
    pair[2 - rank.min(2)..].iter().map(|&size| size as i64).collect()
}

fn window_attributes(window: &Window, spatial: usize) -> Vec<AttributeProto> {
    let [top, left, bottom, right] = window.padding;
    let pads = [last(&[top, left], spatial), last(&[bottom, right], spatial)].concat();
    vec![
        ints("kernel_shape", &last(&window.kernel, spatial)),
        ints("strides", &last(&window.stride, spatial)),
        ints("pads", &pads),
    ]
}
