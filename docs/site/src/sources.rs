//! The pages of the book and the files that they show or offer, gathered into one folder.

use crate::math;
use anyhow::{Context, Result, ensure};
use pulldown_cmark::{Event, Options, Parser, Tag};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Writes everything into `folder`, formulas as MathML, at the same places as under the first of the
/// roots that has it: the repository, and what was generated. Returns the number of pages.
pub fn gather(roots: &[&Path], folder: &Path) -> Result<usize> {
    let found = |path: &Path| {
        roots
            .iter()
            .map(|root| root.join(path))
            .find(|p| p.is_file())
    };
    let found =
        |path: &Path| found(path).with_context(|| format!("{}: no such page", path.display()));
    let summary = Path::new("docs/SUMMARY.md");
    let mut order = read(&found(summary)?)?;
    let mut pages = BTreeSet::new();
    for target in targets(&order) {
        let page = resolve(summary, &target);
        order = order.replace(&format!("]({target})"), &format!("]({})", page.display()));
        pages.insert(page);
    }
    write(&folder.join("SUMMARY.md"), &order)?;
    for page in written(roots[0], Path::new("docs"))? {
        let known = page == summary || pages.contains(&page);
        ensure!(known, "{}: not in {}", page.display(), summary.display());
    }
    for page in &pages {
        let text = read(&found(page)?)?;
        for target in targets(&text) {
            let file = resolve(page, &target);
            if let (Ok(from), false) = (found(&file), pages.contains(&file)) {
                copy(&from, &folder.join(&file))?;
            }
        }
        let text = math::with_mathml(&text).map_err(|invalid| {
            let (page, line) = (page.display(), invalid.line);
            anyhow::anyhow!("{page}:{line}: formula: {}", invalid.message)
        })?;
        write(&folder.join(page), &text)?;
    }
    copy(
        &found(Path::new("docs/site/style.css"))?,
        &folder.join("style.css"),
    )?;
    Ok(pages.len())
}

/// What links and images of a page point to within the repository, without anchors.
fn targets(markdown: &str) -> BTreeSet<String> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_MATH;
    Parser::new_ext(markdown, options)
        .filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(dest_url)
            }
            _ => None,
        })
        .map(|url| url.split('#').next().unwrap_or_default().to_owned())
        .filter(|url| !url.is_empty() && !url.contains(':'))
        .collect()
}

/// The place that a page means by a relative path.
fn resolve(page: &Path, target: &str) -> PathBuf {
    let mut place = PathBuf::new();
    let folder = page.parent().unwrap_or(Path::new(""));
    for part in folder.join(target).components() {
        match part {
            Component::ParentDir => {
                place.pop();
            }
            Component::CurDir => {}
            part => place.push(part),
        }
    }
    place
}

/// All Markdown files under a folder.
fn written(root: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            files.extend(written(root, &path)?);
        } else if path.extension().is_some_and(|kind| kind == "md") {
            files.push(path);
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    make_room(path)?;
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    make_room(to)?;
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    Ok(())
}

fn make_room(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_brings_what_it_links_to() -> Result<()> {
        let place = tempfile::tempdir()?;
        let [root, made, folder] = ["root", "made", "folder"].map(|name| place.path().join(name));
        let roots = [root.as_path(), made.as_path()];
        write(
            &root.join("docs/SUMMARY.md"),
            "- [A](../A.md)\n- [B](b.md)\n- [C](c.md)\n",
        )?;
        write(
            &root.join("A.md"),
            "![x](docs/x.png) [b](docs/b.md#there) `[no](LICENSE)`",
        )?;
        write(&root.join("docs/x.png"), "x")?;
        write(
            &root.join("docs/b.md"),
            "[code](../src/lib.rs) [web](https://example.org) $a$",
        )?;
        write(&root.join("src/lib.rs"), "//! code")?;
        write(&root.join("LICENSE"), "none")?;
        write(&root.join("docs/site/style.css"), "")?;
        write(&made.join("docs/c.md"), "made")?;
        assert_eq!(gather(&roots, &folder)?, 3);
        let summary = read(&folder.join("SUMMARY.md"))?;
        assert_eq!(summary, "- [A](A.md)\n- [B](docs/b.md)\n- [C](docs/c.md)\n");
        for file in ["docs/x.png", "src/lib.rs", "docs/c.md"] {
            assert!(folder.join(file).exists(), "{file}");
        }
        assert!(!folder.join("LICENSE").exists());
        assert!(read(&folder.join("docs/b.md"))?.contains("<math"));

        write(&root.join("docs/d.md"), "")?;
        let error = gather(&roots, &folder).unwrap_err().to_string();
        assert_eq!(error, "docs/d.md: not in docs/SUMMARY.md");
        Ok(())
    }
}
