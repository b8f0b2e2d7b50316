use still8_validation::recipe::Statements;

use super::super::{Evaluation, html, text};
use super::*;

/// A card with something of everything.
fn card() -> Card {
    let class = |name: &str, int8: f64| Class {
        name: name.to_owned(),
        samples: 10,
        figures: BTreeMap::from([("int8".to_owned(), int8), ("teacher".to_owned(), 1.0)]),
    };
    let figures = [
        ("int8_accuracy", 0.75),
        ("int8_confidence", 0.8),
        ("int8_calibration_error", 0.05),
        ("kl_teacher_int8", 0.125),
        ("auc", 0.5),
    ];
    Card {
        schema: 1,
        name: Some("<b>&".to_owned()),
        task: Some("classification".to_owned()),
        classes: vec!["a".to_owned(), "b\u{1b}[31m".to_owned()],
        card: Statements { limitations: Some("in the\ndark".to_owned()), ..Statements::default() },
        teacher: Some(Network { sha256: Some("7ea".to_owned()), ..Network::default() }),
        evaluation: Some(Evaluation {
            samples: 20,
            figures: figures.map(|(name, value)| (name.to_owned(), value)).into(),
            class: vec![class("good", 0.9), class("bad", 0.6)],
            ..Evaluation::default()
        }),
        ..Card::default()
    }
}

#[test]
fn every_heading_is_there_and_what_is_missing_is_said() {
    let shown = text(&document(&card()));
    for heading in [
        "Model details",
        "Intended use",
        "How to use",
        "Training data and procedure",
        "Evaluation",
        "How close to its teacher",
        "Limitations",
        "Footprint",
        "Provenance",
    ] {
        assert!(shown.contains(&format!("\n## {heading}\n")), "{heading}");
    }
    for line in [
        "- for: not stated",
        "- not for: not stated",
        "- SHA-256 of the teacher: 7ea",
        "- permission to distil: not stated",
        "- accuracy of the int8 student: 75.00 %",
        "- accuracy of the teacher: not measured",
        "- auc: 0.5000",
        "- KL(teacher ‖ int8 student), nats: 0.1250",
        "- known limits: in the dark",
        "- worst classes: bad (60.00 % of 10), good (90.00 % of 10)",
        "- bytes of RAM (the arena): not stated",
    ] {
        assert!(shown.contains(&format!("\n{line}\n")), "{line} in {shown}");
    }
    assert!(shown.contains("80.00 % sure and 75.00 % right, so 5.00 points too sure"), "{shown}");
    assert!(!shown.contains('\u{1b}'));
}

#[test]
fn a_plan_without_a_card_says_so() {
    let card = Card { name: Some("net".to_owned()), plan: Some(Plan::default()), ..Card::default() };
    let shown = text(&document(&card));
    assert!(shown.contains("This plan carries no model card"), "{shown}");
    assert!(shown.contains("- SHA-256 of the teacher: not stated"), "{shown}");
}

#[test]
fn the_page_escapes_what_comes_from_outside_and_names_no_address() {
    let page = html(&document(&card()));
    assert!(page.contains("<h1>Model card: &lt;b&gt;&amp;</h1>") && !page.contains("<b>"));
    for outside in ["http:", "https:", "src=", "href=", "<link", "<img", "url(", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for element in ["section", "table", "tr", "td", "div", "p", "style"] {
        let open =
            page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
        assert_eq!(open, page.matches(&format!("</{element}>")).count(), "{element}");
    }
}

#[test]
fn another_task_shows_the_figures_that_it_has() {
    let mut card = card();
    card.task = Some("anomaly".to_owned());
    let shown = text(&document(&card));
    assert!(shown.contains("- auc: 0.5000") && !shown.contains("- accuracy of the teacher"), "{shown}");
}
