//! Tables that scroll, and that the script can sort.

use std::fmt::Write as _;

use super::super::summary::{decibels, thousands};
use super::escape;
use crate::console::percent;

/// Rows of a table that is shown whole; a longer one scrolls.
const SHOWN: usize = 14;

/// A table.
pub struct Table {
    label: String,
    columns: Vec<(String, String)>,
    rows: String,
    count: usize,
}

/// One cell, with what it is sorted by.
pub struct Cell {
    html: String,
    /// Empty for unknown values, which sort last; none for text.
    key: Option<String>,
    class: &'static str,
}

impl Cell {
    /// Text.
    pub fn text(text: &str) -> Self {
        Self { html: escape(text), key: None, class: "" }
    }

    /// A name, which may be long: it breaks behind slashes.
    pub fn name(name: &str) -> Self {
        Self { html: escape(name).replace('/', "/<wbr>"), key: None, class: "name" }
    }

    /// A hash.
    pub fn hash(text: &str) -> Self {
        Self { html: format!("<code>{}</code>", escape(text)), key: None, class: "" }
    }

    /// A number, or a dash.
    pub fn number(number: Option<f64>, show: impl Fn(f64) -> String) -> Self {
        let html = number.map_or_else(|| "–".to_owned(), |number| escape(&show(number)));
        Self { html, key: Some(number.map_or_else(String::new, |number| number.to_string())), class: "num" }
    }

    /// A whole number, or a dash.
    pub fn count(count: Option<u64>) -> Self {
        Self::number(count.map(|count| count as f64), |count| thousands(count as u64))
    }

    /// Decibels, or a dash.
    pub fn db(db: Option<f64>) -> Self {
        Self::number(db, |db| decibels(Some(db)))
    }

    /// A share of values that is often tiny, or a dash.
    pub fn share(share: Option<f64>) -> Self {
        Self::number(share, |share| match share {
            0.0 => "0".to_owned(),
            share if share < 1e-4 => "< 0.01 %".to_owned(),
            share => percent(Some(share)),
        })
    }

    /// HTML that sorts by `key`.
    pub fn picture(html: String, key: Option<f64>) -> Self {
        Self { html, key: Some(key.map_or_else(String::new, |key| key.to_string())), class: "pic" }
    }
}

impl Table {
    /// An empty table; columns have a heading and a unit or an explanation, which may be empty.
    pub fn new(label: &str, columns: &[(&str, &str)]) -> Self {
        let columns = columns.iter().map(|&(name, unit)| (name.to_owned(), unit.to_owned())).collect();
        Self { label: label.to_owned(), columns, rows: String::new(), count: 0 }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows += "<tr>";
        for Cell { html, key, class } in cells {
            self.rows += "<td";
            if !class.is_empty() {
                let _ = write!(self.rows, " class=\"{class}\"");
            }
            if let Some(key) = key {
                let _ = write!(self.rows, " data-key=\"{key}\"");
            }
            let _ = write!(self.rows, ">{html}</td>");
        }
        self.rows += "</tr>\n";
        self.count += 1;
    }

    /// The table, in a box that scrolls.
    pub fn html(&self) -> String {
        let heads: String = self
            .columns
            .iter()
            .map(|(name, unit)| {
                let unit = if unit.is_empty() { String::new() } else { format!("<small>{unit}</small>") };
                format!("<th scope=\"col\">{name}{unit}</th>")
            })
            .collect();
        let named = self.columns.iter().any(|(name, _)| !name.is_empty());
        let head = if named { format!("<thead><tr>{heads}</tr></thead>") } else { String::new() };
        let tall = if self.count > SHOWN { " tall" } else { "" };
        format!(
            "<div class=\"scroll{tall}\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table class=\"sortable\">\
             {head}\n<tbody>\n{}</tbody></table></div>\n",
            escape(&self.label),
            self.rows
        )
    }
}
