//! `cargo xtask examples`: every public item has an example, counted on rustdoc's own pages.
//!
//! What is public is rustdoc's to say, so its pages are read and not the sources.
//!
//! - A struct, an enum, a trait, a function or a macro is *shown* when an example stands on its page, or
//!   an example of its crate names it.
//! - A method is shown when an example on its page, or on the crate's first page, calls it, or when what is
//!   said of it has a heading for examples, below which another item's may be named.
//! - Constants, type aliases, fields, variants and what a type has from other crates' traits need none.
//!
//! Examples are run by `cargo test`; here they are only found.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::{Outcome, workspace};

/// The crates, in the order of the layers.
const PACKAGES: [&str; 5] =
    ["holt-wal-ring", "holt-codec", "holt-art", "holt-journal", "holt-engine"];
/// The kinds of pages that are about an item that has an example.
const KINDS: [&str; 5] = ["struct", "enum", "trait", "fn", "macro"];
/// What an example that is compiled begins with on a page.
const EXAMPLE: &str = "<pre class=\"rust rust-example-rendered\"><code>";
/// What the name of an item's own method stands behind: not those of the traits that it implements.
const METHODS: [&str; 2] = ["<section id=\"method.", "<section id=\"tymethod."];
/// What follows the name of such a method.
const OWN: &str = "\" class=\"method\">";
/// What a heading for examples begins with.
const HEADING: &str = "id=\"examples";
/// Where an item's own part of its page ends.
const ENDS: [&str; 2] = ["id=\"trait-implementations\"", "id=\"implementors\""];

/// Checks the crates of `arguments`, or all of them.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    if let Some(unknown) = arguments.iter().find(|name| !PACKAGES.contains(&name.as_str())) {
        return Err(format!("there is no package `{unknown}`; packages: {PACKAGES:?}").into());
    }
    let mut missing = 0;
    for package in PACKAGES {
        if !arguments.is_empty() && !arguments.iter().any(|name| name == package) {
            continue;
        }
        let status = workspace::cargo()
            .args(["doc", "--quiet", "--no-deps", "--all-features", "--lib", "--package", package])
            .status()?;
        if !status.success() {
            return Err(format!("the documentation of {package} cannot be built").into());
        }
        let doc = workspace::target("target").join("doc").join(package.replace('-', "_"));
        let mut pages = BTreeMap::new();
        read(&doc, &doc, &mut pages)?;
        let report = check(&pages);
        for item in &report.missing {
            println!("{package}: {item} has no example");
        }
        println!("{package}: {} items and methods, {} without", report.seen, report.missing.len());
        if report.seen == 0 {
            return Err(format!("{package} has no item: its pages are not understood").into());
        }
        missing += report.missing.len();
    }
    if missing > 0 {
        return Err(format!("{missing} items have no example").into());
    }
    Ok(())
}

/// Reads all pages below `directory`, by their paths below `root`.
fn read(root: &Path, directory: &Path, pages: &mut BTreeMap<String, String>) -> Outcome {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            read(root, &path, pages)?;
        } else if path.extension().is_some_and(|end| end == "html") {
            let name = path.strip_prefix(root)?.display().to_string();
            pages.insert(name, fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

#[derive(Debug, Default, PartialEq)]
struct Report {
    /// Items and methods that were looked at.
    seen: usize,
    /// Those without an example, as `struct.Name` or `struct.Name::method`.
    missing: Vec<String>,
}

fn check(pages: &BTreeMap<String, String>) -> Report {
    let examples: BTreeMap<&str, String> =
        pages.iter().map(|(path, page)| (path.as_str(), examples(page))).collect();
    let all: Vec<&str> = examples.values().map(String::as_str).collect();
    let all = all.join("\n");
    let first = examples.get("index.html").map_or("", String::as_str);
    let mut report = Report::default();
    for (path, page) in pages {
        let file = path.rsplit('/').next().unwrap_or(path);
        let item = file.strip_suffix(".html").unwrap_or(file);
        let Some((kind, name)) = item.split_once('.') else { continue };
        // What is re-exported has a page that only leads to its own.
        if !KINDS.contains(&kind) || page.contains("http-equiv=\"refresh\"") {
            continue;
        }
        report.seen += 1;
        let own = &examples[path.as_str()];
        if own.is_empty() && !words(&all).any(|(word, _)| word == name) {
            report.missing.push(item.to_owned());
        }
        for (method, said) in methods(page) {
            report.seen += 1;
            let headed = said.contains(HEADING);
            if !headed && ![own, first].iter().any(|text| calls(text, method)) {
                report.missing.push(format!("{item}::{method}"));
            }
        }
    }
    report
}

/// The text of all examples of a page.
fn examples(page: &str) -> String {
    let mut text = String::new();
    for example in page.split(EXAMPLE).skip(1) {
        let example = example.split("</code></pre>").next().unwrap_or_default();
        // Between the marks of the page.
        for (number, part) in example.split('<').enumerate() {
            let shown = match part.split_once('>') {
                Some((_, shown)) if number > 0 => shown,
                _ => part,
            };
            text.push_str(shown);
        }
        text.push('\n');
    }
    text
}

/// The names of an item's own methods, each with what is said of it.
fn methods(page: &str) -> Vec<(&str, &str)> {
    let ends = ENDS.iter().filter_map(|end| page.find(end));
    let own = &page[..ends.min().unwrap_or(page.len())];
    let mut found = Vec::new();
    for mark in METHODS {
        for part in own.split(mark).skip(1) {
            let parts = part.split_once(OWN).filter(|(id, _)| !id.contains('"'));
            let Some((id, said)) = parts else { continue };
            let said = said.split("<section id=").next().unwrap_or(said);
            // Of several methods of one name, all but the first have a number behind it.
            found.push((id.split('-').next().unwrap_or(id), said));
        }
    }
    found
}

/// The names in a text, and what follows each.
fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(is_part)?;
        let tail = &rest[start..];
        let end = tail.find(|c| !is_part(c)).unwrap_or(tail.len());
        let (word, behind) = tail.split_at(end);
        rest = behind;
        Some((word, behind))
    })
}

/// Whether a text calls a method, or names it as a function.
fn calls(text: &str, method: &str) -> bool {
    words(text).any(|(word, behind)| {
        word == method && (behind.starts_with(['(', ')', ',']) || behind.starts_with("::&lt;"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(methods: &[&str], example: &str) -> String {
        let methods: String = methods
            .iter()
            .map(|name| format!("<section id=\"method.{name}\" class=\"method\"><h4></h4>"))
            .collect();
        format!(
            "{methods}{EXAMPLE}<span class=\"kw\">let </span>{example}</code></pre>\
             <h2 id=\"trait-implementations\">\
             <section id=\"method.clone\" class=\"method trait-impl\">"
        )
    }

    #[test]
    fn what_no_example_shows_is_missing() {
        let pages = [
            ("index.html", format!("{EXAMPLE}Db::<span>open</span>(path)</code></pre>")),
            ("struct.Db.html", page(&["open", "close", "sync"], "db.close();")),
            ("inner/enum.Kind.html", page(&["name-1"], "map(Kind::name)")),
            (
                "struct.See.html",
                format!(
                    "<section id=\"method.x\" class=\"method\"></section>{HEADING}-2\">{EXAMPLE}"
                ),
            ),
            ("struct.Lost.html", "no example".to_owned()),
            ("struct.Named.html", "no example".to_owned()),
            ("fn.go.html", format!("{EXAMPLE}go(Named)</code></pre>")),
            ("constant.MOST.html", String::new()),
            ("struct.Moved.html", "<meta http-equiv=\"refresh\">".to_owned()),
        ];
        let pages = pages.map(|(path, page)| (path.to_owned(), page)).into();
        let report = check(&pages);
        assert_eq!(report.missing, ["struct.Db::sync", "struct.Lost"]);
        assert_eq!(report.seen, 11);
    }

    #[test]
    fn a_name_in_another_name_is_no_call() {
        assert!(calls("tree.get(key)", "get") && calls("map(Tree::get)", "get"));
        assert!(!calls("tree.get_into(key)", "get") && !calls("let get = 1;", "get"));
    }
}
