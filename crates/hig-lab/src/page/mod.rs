//! The page that a report is and that a watched run shows: one HTML file that needs nothing else.

/// The page with its data: JSON, or `null` for a page that asks its server for them.
pub fn page(data: &str) -> String {
    let data = data.replace('<', "\\u003c");
    include_str!("page.html").replace("{{data}}", &data)
}
