//! Arithmetic on constants, with broadcasting.

use ndarray::{ArrayD, IxDyn};
use still8_validation::Result;

use super::MAX_FOLDED;
use crate::import::call::{bad, refuse};
use crate::import::constant::Constant;
use crate::import::shapes::element_count;

/// Refuses results that are unreasonably large.
pub fn check_size(shape: &[usize]) -> Result<()> {
    match element_count(shape) {
        Some(count) if count <= MAX_FOLDED => Ok(()),
        _ => refuse(format!("a folded constant of shape {shape:?} is too large")),
    }
}

/// Add, Sub, Mul or Div of two constants of one type.
pub fn binary(operator: &str, a: Constant, b: Constant) -> Result<Constant> {
    let shape = broadcast(a.shape(), b.shape())?;
    check_size(&shape)?;
    match (a, b) {
        (Constant::Float(a), Constant::Float(b)) => {
            let compute = |a: f32, b: f32| {
                Some(match operator {
                    "Add" => a + b,
                    "Sub" => a - b,
                    "Mul" => a * b,
                    _ => a / b,
                })
            };
            elementwise(&a, &b, &shape, compute).map(Constant::Float)
        }
        (Constant::Int(a), Constant::Int(b)) => {
            let compute = |a: i64, b: i64| match operator {
                "Add" => a.checked_add(b),
                "Sub" => a.checked_sub(b),
                "Mul" => a.checked_mul(b),
                _ => a.checked_div(b),
            };
            elementwise(&a, &b, &shape, compute).map(Constant::Int)
        }
        _ => bad("operands are of different types"),
    }
}

/// −x.
pub fn negate(x: Constant) -> Result<Constant> {
    Ok(match x {
        Constant::Float(x) => Constant::Float(-x),
        Constant::Int(x) => Constant::Int(x.mapv(i64::wrapping_neg)),
    })
}

/// √x.
pub fn square_root(x: Constant) -> Result<Constant> {
    match x {
        Constant::Float(x) => Ok(Constant::Float(x.mapv(f32::sqrt))),
        Constant::Int(_) => bad("the operand must be of floats"),
    }
}

fn elementwise<T: Copy>(
    a: &ArrayD<T>,
    b: &ArrayD<T>,
    shape: &[usize],
    compute: impl Fn(T, T) -> Option<T>,
) -> Result<ArrayD<T>> {
    let (Some(a), Some(b)) = (a.broadcast(IxDyn(shape)), b.broadcast(IxDyn(shape))) else {
        return bad("shapes do not fit");
    };
    let Some(data) = a.iter().zip(&b).map(|(&a, &b)| compute(a, b)).collect::<Option<Vec<T>>>() else {
        return bad("integer arithmetic overflows or divides by zero");
    };
    ArrayD::from_shape_vec(IxDyn(shape), data).or_else(|_| bad("shapes do not fit"))
}

fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    let joined = |i| match (size(a, i), size(b, i)) {
        (x, y) if x == y => Ok(x),
        (1, x) | (x, 1) => Ok(x),
        _ => bad(format!("shapes {a:?} and {b:?} do not fit")),
    };
    (0..rank).map(joined).collect()
}
