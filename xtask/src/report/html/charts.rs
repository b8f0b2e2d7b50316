//! Pictures as SVG: the layers' SQNR, a distribution with its clip lines, the arena over time.

use std::fmt::Write as _;

use super::super::summary::{short, thousands};
use super::super::{Arena, Block, BlockKind, Distribution, Layer};
use super::escape;

/// Width that a picture has where its layers leave room.
const WIDTH: f64 = 1090.0;
/// Room for the numbers at the left.
const LEFT: f64 = 62.0;
/// Least width of a layer.
const COLUMN: f64 = 6.0;

/// Width of a picture of so many layers, and of one of them.
fn columns(layers: usize) -> (f64, f64) {
    let column = ((WIDTH - LEFT - 10.0) / layers.max(1) as f64).clamp(COLUMN, 90.0);
    ((LEFT + column * layers as f64 + 10.0).max(420.0), column)
}

/// A step of 1, 2 or 5 times a power of ten that divides `most` into about `parts`.
fn step(most: f64, parts: f64) -> f64 {
    let rough = (most / parts).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|&step| step >= rough)
        .unwrap_or(rough)
}

fn open(width: f64, height: f64, label: &str) -> String {
    format!(
        "<svg width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
         aria-label=\"{}\">\n",
        escape(label)
    )
}

/// Indices below the axis, as far apart as they need be.
fn indices(svg: &mut String, layers: usize, column: f64, y: f64) {
    let every = step(layers as f64, (layers as f64 * column / 34.0).max(1.0)).max(1.0) as usize;
    for index in (0..layers).step_by(every) {
        let x = LEFT + (index as f64 + 0.5) * column;
        let _ = writeln!(
            svg,
            "<text class=\"soft\" x=\"{x:.1}\" y=\"{y:.0}\" text-anchor=\"middle\">{index}</text>"
        );
    }
}

/// Isolated SQNR as bars, accumulated as a line, in the order of execution.
pub fn sqnr(layers: &[Layer]) -> String {
    let (width, column) = columns(layers.len());
    let (top, height) = (12.0, 190.0);
    let measured = |layer: &Layer| [layer.sqnr_db, layer.sqnr_isolated_db];
    let most = layers.iter().flat_map(measured).flatten().fold(10f64, f64::max);
    let y = |db: f64| top + height * (1.0 - db.clamp(0.0, most) / most);
    let mut svg = open(width, top + height + 24.0, "SQNR of each layer in the order of execution");
    let grid = step(most, 5.0);
    for i in 0..=(most / grid) as usize {
        let db = i as f64 * grid;
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{width:.0}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>\
             <text class=\"soft\" x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{db:.0} dB</text>",
            y(db),
            LEFT - 6.0,
            y(db) + 4.0
        );
    }
    let mut line = String::new();
    let mut dots = String::new();
    for layer in layers {
        let x = LEFT + layer.index as f64 * column;
        if let Some(db) = layer.sqnr_isolated_db {
            let _ = writeln!(
                svg,
                "<rect class=\"alone\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\">{}</rect>",
                x + 0.1 * column,
                y(db),
                0.8 * column,
                y(0.0) - y(db),
                tooltip(layer)
            );
        }
        if let Some(db) = layer.sqnr_db {
            let (x, y) = (x + column / 2.0, y(db));
            let _ = write!(line, "{}{x:.1} {y:.1}", if line.is_empty() { "M" } else { "L" });
            if column >= 12.0 {
                let _ = writeln!(
                    dots,
                    "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\">{}</circle>",
                    tooltip(layer)
                );
            }
        }
    }
    let _ = writeln!(svg, "<path class=\"far\" d=\"{line}\"/>\n{dots}");
    indices(&mut svg, layers.len(), column, top + height + 16.0);
    svg + "</svg>\n"
}

fn tooltip(layer: &Layer) -> String {
    let db = |db: Option<f64>| db.map_or_else(|| "–".to_owned(), |db| format!("{db:.1}"));
    format!(
        "<title>{} {}: alone {} dB, so far {} dB</title>",
        layer.index,
        escape(&layer.name),
        db(layer.sqnr_isolated_db),
        db(layer.sqnr_db)
    )
}

/// Counts on a logarithmic scale, the clip lines, and what lies outside shaded.
pub fn distribution(seen: &Distribution) -> String {
    let (width, height) = (170.0, 34.0);
    let low = f64::from(seen.low.min(seen.clip_low));
    let span = (f64::from(seen.high.max(seen.clip_high)) - low).max(f64::MIN_POSITIVE);
    let x = |value: f32| (f64::from(value) - low) / span * width;
    let mut svg = format!(
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\"><title>values from {} to {}, \
         integers from {} to {}</title>",
        seen.low, seen.high, seen.clip_low, seen.clip_high
    );
    for (from, to) in [(0.0, x(seen.clip_low)), (x(seen.clip_high), width)] {
        if to - from > 0.05 {
            let _ = write!(
                svg,
                "<rect class=\"out\" x=\"{from:.1}\" y=\"0\" width=\"{:.1}\" height=\"{height}\"/>",
                to - from
            );
        }
    }
    let mut counts = seen.counts.clone();
    let bins = counts.len().max(1);
    let bin = (f64::from(seen.high) - f64::from(seen.low)) / bins as f64;
    // Zeros lie in the bin that holds 0.
    let zero = (f64::from(-seen.low) / bin.max(f64::MIN_POSITIVE)) as usize;
    if let Some(count) = counts.get_mut(zero.min(bins - 1)) {
        *count += seen.zeros;
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    let step = bin / span * width;
    let mut path = String::new();
    for (i, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let tall = (height - 2.0) * ((count + 1) as f64).ln() / ((most + 1) as f64).ln();
        let at = x(seen.low) + i as f64 * step;
        let _ = write!(path, "M{at:.1} {height}v-{tall:.1}h{:.1}v{tall:.1}z", step.max(0.5));
    }
    let _ = write!(svg, "<path class=\"bars\" d=\"{path}\"/>");
    for clip in [seen.clip_low, seen.clip_high] {
        let at = x(clip).clamp(0.75, width - 0.75);
        let _ = write!(svg, "<line class=\"clip\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"0\" y2=\"{height}\"/>");
    }
    svg + "</svg>"
}

/// The arena: layers from left to right, offsets from the bottom up, the peak marked.
pub fn arena(arena: &Arena, bytes: usize, bound: usize, layers: &[Layer]) -> String {
    let (width, column) = columns(layers.len());
    let (top, height) = (34.0, 300.0);
    let most = bytes.max(1) as f64;
    let y = |offset: usize| top + height * (1.0 - offset as f64 / most);
    let mut svg = open(width, top + height + 24.0, "What lies where in the arena while each layer runs");
    let grid = step(most, 6.0);
    for i in 0..=(most / grid) as usize {
        let offset = i as f64 * grid;
        let at = y(offset as usize);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{width:.0}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"soft\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            thousands(offset as u64)
        );
    }
    for block in &arena.blocks {
        svg += &rectangle(block, column, y);
    }
    let at = y(bound);
    let _ = writeln!(
        svg,
        "<line class=\"bound\" x1=\"{LEFT}\" x2=\"{width:.0}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>"
    );
    if let Some(peak) = arena.peak_layer
        && let Some(layer) = layers.get(peak)
    {
        let x = LEFT + peak as f64 * column;
        let _ = writeln!(
            svg,
            "<rect class=\"peak\" x=\"{x:.1}\" y=\"{top}\" width=\"{column:.1}\" height=\"{height}\"/>"
        );
        let (anchor, at) = if x < width / 2.0 { ("start", x) } else { ("end", x + column) };
        let live = arena.live_bytes.get(peak).copied().unwrap_or(0);
        let _ = writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{:.0}\" text-anchor=\"{anchor}\">peak at {peak} {}: {} bytes live</text>",
            top - 8.0,
            escape(&short(&layer.name, 48)),
            thousands(live as u64)
        );
    }
    indices(&mut svg, layers.len(), column, top + height + 16.0);
    svg + "</svg>\n"
}

fn rectangle(block: &Block, column: f64, y: impl Fn(usize) -> f64) -> String {
    let (kind, what) = match block.kind {
        BlockKind::Input => ("input", "input "),
        BlockKind::Activation => ("activation", ""),
        BlockKind::Scratch => ("scratch", "scratch of "),
    };
    let x = LEFT + block.first as f64 * column;
    let width = (block.last + 1 - block.first) as f64 * column;
    let (top, bottom) = (y(block.offset + block.bytes), y(block.offset));
    let mut svg = format!(
        "<g><title>{what}{}: {} bytes at {}, layers {} to {}</title><rect class=\"block {kind}\" x=\"{x:.1}\" y=\"{top:.1}\" \
         width=\"{width:.1}\" height=\"{:.1}\"/>",
        escape(&block.name),
        thousands(block.bytes as u64),
        thousands(block.offset as u64),
        block.first,
        block.last,
        (bottom - top).max(0.5)
    );
    // About 6 pixels a letter. Where the name has no room, the layer's index stands for it.
    let room = (width - 8.0) / 6.0;
    let index = block.first.to_string();
    let label = [&block.name, &index].into_iter().find(|label| label.chars().count() as f64 <= room);
    if let Some(label) = label
        && bottom - top >= 15.0
    {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 4.0,
            (top + bottom) / 2.0 + 4.0,
            escape(label)
        );
    }
    svg + "</g>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        assert_eq!([step(100.0, 5.0), step(18_816.0, 6.0), step(7.0, 7.0)], [20.0, 5000.0, 1.0]);
    }

    #[test]
    fn what_is_clipped_is_shaded_and_what_is_not_is_not() {
        let mut seen = Distribution {
            low: -1.0,
            high: 3.0,
            counts: vec![1, 10, 0, 4],
            zeros: 7,
            clip_low: -1.0,
            clip_high: 2.0,
            clipped: 0.1,
        };
        let one = distribution(&seen);
        assert_eq!((one.matches("class=\"out\"").count(), one.matches("class=\"clip\"").count()), (1, 2));
        // The clip line at 2 lies at three quarters; zeros fall into the second bin.
        assert!(one.contains("x1=\"127.5\"") && one.contains("M42.5 34v-32.0"), "{one}");
        seen.clip_high = 3.0;
        assert!(!distribution(&seen).contains("class=\"out\""));
        // All values 0: nothing to divide by.
        let empty = Distribution { low: 0.0, high: 0.0, clip_low: 0.0, clip_high: 0.0, ..seen };
        assert!(!distribution(&empty).contains("NaN"));
    }
}
