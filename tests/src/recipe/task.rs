//! What a model does.

use serde::{Deserialize, Serialize};

/// What a model does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// The output holds one logit a class; the largest wins.
    #[default]
    Classification,
    /// The output is the input, given back by a network that knows normal samples only. A sample's score is the mean
    /// squared error between the two: the larger, the less normal.
    Anomaly,
    /// The output holds quantities in their own units.
    Regression,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Classification, Self::Anomaly, Self::Regression];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.name() == name)
    }

    /// As `model.toml` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Anomaly => "anomaly",
            Self::Regression => "regression",
        }
    }
}
