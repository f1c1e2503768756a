//! The page that a report is and that a watched run shows: one HTML file that needs nothing else.

mod data;
mod thinned;

pub use data::{data, run_json};

use crate::figures::chart::palette;
use hig::diagnostics::{self, Diagnostic};
use serde_json::{Value as Json, json};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
/// In this order: what is used comes before what uses it.
const SCRIPTS: [&str; 24] = [
    include_str!("numbers.js"),
    include_str!("dom.js"),
    include_str!("styles.js"),
    include_str!("model.js"),
    include_str!("view.js"),
    include_str!("scales.js"),
    include_str!("path.js"),
    include_str!("chart.js"),
    include_str!("pointer.js"),
    include_str!("heat_map.js"),
    include_str!("header.js"),
    include_str!("legend.js"),
    include_str!("losses.js"),
    include_str!("results.js"),
    include_str!("warnings.js"),
    include_str!("diagnostics.js"),
    include_str!("spectrum.js"),
    include_str!("timing.js"),
    include_str!("pictures.js"),
    include_str!("configuration.js"),
    include_str!("provenance.js"),
    include_str!("contents.js"),
    include_str!("keys.js"),
    include_str!("live.js"),
];

/// The page with its data: JSON, or `null` for a page that asks its server for them.
pub fn page(data: &str) -> String {
    // One pass from place to place, so that nothing is replaced within what was put in. In a script
    // element only `<` could end the data early or begin a comment.
    let data = data.replace('<', "\\u003c");
    let parts = [
        ("{{style}}", STYLE.to_owned()),
        ("{{data}}", data),
        ("{{script}}", quantities() + &looks() + &SCRIPTS.concat()),
    ];
    let mut rest = TEMPLATE;
    let mut page = String::new();
    for (place, text) in parts {
        let (before, after) = rest.split_once(place).expect("the template has all places");
        page.push_str(before);
        page.push_str(&text);
        rest = after;
    }
    page.push_str(rest);
    page
}

/// The numbers that steps tell of themselves, for the scripts.
fn quantities() -> String {
    let one = |d: &Diagnostic| {
        let (name, title, unit, meaning) = (d.name, d.title, d.unit, d.meaning);
        json!({ "name": name, "title": title, "unit": unit, "meaning": meaning })
    };
    let all: Json = diagnostics::ALL.iter().map(one).collect();
    format!(
        "const DIAGNOSTICS = {};\n",
        all.to_string().replace('<', "\\u003c")
    )
}

/// Dashes and symbols of the figures, for the scripts: corners, direction of the first one in turns, and
/// distance of every second one.
fn looks() -> String {
    let symbols = palette::SYMBOLS.map(|s| json!([s.corners, s.turn, s.inner]));
    let (dashes, symbols) = (json!(palette::DASHES), json!(symbols));
    format!("const DASHES = {dashes};\nconst SYMBOLS = {symbols};\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_script_is_in_the_page() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page");
        let files = std::fs::read_dir(folder).unwrap();
        let paths = files.map(|f| f.unwrap().path());
        let scripts: Vec<_> = paths
            .filter(|p| p.extension().is_some_and(|e| e == "js"))
            .collect();
        assert_eq!(scripts.len(), SCRIPTS.len());
        let page = page("null");
        for path in scripts {
            assert!(
                page.contains(&std::fs::read_to_string(&path).unwrap()),
                "{path:?}"
            );
        }
    }

    #[test]
    fn data_stay_data() {
        let page = page(r#"{"name":"</script>{{script}}"}"#);
        assert!(page.contains(r#"{"name":"\u003c/script>{{script}}"}"#));
        assert!(!SCRIPTS.concat().contains("</script"));
        assert_eq!(page.matches("</script>").count(), 2);
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        let page = page("null").replace("http://www.w3.org/2000/svg", "");
        assert!(!page.contains("http://") && !page.contains("https://"));
        assert!(!page.contains("@import") && !page.contains(" src="));
    }
}
