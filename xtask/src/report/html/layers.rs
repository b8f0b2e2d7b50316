//! The layers, worst first, and their SQNR in the order of execution.

use super::super::{Layer, Report};
use super::table::{Cell, Table};
use super::{charts, escape};

const COLUMNS: [(&str, &str); 13] = [
    ("layer", ""),
    ("#", ""),
    ("operator", ""),
    ("alone", "SQNR, dB"),
    ("so far", "SQNR, dB"),
    ("float output", "log counts, clip lines"),
    ("clipped", "of values"),
    ("output", "n × h × w × c"),
    ("MACs", ""),
    ("flash", "bytes"),
    ("bits", "weights, output"),
    ("scale", "zero point"),
    ("accumulator", "proven bound"),
];

/// The section where there are layers.
fn whole(report: &Report) -> String {
    let mut body = String::new();
    if report.measured_samples > 0 {
        body += &format!(
            "<p>Measured on {} samples. <em>Alone</em>: the layer fed with the float run’s values, quantized: the error that it \
             adds itself. <em>So far</em>: its output in the int8 run of the whole network, errors of earlier layers \
             included.</p>\n",
            report.measured_samples
        );
    }
    body +=
        "<ul class=\"key\"><li><i class=\"alone\"></i>alone</li><li><i class=\"far\"></i>so far</li></ul>\n";
    body += &format!("<div class=\"plot\">{}</div>\n", charts::sqnr(&report.layers));
    let worst = report.worst();
    if let Some(lines) = worst.first().and_then(|&index| report.layers[index].widen.as_deref()) {
        body += &format!(
            "<p>These lines in <code>model.toml</code> give the worst layer 16 bits:</p>\n<pre>{}</pre>\n",
            escape(lines)
        );
    }
    let mut table = Table::new("Layers, worst first", &COLUMNS);
    let others = (0..report.layers.len()).filter(|index| report.layers[*index].sqnr_db.is_none());
    worst.iter().copied().chain(others).for_each(|index| table.row(cells(&report.layers[index])));
    super::section("Layers, worst first", &(body + &table.html()))
}

/// The section; empty without layers.
pub fn section(report: &Report) -> String {
    if report.layers.is_empty() { String::new() } else { whole(report) }
}

fn cells(layer: &Layer) -> [Cell; 13] {
    let shape = layer.output_shape.map(|dim| dim.to_string()).join(" × ");
    let elements: usize = layer.output_shape.iter().product();
    let seen = layer.distribution.as_ref();
    let bits = match layer.weight_bits {
        Some(bits) => format!("{bits}, {}", layer.dtype),
        None => layer.dtype.clone(),
    };
    [
        Cell::name(&layer.name),
        Cell::count(Some(layer.index as u64)),
        Cell::text(&layer.op),
        Cell::db(layer.sqnr_isolated_db),
        Cell::db(layer.sqnr_db),
        Cell::picture(
            seen.map_or_else(|| "–".to_owned(), charts::distribution),
            seen.map(|seen| seen.clipped),
        ),
        Cell::share(seen.map(|seen| seen.clipped)),
        Cell::number(Some(elements as f64), |_| shape.clone()),
        Cell::count(Some(layer.macs)),
        Cell::count(Some(layer.flash.total() as u64)),
        Cell::text(&bits),
        Cell::number(Some(f64::from(layer.scale)), |scale| format!("{scale:.4e}, {}", layer.zero_point)),
        Cell::number(layer.accumulator_bound.map(|bound| bound as f64), |bound| {
            format!("2^{:.1}", bound.max(1.0).log2())
        }),
    ]
}
