//! Whole files: read and hashed, or written so that no reader ever sees half of one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{Failure, Result};

/// Bytes of a file that are hashed at once.
const PART: usize = 1 << 16;

/// The file's contents.
///
/// # Errors
/// [`Failure::Data`] that names the file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Failure::data(path, format_args!("cannot be read: {error}")))
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    sha256_of_parts([bytes])
}

/// SHA-256 of the parts one after the other, in lower-case hexadecimal.
pub fn sha256_of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hexadecimal(hash)
}

fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of the file's contents, in lower-case hexadecimal. Memory does not grow with the file.
///
/// # Errors
/// [`Failure::Data`] that names the file.
pub fn sha256_file(path: &Path) -> Result<String> {
    let unreadable = |error: io::Error| Failure::data(path, format_args!("cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let (mut hash, mut part) = (Sha256::new(), Vec::with_capacity(PART));
    while (&file).take(PART as u64).read_to_end(&mut part).map_err(unreadable)? > 0 {
        hash.update(&part);
        part.clear();
    }
    Ok(hexadecimal(hash))
}

/// Writes a file in one step: `write` fills a temporary file in the same folder, which then takes the name
/// `path`.
///
/// Missing folders are made. After a failure the old file, or none, is there. What is not a regular file (a
/// pipe, `/dev/null`) is written directly.
///
/// # Errors
/// [`Failure::Data`] that names the file.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let unwritable = |error: io::Error| Failure::data(path, format_args!("cannot be written: {error}"));
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(Failure::data(path, "is a folder; give a file name")),
        Ok(found) if !found.is_file() => {
            let mut file = File::options().write(true).open(path).map_err(unwritable)?;
            return write(&mut file).map_err(unwritable);
        }
        _ => {}
    }
    // The file that a symbolic link points to, not the link, takes the new contents.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let no_folder = |error| {
        Failure::data(
            path,
            format_args!("cannot be written: the folder {} cannot be made: {error}", folder.display()),
        )
    };
    fs::create_dir_all(folder).map_err(no_folder)?;
    let mut file = new_file(folder).map_err(unwritable)?;
    let mut buffer = io::BufWriter::new(file.as_file_mut());
    write(&mut buffer).and_then(|()| buffer.flush()).map_err(unwritable)?;
    drop(buffer);
    file.persist(&target).map_err(|error| unwritable(error.error))?;
    Ok(())
}

/// A temporary file with the permissions of an ordinary new one.
fn new_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(permissions);
    builder.prefix(".still8-").tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn hash_is_the_published_one() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), abc);
        assert_eq!(sha256_of_parts([&b"a"[..], b"", b"bc"]), abc);
        let file = tempfile::NamedTempFile::new().unwrap();
        for bytes in [0, 1, PART, 2 * PART + 7] {
            let bytes: Vec<u8> = (0..bytes).map(|i| (i % 251) as u8).collect();
            fs::write(file.path(), &bytes).unwrap();
            assert_eq!(sha256_file(file.path()).unwrap(), sha256_hex(&bytes));
        }
    }

    #[test]
    fn writes_into_a_new_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/plan.s8");
        write_atomically(&path, |file| file.write_all(b"one")).unwrap();
        write_atomically(&path, |file| file.write_all(b"two")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(path.parent().unwrap()), ["plan.s8"]);
    }

    #[test]
    fn failure_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, "old").unwrap();
        let failure = write_atomically(&path, |file| {
            file.write_all(b"half of a rep")?;
            Err(io::Error::other("disk full"))
        });
        assert!(failure.unwrap_err().to_string().contains("report.json: cannot be written: disk full"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["report.json"]);
    }

    #[test]
    fn unwritable_path_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let failure = write_atomically(&file.join("below"), |_| Ok(())).unwrap_err();
        assert_eq!(failure.exit_code(), 4);
        assert!(failure.to_string().contains("below: cannot be written"), "{failure}");
        let failure = write_atomically(folder.path(), |_| Ok(())).unwrap_err();
        assert!(failure.to_string().contains("is a folder"), "{failure}");
    }

    #[cfg(unix)]
    #[test]
    fn link_keeps_pointing_and_device_stays_a_device() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_atomically(&link, |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        write_atomically(Path::new("/dev/null"), |out| out.write_all(b"x")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
