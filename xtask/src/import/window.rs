//! The attributes that convolutions and pools share.

use still8_validation::Result;

use super::call::{Call, bad, refuse};
use super::shapes::{MAX_ELEMENTS, sizes};
use crate::graph::Window;

/// The window of a node with this kernel over these spatial sizes (one or two), and the output's spatial sizes.
///
/// # Errors
/// If attributes do not fit each other or the sizes.
pub fn window(call: &Call<'_>, kernel: &[usize], spatial: &[usize]) -> Result<(Window, Vec<usize>)> {
    let rank = spatial.len();
    if kernel.len() != rank || !kernel.iter().all(|k| (1..=MAX_ELEMENTS).contains(k)) {
        return bad(format!("kernel {kernel:?} over {rank} spatial axes"));
    }
    let strides = positive(call, "strides", rank)?;
    let dilations = positive(call, "dilations", rank)?;
    let reach: Vec<_> = kernel.iter().zip(&dilations).map(|(k, d)| (k - 1) * d + 1).collect();
    let mut pads = pads(call, &reach, &strides, spatial)?;
    let ceil = call.int("ceil_mode")?.unwrap_or(0) != 0;
    let mut output = Vec::with_capacity(rank);
    for axis in 0..rank {
        let padded = spatial[axis] + pads[axis] + pads[axis + rank];
        let Some(free) = padded.checked_sub(reach[axis]) else {
            return bad(format!("the window of {} is larger than the padded input of {padded}", reach[axis]));
        };
        let mut windows = free / strides[axis] + 1;
        // One more window hangs over the end, if it begins before the padding there.
        if ceil && free % strides[axis] != 0 && windows * strides[axis] < spatial[axis] + pads[axis] {
            if call.int("count_include_pad")?.unwrap_or(0) != 0 {
                return refuse(
                    "attribute ceil_mode=1 with count_include_pad=1 is not supported; pad the input instead",
                );
            }
            pads[axis + rank] += strides[axis] - free % strides[axis];
            windows += 1;
        }
        output.push(windows);
    }
    let pair = |values: &[usize], missing: usize| match *values {
        [w] => [missing, w],
        [h, w, ..] => [h, w],
        [] => [missing; 2],
    };
    let ([top, left], [bottom, right]) = (pair(&pads[..rank], 0), pair(&pads[rank..], 0));
    let window = Window {
        kernel: pair(kernel, 1),
        stride: pair(&strides, 1),
        dilation: pair(&dilations, 1),
        padding: [top, left, bottom, right],
    };
    Ok((window, output))
}

/// The attribute `kernel_shape`.
///
/// # Errors
/// If it is missing or negative.
pub fn kernel_shape(call: &Call<'_>) -> Result<Vec<usize>> {
    match call.ints("kernel_shape")? {
        Some(kernel) => sizes(kernel, "attribute kernel_shape"),
        None => bad("attribute kernel_shape is missing"),
    }
}

/// An attribute of one positive number for each spatial axis, 1 where it is missing.
///
/// # Errors
/// If there are others.
pub fn positive(call: &Call<'_>, name: &str, rank: usize) -> Result<Vec<usize>> {
    let Some(values) = call.ints(name)? else {
        return Ok(vec![1; rank]);
    };
    let found = sizes(values, name)?;
    if found.len() != rank || !found.iter().all(|value| (1..=MAX_ELEMENTS).contains(value)) {
        return bad(format!("attribute {name}={values:?} over {rank} spatial axes"));
    }
    Ok(found)
}

/// Padding before each spatial axis, then behind each.
fn pads(call: &Call<'_>, reach: &[usize], strides: &[usize], spatial: &[usize]) -> Result<Vec<usize>> {
    let rank = spatial.len();
    let mut pads = vec![0; 2 * rank];
    match call.text("auto_pad")?.as_deref() {
        None | Some("NOTSET" | "") => {
            let Some(given) = call.ints("pads")? else {
                return Ok(pads);
            };
            if given.iter().any(|&pad| pad < 0) {
                return refuse(format!("attribute pads={given:?} crops; slice before the export"));
            }
            pads = sizes(given, "attribute pads")?;
            if pads.len() != 2 * rank || pads.iter().any(|&pad| pad > MAX_ELEMENTS) {
                return bad(format!("attribute pads={given:?} over {rank} spatial axes"));
            }
        }
        Some("VALID") => {}
        Some(mode @ ("SAME_UPPER" | "SAME_LOWER")) => {
            for axis in 0..rank {
                let output = spatial[axis].div_ceil(strides[axis]);
                let total =
                    ((output.saturating_sub(1)) * strides[axis] + reach[axis]).saturating_sub(spatial[axis]);
                let small = total / 2;
                let (before, after) =
                    if mode == "SAME_UPPER" { (small, total - small) } else { (total - small, small) };
                pads[axis] = before;
                pads[axis + rank] = after;
            }
        }
        Some(mode) => return bad(format!("attribute auto_pad={mode} does not exist")),
    }
    Ok(pads)
}
