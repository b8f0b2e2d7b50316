//! ConvTranspose: for each phase of the stride a convolution of its own, whose outputs are interleaved. No zeros are put between
//! the input's elements.

use ndarray::{ArrayD, IxDyn};
use still8_validation::Result;

use super::movement::{bounded, picked};
use crate::graph::{Given, Op, Window};
use crate::import::call::{Call, bad, refuse};
use crate::import::shapes::sizes;
use crate::import::window::{kernel_shape, positive};

/// One spatial axis.
struct Axis {
    /// Elements of input and kernel.
    size: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    /// Elements of the whole result that are cut off in front, and those that are kept.
    begin: usize,
    output: usize,
}

impl Axis {
    /// The most input elements that meet in an output, less one: output q · stride + r reads inputs q − reach to q.
    fn reach(&self) -> usize {
        (self.kernel - 1) * self.dilation / self.stride
    }

    /// Outputs of each phase.
    fn rounds(&self) -> usize {
        let whole = (self.size - 1) * self.stride + (self.kernel - 1) * self.dilation + 1;
        whole.max(self.begin + self.output).div_ceil(self.stride)
    }

    /// The tap that phase `r` has at place `u` of its kernel.
    fn tap(&self, r: usize, u: usize) -> Option<usize> {
        let at = (self.reach() - u) * self.stride + r;
        (at.is_multiple_of(self.dilation) && at / self.dilation < self.kernel).then_some(at / self.dilation)
    }
}

/// The transposed convolution of input 0 with constant weights `[c_in, c_out / groups, (kh,) kw]`.
pub fn conv_transpose(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let shape = call.shape(x);
    let weights = call.required_weights(1)?;
    let bias = call.weights(2)?;
    let (&[n, c_in, ref spatial @ ..], &[rows, per_group, ref kernel @ ..]) =
        (shape.as_slice(), weights.shape())
    else {
        return bad(format!("input of shape {shape:?} and weights of shape {:?}", weights.shape()));
    };
    if spatial.len() > 2 {
        return refuse(format!("{} spatial axes; one or two are supported", spatial.len()));
    }
    let groups = sizes(&[call.int("group")?.unwrap_or(1)], "attribute group")?[0];
    if spatial.is_empty()
        || kernel.len() != spatial.len()
        || rows != c_in
        || groups == 0
        || c_in % groups != 0
    {
        let weights = weights.shape();
        return bad(format!("input of shape {shape:?} and weights of shape {weights:?} in {groups} groups"));
    }
    if call.ints("kernel_shape")?.is_some() && kernel_shape(call)? != kernel {
        return bad(format!("attribute kernel_shape does not fit weights of shape {:?}", weights.shape()));
    }
    let c_out = per_group * groups;
    if bias.as_ref().is_some_and(|bias| bias.shape() != [c_out]) {
        return bad(format!("the bias is not one number for each of {c_out} output channels"));
    }
    let mut axes = axes(call, kernel, spatial)?;
    // One spatial axis is the second of two.
    let flat = axes.len() == 1;
    if flat {
        axes.insert(0, Axis { size: 1, kernel: 1, stride: 1, dilation: 1, begin: 0, output: 1 });
    }
    let [high, wide] = &axes[..] else { return bad("it has no spatial axes") };
    let (phases, reach) = ([high.stride, wide.stride], [high.reach(), wide.reach()]);
    let count = phases[0] * phases[1];
    bounded(&[c_out, count, c_in / groups, reach[0] + 1, reach[1] + 1])?;
    let sub = |place: &[usize]| {
        let (row, i) = (place[0], place[1]);
        let (o, phase) = (row / count, row % count);
        let (r, s) = (phase / phases[1], phase % phases[1]);
        let input = o / per_group * (c_in / groups) + i;
        match (high.tap(r, place[2]), wide.tap(s, place[3])) {
            (Some(_), Some(w)) if flat => weights[[input, o % per_group, w].as_slice()],
            (Some(h), Some(w)) => weights[[input, o % per_group, h, w].as_slice()],
            _ => 0.0,
        }
    };
    let mut whole = vec![c_out * count, c_in / groups, reach[0] + 1, reach[1] + 1];
    let contents =
        ArrayD::from_shape_fn(IxDyn(&whole), |place| sub(&[place[0], place[1], place[2], place[3]]));
    if flat {
        whole.remove(2);
    }
    let Ok(contents) = contents.into_shape_with_order(IxDyn(&whole)) else { return bad("its weights") };
    // Each phase of a channel has the channel's scale; scales lie along the channels of a group.
    let given = call.given_weights(1, 1, per_group).map(|given| match given {
        Given::Weights { bits, scales } => {
            let of_channel = |o: usize| vec![scales[o % per_group]; count];
            Given::Weights { bits, scales: (0..c_out).flat_map(of_channel).collect() }
        }
        other => other,
    });
    let rounds = [high.rounds(), wide.rounds()];
    let window = Window {
        kernel: [reach[0] + 1, reach[1] + 1],
        stride: [1, 1],
        dilation: [1, 1],
        padding: [reach[0], reach[1], rounds[0] - high.size, rounds[1] - wide.size],
    };
    let mut inputs = vec![x, call.add_weights(1, contents, given)];
    if let Some(bias) = bias {
        let repeated = bias.iter().flat_map(|&b| vec![b; count]).collect();
        inputs.push(call.add_vector("bias", repeated));
    }
    let begins = [high.begin, wide.begin];
    let kept = [high.output, wide.output];
    let op = Op::Conv { window, groups };
    let axes_of = |shape: &[usize], sizes: [usize; 2]| -> Vec<usize> {
        [shape, if flat { &sizes[1..] } else { &sizes[..] }].concat()
    };
    let mut y = call.emit_step("phases", op, inputs, axes_of(&[n, c_out * count], rounds))?;
    if count > 1 {
        let split = vec![n, c_out, phases[0], phases[1], rounds[0], rounds[1]];
        let permutation = vec![0, 1, 4, 2, 5, 3];
        let moved: Vec<usize> = permutation.iter().map(|&axis: &usize| split[axis]).collect();
        y = call.emit_step("split", Op::Reshape, vec![y], split)?;
        y = call.emit_step("interleaved", Op::Transpose { permutation }, vec![y], moved)?;
    }
    let all = [rounds[0] * phases[0], rounds[1] * phases[1]];
    let first = 2;
    let picks: Vec<(usize, Vec<usize>)> = (usize::from(flat)..2)
        .filter(|&i| (begins[i], kept[i]) != (0, all[i]))
        .map(|i| (first + i - usize::from(flat), (begins[i]..begins[i] + kept[i]).collect()))
        .collect();
    let y = if picks.is_empty() {
        y
    } else {
        let y = call.emit_step("joined", Op::Reshape, vec![y], axes_of(&[n, c_out], all))?;
        picked(call, y, &picks)?
    };
    call.emit(Op::Reshape, vec![y], axes_of(&[n, c_out], kept))
}

/// The spatial axes by the node's attributes.
fn axes(call: &Call<'_>, kernel: &[usize], spatial: &[usize]) -> Result<Vec<Axis>> {
    let rank = spatial.len();
    let (strides, dilations) = (positive(call, "strides", rank)?, positive(call, "dilations", rank)?);
    let listed = |name: &str, count: usize| -> Result<Option<Vec<usize>>> {
        let Some(values) = call.ints(name)? else { return Ok(None) };
        let found = sizes(values, name)?;
        if found.len() == count { Ok(Some(found)) } else { bad(format!("attribute {name}={values:?}")) }
    };
    let padding = listed("output_padding", rank)?.unwrap_or_else(|| vec![0; rank]);
    let shape = listed("output_shape", rank)?;
    let pads = listed("pads", 2 * rank)?.unwrap_or_else(|| vec![0; 2 * rank]);
    let auto = call.text("auto_pad")?.unwrap_or_default();
    let mut axes = Vec::new();
    for i in 0..rank {
        if kernel[i] == 0 || padding[i] >= 1 << 16 || spatial[i] >= 1 << 24 || kernel[i] >= 1 << 16 {
            return bad(format!("kernel {kernel:?} over {spatial:?} with output_padding={padding:?}"));
        }
        let reach = (kernel[i] - 1) * dilations[i] + 1;
        let whole = (spatial[i] - 1) * strides[i] + reach + padding[i];
        // All that is cut off, where the output's size is given.
        let wanted = match auto.as_str() {
            "SAME_UPPER" | "SAME_LOWER" => Some(shape.as_ref().map_or(spatial[i] * strides[i], |s| s[i])),
            "" | "NOTSET" | "VALID" => shape.as_ref().map(|shape| shape[i]),
            mode => return bad(format!("attribute auto_pad={mode} does not exist")),
        };
        let (begin, output) = match wanted {
            Some(output) => {
                let total = whole.saturating_sub(output);
                let begin = if auto == "SAME_UPPER" { total / 2 } else { total - total / 2 };
                (begin, output)
            }
            None => (pads[i], whole.saturating_sub(pads[i]).saturating_sub(pads[i + rank])),
        };
        if output == 0 || output >= 1 << 24 {
            return bad(format!("axis {} of its output has {output} elements", i + 2));
        }
        axes.push(Axis {
            size: spatial[i],
            kernel: kernel[i],
            stride: strides[i],
            dilation: dilations[i],
            begin,
            output,
        });
    }
    Ok(axes)
}
