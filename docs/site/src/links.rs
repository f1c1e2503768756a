//! Looks through the finished site for what would fail a reader: links and images that lead nowhere,
//! and anything that a page would load from elsewhere.

use anyhow::{Context, Result};
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// One line for each fault, with the page and the target.
pub fn complaints(site: &Path) -> Result<Vec<String>> {
    let mut pages = BTreeMap::new();
    let mut complaints = Vec::new();
    for file in files(site)? {
        let kind = file.extension().and_then(|kind| kind.to_str());
        let name = file.strip_prefix(site)?.to_owned();
        match kind {
            Some("html") => {
                pages.insert(name, Page::of(&read(&file)?));
            }
            Some("css") if loads_from_elsewhere(&read(&file)?) => {
                complaints.push(format!("{}: loads from elsewhere", name.display()));
            }
            _ => {}
        }
    }
    for (name, page) in &pages {
        for target in &page.loaded {
            if is_elsewhere(target) {
                complaints.push(format!("{}: loads {target}", name.display()));
            }
        }
        for target in page.loaded.iter().chain(&page.links) {
            if !is_elsewhere(target) && !leads_somewhere(site, &pages, name, target) {
                complaints.push(format!("{}: dead link {target}", name.display()));
            }
        }
    }
    Ok(complaints)
}

fn leads_somewhere(
    site: &Path,
    pages: &BTreeMap<PathBuf, Page>,
    from: &Path,
    target: &str,
) -> bool {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = path.split('?').next().unwrap_or_default();
    let place = match path {
        "" => from.to_owned(),
        path => from.parent().unwrap_or(Path::new("")).join(decoded(path)),
    };
    let Some(place) = normal(&place) else {
        return false;
    };
    match pages.get(&place) {
        Some(page) => anchor.is_empty() || page.anchors.contains(&decoded(anchor)),
        None => anchor.is_empty() && site.join(place).is_file(),
    }
}

/// Without `..`; none for a place outside of the site.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut place = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => place.pop().then_some(())?,
            Component::CurDir => {}
            Component::Normal(part) => place.push(part),
            Component::Prefix(_) | Component::RootDir => return None,
        }
    }
    Some(place)
}

fn is_elsewhere(target: &str) -> bool {
    let scheme = target.split(['/', '#', '?']).next().unwrap_or_default();
    target.starts_with("//") || scheme.contains(':')
}

fn loads_from_elsewhere(css: &str) -> bool {
    let urls = css
        .split("url(")
        .skip(1)
        .map(|rest| rest.trim_start_matches(['"', '\'', ' ']));
    let elsewhere = |url: &str| is_elsewhere(url.split([')', '"']).next().unwrap_or_default());
    let imports = css.contains("@import");
    imports
        || urls
            .into_iter()
            .any(|url| !url.starts_with("data:") && elsewhere(url))
}

/// `%C3%A4` as ä.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let code = std::str::from_utf8(tail.get(..2).unwrap_or_default()).unwrap_or_default();
        match (byte, u8::from_str_radix(code, 16)) {
            (b'%', Ok(value)) => {
                bytes.push(value);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a page offers and asks for.
#[derive(Debug, Default)]
struct Page {
    anchors: BTreeSet<String>,
    links: BTreeSet<String>,
    loaded: BTreeSet<String>,
}

impl Page {
    fn of(html: &str) -> Self {
        let input = BufferQueue::default();
        input.push_back(StrTendril::from(html));
        let tokenizer = Tokenizer::new(Reader::default(), TokenizerOpts::default());
        let _ = tokenizer.feed(&input);
        tokenizer.end();
        tokenizer.sink.0.into_inner()
    }

    fn see(&mut self, tag: &Tag) {
        let element = &*tag.name;
        for attribute in &tag.attrs {
            let value = attribute.value.to_string();
            match (element, &*attribute.name.local) {
                (_, "id") | ("a", "name") => self.anchors.insert(value),
                ("a", "href") => self.links.insert(value),
                (_, "src") | ("link", "href") => self.loaded.insert(value),
                _ => false,
            };
        }
    }
}

#[derive(Default)]
struct Reader(RefCell<Page>);

impl TokenSink for Reader {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        let Token::TagToken(tag) = token else {
            return TokenSinkResult::Continue;
        };
        self.0.borrow_mut().see(&tag);
        match (tag.kind, &*tag.name) {
            (TagKind::StartTag, "script") => TokenSinkResult::RawData(RawKind::ScriptData),
            (TagKind::StartTag, "style") => TokenSinkResult::RawData(RawKind::Rawtext),
            _ => TokenSinkResult::Continue,
        }
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => all.extend(files(&path)?),
            false => all.push(path),
        }
    }
    Ok(all)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(site: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in site {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        complaints(folder.path()).unwrap()
    }

    #[test]
    fn a_sound_site_has_no_complaints() {
        let page = "<h1 id=\"näh\">x</h1><a href=\"docs/b.html#b\"></a><a href='#n%C3%A4h'></a>\
                    <a href=\"https://example.org/x\"></a><script>let x = '<a href=\"none\">';</script>";
        let inner = "<a id=b></a><img src=../x.png><a href=\"../index.html\"></a>";
        let css = "a { background: url('x.png'), url(\"data:image/svg+xml,http://w3.org\") }";
        let site = [
            ("index.html", page),
            ("docs/b.html", inner),
            ("x.png", ""),
            ("s.css", css),
        ];
        assert_eq!(of(&site), Vec::<String>::new());
    }

    #[test]
    fn whatever_leads_nowhere_is_named_with_its_page() {
        let page =
            "<a href=b.html></a><a href=c/d.html#no></a><img src=x.png><a href=../up.html></a>";
        let told = of(&[("a.html", page), ("c/d.html", "")]);
        let expected = ["x.png", "../up.html", "b.html", "c/d.html#no"];
        assert_eq!(
            told,
            expected.map(|target| format!("a.html: dead link {target}"))
        );
    }

    #[test]
    fn nothing_may_be_loaded_from_elsewhere() {
        let page = "<script src=\"https://example.org/m.js\"></script><link href=//e.org/s.css>";
        let css = "@font-face { src: url(https://example.org/f.woff2) }";
        let told = of(&[("a.html", page), ("s.css", css)]);
        let loads = ["//e.org/s.css", "https://example.org/m.js"];
        let mut expected = vec!["s.css: loads from elsewhere".to_owned()];
        expected.extend(loads.map(|target| format!("a.html: loads {target}")));
        assert_eq!(told, expected);
    }
}
