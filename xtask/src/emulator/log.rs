//! Decodes defmt frames with the table in the image.

use std::path::Path;

use defmt_decoder::{DecodeError, Table};
use still8_validation::{Failure, Result};

/// The log lines in `frames`, as the image `elf` (at `path`) wrote them; lines of a level other than info name it.
///
/// # Errors
/// [`Failure::Data`] where the image has no table.
pub fn decode(path: &Path, elf: &[u8], frames: &[u8]) -> Result<Vec<String>> {
    let table = Table::parse(elf).map_err(|error| Failure::data(path, error))?;
    let table = table.ok_or_else(|| Failure::data(path, "the image holds no defmt table"))?;
    let mut decoder = table.new_stream_decoder();
    decoder.received(frames);
    let mut lines = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => {
                let level = frame.level().map(|level| level.as_str()).filter(|&level| level != "info");
                let level = level.map(|level| format!("{level}: ")).unwrap_or_default();
                lines.push(format!("{level}{}", frame.display_message()));
            }
            Err(DecodeError::UnexpectedEof) => return Ok(lines),
            Err(DecodeError::Malformed) if table.encoding().can_recover() => {
                lines.push("(a damaged log frame)".into());
            }
            Err(DecodeError::Malformed) => {
                lines.push("(the rest of the log is damaged)".into());
                return Ok(lines);
            }
        }
    }
}
