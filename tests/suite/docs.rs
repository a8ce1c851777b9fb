//! What the documents say about the code is held to the code.

use std::fs;
use std::path::{Path, PathBuf};

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
        makefile.lines().filter_map(|line| line.split_once(": ## ").map(|(name, _)| name)).collect();
    assert!(targets.contains(&"test"), "{targets:?}");
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("`make ") {
            let named = text[at + "`make ".len()..].split(['`', ' ']).next().unwrap();
            assert!(targets.contains(&named), "{} names `make {named}`", page.display());
        }
    }
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
