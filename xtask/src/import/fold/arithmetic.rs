//! Arithmetic on constants, with broadcasting.

use ndarray::{ArrayD, IxDyn};
use still8_validation::Result;

use super::MAX_FOLDED;
use crate::import::call::{bad, refuse};
use crate::import::constant::Constant;
use crate::import::shapes::{broadcast, element_count};

/// Refuses results that are unreasonably large.
pub fn check_size(shape: &[usize]) -> Result<()> {
    match element_count(shape) {
        Some(count) if count <= MAX_FOLDED => Ok(()),
        _ => refuse(format!("a folded constant of shape {shape:?} is too large")),
    }
}

/// Add, Sub, Mul, Div, Max, Min, Mod or Equal of two constants of one type.
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
                    "Max" => a.max(b),
                    "Min" => a.min(b),
                    "Mod" => a % b,
                    "Equal" => f32::from(a == b),
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
                "Max" => Some(a.max(b)),
                "Min" => Some(a.min(b)),
                "Mod" => a.checked_rem_euclid(b),
                "Equal" => Some(i64::from(a == b)),
                _ => a.checked_div(b),
            };
            elementwise(&a, &b, &shape, compute).map(Constant::Int)
        }
        _ => bad("operands are of different types"),
    }
}

/// a where the condition is not 0, else b.
pub fn select(condition: Constant, a: Constant, b: Constant) -> Result<Constant> {
    let Constant::Int(condition) = condition else {
        return bad("the condition must be of truth values");
    };
    let shape = broadcast(condition.shape(), &broadcast(a.shape(), b.shape())?)?;
    check_size(&shape)?;
    let Some(condition) = condition.broadcast(IxDyn(&shape)) else { return bad("shapes do not fit") };
    let picks = condition.iter().map(|&condition| condition != 0);
    match (a, b) {
        (Constant::Float(a), Constant::Float(b)) => selected(&a, &b, &shape, picks).map(Constant::Float),
        (Constant::Int(a), Constant::Int(b)) => selected(&a, &b, &shape, picks).map(Constant::Int),
        _ => bad("operands are of different types"),
    }
}

/// The numbers from start up to limit by delta.
pub fn range(start: Constant, limit: Constant, delta: Constant) -> Result<Constant> {
    let number = |constant: &Constant| match constant {
        Constant::Int(array) if array.len() == 1 => array.first().copied(),
        _ => None,
    };
    let (Some(start), Some(limit), Some(delta)) = (number(&start), number(&limit), number(&delta)) else {
        return refuse("a range of other numbers than one integer each is not supported");
    };
    let count = match delta {
        0 => return bad("delta is 0"),
        delta => (i128::from(limit) - i128::from(start) + i128::from(delta) - i128::from(delta.signum()))
            .div_euclid(i128::from(delta))
            .max(0),
    };
    check_size(&[usize::try_from(count).unwrap_or(usize::MAX)])?;
    let numbers = (0..count as i64).map(|i| start + i * delta).collect::<Vec<_>>();
    Ok(Constant::Int(ndarray::Array1::from_vec(numbers).into_dyn()))
}

/// x repeated up to a shape.
pub fn expand(x: Constant, target: &[usize]) -> Result<Constant> {
    let shape = broadcast(x.shape(), target)?;
    check_size(&shape)?;
    let misfit = || bad("shapes do not fit");
    Ok(match x {
        Constant::Float(x) => match x.broadcast(IxDyn(&shape)) {
            Some(x) => Constant::Float(x.to_owned()),
            None => return misfit(),
        },
        Constant::Int(x) => match x.broadcast(IxDyn(&shape)) {
            Some(x) => Constant::Int(x.to_owned()),
            None => return misfit(),
        },
    })
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

fn selected<T: Copy>(
    a: &ArrayD<T>,
    b: &ArrayD<T>,
    shape: &[usize],
    picks: impl Iterator<Item = bool>,
) -> Result<ArrayD<T>> {
    let (Some(a), Some(b)) = (a.broadcast(IxDyn(shape)), b.broadcast(IxDyn(shape))) else {
        return bad("shapes do not fit");
    };
    let pairs = a.iter().zip(&b).zip(picks);
    let data = pairs.map(|((&a, &b), first)| if first { a } else { b }).collect();
    ArrayD::from_shape_vec(IxDyn(shape), data).or_else(|_| bad("shapes do not fit"))
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
