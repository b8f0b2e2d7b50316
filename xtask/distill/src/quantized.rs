//! Normalizations folded, and fake quantization inserted: the network that runs on the device, still in floats.

use crate::engine::net::{Kind, Layer, Net, Node, Param, ValueId};
use crate::engine::norm::EPSILON;
use crate::samples::Samples;

/// Samples that ranges are taken from at first.
const CALIBRATION: usize = 512;

/// The network without normalizations: they are part of the convolutions in front of them.
pub fn folded(net: &Net) -> Net {
    let mut out = Net { input: net.input, nodes: Vec::new(), params: net.params.clone() };
    // The new value of each old one.
    let mut place: Vec<ValueId> = vec![0];
    for node in &net.nodes {
        let inputs: Vec<ValueId> = node.inputs.iter().map(|&value| place[value]).collect();
        let Layer::Norm([scale, offset, mean, variance]) = node.layer else {
            out.nodes.push(Node { inputs, ..node.clone() });
            place.push(out.nodes.len());
            continue;
        };
        // The builder puts every normalization behind a convolution that nothing else reads.
        let Layer::Conv { conv, weights, bias, .. } = &mut out.nodes[inputs[0] - 1].layer else {
            unreachable!("a normalization stands behind a convolution")
        };
        let data = |id: usize| net.params[id].data.clone();
        let (scale, offset, mean, variance) = (data(scale), data(offset), data(mean), data(variance));
        let factors: Vec<f32> = scale.iter().zip(&variance).map(|(s, v)| s / (v + EPSILON).sqrt()).collect();
        let shifts = (0..conv.c_out).map(|i| offset[i] - mean[i] * factors[i]).collect();
        for row in out.params[*weights].data.chunks_exact_mut(conv.c_out) {
            row.iter_mut().zip(&factors).for_each(|(w, f)| *w *= f);
        }
        let name = net.params[*weights].name.replace("/weight", "/bias");
        out.params.push(Param { name, kind: Kind::Offset, data: shifts });
        *bias = Some(out.params.len() - 1);
        place.push(inputs[0]);
    }
    used(out)
}

/// The network with only the parameters that it reads.
fn used(mut net: Net) -> Net {
    let mut params = Vec::new();
    for id in net.nodes.iter_mut().flat_map(|node| node.layer.params_mut()) {
        params.push(net.params[*id].clone());
        *id = params.len() - 1;
    }
    net.params = params;
    net
}

/// A folded network with fake quantization of all values and weights; `bits` of a layer by its name. Ranges start
/// where `samples` lie, times `scale`; that of the input is `input`, where it is known, and stays.
pub fn with_fake(
    net: &Net,
    samples: &Samples,
    scale: f32,
    input: Option<[f32; 2]>,
    bits: impl Fn(&str) -> u8,
) -> Net {
    let ranges = ranges(net, samples, scale);
    let mut out = Net { input: net.input, nodes: Vec::new(), params: net.params.clone() };
    let fake = |out: &mut Net, name: &str, from: ValueId, range: [f32; 2], kind: Kind, shape: [usize; 3]| {
        let name = format!("{name}/int8");
        out.params.push(Param { name: name.clone(), kind, data: range.to_vec() });
        let layer = Layer::Fake(out.params.len() - 1);
        out.nodes.push(Node { name, layer, inputs: vec![from], shape });
        out.nodes.len()
    };
    let first = input.map_or(ranges[0], |range| range.map(|end| end * scale));
    let mut place = vec![fake(&mut out, "input", 0, first, Kind::Fixed, net.input)];
    for (index, node) in net.nodes.iter().enumerate() {
        let inputs = node.inputs.iter().map(|&value| place[value]).collect();
        let mut node = Node { inputs, ..node.clone() };
        if let Layer::Conv { bits: places, .. } = &mut node.layer {
            *places = Some(bits(&node.name));
        }
        let (name, shape) = (node.name.clone(), node.shape);
        let moves = matches!(node.layer, Layer::Flatten | Layer::MaxPool { .. });
        out.nodes.push(node);
        let value = out.nodes.len();
        let clips = |reader: usize| matches!(net.nodes[reader].layer, Layer::Clip { .. });
        let fused = net.readers(index + 1).count() == 1 && net.readers(index + 1).all(clips);
        place.push(if moves || fused {
            value
        } else {
            fake(&mut out, &name, value, ranges[index + 1], Kind::Range, shape)
        });
    }
    out
}

/// Where the values of the first samples lie, all but one in ten thousand.
fn ranges(net: &Net, samples: &Samples, scale: f32) -> Vec<[f32; 2]> {
    let count = samples.len().min(CALIBRATION);
    // Spread over all samples, which may be in order of class.
    let indices: Vec<usize> = (0..count).map(|i| i * samples.len() / count).collect();
    let mut values: Vec<Vec<f32>> = vec![Vec::new(); net.nodes.len() + 1];
    for part in indices.chunks(32) {
        let run = net.forward(samples.batch(part, scale), false);
        values.iter_mut().zip(&run.values).for_each(|(all, batch)| all.extend(&batch.data));
    }
    let range = |mut all: Vec<f32>| {
        all.sort_unstable_by(f32::total_cmp);
        let cut = all.len() / 10_000;
        let ends =
            [all.get(cut), all.get(all.len().saturating_sub(1 + cut))].map(|end| end.copied().unwrap_or(0.0));
        [ends[0].min(0.0), ends[1].max(0.0)]
    };
    values.into_iter().map(range).collect()
}

/// The network for samples and outputs in their own units, when it learned from samples times `scale` to give outputs times
/// `given`: the weights of the layers that read the input times the one, the last layer divided by the other.
pub fn unscaled(net: &Net, scale: f32, given: f32) -> Net {
    let mut net = net.clone();
    for index in (0..net.nodes.len()).rev() {
        match net.nodes[index].layer {
            Layer::Fake(range) => net.params[range].data.iter_mut().for_each(|end| *end /= given),
            Layer::Conv { weights, bias, .. } => {
                for id in [Some(weights), bias].into_iter().flatten() {
                    net.params[id].data.iter_mut().for_each(|x| *x /= given);
                }
                break;
            }
            _ => {}
        }
    }
    let first = matches!(net.nodes.first().map(|node| &node.layer), Some(Layer::Fake(_)));
    if let (true, Some(Layer::Fake(range))) = (first, net.nodes.first().map(|node| node.layer.clone())) {
        net.params[range].data.iter_mut().for_each(|end| *end /= scale);
    }
    let inputs = [0, usize::from(first)];
    for node in &net.nodes {
        // A flattened input is still the input.
        let from = match node.inputs[0].checked_sub(1).map(|from| &net.nodes[from]) {
            Some(flat) if flat.layer == Layer::Flatten => flat.inputs[0],
            _ => node.inputs[0],
        };
        if let (Layer::Conv { weights, .. }, true) = (&node.layer, inputs.contains(&from)) {
            net.params[*weights].data.iter_mut().for_each(|w| *w *= scale);
        }
    }
    net
}

/// A power of two that brings values of this size to about 1; 1 where they are small already.
pub fn input_scale(largest: f32) -> f32 {
    if largest <= 8.0 { 1.0 } else { (-(largest.log2().floor())).exp2() * 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::batch::Batch;
    use crate::student::{Family, Student, build};

    fn batch(shape: [usize; 3]) -> Batch {
        let mut random = still8_validation::random::SplitMix64::new(3);
        let count = 2 * shape.iter().product::<usize>();
        Batch { n: 2, shape, data: (0..count).map(|_| random.uniform([-1.0, 1.0])).collect() }
    }

    #[test]
    fn folding_changes_no_output() {
        for family in Family::ALL {
            let input = [1, 32, 3];
            let outputs = if family == Family::Autoencoder { 96 } else { 5 };
            let layers = Student::of(family, 8, 2).layers(input, outputs).unwrap();
            let mut net = build(&layers, input, outputs, 1).unwrap();
            let mut random = still8_validation::random::SplitMix64::new(9);
            for param in net.params.iter_mut().filter(|param| param.kind != Kind::Weights) {
                param.data.iter_mut().for_each(|x| *x = random.uniform([0.5, 1.5]));
            }
            let (before, after) =
                (net.forward(batch(input), false), folded(&net).forward(batch(input), false));
            for (a, b) in before.output().data.iter().zip(&after.output().data) {
                assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{}: {a} {b}", family.name());
            }
            let mut large = batch(input);
            large.data.iter_mut().for_each(|x| *x *= 64.0);
            let unscaled = unscaled(&folded(&net), 1.0 / 64.0, 1.0).forward(large, false);
            assert_eq!(unscaled.output().data, after.output().data, "{}", family.name());
        }
    }

    #[test]
    fn scales_are_powers_of_two() {
        assert_eq!([1.0, 8.0, 255.0].map(input_scale), [1.0, 1.0, 1.0 / 64.0]);
    }
}
