//! A model on disk: a recipe with the files that it names, opened only where their hashes are right.

use std::path::{Path, PathBuf};

use crate::data::{Dataset, InputSpec};
use crate::npy::{Array, Arrays};
use crate::recipe::{DataFile, DataSets, Input, Network, Recipe, Sha256, Task};
use crate::{Failure, Result, files};

/// The recipe's name in a model's folder.
pub const FILE_NAME: &str = "model.toml";

/// A recipe and the folder that its paths start from.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    folder: PathBuf,
    recipe: Recipe,
    recipe_sha256: String,
}

/// A data set of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// For the quantizer.
    Calibration,
    /// Shipped, labelled.
    Test,
    /// Everything, labelled.
    Full,
    /// For `distill`, labelled or not.
    Train,
    /// For `distill` to watch itself, labelled or not.
    Holdout,
}

impl Model {
    /// Opens a model: its folder, or its `model.toml` under whatever name.
    ///
    /// # Errors
    /// [`Failure::Data`] where there is no such file, [`Failure::Usage`] where it breaks the schema.
    pub fn open(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
        if path.is_dir() && !file.exists() {
            return Err(Failure::data(
                path,
                format!("a folder without {FILE_NAME}; give a model's folder or an ONNX file"),
            ));
        }
        let bytes = files::read(&file)?;
        let text = str::from_utf8(&bytes).map_err(|error| Failure::data(&file, error))?;
        let recipe = Recipe::parse(&file, text)?;
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { folder, recipe, recipe_sha256: files::sha256_hex(&bytes) })
    }

    /// What the file says.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// SHA-256 of the file.
    pub fn recipe_sha256(&self) -> &str {
        &self.recipe_sha256
    }

    /// The folder that paths start from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The input as data files must have it.
    pub fn input(&self) -> InputSpec {
        let Input { name, shape, range, .. } = &self.recipe.input;
        InputSpec { name: name.clone(), shape: shape.clone(), range: range.map(|range| range.bounds()) }
    }

    /// Path of the student, whose hash is right.
    ///
    /// # Errors
    /// [`Failure::Missing`] that names the recipe, [`Failure::Data`] with both hashes.
    pub fn student(&self) -> Result<PathBuf> {
        self.network(&self.recipe.student)
    }

    /// Path of the network that is quantized, whose hash is right: the student in QDQ form where it was trained so.
    ///
    /// # Errors
    /// Those of [`Self::student`].
    pub fn deployed(&self) -> Result<PathBuf> {
        let Some(quantized) = &self.recipe.student.quantized else { return self.student() };
        let path = self.present(&quantized.file, self.recipe.student.recipe.as_deref())?;
        expect_sha256(&path, &quantized.sha256, &files::sha256_file(&path)?)?;
        Ok(path)
    }

    /// Path of the teacher, whose hash is right; `None` where the model has none.
    ///
    /// # Errors
    /// Those of [`Self::student`].
    pub fn teacher(&self) -> Result<Option<PathBuf>> {
        self.recipe.teacher.as_ref().map(|teacher| self.network(teacher)).transpose()
    }

    /// A data set whose hash, number of samples and labels are right.
    ///
    /// # Errors
    /// [`Failure::Missing`] that names the recipe, [`Failure::Data`] for everything wrong with the file,
    /// [`Failure::Usage`] where the model has no such data set.
    pub fn dataset(&self, kind: DataKind) -> Result<Dataset> {
        let DataSets { calibration, test, full, train, holdout } = &self.recipe.data;
        let optional = |entry: &Option<DataFile>, what: &str| {
            let none = || Failure::Usage(format!("model `{}` has no [data.{what}]", self.recipe.name));
            entry.clone().ok_or_else(none)
        };
        let entry = match kind {
            DataKind::Calibration => calibration.clone(),
            DataKind::Test => test.clone(),
            DataKind::Full => optional(full, "full; use its shipped data")?,
            DataKind::Train => optional(train, "train")?,
            DataKind::Holdout => optional(holdout, "holdout")?,
        };
        let path = self.present(&entry.file, entry.recipe.as_deref())?;
        let file = files::read(&path)?;
        let found = match entry.recipe {
            Some(_) => content_sha256(&path, &file, &self.recipe.input.name)?,
            None => files::sha256_hex(&file),
        };
        expect_sha256(&path, &entry.sha256, &found)?;
        let data = Dataset::parse(&path, &file, &[self.input()])?;
        if data.samples() != entry.samples {
            let (found, stated) = (data.samples(), entry.samples);
            return Err(Failure::data(&path, format!("holds {found} samples; {FILE_NAME} states {stated}")));
        }
        let judged = matches!(kind, DataKind::Test | DataKind::Full);
        if judged || data.labels.is_some() || data.targets.is_some() {
            match self.recipe.task {
                Task::Regression => drop(data.require_targets(self.recipe.output.quantities.len())?),
                Task::Classification | Task::Anomaly => drop(data.require_labels(self.recipe.classes.len())?),
            }
        }
        if self.recipe.task == Task::Anomaly && !judged {
            let mut labels = data.labels.iter().flatten();
            if let Some(sample) = labels.position(|&label| label != 0) {
                let what = format!(
                    "sample {sample} is labelled 1, not normal; an anomaly model learns from normal samples alone"
                );
                return Err(Failure::data(&path, what));
            }
        }
        Ok(data)
    }

    fn network(&self, network: &Network) -> Result<PathBuf> {
        let path = self.present(&network.file, network.recipe.as_deref())?;
        expect_sha256(&path, &network.sha256, &files::sha256_file(&path)?)?;
        Ok(path)
    }

    /// The path of a file that is there.
    fn present(&self, file: &Path, recipe: Option<&str>) -> Result<PathBuf> {
        let path = self.folder.join(file);
        match (path.exists(), recipe) {
            (true, _) => Ok(path),
            (false, Some(recipe)) => {
                Err(Failure::Missing(format!("{} is not there; make it with: {recipe}", path.display())))
            }
            (false, None) => Err(Failure::data(
                &path,
                format!("no such file, and {FILE_NAME} has no `recipe` that makes it"),
            )),
        }
    }
}

/// The hash of `x.tobytes() + y.tobytes()`, or of x alone where there are no labels.
fn content_sha256(path: &Path, file: &[u8], input: &str) -> Result<String> {
    let Arrays::Named(arrays) = Arrays::parse(file).map_err(|error| Failure::data(path, error))? else {
        return Err(Failure::data(
            path,
            "must be a .npz file with `x`, and the labels `y` where there are some",
        ));
    };
    let find = |names: &[&str]| -> Option<&Array> {
        arrays.iter().find(|(name, _)| names.contains(&name.as_str())).map(|(_, array)| array)
    };
    let x = find(&["x", input]).ok_or_else(|| Failure::data(path, "no array `x`"))?;
    let labels = find(&["y"]).map_or(&[][..], |y| y.bytes.as_slice());
    Ok(files::sha256_of_parts([x.bytes.as_slice(), labels]))
}

/// Refuses a file whose hash is not the stated one.
fn expect_sha256(path: &Path, stated: &Sha256, found: &str) -> Result<()> {
    let stated = stated.as_str();
    if stated == found {
        return Ok(());
    }
    Err(Failure::data(
        path,
        format!("its sha256 is {found}, {FILE_NAME} states {stated}; restore the file or state the new hash"),
    ))
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
