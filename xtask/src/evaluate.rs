//! The float graph run by the slowest honest loops: what import and simplify are checked by, and what the quantizer's
//! tests compare with.
//!
//! Sums are in f64 and rounded to f32 once a value. It trusts the graph: shapes that do not fit panic.

use ndarray::{ArrayD, Axis, IxDyn, Slice};

use crate::graph::{Graph, Node, Op, Reduction, Tap, Window};

/// Every value of the graph by its id; `None` for those that no node computes. `inputs` in the graph's order.
///
/// # Panics
/// If the graph or the inputs are inconsistent.
pub fn evaluate(graph: &Graph, inputs: &[ArrayD<f32>]) -> Vec<Option<ArrayD<f32>>> {
    let mut values: Vec<_> = graph.values.iter().map(|value| value.constant.clone()).collect();
    for (&id, input) in graph.inputs.iter().zip(inputs) {
        assert_eq!(graph.values[id].shape, input.shape(), "shape of input {}", graph.values[id].name);
        values[id] = Some(input.clone());
    }
    for node in &graph.nodes {
        let operands: Vec<_> =
            node.inputs.iter().map(|&id| values[id].as_ref().expect("computed before it is read")).collect();
        let output = evaluate_node(node, &operands, &graph.values[node.output].shape);
        values[node.output] = Some(output);
    }
    values
}

/// One node's result, of shape `shape`.
///
/// # Panics
/// If the operands do not fit.
pub fn evaluate_node(node: &Node, operands: &[&ArrayD<f32>], shape: &[usize]) -> ArrayD<f32> {
    let x = operands[0];
    let output = match &node.op {
        Op::Conv { window, groups } => conv(operands, *window, *groups, shape),
        Op::MatMul => mat_mul(operands, shape),
        Op::ScaleOffset => ArrayD::from_shape_fn(shape, |i| x[&i] * operands[1][i[1]] + operands[2][i[1]]),
        Op::Clip { low, high } => x.mapv(|x| x.max(*low).min(*high)),
        Op::Map(expression) => x.mapv(|x| expression.apply(x.into()) as f32),
        Op::PRelu => {
            ArrayD::from_shape_fn(shape, |i| if x[&i] < 0.0 { x[&i] * operands[1][i[1]] } else { x[&i] })
        }
        Op::Add => broadcast(operands, shape, |a, b| a + b),
        Op::Sub => broadcast(operands, shape, |a, b| a - b),
        Op::Mul => broadcast(operands, shape, |a, b| a * b),
        Op::BatchMatMul => batch_mat_mul(x, operands[1], shape),
        Op::MaxPool { window } => pool(x, *window, shape, |taps, _| taps.fold(f64::NEG_INFINITY, f64::max)),
        Op::AveragePool { window, count_padding, .. } => pool(x, *window, shape, |taps, inside| {
            let count = if *count_padding { window.kernel[0] * window.kernel[1] } else { inside };
            taps.sum::<f64>() / count as f64
        }),
        Op::Reduce { reduction, axes } => {
            standard(&reduce(x, *reduction, axes)).into_shape_with_order(shape).expect("same elements")
        }
        Op::ArgMax { axis, last } => {
            let largest = x.map_axis(Axis(*axis), |lane| arg_max(lane.iter().copied(), *last) as f32);
            standard(&largest).into_shape_with_order(shape).expect("same elements")
        }
        Op::Gather { axis, indices } => standard(&x.select(Axis(*axis), indices)),
        Op::Resize { rows, columns } => resize(x, rows, columns, shape),
        Op::LayerNorm { epsilon } => layer_norm(operands, *epsilon),
        Op::Reshape => standard(x).into_shape_with_order(shape).expect("same elements"),
        Op::Transpose { permutation } => standard(&x.view().permuted_axes(permutation.clone()).to_owned()),
        Op::Pad { before, value, .. } => pad(x, before, *value, shape),
        Op::Concat { axis } => {
            let views: Vec<_> = operands.iter().map(|operand| operand.view()).collect();
            ndarray::concatenate(Axis(*axis), &views).expect("shapes fit")
        }
        Op::Softmax { axis } => softmax(x, *axis),
    };
    assert_eq!(output.shape(), shape, "shape of {}", node.name);
    output
}

fn standard(x: &ArrayD<f32>) -> ArrayD<f32> {
    x.as_standard_layout().into_owned()
}

/// `[n, c, h, w]` of a shape with one or two spatial axes.
fn planes(shape: &[usize]) -> [usize; 4] {
    match *shape {
        [n, c, w] => [n, c, 1, w],
        [n, c, h, w] => [n, c, h, w],
        _ => panic!("{shape:?} has no one or two spatial axes"),
    }
}

/// The input position under tap `k` of output position `o`, `None` in the padding.
fn tap(window: &Window, axis: usize, o: usize, k: usize, size: usize) -> Option<usize> {
    (o * window.stride[axis] + k * window.dilation[axis])
        .checked_sub(window.padding[axis])
        .filter(|&i| i < size)
}

fn conv(operands: &[&ArrayD<f32>], window: Window, groups: usize, shape: &[usize]) -> ArrayD<f32> {
    let [_, c_in, h, w] = planes(operands[0].shape());
    let [n, c_out, out_h, out_w] = planes(shape);
    let [x, weights] = [0, 1].map(|i| standard(operands[i]).into_raw_vec_and_offset().0);
    let per_group = c_in / groups;
    let [k_h, k_w] = window.kernel;
    let mut output = Vec::with_capacity(n * c_out * out_h * out_w);
    for (b, oc) in (0..n).flat_map(|b| (0..c_out).map(move |oc| (b, oc))) {
        let first = oc / (c_out / groups) * per_group;
        for (oy, ox) in (0..out_h).flat_map(|oy| (0..out_w).map(move |ox| (oy, ox))) {
            let mut sum = operands.get(2).map_or(0.0, |bias| f64::from(bias[oc]));
            for ic in 0..per_group {
                for ky in 0..k_h {
                    let Some(iy) = tap(&window, 0, oy, ky, h) else {
                        continue;
                    };
                    for kx in 0..k_w {
                        let Some(ix) = tap(&window, 1, ox, kx, w) else {
                            continue;
                        };
                        let weight = weights[((oc * per_group + ic) * k_h + ky) * k_w + kx];
                        let value = x[((b * c_in + first + ic) * h + iy) * w + ix];
                        sum += f64::from(weight) * f64::from(value);
                    }
                }
            }
            output.push(sum as f32);
        }
    }
    ArrayD::from_shape_vec(shape, output).expect("one value an output position")
}

fn mat_mul(operands: &[&ArrayD<f32>], shape: &[usize]) -> ArrayD<f32> {
    let x = standard(operands[0]).into_raw_vec_and_offset().0;
    let weights = operands[1];
    let [k, m] = [weights.shape()[0], weights.shape()[1]];
    let mut output = Vec::with_capacity(x.len() / k * m);
    for row in x.chunks_exact(k) {
        for o in 0..m {
            let bias = operands.get(2).map_or(0.0, |bias| f64::from(bias[o]));
            let products =
                row.iter().enumerate().map(|(i, &x)| f64::from(x) * f64::from(weights[[i, o].as_slice()]));
            output.push((bias + products.sum::<f64>()) as f32);
        }
    }
    ArrayD::from_shape_vec(shape, output).expect("k fits")
}

/// `reduce(taps inside the input, their number)` at every output position.
fn pool(
    x: &ArrayD<f32>,
    window: Window,
    shape: &[usize],
    reduce: impl Fn(&mut dyn Iterator<Item = f64>, usize) -> f64,
) -> ArrayD<f32> {
    let [_, _, h, w] = planes(x.shape());
    let data = standard(x).into_raw_vec_and_offset().0;
    let [n, c, out_h, out_w] = planes(shape);
    let mut output = Vec::with_capacity(n * c * out_h * out_w);
    for plane in data.chunks_exact(h * w) {
        for (oy, ox) in (0..out_h).flat_map(|oy| (0..out_w).map(move |ox| (oy, ox))) {
            let rows = (0..window.kernel[0]).filter_map(|ky| tap(&window, 0, oy, ky, h));
            let columns: Vec<_> = (0..window.kernel[1]).filter_map(|kx| tap(&window, 1, ox, kx, w)).collect();
            let taps: Vec<_> = rows.flat_map(|iy| columns.iter().map(move |ix| iy * w + ix)).collect();
            output.push(reduce(&mut taps.iter().map(|&i| f64::from(plane[i])), taps.len()) as f32);
        }
    }
    ArrayD::from_shape_vec(shape, output).expect("one value an output position")
}

fn reduce(x: &ArrayD<f32>, reduction: Reduction, axes: &[usize]) -> ArrayD<f32> {
    let mut reduced = x.mapv(f64::from);
    for &axis in axes {
        let along = match reduction {
            Reduction::Mean | Reduction::Sum => reduced.sum_axis(Axis(axis)),
            Reduction::Max => reduced.fold_axis(Axis(axis), f64::NEG_INFINITY, |a, b| a.max(*b)),
        };
        reduced = along.insert_axis(Axis(axis));
    }
    let count: usize = axes.iter().map(|&axis| x.shape()[axis]).product();
    let divisor = if reduction == Reduction::Mean { count as f64 } else { 1.0 };
    reduced.mapv(|x| (x / divisor) as f32)
}

/// Index of the largest; of equal ones the first or the last.
fn arg_max(values: impl Iterator<Item = f32>, last: bool) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (i, x) in values.enumerate() {
        if x > best.1 || (last && x == best.1) {
            best = (i, x);
        }
    }
    best.0
}

fn broadcast(operands: &[&ArrayD<f32>], shape: &[usize], f: impl Fn(f32, f32) -> f32) -> ArrayD<f32> {
    let [a, b] = [0, 1].map(|i| operands[i].broadcast(shape).expect("shapes fit"));
    ndarray::Zip::from(a).and(b).map_collect(|&a, &b| f(a, b))
}

fn batch_mat_mul(a: &ArrayD<f32>, b: &ArrayD<f32>, shape: &[usize]) -> ArrayD<f32> {
    let (&[.., m, k], Some(&p)) = (a.shape(), b.shape().last()) else { panic!("matrices have two axes") };
    let [a, b] = [a, b].map(|x| standard(x).into_raw_vec_and_offset().0);
    let mut output = Vec::with_capacity(shape.iter().product());
    for (a, b) in a.chunks_exact(m * k).zip(b.chunks_exact(k * p)) {
        for (row, column) in (0..m).flat_map(|row| (0..p).map(move |column| (row, column))) {
            let products = (0..k).map(|i| f64::from(a[row * k + i]) * f64::from(b[i * p + column]));
            output.push(products.sum::<f64>() as f32);
        }
    }
    ArrayD::from_shape_vec(shape, output).expect("leading axes are equal")
}

fn resize(x: &ArrayD<f32>, rows: &[Tap], columns: &[Tap], shape: &[usize]) -> ArrayD<f32> {
    let [_, _, h, w] = planes(x.shape());
    let data = standard(x).into_raw_vec_and_offset().0;
    let between = |a: f64, b: f64, tap: &Tap| a + f64::from(tap.fraction) * (b - a);
    let mut output = Vec::with_capacity(shape.iter().product());
    for plane in data.chunks_exact(h * w) {
        for row in rows {
            for column in columns {
                let at = |y: usize| {
                    between(plane[y * w + column.low].into(), plane[y * w + column.high].into(), column)
                };
                output.push(between(at(row.low), at(row.high), row) as f32);
            }
        }
    }
    ArrayD::from_shape_vec(shape, output).expect("one value an output position")
}

fn layer_norm(operands: &[&ArrayD<f32>], epsilon: f32) -> ArrayD<f32> {
    let mut output = standard(operands[0]);
    for mut row in output.rows_mut() {
        let n = row.len() as f64;
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        let deviation = (variance + f64::from(epsilon)).sqrt();
        for (c, x) in row.iter_mut().enumerate() {
            let normal = (f64::from(*x) - mean) / deviation;
            *x = (normal * f64::from(operands[1][c]) + f64::from(operands[2][c])) as f32;
        }
    }
    output
}

fn pad(x: &ArrayD<f32>, before: &[usize], value: f32, shape: &[usize]) -> ArrayD<f32> {
    let mut output = ArrayD::from_elem(shape, value);
    output
        .slice_each_axis_mut(|axis| {
            let start = before[axis.axis.index()];
            Slice::from(start..start + x.shape()[axis.axis.index()])
        })
        .assign(x);
    output
}

fn softmax(x: &ArrayD<f32>, axis: usize) -> ArrayD<f32> {
    let mut output = ArrayD::zeros(IxDyn(x.shape()));
    for (from, mut to) in x.lanes(Axis(axis)).into_iter().zip(output.lanes_mut(Axis(axis))) {
        let highest = from.fold(f64::NEG_INFINITY, |highest, &x| highest.max(f64::from(x)));
        let exps = from.mapv(|x| (f64::from(x) - highest).exp());
        let sum = exps.sum();
        to.zip_mut_with(&exps, |to, exp| *to = (exp / sum) as f32);
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_adds_nothing_to_a_convolution_and_nothing_to_a_mean_without_it() {
        let x = ArrayD::from_shape_vec(vec![1, 1, 1, 3], vec![1.0, 2.0, 3.0]).unwrap();
        let w = ArrayD::from_shape_vec(vec![1, 1, 1, 3], vec![1.0, 10.0, 100.0]).unwrap();
        let window = Window { kernel: [1, 3], stride: [1, 1], dilation: [1, 1], padding: [0, 1, 0, 1] };
        let node = |op| Node { name: "n".into(), op, inputs: vec![0], output: 1 };
        let run = |op, operands: &[&ArrayD<f32>]| evaluate_node(&node(op), operands, &[1, 1, 1, 3]);
        let conv = run(Op::Conv { window, groups: 1 }, &[&x, &w]);
        assert_eq!(conv.into_raw_vec_and_offset().0, [210.0, 321.0, 32.0]);
        let mean = run(Op::AveragePool { window, count_padding: false, half_up: false }, &[&x]);
        assert_eq!(mean.into_raw_vec_and_offset().0, [1.5, 2.0, 2.5]);
        let mean = run(Op::AveragePool { window, count_padding: true, half_up: false }, &[&x]);
        assert_eq!(mean.into_raw_vec_and_offset().0, [1.0, 2.0, 5.0 / 3.0]);
    }
}
