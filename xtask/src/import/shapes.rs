//! Arithmetic on shapes that may come from anywhere.

use still8_validation::{Failure, Result};

/// Most elements of one value.
pub const MAX_ELEMENTS: usize = 1 << 31;

/// The number of elements, `None` above [`MAX_ELEMENTS`].
pub fn element_count(shape: &[usize]) -> Option<usize> {
    // A size of 0 must not hide others that overflow.
    let mut nonzero = shape.iter().filter(|&&dim| dim > 0);
    let product =
        nonzero.try_fold(1_usize, |count, &dim| count.checked_mul(dim).filter(|&n| n <= MAX_ELEMENTS))?;
    Some(if shape.contains(&0) { 0 } else { product })
}

/// An axis of a value of this rank; negative ones count from the end.
///
/// # Errors
/// [`Failure::Data`] if there is no such axis.
pub fn axis(axis: i64, rank: usize) -> Result<usize> {
    let signed = i64::try_from(rank).unwrap_or(i64::MAX);
    let found = if axis < 0 { axis.checked_add(signed) } else { Some(axis) };
    let found =
        found.filter(|found| (0..signed).contains(found)).and_then(|found| usize::try_from(found).ok());
    found.ok_or_else(|| Failure::Data(format!("axis {axis} of a value of rank {rank}")))
}

/// Several axes, ascending.
///
/// # Errors
/// [`Failure::Data`] if one does not exist or is named twice.
pub fn axes(axes: &[i64], rank: usize) -> Result<Vec<usize>> {
    let mut found = axes.iter().map(|&i| axis(i, rank)).collect::<Result<Vec<_>>>()?;
    found.sort_unstable();
    match found.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Failure::Data(format!("axis {} is named twice", pair[0]))),
        None => Ok(found),
    }
}

/// Sizes from a file.
///
/// # Errors
/// [`Failure::Data`] if one is negative.
pub fn sizes(sizes: &[i64], what: &str) -> Result<Vec<usize>> {
    let found: Option<_> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
    found.ok_or_else(|| Failure::Data(format!("{what} {sizes:?} has a negative entry")))
}

/// What Reshape makes of `from`: 0 keeps a size (unless `allow_zero`), −1 takes what is left.
///
/// # Errors
/// [`Failure::Data`] if the numbers of elements differ.
pub fn reshaped(from: &[usize], target: &[i64], allow_zero: bool) -> Result<Vec<usize>> {
    let misfit = || Failure::Data(format!("shape {from:?} cannot become {target:?}"));
    let size = |(i, &size): (usize, &i64)| match size {
        0 if !allow_zero => from.get(i).copied().ok_or_else(misfit),
        -1 => Ok(1),
        _ => usize::try_from(size).map_err(|_| misfit()),
    };
    let mut shape = target.iter().enumerate().map(size).collect::<Result<Vec<_>>>()?;
    let [have, known] = [element_count(from), element_count(&shape)].map(|count| count.unwrap_or(0));
    let mut open = target.iter().enumerate().filter(|(_, size)| **size == -1);
    if let Some((i, _)) = open.next() {
        if open.next().is_some() || known == 0 || have % known != 0 {
            return Err(misfit());
        }
        shape[i] = have / known;
        return Ok(shape);
    }
    if have == known && element_count(&shape).is_some() { Ok(shape) } else { Err(misfit()) }
}

/// `shape` without axes of size 1: those named, or all.
///
/// # Errors
/// [`Failure::Data`] if a named axis does not exist or is longer.
pub fn squeezed(shape: &[usize], named: Option<&[i64]>) -> Result<Vec<usize>> {
    let kept = |drop: &dyn Fn(usize) -> bool| {
        shape.iter().enumerate().filter(|(i, _)| !drop(*i)).map(|(_, &size)| size).collect()
    };
    let Some(named) = named else {
        return Ok(kept(&|i| shape.get(i) == Some(&1)));
    };
    let named = axes(named, shape.len())?;
    match named.iter().find(|&&i| shape.get(i) != Some(&1)) {
        Some(i) => {
            Err(Failure::Data(format!("axis {i} of the shape {shape:?} is not 1 and cannot be squeezed")))
        }
        None => Ok(kept(&|i| named.contains(&i))),
    }
}

/// `shape` with axes of size 1, which lie at `named` in the result.
///
/// # Errors
/// [`Failure::Data`] if an axis does not exist or is named twice.
pub fn unsqueezed(shape: &[usize], named: &[i64]) -> Result<Vec<usize>> {
    let rank = shape.len() + named.len();
    let named = axes(named, rank)?;
    let mut old = shape.iter().copied();
    let size = |i| {
        if named.contains(&i) { 1 } else { old.next().unwrap_or(1) }
    };
    Ok((0..rank).map(size).collect())
}

/// Two axes: the product before `axis`, and that from it on. An axis equal to the rank is allowed.
///
/// # Errors
/// [`Failure::Data`] if there is no such axis.
pub fn flattened(shape: &[usize], at: i64) -> Result<Vec<usize>> {
    let rank = i64::try_from(shape.len()).unwrap_or(i64::MAX);
    let at = if at == rank { shape.len() } else { axis(at, shape.len())? };
    let (before, behind) = shape.split_at(at);
    Ok(vec![before.iter().product(), behind.iter().product()])
}

/// `permutation`, checked against the rank; reversed where none is given.
///
/// # Errors
/// [`Failure::Data`] if it is not a permutation of all axes.
pub fn permutation(given: Option<&[i64]>, rank: usize) -> Result<Vec<usize>> {
    let Some(given) = given else {
        return Ok((0..rank).rev().collect());
    };
    if given.len() != rank {
        return Err(Failure::Data(format!("permutation {given:?} of a value of rank {rank}")));
    }
    axes(given, rank)?;
    given.iter().map(|&i| axis(i, rank)).collect()
}

/// The shape of an operation on two values by elements: equal sizes, or 1 on either side, from the last axis on.
///
/// # Errors
/// [`Failure::Data`] if they do not fit.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(at) => shape[at],
        None => 1,
    };
    let joined = (0..rank).map(|axis| match (size(a, axis), size(b, axis)) {
        (a, b) if a == b || b == 1 => Some(a),
        (1, b) => Some(b),
        _ => None,
    });
    let joined: Option<_> = joined.collect();
    joined.ok_or_else(|| Failure::Data(format!("shapes {a:?} and {b:?} do not fit each other")))
}
