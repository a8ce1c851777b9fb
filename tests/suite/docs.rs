//! What the documents say about the code is held to the code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fairlead::compile::{self, AnnotationFate};
use fairlead::ir::Reason;

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (_, rest) in text.match_indices("](").map(|(at, found)| (at, &text[at + found.len()..])) {
            let target = rest.split([')', '#']).next().unwrap_or_default();
            let is_local = !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
            if is_local && !page.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_make_target_in_the_documents_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: Vec<&str> =
        makefile.lines().filter_map(|line| Some(line.split_once(" ## ")?.0.split_once(':')?.0)).collect();
    assert!(targets.contains(&"test"), "{targets:?}");
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("`make ") {
            let named = text[at + "`make ".len()..].split(['`', ' ']).next().unwrap();
            assert!(targets.contains(&named), "{} names `make {named}`", page.display());
        }
    }
}

#[test]
fn the_problems_page_has_a_row_for_each_reason_and_says_which_are_not_reported() {
    let page = fs::read_to_string(root().join("docs/problems.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    let named: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(named, reasons);

    let source = source_text(&root().join("src"));
    for row in rows {
        let reason = row[0].trim_matches('`');
        assert_eq!(row.len(), 4, "{reason}");
        let known = row[1].split(", ").all(|word| ["error", "warning", "info"].contains(&word));
        let is_reported = source.contains(&format!("Reason::{reason}"));
        assert_eq!(row[2].contains("not reported in this version"), !is_reported, "{reason}");
        assert_eq!(known, is_reported, "severity of {reason}");
    }
}

#[test]
fn the_annotations_page_has_every_name_of_ingress_nginx_with_its_state() {
    let page = fs::read_to_string(root().join("docs/annotations.md")).unwrap();
    let (_, names) = page.split_once("## Names of ingress-nginx").unwrap();
    let cells = names.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').collect::<Vec<_>>());
    let states: BTreeMap<_, _> = cells.map(|cells| (cells[1].trim_matches([' ', '`']), cells[2].trim())).collect();
    // 136 names and 2 aliases.
    assert_eq!(states.len(), 138);
    for row in compile::annotations().filter(|row| row.nginx) {
        let state = states[row.name];
        let expected: &[&str] = match row.fate() {
            AnnotationFate::Honoured => &["honoured", "honoured differently: "],
            AnnotationFate::Ignored => &["without effect: ", "read, and without effect yet: ", "not honoured"],
            AnnotationFate::Refused => &["refused"],
        };
        assert!(expected.iter().any(|word| state == *word || state.starts_with(word)), "{}: {state}", row.name);
    }
}

/// All Rust files below `folder` but those of tests, in one text.
fn source_text(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &source_text(&path);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            text += &fs::read_to_string(&path).unwrap();
        }
    }
    text
}

/// README and the like, and everything in `docs`.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = [root().to_owned(), root().join("docs")]
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect();
    pages.sort();
    assert!(pages.iter().any(|page| page.ends_with("README.md")), "{pages:?}");
    pages
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
