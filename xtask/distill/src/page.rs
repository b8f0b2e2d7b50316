//! The training as one self-contained page: curves, what was tried, what came out.

use plotters::prelude::*;
use still8_validation::render;

use crate::command::Report;
use crate::train::Epoch;
use crate::{compare, search};

/// The page.
pub fn html(report: &Report) -> String {
    let log = &report.log;
    let loss =
        chart("loss", log, &[("training", |e| Some(e.train_loss)), ("held out", |e| Some(e.holdout_loss))]);
    let right = chart(
        "held-out samples",
        log,
        &[("accuracy", |e| e.accuracy), ("agreement with the teacher", |e| e.agreement)],
    );
    let rate = chart("learning rate", log, &[("rate", |e| Some(f64::from(e.rate)))]);
    let title = escape(&format!("{}: {}", report.model, report.student));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}\
         pre{{overflow-x:auto;background:#f4f4f4;color:#111;padding:1rem}}svg{{max-width:100%;height:auto;background:#fff}}\
         h2{{margin-top:2rem}}</style></head>\n<body><h1>{title}</h1>\n<p>{} parameters, {} multiply-accumulates.</p>\n",
        report.parameters, report.macs
    );
    let mut section =
        |heading: &str, body: String| page += &format!("<h2>{}</h2>\n{body}\n", escape(heading));
    if let Some(validation) = &report.validation {
        section(
            "Teacher, float student, int8 student",
            format!("<pre>{}</pre>", escape(&render::text(validation))),
        );
    }
    if !log.is_empty() {
        section("Training", [loss, right, rate].concat());
    }
    if let Some(candidates) = &report.tried {
        section("Students that were tried", format!("<pre>{}</pre>", escape(&search::render(candidates))));
    }
    if let Some(rows) = &report.comparison {
        section("What distilling is worth", format!("<pre>{}</pre>", escape(&compare::render(rows))));
    }
    let lineage: String = report.lineage.iter().map(|line| format!("<li>{}</li>", escape(line))).collect();
    section("Lineage", format!("<ul>{lineage}</ul>"));
    page + "</body></html>\n"
}

type Series = (&'static str, fn(&Epoch) -> Option<f64>);

/// One picture, all epochs of all phases one behind the other; empty where nothing is known.
fn chart(title: &str, log: &[Epoch], series: &[Series]) -> String {
    let lines: Vec<(&str, Vec<(f64, f64)>)> = series
        .iter()
        .map(|(name, value)| {
            let points =
                log.iter().enumerate().filter_map(|(i, epoch)| Some(((i + 1) as f64, value(epoch)?)));
            (*name, points.collect::<Vec<_>>())
        })
        .filter(|(_, points)| !points.is_empty())
        .collect();
    let all = || lines.iter().flat_map(|(_, points)| points.iter().map(|point| point.1));
    let (low, high) = all().fold((f64::MAX, f64::MIN), |(low, high), y| (low.min(y), high.max(y)));
    if lines.is_empty() || !low.is_finite() || !high.is_finite() {
        return String::new();
    }
    let margin = ((high - low) * 0.05).max(1e-9);
    let mut svg = String::new();
    // The back end writes to a string, which cannot fail; without a picture the page still has the figures.
    let drawn = (|| {
        let area = SVGBackend::with_string(&mut svg, (900, 320)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(35)
            .y_label_area_size(65)
            .build_cartesian_2d(0.0..log.len() as f64 + 1.0, low - margin..high + margin)
            .ok()?;
        chart.configure_mesh().x_desc("epoch").draw().ok()?;
        for (i, (name, points)) in lines.iter().enumerate() {
            let color = [BLUE, RED][i % 2];
            chart
                .draw_series(LineSeries::new(points.iter().copied(), &color))
                .ok()?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color));
        }
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw().ok()?;
        area.present().ok()
    })();
    if drawn.is_some() { svg } else { String::new() }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
