//! Formulas in LaTeX become MathML, which browsers draw without a script, a font or a network.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use pulldown_latex::config::{DisplayMode, RenderConfig};
use pulldown_latex::{Storage, push_mathml};
use std::ops::Range;

/// The extensions of mdBook that decide where a formula can stand.
const OPTIONS: Options = Options::ENABLE_MATH
    .union(Options::ENABLE_TABLES)
    .union(Options::ENABLE_FOOTNOTES)
    .union(Options::ENABLE_STRIKETHROUGH)
    .union(Options::ENABLE_GFM);

/// A formula that cannot be read.
#[derive(Debug, PartialEq)]
pub struct Invalid {
    /// Line of the page, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// A page with every `$…$` and `$$…$$` outside of code replaced.
pub fn with_mathml(markdown: &str) -> Result<String, Invalid> {
    let mut page = String::with_capacity(markdown.len());
    let mut copied = 0;
    let mut in_code = false;
    for (event, range) in Parser::new_ext(markdown, OPTIONS).into_offset_iter() {
        let invalid = |message| Invalid {
            line: line(markdown, &range),
            message,
        };
        let (latex, mode) = match &event {
            Event::InlineMath(latex) => (latex, DisplayMode::Inline),
            Event::DisplayMath(latex) => (latex, DisplayMode::Block),
            Event::Start(Tag::CodeBlock(_)) | Event::End(TagEnd::CodeBlock) => {
                in_code = !in_code;
                continue;
            }
            // With braces that do not match it is no formula to the parser.
            Event::Text(text) if !in_code && text.contains('$') => {
                match markdown[..range.start].ends_with('\\') {
                    true => continue,
                    false => return Err(invalid("`$` that begins or ends nothing".into())),
                }
            }
            _ => continue,
        };
        let formula = mathml(latex, mode).map_err(invalid)?;
        page.push_str(&markdown[copied..range.start]);
        match mode {
            DisplayMode::Inline => page.push_str(&formula),
            DisplayMode::Block => {
                page.push_str(&format!("<span class=\"formula\">{formula}</span>"));
            }
        }
        copied = range.end;
    }
    page.push_str(&markdown[copied..]);
    Ok(page)
}

fn line(text: &str, range: &Range<usize>) -> usize {
    1 + text[..range.start].matches('\n').count()
}

fn mathml(latex: &str, display_mode: DisplayMode) -> Result<String, String> {
    let storage = Storage::new();
    let events = pulldown_latex::Parser::new(latex, &storage);
    // Left to itself the writer would put errors into the formula.
    let events: Vec<_> = events
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    let config = RenderConfig {
        display_mode,
        ..RenderConfig::default()
    };
    let mut formula = String::new();
    let events = events.into_iter().map(Ok::<_, std::fmt::Error>);
    push_mathml(&mut formula, events, config).map_err(|error| error.to_string())?;
    // What the parser does not know it may leave in the formula as it is.
    if formula.contains('\\') {
        return Err(format!("`{latex}` would show its own source"));
    }
    Ok(hidden_from_markdown(&formula))
}

/// The same elements, with the punctuation between them written so that Markdown, which reads it
/// again, takes none of it for its own.
fn hidden_from_markdown(html: &str) -> String {
    let mut hidden = String::with_capacity(html.len());
    let mut inside_tag = false;
    let mut letters = html.chars().peekable();
    while let Some(c) = letters.next() {
        let next = letters.peek().copied().unwrap_or(' ');
        // A relation sign is no tag.
        if c == '<' && (next == '/' || next.is_ascii_alphabetic()) {
            inside_tag = true;
        }
        match c {
            '\n' => {}
            '&' | '#' | ';' => hidden.push(c),
            _ if inside_tag || !c.is_ascii_punctuation() => hidden.push(c),
            _ => hidden.push_str(&format!("&#{};", u32::from(c))),
        }
        if c == '>' {
            inside_tag = false;
        }
    }
    // The writer of MathML and mdBook both give the name of the no-break space for the space.
    hidden.replace("&amp;nbsp;", "\u{2007}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulldown_cmark::html::push_html;

    #[test]
    fn formulas_become_mathml_and_code_stays() {
        let page = with_mathml("For $x^2$:\n\n$$\n\\frac{1}{\\sqrt{x}}\n$$\n\n`$a$`\n\n    $b$\n")
            .unwrap();
        assert!(page.contains("<msup><mi>x</mi><mn>2</mn></msup>"), "{page}");
        assert!(
            page.contains("<span class=\"formula\"><math display=\"block\""),
            "{page}"
        );
        assert!(
            page.contains("`$a$`") && page.contains("    $b$\n"),
            "{page}"
        );
        assert!(!page.contains("\\frac"), "{page}");
        let spaced = with_mathml("$a~b$").unwrap();
        assert!(
            !spaced.contains("nbsp") && !spaced.contains('\u{a0}'),
            "{spaced}"
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        let invalid = with_mathml("one\n\ntwo $\\nonsense{x}$").unwrap_err();
        assert_eq!(invalid.line, 3);
        assert!(invalid.message.contains("nonsense"), "{}", invalid.message);
        assert_eq!(with_mathml("a\n\n$$\n\\frac{1\n$$").unwrap_err().line, 3);
        let unknown = with_mathml("$\\operatorname*{arg}_\\phi$").unwrap_err();
        assert!(unknown.message.contains("source"), "{}", unknown.message);
        assert_eq!(
            with_mathml("costs \\$ 5\n\n    $x\n")
                .unwrap()
                .matches('$')
                .count(),
            2
        );
    }

    #[test]
    fn markdown_sees_no_markup_of_its_own_in_a_formula() {
        let table = "| a | b |\n| --- | --- |\n| $\\vert x\\vert_1 * y * z < w > 1$ | c |\n";
        let page = with_mathml(table).unwrap();
        let mut html = String::new();
        push_html(&mut html, Parser::new_ext(&page, OPTIONS));
        assert_eq!(html.matches("<td>").count(), 2, "{html}");
        assert!(!html.contains("<em>"), "{html}");
        assert!(html.contains("<td>c</td>"), "{html}");
    }
}
