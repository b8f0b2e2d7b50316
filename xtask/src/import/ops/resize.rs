//! Resize and Upsample: nearest neighbours as gathers, linear interpolation as it is.

use still8_validation::Result;

use super::movement::{Picks, bounded, emit_picked};
use crate::graph::{Op, Tap};
use crate::import::call::{Call, bad, refuse};
use crate::import::scope::Operand;
use crate::import::shapes;

/// Where an output element lies in the input.
struct Coordinates {
    mode: String,
    size_in: f32,
    size_out: f32,
    scale: f32,
}

impl Coordinates {
    /// The place of output element `i`, in elements of the input. In float32, as engines have it: half way between two
    /// neighbours the last bit decides.
    fn of(&self, i: usize) -> Result<f32> {
        let i = i as f32;
        let half = (i + 0.5) / self.scale - 0.5;
        Ok(match self.mode.as_str() {
            "half_pixel" => half,
            "pytorch_half_pixel" => {
                if self.size_out > 1.0 {
                    half
                } else {
                    0.0
                }
            }
            "half_pixel_symmetric" => {
                let adjustment = self.size_out / (self.scale * self.size_in);
                self.size_in / 2.0 * (1.0 - adjustment) + half
            }
            "align_corners" if self.size_out == 1.0 => 0.0,
            // A scale need not give a whole number of elements.
            "align_corners" => i * (self.size_in - 1.0) / (self.scale * self.size_in - 1.0),
            "asymmetric" => i / self.scale,
            mode => {
                return refuse(format!(
                    "attribute coordinate_transformation_mode={mode} is not supported; half_pixel is"
                ));
            }
        })
    }
}

/// Another size along some axes.
pub fn resize(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let shape = call.shape(x);
    let (scales, sizes) = factors(call)?;
    let axes = match call.ints("axes")? {
        Some(axes) => axes.iter().map(|&axis| shapes::axis(axis, shape.len())).collect::<Result<_>>()?,
        None => (0..shape.len()).collect::<Vec<_>>(),
    };
    let given = scales.as_ref().map_or_else(|| sizes.as_ref().map_or(0, Vec::len), Vec::len);
    if given != axes.len() {
        return bad(format!("{given} sizes or scales for {} axes", axes.len()));
    }
    let upsample = call.scope.opset < 11;
    let default = if upsample { "asymmetric" } else { "half_pixel" };
    let mode = call.text("coordinate_transformation_mode")?.unwrap_or_else(|| default.to_owned());
    let mut out = shape.clone();
    let mut resized: Vec<(usize, Coordinates)> = Vec::new();
    for (i, &axis) in axes.iter().enumerate() {
        let size_in = shape[axis] as f32;
        let (size_out, scale) = match (&scales, &sizes) {
            (Some(scales), _) => ((size_in * scales[i]).floor(), scales[i]),
            (None, Some(sizes)) => (sizes[i] as f32, sizes[i] as f32 / size_in),
            (None, None) => return bad("neither scales nor sizes are given"),
        };
        if !(scale > 0.0 && (1.0..(1 << 24) as f32).contains(&size_out)) {
            return bad(format!("axis {axis} of {size_in} elements cannot become {size_out}"));
        }
        out[axis] = size_out as usize;
        if out[axis] != shape[axis] {
            resized.push((axis, Coordinates { mode: mode.clone(), size_in, size_out, scale }));
        }
    }
    bounded(&out)?;
    match call.text("mode")?.as_deref() {
        None | Some("nearest") => nearest(call, x, &out, &resized, upsample),
        Some("linear" | "bilinear") => linear(call, x, &out, &resized),
        Some(other) => refuse(format!("attribute mode={other} is not supported; nearest and linear are")),
    }
}

/// Scales and sizes.
type Factors = (Option<Vec<f32>>, Option<Vec<i64>>);

/// Whichever are given.
fn factors(call: &Call<'_>) -> Result<Factors> {
    let scales_at = if call.node.op_type == "Resize" && call.scope.opset >= 11 { 2 } else { 1 };
    let scales = match call.floats("scales")? {
        Some(scales) => Some(scales.to_vec()),
        None => call.numbers(scales_at)?.map(|scales| scales.iter().copied().collect()),
    };
    let scales = scales.filter(|scales: &Vec<f32>| !scales.is_empty());
    let sizes = if scales_at == 2 { call.integers(3)?.filter(|sizes| !sizes.is_empty()) } else { None };
    Ok((scales, sizes))
}

fn nearest(
    call: &mut Call<'_>,
    x: usize,
    out: &[usize],
    resized: &[(usize, Coordinates)],
    upsample: bool,
) -> Result<()> {
    let default = if upsample { "floor" } else { "round_prefer_floor" };
    let mode = call.text("nearest_mode")?.unwrap_or_else(|| default.to_owned());
    let mut picks = Picks::new();
    for (axis, coordinates) in resized {
        let index = |i| {
            let place = coordinates.of(i)?;
            let index = match mode.as_str() {
                "round_prefer_floor" => (place - 0.5).ceil(),
                "round_prefer_ceil" => (place + 0.5).floor(),
                "floor" => place.floor(),
                "ceil" => place.ceil(),
                mode => return bad(format!("attribute nearest_mode={mode} does not exist")),
            };
            Ok(index.clamp(0.0, coordinates.size_in - 1.0) as usize)
        };
        picks.push((*axis, (0..out[*axis]).map(index).collect::<Result<_>>()?));
    }
    emit_picked(call, 0, x, picks)
}

/// Along one or two axes of a value of three or four.
fn linear(call: &mut Call<'_>, x: usize, out: &[usize], resized: &[(usize, Coordinates)]) -> Result<()> {
    let shape = call.shape(x);
    let rank = shape.len();
    let taps = |axis: usize| -> Result<Vec<Tap>> {
        let Some((_, coordinates)) = resized.iter().find(|(other, _)| *other == axis) else {
            return Ok((0..shape[axis]).map(|i| Tap { low: i, high: i, fraction: 0.0 }).collect());
        };
        let last = shape[axis] - 1;
        let tap = |i| {
            let place = coordinates.of(i)?.clamp(0.0, last as f32);
            let low = place.floor() as usize;
            Ok(Tap { low, high: (low + 1).min(last), fraction: place - place.floor() })
        };
        (0..out[axis]).map(tap).collect()
    };
    let axes: Vec<usize> = resized.iter().map(|(axis, _)| *axis).collect();
    if resized.is_empty() {
        return call.emit(Op::Reshape, vec![x], shape);
    }
    if let Some(Operand::Integers(_)) = call.operand(0) {
        return refuse(
            "linear interpolation of integers is rounded otherwise by every engine; put it between DequantizeLinear and QuantizeLinear",
        );
    }
    let none = || vec![Tap { low: 0, high: 0, fraction: 0.0 }];
    match rank {
        3 if axes == [2] => {
            let op = Op::Resize { rows: none(), columns: taps(2)? };
            call.emit(op, vec![x], out.to_vec())
        }
        4 if axes.iter().all(|axis| [2, 3].contains(axis)) => {
            let op = Op::Resize { rows: taps(2)?, columns: taps(3)? };
            call.emit(op, vec![x], out.to_vec())
        }
        4 if axes.iter().all(|axis| [1, 2].contains(axis)) => {
            // Channels last: the resized axes come to the end and go back.
            let op = Op::Resize { rows: taps(1)?, columns: taps(2)? };
            let (to, back) = (vec![0, 3, 1, 2], vec![0, 2, 3, 1]);
            let moved = |shape: &[usize]| vec![shape[0], shape[3], shape[1], shape[2]];
            let first = Op::Transpose { permutation: to };
            let x = call.emit_step("channels_first", first, vec![x], moved(&shape))?;
            let x = call.emit_step("resized", op, vec![x], moved(out))?;
            call.emit(Op::Transpose { permutation: back }, vec![x], out.to_vec())
        }
        _ => refuse(format!(
            "linear interpolation along axes {axes:?} of {rank}; two spatial axes are supported"
        )),
    }
}
