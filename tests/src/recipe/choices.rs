//! `[quantize]` of `model.toml`: precisions by layer, calibration, recovery.

use serde::Deserialize;

/// Choices of `quantize`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantize {
    /// How calibration turns observed values into a range; absent, the way that serves best on held-out samples.
    pub calibration: Option<Calibration>,
    /// Which steps recover accuracy, in order; absent, all.
    pub recover: Option<Vec<Recovery>>,
    /// Layers of another precision than int8.
    #[serde(default)]
    pub layer: Vec<LayerPrecision>,
}

/// The precision of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerPrecision {
    /// Name of the layer in the student's file, as reports have it.
    pub name: String,
    /// Its precision: `bits = 4` (int4 weights), `bits = 8`, or `bits = 16` (int16 activations).
    pub bits: Precision,
}

/// Precision of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "u8")]
pub enum Precision {
    /// int8 activations, int4 weights.
    Int4,
    /// int8 activations and weights.
    Int8,
    /// int16 activations, int8 weights.
    Int16,
}

impl Precision {
    /// Every precision, by bits.
    pub const ALL: [Self; 3] = [Self::Int4, Self::Int8, Self::Int16];

    /// As `bits` in `model.toml`.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Int4 => 4,
            Self::Int8 => 8,
            Self::Int16 => 16,
        }
    }
}

impl TryFrom<u8> for Precision {
    type Error = String;

    fn try_from(bits: u8) -> Result<Self, String> {
        let known = Self::ALL.map(|precision| precision.bits().to_string()).join(", ");
        let found = Self::ALL.into_iter().find(|precision| precision.bits() == bits);
        found.ok_or_else(|| format!("bits = {bits} is not supported: a layer has {known}"))
    }
}

/// How calibration turns observed values into a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Calibration {
    /// From the smallest to the largest.
    MinMax,
    /// Without the smallest and largest values; holds the share that stays, in thousandths of a percent.
    Percentile(u32),
    /// The range with the least mean squared error.
    Mse,
    /// The range whose 256 steps keep most of the distribution (least Kullback-Leibler divergence).
    Entropy,
}

impl Calibration {
    /// What is tried where nothing is asked for.
    pub const ALL: [Self; 6] = [
        Self::MinMax,
        Self::Mse,
        Self::Entropy,
        Self::Percentile(99_999),
        Self::Percentile(99_990),
        Self::Percentile(99_900),
    ];
}

impl std::fmt::Display for Calibration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MinMax => f.write_str("minmax"),
            Self::Percentile(share) => write!(f, "percentile:{}", f64::from(*share) / 1000.0),
            Self::Mse => f.write_str("mse"),
            Self::Entropy => f.write_str("entropy"),
        }
    }
}

impl std::str::FromStr for Calibration {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let percent =
            |text: &str| text.parse::<f64>().ok().filter(|percent| (50.0..=100.0).contains(percent));
        match (name, name.strip_prefix("percentile:").map(percent)) {
            ("minmax", _) => Ok(Self::MinMax),
            ("mse", _) => Ok(Self::Mse),
            ("entropy", _) => Ok(Self::Entropy),
            (_, Some(Some(percent))) => Ok(Self::Percentile((percent * 1000.0).round() as u32)),
            (_, Some(None)) => {
                Err(format!("`{name}`: a percentile is a number from 50 to 100, 99.99 for instance"))
            }
            _ => Err(format!(
                "unknown calibration method `{name}`; known: minmax, mse, entropy, percentile:P (99.99 for instance)"
            )),
        }
    }
}

impl TryFrom<String> for Calibration {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

/// A step that recovers accuracy after rounding, without labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recovery {
    /// Weights' ranges shared out between neighbouring layers (cross-layer equalization).
    Equalize,
    /// Weights rounded for the layer's output.
    Round,
    /// Biases that keep the output's mean.
    Bias,
    /// Activations' scales tuned on the network's output.
    Scales,
}

impl Recovery {
    /// All steps, in the order in which they serve.
    pub const ALL: [Self; 4] = [Self::Equalize, Self::Bias, Self::Round, Self::Scales];

    /// The name in `model.toml` and on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Equalize => "equalize",
            Self::Round => "round",
            Self::Bias => "bias",
            Self::Scales => "scales",
        }
    }
}

impl std::str::FromStr for Recovery {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|recovery| recovery.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.into_iter().map(Self::name).collect();
            format!("unknown recovery step `{name}`; known: {}", names.join(", "))
        })
    }
}
