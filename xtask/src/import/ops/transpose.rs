//! Transpose.

use still8_validation::Result;

use crate::graph::Op;
use crate::import::call::Call;
use crate::import::shapes;

/// Output axis i is input axis `perm[i]`.
pub fn transpose(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let from = call.shape(x);
    let permutation = shapes::permutation(call.ints("perm")?, from.len())?;
    let shape = permutation.iter().map(|&axis| from[axis]).collect();
    call.emit(Op::Transpose { permutation }, vec![x], shape)
}
