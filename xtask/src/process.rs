//! Runs other programs: captured output, a time limit, and errors that show the command line.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use still8_validation::{Failure, Result};

/// What a finished program left.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status; `None` where the time limit ended it.
    pub status: Option<ExitStatus>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error, as text.
    pub stderr: String,
}

impl Finished {
    /// Whether it ended by itself with status 0.
    pub fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// How it ended, in words.
    pub fn ending(&self) -> String {
        self.status
            .map_or_else(|| "was stopped at its time limit".into(), |status| format!("ended: {status}"))
    }

    /// Both outputs, for an error message.
    pub fn text(&self) -> String {
        let stdout = String::from_utf8_lossy(&self.stdout);
        [stdout.trim(), self.stderr.trim()]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Runs `command` to its end or to `limit`, with captured output, no standard input and an untranslated locale.
///
/// # Errors
/// [`Failure::Missing`] with `remedy` where the program does not exist; [`Failure::Missing`] with the operating
/// system's reason where it cannot be started.
pub fn run(command: &mut Command, limit: Duration, remedy: &str) -> Result<Finished> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("LC_ALL", "C");
    let mut child = command.spawn().map_err(|error| not_started(command, &error, remedy))?;
    let stdout = read_all(child.stdout.take());
    let stderr = read_all(child.stderr.take());
    let status = wait(&mut child, limit);
    let stdout = stdout.join().unwrap_or_default();
    let stderr = String::from_utf8_lossy(&stderr.join().unwrap_or_default()).into_owned();
    Ok(Finished { status, stdout, stderr })
}

/// Runs `command` until a line of its standard output is the last that is wanted, then ends it; the lines up to that
/// one, or all where it ends by itself or by `limit` before.
///
/// # Errors
/// As [`run`].
pub fn run_until(
    command: &mut Command,
    limit: Duration,
    remedy: &str,
    is_last: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).env("LC_ALL", "C");
    let mut child = command.spawn().map_err(|error| not_started(command, &error, remedy))?;
    let (sender, receiver) = mpsc::channel();
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let lines = stdout.map(|pipe| BufReader::new(pipe).lines()).into_iter().flatten();
        // Whoever waits for lines may have gone.
        let _ = lines.map_while(|line| line.ok()).try_for_each(|line| sender.send(line));
    });
    let end = Instant::now() + limit;
    let mut lines = Vec::new();
    while let Ok(line) = receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
        let last = is_last(&line);
        lines.push(line);
        if last {
            break;
        }
    }
    // It may have ended by itself; either way it is gone afterwards.
    let _ = child.kill();
    let _ = child.wait();
    let _ = reader.join();
    Ok(lines)
}

/// Starts `command`, which the caller ends.
///
/// # Errors
/// As [`run`].
pub fn start(command: &mut Command, remedy: &str) -> Result<Child> {
    command.spawn().map_err(|error| not_started(command, &error, remedy))
}

/// The command line as one would type it.
pub fn command_line(command: &Command) -> String {
    std::iter::once(command.get_program()).chain(command.get_args()).map(quote).collect::<Vec<_>>().join(" ")
}

/// The first program of this name on `PATH`.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    }
    #[cfg(not(unix))]
    file.is_file()
}

fn not_started(command: &Command, error: &std::io::Error, remedy: &str) -> Failure {
    let program = Path::new(command.get_program()).display();
    match error.kind() {
        ErrorKind::NotFound => Failure::Missing(format!("`{program}` is not installed; {remedy}")),
        _ => Failure::Missing(format!("`{}` cannot be started: {error}", command_line(command))),
    }
}

/// Reads on a thread of its own, so that a full pipe never stops the program.
fn read_all(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Waits in short steps, and stops the child at the limit.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < end => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            _ => {
                // It may have ended just now; either way it is gone afterwards.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.is_empty() || word.contains([' ', '\t', '"', '\'', '$', '*']) {
        format!("{word:?}")
    } else {
        word.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn a_missing_program_names_the_remedy() {
        let error = run(&mut Command::new("still8-no-such-program"), LIMIT, "do this").unwrap_err();
        assert_eq!(error.exit_code(), 5);
        assert!(error.to_string().contains("do this"));
    }

    #[test]
    fn the_limit_ends_a_program() {
        let finished = run(Command::new("sleep").arg("30"), Duration::from_millis(50), "").unwrap();
        assert!(finished.status.is_none() && !finished.success());
    }

    #[test]
    fn the_last_line_ends_a_program() {
        let until = |script: &str| {
            run_until(Command::new("sh").args(["-c", script]), LIMIT, "", |line| line == "done").unwrap()
        };
        let start = Instant::now();
        assert_eq!(until("echo a; echo done; exec sleep 30"), ["a", "done"]);
        assert_eq!(until("echo a; echo b"), ["a", "b"]);
        assert!(start.elapsed() < LIMIT);
    }

    #[test]
    fn output_is_captured() {
        let finished = run(Command::new("echo").arg("a b"), LIMIT, "").unwrap();
        assert_eq!(finished.stdout, b"a b\n");
        assert_eq!(command_line(Command::new("echo").arg("a b")), "echo \"a b\"");
    }
}
