//! `docs/annotations.md`: every annotation with its default and what is done about it, printed from the table. What stands
//! around the tables is in `page.md`, where `{{redirect}}` is the place of the table of that subject.

use std::fmt::Write;

use super::table::{Effect, Fate, ONE_OF, Row, SUBJECTS, rows};
use crate::ir::Severity;

const TEMPLATE: &str = include_str!("page.md");

/// The whole page, in Markdown.
pub fn page() -> String {
    let mut page = String::new();
    let mut rest = TEMPLATE;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, behind) = after.split_once("}}").unwrap_or((after, ""));
        page.push_str(before);
        match name {
            "count" => page.push_str(&count()),
            "names" => page.push_str(&names()),
            _ => page.push_str(&subject(name)),
        }
        rest = behind;
    }
    page.push_str(rest);
    page
}

/// The table of one subject: what of it is honoured.
fn subject(name: &str) -> String {
    let mut table = String::from("| name | values | what it does | default |\n|---|---|---|---|\n");
    let rows = SUBJECTS.into_iter().filter(|(subject, _)| *subject == name).flat_map(|(_, rows)| rows);
    for row in rows.filter(|row| row.fate() == Fate::Honoured) {
        let Row { name, values, default, does, on_service, .. } = row;
        let service = if *on_service { " ◦" } else { "" };
        let only = match (row.ours, row.nginx) {
            (true, false) => "only under `fairlead.dev/`",
            (false, true) => "only under ingress-nginx's prefix",
            _ => "",
        };
        let difference = difference(row).map(|how| format!("**Differs:** {how}")).unwrap_or_default();
        let sentences: Vec<&str> = [*does, only, &*difference].into_iter().filter(|text| !text.is_empty()).collect();
        let _ = writeln!(
            table,
            "| `{name}`{service} | {} | {} | {} |",
            values_text(values),
            sentences.join("; ").replace(".; ", ". "),
            code_or_dash(default)
        );
    }
    table.pop();
    table
}

/// All names of ingress-nginx, with what becomes of them.
fn names() -> String {
    let mut table = String::from("| name | state | acts on | risk |\n|---|---|---|---|\n");
    for row in rows().filter(|row| row.nginx) {
        let _ = writeln!(table, "| `{}` | {} | {} | {} |", row.name, state(row), row.scope.as_str(), row.risk.as_str());
    }
    table.pop();
    table
}

/// How many names there are of each state; an older name of an annotation is none of its own.
fn count() -> String {
    let own = || rows().filter(|row| row.nginx && !super::table::ALIASES.contains(&row.name));
    let number = |is: fn(&Row) -> bool| own().filter(|row| is(row)).count();
    format!(
        "Of the {} names of ingress-nginx 1.15 (and {} aliases) {} are honoured, {} of them with a difference, and {} need \
         nothing: they tune what is not here, and no client sees it. {} are read and have no effect yet, {} are not honoured, and {} are \
         refused.",
        own().count(),
        super::table::ALIASES.len(),
        number(|row| row.fate() == Fate::Honoured),
        number(|row| row.fate() == Fate::Honoured && row.unlike.is_some()),
        number(is_needless),
        number(Row::is_read),
        number(|row| row.fate() == Fate::Ignored && !is_needless(row) && !row.is_read()),
        number(|row| row.fate() == Fate::Refused),
    )
}

/// Whether it only tunes what is not here.
fn is_needless(row: &Row) -> bool {
    matches!(row.effect, Effect::Ignored { severity: Severity::Info, .. })
}

fn state(row: &Row) -> String {
    match row.effect {
        Effect::Honoured(_) => match difference(row) {
            Some(how) => format!("honoured differently: {how}"),
            None => "honoured".to_owned(),
        },
        Effect::Read(_, missing) => format!("read, and without effect yet: {missing}"),
        Effect::Ignored { severity: Severity::Info, instead, .. } => {
            format!("without effect: {}", instead.strip_prefix("remove it; ").unwrap_or("there is nothing to tune"))
        }
        Effect::Ignored { instead, .. } => format!("not honoured: {instead}"),
        Effect::Guards { guard, off } => format!("refused{}: {}; {}", unless(off), guard.why(), guard.hint()),
    }
}

fn unless(value: &str) -> String {
    if value.is_empty() { String::new() } else { format!(" unless it is `{value}`") }
}

fn difference(row: &Row) -> Option<String> {
    let unlike = row.unlike?;
    Some(if unlike.value.is_empty() { unlike.how.to_owned() } else { format!("`{}`: {}", unlike.value, unlike.how) })
}

/// The right values: words as code, else a phrase.
fn values_text(values: &str) -> String {
    match values.strip_prefix(ONE_OF) {
        Some(words) => words.split(", ").map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        None => values.strip_prefix("write ").unwrap_or(values).replace('*', "\\*").replace('|', "\\|"),
    }
}

fn code_or_dash(text: &str) -> String {
    if text.is_empty() { "–".to_owned() } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_annotations_is_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/annotations.md");
        let printed = page();
        if std::env::var_os("GOLDEN_WRITE").is_some() {
            std::fs::write(path, &printed).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap_or_default() == printed,
            "docs/annotations.md is out of date; run GOLDEN_WRITE=1 cargo test --lib docs_annotations"
        );
    }

    #[test]
    fn every_subject_with_an_honoured_annotation_has_one_place_on_the_page() {
        for (name, rows) in SUBJECTS {
            let is_shown = rows.iter().any(|row| row.fate() == Fate::Honoured);
            let places = TEMPLATE.matches(&format!("{{{{{name}}}}}")).count();
            assert_eq!(places, usize::from(is_shown), "{name}: write {{{{{name}}}}} once into page.md");
        }
    }

    #[test]
    fn no_cell_breaks_its_table() {
        for line in page().lines().filter(|line| line.starts_with("| `")) {
            let bars = line.replace("\\|", "").matches('|').count();
            assert!(bars == 5, "{line}");
        }
    }
}
