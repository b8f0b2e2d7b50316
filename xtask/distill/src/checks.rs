//! What a recipe and its data must hold before anything is trained.

use std::path::Path;

use still8_validation::recipe::Recipe;
use still8_validation::{Failure, Result};

/// Every class must have a sample in a split that has labels.
///
/// # Errors
/// [`Failure::Data`] names split and class.
pub fn require_classes(file: &Path, recipe: &Recipe, split: &str, labels: Option<&[usize]>) -> Result<()> {
    let Some(labels) = labels else { return Ok(()) };
    match (0..recipe.classes.len()).find(|class| !labels.contains(class)) {
        Some(class) => Err(Failure::Data(format!(
            "{}: no {split} sample is of class {class} (`{}`); add some, or take the class out of `classes`",
            file.display(),
            recipe.classes.names()[class]
        ))),
        None => Ok(()),
    }
}

/// Refuses to distil while it is not said who permits it, and under which licences.
///
/// # Errors
/// [`Failure::Usage`] names every gap.
pub fn permitted(file: &Path, recipe: &Recipe) -> Result<()> {
    let blank = |text: &str| text.trim().is_empty();
    let mut gaps = Vec::new();
    if let Some(teacher) = &recipe.teacher {
        if blank(&teacher.licence) {
            gaps.push("`teacher.licence`: the licence of the teacher's weights".to_owned());
        }
        if teacher.permits_distillation.as_deref().is_none_or(blank) {
            gaps.push("`teacher.permits_distillation`: who permits to distil from the teacher, and where that stands".to_owned());
        }
    }
    if recipe.sources.is_empty() {
        gaps.push("`[[source]]`: where the data came from, with its licence".to_owned());
    }
    for source in recipe.sources.iter().filter(|source| blank(&source.licence)) {
        gaps.push(format!("`licence` of the source `{}`", source.name));
    }
    if gaps.is_empty() {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{}: nothing is distilled until this is filled in:\n  {}",
        file.display(),
        gaps.join("\n  ")
    )))
}
