//! Mixed precision by search: the cheapest precision of every layer that keeps the bounds.
//!
//! Error is measured, never modelled: every step is a whole quantized network that ran on samples. First each layer
//! alone is made narrower and wider, which gives the sensitivity table; then, from all layers at 8 bits on, layers are
//! widened in the order of what they mend a byte until the drop is kept, and narrowed in the order of what they cost a
//! byte as long as it is kept. Cheap means bytes: plan and arena together.

use still8_validation::Result;
use still8_validation::recipe::Precision;

/// What must hold; `None` is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// Most points lost against the float network.
    pub drop: Option<f64>,
    /// Most bytes of a plan.
    pub flash: Option<usize>,
    /// Most bytes of an arena.
    pub ram: Option<usize>,
}

impl Bounds {
    /// Whether there is anything to search for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether they hold.
    pub fn hold(&self, outcome: &Outcome) -> bool {
        self.drop_holds(outcome) && self.memory_holds(outcome)
    }

    fn drop_holds(&self, outcome: &Outcome) -> bool {
        self.drop.is_none_or(|most| outcome.drop <= most)
    }

    fn memory_holds(&self, outcome: &Outcome) -> bool {
        self.flash.is_none_or(|most| outcome.flash <= most) && self.ram.is_none_or(|most| outcome.ram <= most)
    }
}

/// What a network of some precisions costs, and what it loses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Points lost against the float network.
    pub drop: f64,
    /// Energy of the output's error, relative to the float output's.
    pub error: f64,
    /// Bytes of the plan.
    pub flash: usize,
    /// Bytes of the arena.
    pub ram: usize,
}

impl Outcome {
    fn bytes(&self) -> usize {
        self.flash + self.ram
    }
}

/// A row of the sensitivity table: what changes if this layer alone is made narrower or wider.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// Index of the layer.
    pub layer: usize,
    /// With int4 weights; `None` where that is not possible.
    pub narrow: Option<Outcome>,
    /// With int16 activations; `None` where that is not possible.
    pub wide: Option<Outcome>,
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Precision of every layer.
    pub precisions: Vec<Precision>,
    /// What they cost and lose.
    pub outcome: Outcome,
    /// All layers at 8 bits (or as pinned).
    pub base: Outcome,
    /// Whether every bound holds.
    pub holds: bool,
    /// One row for each layer that is not pinned.
    pub sensitivity: Vec<Sensitivity>,
}

/// What one layer may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freedom {
    /// Only this.
    Pinned(Precision),
    /// Any precision.
    Free,
}

/// Searches; `measure` quantizes with the given precisions and runs the network, `None` where it cannot be lowered so.
///
/// # Errors
/// Those of `measure`.
pub fn search(
    layers: &[Freedom],
    bounds: Bounds,
    mut measure: impl FnMut(&[Precision]) -> Result<Option<Outcome>>,
) -> Result<Option<Found>> {
    let start: Vec<Precision> = layers
        .iter()
        .map(|layer| match layer {
            Freedom::Pinned(precision) => *precision,
            Freedom::Free => Precision::Int8,
        })
        .collect();
    let Some(base) = measure(&start)? else {
        return Ok(None);
    };
    let mut sensitivity = Vec::new();
    for layer in (0..layers.len()).filter(|&layer| layers[layer] == Freedom::Free) {
        let mut alone = |precision| {
            let mut precisions = start.clone();
            precisions[layer] = precision;
            measure(&precisions)
        };
        sensitivity.push(Sensitivity {
            layer,
            narrow: alone(Precision::Int4)?,
            wide: alone(Precision::Int16)?,
        });
    }
    let mut state = (start, base);
    if !bounds.drop_holds(&base) {
        widen(&mut state, &sensitivity, bounds, &mut measure)?;
    }
    narrow(&mut state, &sensitivity, bounds, &mut measure)?;
    let (precisions, outcome) = state;
    Ok(Some(Found { precisions, outcome, base, holds: bounds.hold(&outcome), sensitivity }))
}

type State = (Vec<Precision>, Outcome);

/// Widens layers until the drop is kept: first those that take most error away for a byte.
fn widen(
    state: &mut State,
    sensitivity: &[Sensitivity],
    bounds: Bounds,
    measure: &mut impl FnMut(&[Precision]) -> Result<Option<Outcome>>,
) -> Result<()> {
    let base = state.1;
    let mut candidates: Vec<(f64, usize)> = sensitivity
        .iter()
        .filter_map(|row| {
            let wide = row.wide?;
            let bytes = wide.bytes().saturating_sub(base.bytes()).max(1);
            (wide.error < base.error).then_some(((base.error - wide.error) / bytes as f64, row.layer))
        })
        .collect();
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, layer) in candidates {
        let mut precisions = state.0.clone();
        precisions[layer] = Precision::Int16;
        if let Some(outcome) = measure(&precisions)?
            && bounds.ram.is_none_or(|most| outcome.ram <= most)
        {
            *state = (precisions, outcome);
        }
        if bounds.drop_holds(&state.1) {
            return Ok(());
        }
    }
    Ok(())
}

/// Narrows layers as long as the drop is kept: first those that cost least error for a byte. Without a bound on the drop
/// it ends where the memory bounds hold.
fn narrow(
    state: &mut State,
    sensitivity: &[Sensitivity],
    bounds: Bounds,
    measure: &mut impl FnMut(&[Precision]) -> Result<Option<Outcome>>,
) -> Result<()> {
    let base = state.1;
    let mut candidates: Vec<(f64, usize)> = sensitivity
        .iter()
        .filter_map(|row| {
            let narrow = row.narrow?;
            let saved = base.flash.checked_sub(narrow.flash).filter(|&saved| saved > 0)?;
            Some(((narrow.error - base.error).max(0.0) / saved as f64, row.layer))
        })
        .collect();
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (_, layer) in candidates {
        let wanted = if bounds.drop.is_some() { true } else { !bounds.memory_holds(&state.1) };
        if !wanted || state.0[layer] != Precision::Int8 {
            continue;
        }
        let mut precisions = state.0.clone();
        precisions[layer] = Precision::Int4;
        if let Some(outcome) = measure(&precisions)?
            && bounds.drop_holds(&outcome)
            && outcome.bytes() < state.1.bytes()
        {
            *state = (precisions, outcome);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network whose layer i adds `errors[i]` at 8 bits, ten times that at 4, a hundredth at 16.
    fn measure(errors: [f64; 4]) -> impl FnMut(&[Precision]) -> Result<Option<Outcome>> {
        move |precisions| {
            let factor = |precision| match precision {
                Precision::Int4 => 10.0,
                Precision::Int8 => 1.0,
                Precision::Int16 => 0.01,
            };
            let error: f64 = errors.iter().zip(precisions).map(|(e, &p)| e * factor(p)).sum();
            let narrow = precisions.iter().filter(|&&p| p == Precision::Int4).count();
            let wide = precisions.iter().filter(|&&p| p == Precision::Int16).count();
            Ok(Some(Outcome { drop: error, error, flash: 4000 - 400 * narrow, ram: 1000 + 200 * wide }))
        }
    }

    const FREE: [Freedom; 4] = [Freedom::Free; 4];

    fn found(errors: [f64; 4], layers: &[Freedom], bounds: Bounds) -> Found {
        search(layers, bounds, measure(errors)).unwrap().unwrap()
    }

    #[test]
    fn the_worst_layer_is_widened_and_the_least_ones_narrowed() {
        let bounds = Bounds { drop: Some(1.0), ..Bounds::default() };
        let found = found([0.01, 5.0, 0.02, 0.5], &FREE, bounds);
        use Precision::*;
        assert_eq!(found.precisions, [Int4, Int16, Int4, Int8]);
        assert!(found.holds && found.base.drop > 1.0 && found.sensitivity.len() == 4);
    }

    #[test]
    fn flash_alone_narrows_no_more_than_it_must() {
        let bounds = Bounds { flash: Some(3600), ..Bounds::default() };
        let found = found([0.3, 0.1, 0.2, 0.4], &FREE, bounds);
        use Precision::*;
        assert_eq!((found.precisions, found.holds), (vec![Int8, Int4, Int8, Int8], true));
    }

    #[test]
    fn pins_stay_and_what_cannot_be_kept_is_said() {
        let layers = [Freedom::Free, Freedom::Pinned(Precision::Int4), Freedom::Free, Freedom::Free];
        let bounds = Bounds { drop: Some(1.0), ram: Some(1000), ..Bounds::default() };
        let found = found([0.01, 5.0, 0.02, 0.5], &layers, bounds);
        assert_eq!(found.precisions[1], Precision::Int4);
        assert!(!found.holds && found.outcome.ram <= 1000);
    }

    #[test]
    fn a_network_that_cannot_be_lowered_finds_nothing() {
        assert_eq!(search(&FREE, Bounds::default(), |_| Ok(None)).unwrap(), None);
    }
}
