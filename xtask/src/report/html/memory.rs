//! Memory: the arena over time, and the plan's bytes by layer.

use super::super::{Flash, Report};
use super::table::{Cell, Table};
use super::{bytes, charts, escape, section};

/// The arena over time; empty without layers.
pub fn arena(report: &Report) -> String {
    if report.layers.is_empty() {
        return String::new();
    }
    let (reached, bound) = (report.arena_bytes, report.arena_lower_bound);
    let excess = match reached.saturating_sub(bound) {
        0 => "no plan can be smaller".to_owned(),
        excess => format!("{} above the lower bound of {}", bytes(excess), bytes(bound)),
    };
    let body = format!(
        "<p>{} bytes: {excess}. Layers from left to right, offsets in bytes from the bottom up; outputs \
         of the network stay to the end.</p>\n\
         <ul class=\"key\"><li><i class=\"activation\"></i>outputs of layers</li><li><i class=\"input\"></i>inputs</li>\
         <li><i class=\"scratch\"></i>scratch memory</li><li><i class=\"peak\"></i>peak</li>\
         <li><i class=\"bound\"></i>lower bound</li></ul>\n<div class=\"plot\" tabindex=\"0\">{}</div>\n",
        bytes(reached),
        charts::arena(&report.arena, reached, bound, &report.layers)
    );
    section("Arena", &body)
}

/// The plan's bytes by layer, largest first, and what belongs to none.
pub fn flash(report: &Report) -> String {
    let columns = [
        ("layer", ""),
        ("bytes", ""),
        ("share", ""),
        ("", ""),
        ("weights", ""),
        ("constants", ""),
        ("records", ""),
    ];
    let mut table = Table::new("Flash by layer", &columns);
    let rest = report.flash_rest.iter().map(|part| (part.name.as_str(), part.bytes, None));
    let layers =
        report.layers.iter().map(|layer| (layer.name.as_str(), layer.flash.total(), Some(layer.flash)));
    let mut rows: Vec<(&str, usize, Option<Flash>)> = layers.chain(rest).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.1));
    let most = rows.first().map_or(1, |row| row.1.max(1));
    for (name, total, flash) in rows {
        let name = if flash.is_some() { Cell::name(name) } else { Cell::text(&format!("({name})")) };
        let share = total as f64 / report.plan_bytes.max(1) as f64;
        let part = |pick: fn(Flash) -> usize| Cell::count(flash.map(|flash| pick(flash) as u64));
        table.row([
            name,
            Cell::count(Some(total as u64)),
            Cell::number(Some(share), |share| format!("{:.1} %", 100.0 * share)),
            Cell::picture(bar(flash, total, most), None),
            part(|flash| flash.weights),
            part(|flash| flash.constants),
            part(|flash| flash.records),
        ]);
    }
    let body = format!(
        "<p>{} bytes of file in {} order ({}). Code is not in it.</p>\n\
         <ul class=\"key\"><li><i class=\"weights\"></i>packed weights</li>\
         <li><i class=\"constants\"></i>biases, multipliers and tables</li>\
         <li><i class=\"records\"></i>records, and what belongs to no layer</li></ul>\n{}",
        bytes(report.plan_bytes),
        escape(&report.family),
        escape(&report.plan.display().to_string()),
        table.html()
    );
    section("Flash by layer", &body)
}

fn bar(flash: Option<Flash>, total: usize, most: usize) -> String {
    let Flash { weights, constants, records } = flash.unwrap_or(Flash { records: total, ..Flash::default() });
    let piece = |(class, bytes): (&str, usize)| {
        format!("<i class=\"{class}\" style=\"width:{:.2}%\"></i>", 100.0 * bytes as f64 / most as f64)
    };
    let pieces = [("weights", weights), ("constants", constants), ("records", records)].map(piece);
    format!("<span class=\"bar\">{}</span>", pieces.concat())
}
