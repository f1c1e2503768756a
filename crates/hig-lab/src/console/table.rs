//! Results as tables of text.

/// Lays out rows of cells with the columns aligned; the first column to the left, numbers to the
/// right.
pub fn layout(header: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..header.len())
        .map(|j| {
            rows.iter()
                .map(|row| row[j].chars().count())
                .fold(header[j].chars().count(), usize::max)
        })
        .collect();
    let mut text = String::new();
    let mut push = |cells: Vec<&str>| {
        let mut line = format!("{:<width$}", cells[0], width = widths[0]);
        for (cell, width) in cells.iter().zip(&widths).skip(1) {
            line += &format!("  {cell:>width$}");
        }
        text += line.trim_end();
        text += "\n";
    };
    push(header.to_vec());
    let rule: Vec<String> = widths.iter().map(|w| "-".repeat(*w)).collect();
    push(rule.iter().map(String::as_str).collect());
    for row in rows {
        push(row.iter().map(String::as_str).collect());
    }
    text
}
