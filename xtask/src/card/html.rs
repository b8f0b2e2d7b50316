//! A card as one page that needs nothing else. Style, tables and escaping are those of the quantization report.

use super::document::{Document, Part, Section};
use crate::report::page::{Cell, STYLE, Table, escape};

/// The page.
pub fn html(document: &Document) -> String {
    let title = escape(&document.title);
    let sections: String = document.sections.iter().map(section).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}: model card</title>\n\
         <style>\n{STYLE}td {{ white-space: normal; overflow-wrap: anywhere; }}\n</style></head>\n<body>\n\
         <header><h1>Model card: {title}</h1>\n<p>{}</p></header>\n<main>\n{sections}</main>\n</body></html>\n",
        escape(&document.summary)
    )
}

fn section(section: &Section) -> String {
    let parts: String = section.parts.iter().map(|part| self::part(section.heading, part)).collect();
    format!("<section>\n<h2>{}</h2>\n{parts}</section>\n", escape(section.heading))
}

fn part(heading: &str, part: &Part) -> String {
    match part {
        Part::Text(text) => format!("<p>{}</p>\n", escape(text)),
        Part::Facts(facts) => {
            let mut table = Table::new(heading, &[("", ""), ("", "")]);
            for (name, value) in facts {
                table.row([Cell::text(name), Cell::text(value)]);
            }
            table.html()
        }
        Part::Table { columns, rows } => {
            let columns: Vec<(&str, &str)> = columns.iter().map(|&column| (column, "")).collect();
            let mut table = Table::new(heading, &columns);
            for row in rows {
                table.row(row.iter().map(|cell| Cell::text(cell)));
            }
            table.html()
        }
    }
}
