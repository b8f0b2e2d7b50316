//! Packs buffers with lifetimes into as few bytes as possible.
//!
//! Optimal packing is NP-hard; first fit in a good order is close to the lower bound. Several orders are tried, then
//! random changes of the best one under a fixed seed, until the bound is reached or the tries are used up.

/// A buffer that is live from op `first` to op `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Size, a multiple of the alignment.
    pub bytes: usize,
    /// First op that needs it.
    pub first: usize,
    /// Last op that needs it.
    pub last: usize,
}

impl Buffer {
    fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

const TRIES: usize = 2000;

/// An offset for each buffer such that buffers that are live together do not overlap; stops at `lower_bound`.
pub fn place(buffers: &[Buffer], lower_bound: usize) -> Vec<usize> {
    let by = |key: fn(&Buffer) -> (usize, usize)| {
        let mut order: Vec<usize> = (0..buffers.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(key(&buffers[i])));
        order
    };
    let orders = [
        by(|b| (b.bytes, b.last - b.first)),
        by(|b| (b.last - b.first, b.bytes)),
        by(|b| (b.bytes * (b.last - b.first + 1), 0)),
        (0..buffers.len()).collect(),
    ];
    let mut best = (usize::MAX, Vec::new(), Vec::new());
    for order in orders {
        let (peak, offsets) = first_fit(buffers, &order);
        if peak < best.0 {
            best = (peak, offsets, order);
        }
    }
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for _ in 0..TRIES {
        if best.0 <= lower_bound || buffers.len() < 2 {
            break;
        }
        let mut order = best.2.clone();
        let moved = order.remove(next(buffers.len()));
        order.insert(next(buffers.len()), moved);
        let (peak, offsets) = first_fit(buffers, &order);
        // Equal peaks are taken too: they lead away from a dead end.
        if peak <= best.0 {
            best = (peak, offsets, order);
        }
    }
    best.1
}

/// Gives each buffer, in `order`, the lowest offset at which it fits; returns the peak and the offsets.
fn first_fit(buffers: &[Buffer], order: &[usize]) -> (usize, Vec<usize>) {
    let mut offsets = vec![0; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut peak = 0;
    for &index in order {
        let buffer = &buffers[index];
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&other| buffers[other].meets(buffer))
            .map(|&other| (offsets[other], offsets[other] + buffers[other].bytes))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if offset + buffer.bytes <= start {
                break;
            }
            offset = offset.max(end);
        }
        offsets[index] = offset;
        placed.push(index);
        peak = peak.max(offset + buffer.bytes);
    }
    (peak, offsets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bound(buffers: &[Buffer]) -> usize {
        let live = |op| buffers.iter().filter(|b| b.first <= op && op <= b.last).map(|b| b.bytes).sum();
        (0..20).map(live).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn buffers_that_are_live_together_never_overlap(
            raw in proptest::collection::vec((1usize..40, 0usize..12, 0usize..6), 1..14),
        ) {
            let buffers: Vec<Buffer> = raw
                .iter()
                .map(|&(units, first, span)| Buffer { bytes: units * 16, first, last: first + span })
                .collect();
            let offsets = place(&buffers, bound(&buffers));
            for (i, a) in buffers.iter().enumerate() {
                for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                    let apart = offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
                    prop_assert!(apart || !a.meets(b));
                }
            }
        }
    }

    #[test]
    fn a_chain_reaches_the_bound() {
        let sizes = [784, 3200, 6400, 6400, 1600, 3200, 160, 16];
        let buffers: Vec<Buffer> = sizes
            .iter()
            .enumerate()
            .map(|(i, &bytes)| Buffer { bytes, first: i.saturating_sub(1), last: i })
            .collect();
        let offsets = place(&buffers, bound(&buffers));
        let peak = buffers.iter().zip(offsets).map(|(b, offset)| b.bytes + offset).max();
        assert_eq!(peak, Some(12_800));
    }
}
