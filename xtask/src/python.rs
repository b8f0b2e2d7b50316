//! Engines in Python to compare with, in an environment of the project's own under `target/`.
//!
//! What is compared with is pinned, so that a comparison says the same next year.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use still8_validation::{Failure, Result};

use crate::boards::root;
use crate::commands::target_dir;
use crate::process;

/// LiteRT: the byte-level reference for int8 networks of TensorFlow Lite.
pub const LITERT: &[&str] = &["ai-edge-litert==2.3.0", "numpy==2.4.6"];

/// ONNX Runtime and its quantizer.
pub const ONNX_RUNTIME: &[&str] = &["onnxruntime==1.32.0", "onnx==1.23.2", "numpy==2.4.6"];

/// The operator cases of the `onnx` package; later versions do not ship their files any more.
pub const ONNX_CASES: &[&str] = &["onnx==1.22.0"];

/// Time that making an environment may take: wheels of up to a few hundred megabytes.
const INSTALL: Duration = Duration::from_secs(600);

const REMEDY: &str = "install Python 3.10 or newer with its venv module (Debian: python3-venv)";

/// An environment with some packages.
pub struct Python {
    interpreter: PathBuf,
}

impl Python {
    /// The environment that holds `packages`, made and filled on the first call.
    ///
    /// # Errors
    /// [`Failure::Missing`] where there is no Python, or pip cannot install the packages.
    pub fn with(packages: &[&str]) -> Result<Self> {
        let name: String =
            packages.iter().map(|package| package.replace("==", "-")).collect::<Vec<_>>().join("_");
        let environments = target_dir().join("python");
        let folder = environments.join(&name);
        let interpreter = folder.join("bin/python");
        // Written last: an environment that was cut short is made again.
        let done = folder.join("complete");
        if done.is_file() {
            return Ok(Self { interpreter });
        }
        // Of several commands and threads one makes it, and the others wait.
        let _lock = lock(&environments, &name).map_err(|error| Failure::data(&environments, error))?;
        if done.is_file() {
            return Ok(Self { interpreter });
        }
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(|error| Failure::data(&folder, error))?;
        }
        let mut venv = Command::new("python3");
        succeed(venv.args(["-m", "venv"]).arg(&folder))?;
        let mut pip = Command::new(&interpreter);
        succeed(pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages))?;
        std::fs::write(&done, packages.join("\n")).map_err(|error| Failure::data(&done, error))?;
        Ok(Self { interpreter })
    }

    /// A folder below the environment's installed packages.
    ///
    /// # Errors
    /// [`Failure::Missing`] where there is none.
    pub fn package(&self, path: &str) -> Result<PathBuf> {
        let lib = self.interpreter.with_file_name("../lib");
        let versions = std::fs::read_dir(&lib).map_err(|error| Failure::data(&lib, error))?;
        let mut found = versions.flatten().map(|version| version.path().join("site-packages").join(path));
        found
            .find(|path| path.is_dir())
            .ok_or_else(|| Failure::Missing(format!("no {path} in {}", lib.display())))
    }

    /// Runs a script of `xtask/python` and returns its standard output.
    ///
    /// # Errors
    /// [`Failure::Data`] with what the script printed where it fails or takes longer than `limit`.
    pub fn run(&self, script: &str, arguments: &[&Path], limit: Duration) -> Result<String> {
        let path = root().join("xtask/python").join(script);
        let mut command = Command::new(&self.interpreter);
        command.arg(&path).args(arguments);
        let finished = process::run(&mut command, limit, REMEDY)?;
        if !finished.success() {
            return Err(Failure::Data(format!("{script} {}\n{}", finished.ending(), finished.text())));
        }
        Ok(String::from_utf8_lossy(&finished.stdout).into_owned())
    }
}

/// Waits until nobody else makes this environment, and holds them off until the file is closed.
fn lock(environments: &Path, name: &str) -> std::io::Result<File> {
    std::fs::create_dir_all(environments)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(environments.join(format!("{name}.lock")))?;
    file.lock()?;
    Ok(file)
}

fn succeed(command: &mut Command) -> Result<()> {
    let finished = process::run(command, INSTALL, REMEDY)?;
    if finished.success() {
        return Ok(());
    }
    Err(Failure::Missing(format!("{command:?} {}; {REMEDY}\n{}", finished.ending(), finished.text())))
}
