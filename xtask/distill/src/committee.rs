//! Several trained networks as one, whose output is the mean of theirs: such a teacher depends less on the luck of one start.

use crate::engine::net::{Layer, Net, Node, Param, ValueId};

/// The networks side by side on the same input. The weights of their last layers are divided by how many they are, and the
/// outputs summed. One alone stays as it is.
///
/// # Panics
/// If there are none, if inputs or outputs differ, or if a last layer is not a convolution or a dense layer.
pub fn committee(members: &[Net]) -> Net {
    if let [one] = members {
        return one.clone();
    }
    let share = 1.0 / members.len() as f32;
    let mut all = Net { input: members[0].input, nodes: Vec::new(), params: Vec::new() };
    let mut outputs: Vec<ValueId> = Vec::new();
    for (number, member) in (1..).zip(members) {
        assert_eq!(member.input, all.input, "all members read the same input");
        let name = |name: &str| format!("member{number}/{name}");
        let (nodes, params) = (all.nodes.len(), all.params.len());
        all.params
            .extend(member.params.iter().map(|param| Param { name: name(&param.name), ..param.clone() }));
        for node in &member.nodes {
            let mut node = Node { name: name(&node.name), ..node.clone() };
            node.layer.params_mut().into_iter().for_each(|id| *id += params);
            node.inputs.iter_mut().filter(|value| **value > 0).for_each(|value| *value += nodes);
            all.nodes.push(node);
        }
        let Some(Layer::Conv { weights, bias, .. }) = all.nodes.last().map(|node| &node.layer) else {
            panic!("the last layer of a member is a convolution or a dense layer");
        };
        for id in [Some(*weights), *bias].into_iter().flatten() {
            all.params[id].data.iter_mut().for_each(|w| *w *= share);
        }
        outputs.push(all.nodes.len());
    }
    let mut sum = outputs[0];
    let shape = all.shape(sum);
    for (number, &output) in (1..).zip(&outputs[1..]) {
        assert_eq!(all.shape(output), shape, "all members have the same output");
        let name = format!("committee/add{number}");
        all.nodes.push(Node { name, layer: Layer::Add, inputs: vec![sum, output], shape });
        sum = all.nodes.len();
    }
    all
}

#[cfg(test)]
mod tests {
    use still8_validation::random::SplitMix64;

    use super::*;
    use crate::engine::batch::Batch;
    use crate::quantized::folded;
    use crate::student::{Family, Student, build};

    #[test]
    fn a_committee_gives_the_mean_of_its_members() {
        let (shape, outputs) = ([6, 9, 2], 5);
        let layers = Student::of(Family::Resnet, 8, 2).layers(shape, outputs).unwrap();
        let trained = |seed| folded(&build(&layers, shape, outputs, seed).unwrap());
        let mut random = SplitMix64::new(3);
        let data: Vec<f32> = (0..4 * 6 * 9 * 2).map(|_| random.uniform([-1.0, 1.0])).collect();
        let answer = |net: &Net| {
            let x = Batch { n: 4, shape, data: data.clone() };
            net.forward(x, false).output().data.clone()
        };
        for count in 1..=3 {
            let members: Vec<Net> = (0..count).map(trained).collect();
            let mut mean = vec![0.0; 4 * outputs];
            for member in &members {
                mean.iter_mut().zip(answer(member)).for_each(|(mean, y)| *mean += y / count as f32);
            }
            let whole = committee(&members);
            assert_eq!(whole.parameters(), members.iter().map(Net::parameters).sum::<usize>());
            for (a, b) in answer(&whole).iter().zip(&mean) {
                assert!((a - b).abs() < 1e-5, "{a} is not {b}");
            }
        }
    }
}
