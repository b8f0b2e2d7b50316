//! The card behind the plan in the plan's file.
//!
//! A plan says where it ends (`Header::file_bytes`), and readers pass over what follows. There the card stands, as TOML
//! behind a head of 16 bytes: [`MAGIC`], the text's length, its CRC-32. A device gets the plan alone: `include_plan!` leaves
//! the card out, so that it costs no flash.

use still8::Plan;
use still8::crc32::crc32;

use super::{Card, gather};

/// What a card's head begins with; the last byte is the version of this layout.
pub const MAGIC: [u8; 8] = *b"S8CARD\0\x01";

const HEAD_BYTES: usize = 16;

/// A plan's file: the plan, and its card in TOML behind it.
pub fn append(plan: &[u8], card: &str) -> Vec<u8> {
    // A card of 4 GiB cannot be: it is made of a model.toml.
    let length = (card.len() as u32).to_le_bytes();
    let checksum = crc32(card.as_bytes()).to_le_bytes();
    [plan, &MAGIC, &length, &checksum, card.as_bytes()].concat()
}

/// The card's text in a file whose plan has `plan_bytes`; `None` where nothing, or something else, follows the plan.
///
/// # Errors
/// Says what is damaged.
pub fn split(file: &[u8], plan_bytes: usize) -> Result<Option<&str>, &'static str> {
    let rest = file.get(plan_bytes..).unwrap_or_default();
    let Some(rest) = rest.strip_prefix(&MAGIC) else { return Ok(None) };
    let word = |at: usize| Some(u32::from_le_bytes(*rest.get(at..)?.first_chunk()?));
    let (Some(length), Some(checksum)) = (word(0), word(4)) else { return Err("it is cut short") };
    let start = HEAD_BYTES - MAGIC.len();
    let text = rest.get(start..).and_then(|text| text.get(..length as usize)).ok_or("it is cut short")?;
    if crc32(text) != checksum {
        return Err("its checksum is wrong");
    }
    str::from_utf8(text).map(Some).map_err(|_| "it is no text")
}

/// What a plan's file says of its model.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The card; of a plan without one, what the plan itself says.
    pub card: Card,
    /// The text that it was read from, as it is; `None` for a plan that says nothing.
    pub text: Option<String>,
    /// What is wrong.
    pub warnings: Vec<String>,
}

/// The card of a plan and of the file that holds it.
pub fn read(file: &[u8], plan: &Plan<'_>) -> Found {
    let mut found = Found::default();
    let mut warn = |why: String| found.warnings.push(why);
    let behind = split(file, plan.file_bytes()).unwrap_or_else(|why| {
        warn(format!("the model card behind the plan is left out: {why}; quantize again"));
        None
    });
    for text in behind.into_iter().chain(plan.lineage()) {
        match Card::parse(text) {
            Ok(card) => {
                (found.card, found.text) = (card, Some(text.to_owned()));
                break;
            }
            Err(why) => warn(format!("the model card is left out: {why}; quantize again")),
        }
    }
    let own = gather::plan(file.get(..plan.file_bytes()).unwrap_or(file), plan);
    let card = &mut found.card;
    match &card.plan {
        Some(stated) if stated.sha256.is_some() && stated.sha256 != own.sha256 => {
            let why = "the model card behind the plan is that of another plan; quantize again";
            found.warnings.push(why.to_owned());
        }
        Some(_) => {}
        None => card.plan = Some(own),
    }
    card.name.get_or_insert_with(|| plan.name().to_owned());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_comes_back_whole_or_not_at_all() {
        let file = append(&[7; 32], "name = \"ä\"\n");
        assert_eq!(split(&file, 32), Ok(Some("name = \"ä\"\n")));
        assert_eq!(split(&file[..32], 32), Ok(None));
        assert_eq!(split(&[7; 40], 32), Ok(None));
        for end in 40..file.len() {
            assert_eq!(split(&file[..end], 32), Err("it is cut short"), "{end}");
        }
        for at in 40..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            assert!(split(&damaged, 32).is_err(), "{at}");
        }
        // Something behind the card does not matter.
        assert_eq!(split(&[&file[..], b"more"].concat(), 32), Ok(Some("name = \"ä\"\n")));
    }
}
