//! DepthToSpace and SpaceToDepth: the same elements under six axes, nested otherwise.

use still8_validation::Result;

use crate::graph::Op;
use crate::import::call::{Call, bad, refuse};
use crate::import::shapes::sizes;

fn block(call: &Call<'_>) -> Result<usize> {
    match call.int("blocksize")? {
        Some(size) => match sizes(&[size], "attribute blocksize")?[0] {
            0 => bad("attribute blocksize=0"),
            size => Ok(size),
        },
        None => bad("attribute blocksize is missing"),
    }
}

/// `[n, c·b·b, h, w]` → `[n, c, h·b, w·b]`.
pub fn to_space(call: &mut Call<'_>) -> Result<()> {
    let (x, b) = (call.activation(0)?, block(call)?);
    let &[n, c, h, w] = call.shape(x).as_slice() else {
        return bad(format!("input of shape {:?} has no two spatial axes", call.shape(x)));
    };
    if b.checked_mul(b).is_none_or(|area| c % area != 0) {
        return bad(format!("{c} channels are no multiple of the block's {b} x {b}"));
    }
    let depth = c / (b * b);
    // Where the block's row and column lie among the channels.
    let (split, order) = match call.text("mode")?.as_deref() {
        None | Some("DCR") => (vec![n, b, b, depth, h, w], vec![0, 3, 4, 1, 5, 2]),
        Some("CRD") => (vec![n, depth, b, b, h, w], vec![0, 1, 4, 2, 5, 3]),
        Some(other) => return refuse(format!("attribute mode={other} is not known")),
    };
    regroup(call, x, split, order, vec![n, depth, h * b, w * b])
}

/// `[n, c, h·b, w·b]` → `[n, b·b·c, h, w]`.
pub fn to_depth(call: &mut Call<'_>) -> Result<()> {
    let (x, b) = (call.activation(0)?, block(call)?);
    let &[n, c, h, w] = call.shape(x).as_slice() else {
        return bad(format!("input of shape {:?} has no two spatial axes", call.shape(x)));
    };
    if h % b != 0 || w % b != 0 {
        return bad(format!("{h} x {w} are no multiples of the block's {b}"));
    }
    let split = vec![n, c, h / b, b, w / b, b];
    regroup(call, x, split, vec![0, 3, 5, 1, 2, 4], vec![n, c * b * b, h / b, w / b])
}

fn regroup(
    call: &mut Call<'_>,
    x: usize,
    split: Vec<usize>,
    permutation: Vec<usize>,
    shape: Vec<usize>,
) -> Result<()> {
    let moved = permutation.iter().map(|&axis| split[axis]).collect();
    let x = call.emit_step("split", Op::Reshape, vec![x], split)?;
    let x = call.emit_step("moved", Op::Transpose { permutation }, vec![x], moved)?;
    call.emit(Op::Reshape, vec![x], shape)
}
