//! ScaleOffset, which is BatchNormalization above all, goes into the weights and biases of its neighbours.
//!
//! y = s · (W x + b) + t = (s W) x + (s b + t), and W (s x + t) + b = (W s) x + (W t + b). In f64, rounded once.

use ndarray::{Array1, ArrayD, Axis};

use super::edit::{describe, only_feeder, unique_name};
use crate::graph::{Given, Graph, Node, Op, ValueId};

/// Folds a ScaleOffset into the Conv or MatMul that it reads from, whose output takes its name.
pub fn into_writer(graph: &mut Graph) -> Option<String> {
    for index in of_kind(graph) {
        let Some(feeder) = only_feeder(graph, index) else {
            continue;
        };
        let (node, layer) = (&graph.nodes[index], &graph.nodes[feeder]);
        let rank = graph.values[layer.output].shape.len();
        // The axis of the weights along which the output's channels lie.
        let channels = match layer.op {
            Op::Conv { .. } => Axis(0),
            Op::MatMul if rank == 2 => Axis(1),
            _ => continue,
        };
        let (Some((scale, offset)), Some(weights)) =
            (coefficients(graph, node), wide(graph, layer.inputs.get(1)))
        else {
            continue;
        };
        let bias = wide(graph, layer.inputs.get(2)).unwrap_or_else(|| ArrayD::zeros(vec![scale.len()]));
        let bias = &bias * &scale + &offset;
        let mut weights = weights;
        for (mut channel, scale) in weights.axis_iter_mut(channels).zip(&scale) {
            channel *= *scale;
        }
        let Some(parameters) = Parameters::of(&weights, &bias) else {
            continue;
        };
        let text = format!("folded {} into {}", describe(node), describe(layer));
        let output = node.output;
        let given = scaled(graph, layer.inputs[1], &scale);
        let weights = parameters.install(graph, feeder);
        graph.values[weights].given = given;
        graph.nodes[feeder].output = output;
        graph.nodes.remove(index);
        return Some(text);
    }
    None
}

/// Folds a ScaleOffset into the Conv or MatMul that alone reads it. A Conv's padding is 0 behind the ScaleOffset and
/// would not be before it, so an offset goes into a Conv without padding only.
pub fn into_reader(graph: &mut Graph) -> Option<String> {
    for reader in 0..graph.nodes.len() {
        let Some(index) = only_feeder(graph, reader).filter(|&i| graph.nodes[i].op == Op::ScaleOffset) else {
            continue;
        };
        let (node, layer) = (&graph.nodes[index], &graph.nodes[reader]);
        let (Some((scale, offset)), Some(weights)) =
            (coefficients(graph, node), wide(graph, layer.inputs.get(1)))
        else {
            continue;
        };
        let mut weights = weights;
        // What each of the layer's outputs gains by the offset.
        let gain = match &layer.op {
            Op::Conv { window, groups }
                if window.padding == [0; 4] || offset.iter().all(|&offset| offset == 0.0) =>
            {
                let per_group = scale.len() / groups;
                let filters_per_group = weights.len_of(Axis(0)) / groups;
                let filters = weights.axis_iter_mut(Axis(0)).enumerate();
                filters
                    .map(|(oc, filter)| absorb(filter, oc / filters_per_group * per_group, &scale, &offset))
                    .collect()
            }
            Op::MatMul if graph.values[node.output].shape.len() == 2 => {
                weights.axis_iter_mut(Axis(1)).map(|column| absorb(column, 0, &scale, &offset)).collect()
            }
            _ => continue,
        };
        let gain = Array1::<f64>::from_vec(gain).into_dyn();
        let bias = wide(graph, layer.inputs.get(2)).map_or_else(|| gain.clone(), |bias| bias + &gain);
        let Some(parameters) = Parameters::of(&weights, &bias) else {
            continue;
        };
        return Some(absorbed(graph, index, reader, parameters));
    }
    None
}

/// Folds a ScaleOffset into the one that alone reads it.
pub fn into_scale_offset(graph: &mut Graph) -> Option<String> {
    for reader in of_kind(graph) {
        let Some(index) = only_feeder(graph, reader).filter(|&i| graph.nodes[i].op == Op::ScaleOffset) else {
            continue;
        };
        let (node, last) = (&graph.nodes[index], &graph.nodes[reader]);
        let (Some((s, t)), Some((scale, offset))) = (coefficients(graph, node), coefficients(graph, last))
        else {
            continue;
        };
        let Some(parameters) = Parameters::of(&(&s * &scale), &(&t * &scale + &offset)) else {
            continue;
        };
        return Some(absorbed(graph, index, reader, parameters));
    }
    None
}

/// Gives `reader` parameters that do the work of node `index` as well, and removes that node; says so.
fn absorbed(graph: &mut Graph, index: usize, reader: usize, parameters: Parameters) -> String {
    let text = format!("folded {} into {}", describe(&graph.nodes[index]), describe(&graph.nodes[reader]));
    let from = graph.nodes[index].inputs[0];
    parameters.install(graph, reader);
    graph.nodes[reader].inputs[0] = from;
    graph.nodes.remove(index);
    text
}

fn of_kind(graph: &Graph) -> Vec<usize> {
    (0..graph.nodes.len()).filter(|&i| graph.nodes[i].op == Op::ScaleOffset).collect()
}

fn wide(graph: &Graph, value: Option<&ValueId>) -> Option<ArrayD<f64>> {
    value.and_then(|&value| graph.constant(value)).map(|constant| constant.mapv(f64::from))
}

fn coefficients(graph: &Graph, node: &Node) -> Option<(ArrayD<f64>, ArrayD<f64>)> {
    Some((wide(graph, node.inputs.get(1))?, wide(graph, node.inputs.get(2))?))
}

/// The scales that the source gives to `weights`, of output channels that are multiplied by `factors`: the integers stay as
/// they are, but for their sign.
fn scaled(graph: &Graph, weights: ValueId, factors: &ArrayD<f64>) -> Option<Given> {
    let Some(Given::Weights { bits, scales }) = &graph.values[weights].given else {
        return None;
    };
    let scales: Vec<f32> =
        scales.iter().zip(factors).map(|(&scale, factor)| (f64::from(scale) * factor.abs()) as f32).collect();
    scales.iter().all(|scale| scale.is_normal()).then_some(Given::Weights { bits: *bits, scales })
}

/// Scales one output's weights by input channel, from channel `first` on, and returns Σ weight · offset.
fn absorb(
    mut filter: ndarray::ArrayViewMutD<'_, f64>,
    first: usize,
    scale: &ArrayD<f64>,
    offset: &ArrayD<f64>,
) -> f64 {
    let mut gain = 0.0;
    for ((mut taps, scale), offset) in
        filter.outer_iter_mut().zip(scale.iter().skip(first)).zip(offset.iter().skip(first))
    {
        gain += taps.sum() * offset;
        taps *= *scale;
    }
    gain
}

/// New second and third operands of a node.
struct Parameters {
    weights: ArrayD<f32>,
    bias: ArrayD<f32>,
}

impl Parameters {
    /// Rounded to f32, `None` if that overflows.
    fn of(weights: &ArrayD<f64>, bias: &ArrayD<f64>) -> Option<Self> {
        let [weights, bias] = [weights, bias].map(|array| array.mapv(|x| x as f32));
        weights.iter().chain(&bias).all(|x| x.is_finite()).then_some(Self { weights, bias })
    }

    /// Gives them to the node at `index`, and returns the new weights. The old ones stay: another node may read them.
    fn install(self, graph: &mut Graph, index: usize) -> ValueId {
        let old =
            graph.nodes[index].inputs.get(1).map(|&id| graph.values[id].name.clone()).unwrap_or_default();
        let weights = unique_name(graph, &old);
        let weights = graph.add_constant(weights, self.weights);
        let bias = match graph.nodes[index].inputs.get(2) {
            Some(&id) => unique_name(graph, &graph.values[id].name),
            None => unique_name(graph, &format!("{old}#bias")),
        };
        let bias = graph.add_constant(bias, self.bias);
        graph.nodes[index].inputs.truncate(1);
        graph.nodes[index].inputs.extend([weights, bias]);
        weights
    }
}
