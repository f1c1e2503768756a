//! Tables of the generated pages.

/// A Markdown table; cells are Markdown but for `|`.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let escaped = |cell: &String| cell.replace('|', "\\|").replace('\n', " ");
    let mut text = line(heads.iter().map(ToString::to_string).collect());
    text += &line(vec!["---".into(); heads.len()]);
    for row in rows {
        text += &line(row.iter().map(escaped).collect());
    }
    text
}

/// As code; nothing for nothing.
pub fn code(text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_keep_their_column() {
        let text = table(&["a", "b"], &[vec![code("x|y"), "two\nlines".into()]]);
        assert_eq!(text, "| a | b |\n| --- | --- |\n| `x\\|y` | two lines |\n");
    }
}
