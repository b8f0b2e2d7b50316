//! A card as Markdown, which a terminal shows as well.

use std::fmt::Write as _;

use super::document::{Document, Part};
use crate::console::table;

/// The card.
pub fn text(document: &Document) -> String {
    let mut text = format!("# Model card: {}\n\n{}\n", document.title, document.summary);
    for section in &document.sections {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n## {}", section.heading);
        for part in &section.parts {
            let _ = writeln!(text, "\n{}", paragraph(part));
        }
    }
    text
}

fn paragraph(part: &Part) -> String {
    match part {
        Part::Text(text) => text.clone(),
        Part::Facts(facts) => {
            let line = |(name, value): &(String, String)| format!("- {name}: {}", one_line(value));
            facts.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Part::Table { columns, rows } => {
            let mut shown = table(columns);
            for row in rows {
                shown.add_row(row.iter().map(|cell| one_line(cell).replace('|', "\\|")));
            }
            shown.to_string()
        }
    }
}

/// Text that may have several lines, in one.
fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).collect::<Vec<_>>().join(" ")
}
