//! The sums of averages and means.

/// A number of steps over elements, and the elements from one to the next.
pub(super) type Steps = (usize, usize);

/// Sum of the elements of `input` at `start + i · rows.1 + j · columns.1`, i < `rows.0`, j < `columns.0`; places past the
/// end count nothing.
// The one loop of these operators, compiled for speed with the kernels.
#[inline(never)]
pub(super) fn sum(input: &[i8], start: usize, rows: Steps, columns: Steps) -> i32 {
    let mut sum = 0i32;
    let mut row = start;
    for _ in 0..rows.0 {
        let mut at = row;
        for _ in 0..columns.0 {
            // Every place exists; so put, it costs no panic.
            let Some(&x) = input.get(at) else { break };
            sum = sum.wrapping_add(x.into());
            at = at.wrapping_add(columns.1);
        }
        row = row.wrapping_add(rows.1);
    }
    sum
}
