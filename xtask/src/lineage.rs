//! Where a model and its data came from, as the short text that a plan carries onto the device. All of it is in the card
//! behind the plan (`card/`).

use serde::Serialize;
use still8_validation::recipe::{Network, Recipe};
use still8_validation::{Failure, Result};

#[derive(Serialize)]
struct Lineage<'a> {
    description: &'a str,
    classes: &'a [String],
    student: Origin<'a>,
    teacher: Option<Origin<'a>>,
    source: Vec<Source<'a>>,
}

#[derive(Serialize)]
struct Origin<'a> {
    sha256: &'a str,
    licence: &'a str,
    origin: &'a str,
}

#[derive(Serialize)]
struct Source<'a> {
    name: &'a str,
    package: Option<&'a str>,
    licence: &'a str,
}

fn origin(network: &Network) -> Origin<'_> {
    Origin { sha256: network.sha256.as_str(), licence: &network.licence, origin: &network.origin }
}

/// The recipe's lineage as TOML.
///
/// # Errors
/// [`Failure::Data`] where the recipe holds what TOML cannot say.
pub fn text(recipe: &Recipe) -> Result<String> {
    let lineage = Lineage {
        description: &recipe.description,
        classes: recipe.classes.names(),
        student: origin(&recipe.student),
        teacher: recipe.teacher.as_ref().map(origin),
        source: recipe
            .sources
            .iter()
            .map(|row| Source { name: &row.name, package: row.package.as_deref(), licence: &row.licence })
            .collect(),
    };
    toml::to_string(&lineage).map_err(|error| Failure::Data(format!("the recipe's lineage: {error}")))
}
