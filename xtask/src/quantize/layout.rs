//! In which order the device holds a value's elements.
//!
//! A value's elements have a linear order in the source (row-major over its shape). A [`Layout`] splits that order
//! into axes and says in which order the device nests them. Reshape keeps a layout as it is, and Transpose only
//! renames axes: neither moves a byte. A Transpose op is needed only where an operator demands another layout.

use still8_validation::layout::Permutation;

/// Device axis `i` is axis `order[i]` of the row-major shape `split`.
#[derive(Clone, Debug)]
pub struct Layout {
    split: Vec<usize>,
    order: Vec<usize>,
}

impl Layout {
    /// The source's own order.
    pub fn identity(shape: &[usize]) -> Self {
        Self { split: shape.to_vec(), order: (0..shape.len()).collect() }
    }

    /// `shape` with its axes nested in `order`.
    pub fn permuted(shape: &[usize], order: &[usize]) -> Self {
        Self { split: shape.to_vec(), order: order.to_vec() }
    }

    /// Channels last: `[n, c, h, w]` as n, h, w, c and `[n, c, w]` as n, w, c.
    pub fn channels_last(shape: &[usize]) -> Self {
        let order = match shape.len() {
            4 => vec![0, 2, 3, 1],
            3 => vec![0, 2, 1],
            rank => (0..rank).collect(),
        };
        Self::permuted(shape, &order)
    }

    /// Without axes of size 1, neighbours that stay neighbours merged: equal for equal orders of elements.
    fn canonical(&self) -> (Vec<usize>, Vec<usize>) {
        let order: Vec<usize> = self.order.iter().copied().filter(|&axis| self.split[axis] != 1).collect();
        // Rank among the axes that are left, in source order.
        let mut kept = order.clone();
        kept.sort_unstable();
        let rank = |axis: usize| kept.iter().position(|&k| k == axis).unwrap_or(0);
        // Runs of device axes that are neighbours in the source too.
        let mut runs: Vec<(usize, usize)> = Vec::new();
        let mut last = None;
        for &axis in &order {
            match (runs.last_mut(), last) {
                (Some(run), Some(last)) if rank(axis) == last + 1 => run.1 *= self.split[axis],
                _ => runs.push((rank(axis), self.split[axis])),
            }
            last = Some(rank(axis));
        }
        let mut by_source: Vec<usize> = (0..runs.len()).collect();
        by_source.sort_unstable_by_key(|&i| runs[i].0);
        let split = by_source.iter().map(|&i| runs[i].1).collect();
        let order = (0..runs.len()).map(|i| by_source.iter().position(|&j| j == i).unwrap_or(0)).collect();
        (split, order)
    }

    /// Whether both hold the elements in the same order.
    pub fn same_order(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }

    /// The same order of elements over exactly the axes of `shape`; `None` where it nests parts of one axis apart.
    /// Axes of size 1 come first.
    pub fn over(&self, shape: &[usize]) -> Option<Self> {
        let (split, order) = self.canonical();
        // Source axes of `shape` that make up each canonical axis.
        let mut axes = (0..shape.len()).filter(|&axis| shape[axis] != 1);
        let mut parts: Vec<Vec<usize>> = Vec::new();
        for &size in &split {
            let mut product = 1;
            let mut part = Vec::new();
            while product < size {
                let axis = axes.next()?;
                product *= shape[axis];
                part.push(axis);
            }
            if product != size {
                return None;
            }
            parts.push(part);
        }
        if axes.next().is_some() {
            return None;
        }
        let units = (0..shape.len()).filter(|&axis| shape[axis] == 1);
        let order = units.chain(order.iter().flat_map(|&i| parts[i].iter().copied())).collect();
        Some(Self { split: shape.to_vec(), order })
    }

    /// Device axis → source axis.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Sizes of the device axes.
    pub fn device_shape(&self) -> Vec<usize> {
        self.order.iter().map(|&axis| self.split[axis]).collect()
    }

    /// The layout of a Transpose's output whose input, over its own axes, is `self`.
    pub fn transposed(&self, permutation: &[usize]) -> Self {
        let place = |axis| permutation.iter().position(|&p| p == axis).unwrap_or(0);
        Self {
            split: permutation.iter().map(|&axis| self.split[axis]).collect(),
            order: self.order.iter().map(|&axis| place(axis)).collect(),
        }
    }

    /// The layout that a Transpose's input of `shape` must have so that the output's, over its own axes, is `self`.
    pub fn before_transpose(&self, permutation: &[usize], shape: &[usize]) -> Self {
        Self { split: shape.to_vec(), order: self.order.iter().map(|&axis| permutation[axis]).collect() }
    }

    /// The layout with the axes in `axes` reduced to size 1.
    pub fn reduced(&self, axes: &[usize]) -> Self {
        let size = |(axis, &size)| if axes.contains(&axis) { 1 } else { size };
        Self { split: self.split.iter().enumerate().map(size).collect(), order: self.order.clone() }
    }

    /// The layout with the sizes of another shape of the same rank.
    pub fn with_shape(&self, shape: &[usize]) -> Self {
        Self { split: shape.to_vec(), order: self.order.clone() }
    }

    /// Source index of each device element, in device order.
    pub fn source_indices(&self) -> Vec<usize> {
        // Split and order come from shapes and permutations of the graph, so that they always fit.
        Permutation::new(&self.split, &self.order)
            .map_or_else(Vec::new, |moved| moved.source_index().to_vec())
    }

    /// The transposition that brings `self` into the order of `target`: the input's shape, and for each output axis
    /// the input axis; both without axes that need not be told apart. `None` where the two split the elements into parts
    /// that do not fit each other, so that a detour over the source's order is needed.
    pub fn transposition_to(&self, target: &Self) -> Option<(Vec<usize>, Vec<usize>)> {
        let (from, to) = (self.canonical(), target.canonical());
        let split = common_split(&from.0, &to.0)?;
        let (from, to) = (nested(&from, &split), nested(&to, &split));
        // Neighbours that stay neighbours are one axis.
        let mut runs: Vec<Vec<usize>> = Vec::new();
        for &axis in &from {
            let behind = |last: usize| to.windows(2).any(|pair| pair == [last, axis]);
            match runs.last_mut() {
                Some(run) if run.last().is_some_and(|&last| behind(last)) => run.push(axis),
                _ => runs.push(vec![axis]),
            }
        }
        let shape = runs.iter().map(|run| run.iter().map(|&axis| split[axis]).product()).collect();
        let place = |axis: usize| runs.iter().position(|run| run[0] == axis);
        Some((shape, to.iter().filter_map(|&axis| place(axis)).collect()))
    }
}

/// The coarsest split that both are made of, `None` where a part of one is cut by a part of the other.
fn common_split(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let (mut a, mut b) = (a.iter().copied(), b.iter().copied());
    let (mut left, mut right) = (a.next(), b.next());
    let mut split = Vec::new();
    while let (Some(x), Some(y)) = (left, right) {
        let part = x.min(y);
        if x % part != 0 || y % part != 0 {
            return None;
        }
        split.push(part);
        left = if x == part { a.next() } else { Some(x / part) };
        right = if y == part { b.next() } else { Some(y / part) };
    }
    (left.is_none() && right.is_none()).then_some(split)
}

/// The axes of the finer `split` in the order in which a layout nests its own.
fn nested((own, order): &(Vec<usize>, Vec<usize>), split: &[usize]) -> Vec<usize> {
    let mut parts = Vec::new();
    let mut at = 0;
    for &size in own {
        let first = at;
        let mut product = 1;
        while product < size {
            product *= split[at];
            at += 1;
        }
        parts.push(first..at);
    }
    order.iter().flat_map(|&axis| parts[axis].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_identity(layout: &Layout) -> bool {
        layout.same_order(&Layout::identity(&layout.split))
    }

    #[test]
    fn axes_of_size_one_do_not_count() {
        let grey = Layout::channels_last(&[1, 1, 28, 28]);
        assert!(is_identity(&grey));
        assert!(grey.same_order(&Layout::identity(&[784])));
        assert!(is_identity(&Layout::channels_last(&[1, 64, 1, 1])));
        assert!(!is_identity(&Layout::channels_last(&[1, 3, 8, 8])));
    }

    #[test]
    fn a_transpose_renames_axes() {
        // [n, h, w, c] → [n, c, h, w]: the input's own order is channels last of the output.
        let input = Layout::identity(&[1, 4, 5, 3]);
        let output = input.transposed(&[0, 3, 1, 2]);
        assert!(output.same_order(&Layout::channels_last(&[1, 3, 4, 5])));
        let wanted = Layout::channels_last(&[1, 3, 4, 5]);
        assert!(is_identity(&wanted.before_transpose(&[0, 3, 1, 2], &[1, 4, 5, 3])));
    }

    #[test]
    fn flatten_keeps_the_order_of_elements() {
        let image = Layout::channels_last(&[1, 2, 2, 2]);
        let indices = image.source_indices();
        assert_eq!(indices, [0, 4, 1, 5, 2, 6, 3, 7]);
        assert!(image.over(&[1, 8]).is_none(), "one axis, nested apart");
        assert_eq!(image.over(&[1, 2, 4]).unwrap().order(), [0, 2, 1]);
    }

    #[test]
    fn transposition_moves_every_element_to_its_place() {
        let from = Layout::channels_last(&[1, 3, 4, 5]);
        for to in
            [Layout::identity(&[1, 3, 4, 5]), Layout::permuted(&[1, 3, 4, 5], &[0, 3, 1, 2]), from.clone()]
        {
            let (shape, permutation) = from.transposition_to(&to).unwrap();
            let moved = Layout::permuted(&shape, &permutation).source_indices();
            let (source, want) = (from.source_indices(), to.source_indices());
            let got: Vec<usize> = moved.iter().map(|&i| source[i]).collect();
            assert_eq!(got, want);
        }
    }

    #[test]
    fn splits_that_cut_each_other_have_nothing_in_common() {
        assert_eq!(common_split(&[12], &[3, 4]), Some(vec![3, 4]));
        assert_eq!(common_split(&[6, 4], &[2, 12]), Some(vec![2, 3, 4]));
        assert_eq!(common_split(&[3, 4], &[4, 3]), None);
        // Channels last, a block of 2 x 2 among the channels, into the rows and columns.
        let image = Layout::permuted(&[2, 2, 3, 4, 5], &[3, 4, 0, 1, 2]).transposed(&[2, 3, 0, 4, 1]);
        let target = Layout::channels_last(&[1, 3, 8, 10]);
        assert_eq!(image.transposition_to(&target), Some((vec![4, 5, 2, 6], vec![0, 2, 1, 3])));
    }
}
