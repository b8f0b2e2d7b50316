//! Any number of axes as four: neighbours that an operator treats alike become one.

/// A device shape as `[n, h, w, c]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axes {
    /// Place of each of the original axes among the four.
    pub place: Vec<usize>,
}

impl Axes {
    /// Up to four axes stay apart, behind leading axes of size 1; of more, neighbours that are `alike` become one.
    ///
    /// # Errors
    /// Where more than four groups are left.
    pub fn of(rank: usize, alike: impl Fn(usize, usize) -> bool) -> Result<Self, String> {
        if rank <= 4 {
            return Ok(Self { place: (0..rank).map(|axis| 4 - rank + axis).collect() });
        }
        let mut group = 0;
        let groups: Vec<usize> = (0..rank)
            .map(|axis| {
                group += usize::from(axis > 0 && !alike(axis - 1, axis));
                group
            })
            .collect();
        let lead = 3usize.checked_sub(group).ok_or("it has more than 4 axes that do not go together")?;
        Ok(Self { place: groups.into_iter().map(|group| lead + group).collect() })
    }

    /// A shape of as many axes, brought into four.
    pub fn shape(&self, shape: &[usize]) -> [usize; 4] {
        let mut four = [1; 4];
        for (&place, &size) in self.place.iter().zip(shape) {
            four[place] *= size;
        }
        four
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_are_alike_become_one() {
        let broadcast = [false, false, true, false, false];
        let axes = Axes::of(5, |a, b| broadcast[a] == broadcast[b]).unwrap();
        assert_eq!(axes.shape(&[2, 3, 5, 7, 11]), [1, 6, 5, 77]);
        assert_eq!(Axes::of(3, |_, _| true).unwrap().shape(&[2, 3, 5]), [1, 2, 3, 5]);
        assert!(Axes::of(5, |_, _| false).is_err());
    }
}
