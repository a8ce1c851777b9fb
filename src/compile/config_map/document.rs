//! `docs/config-map.md`: every key with its default and what is done about it, printed from the table.

use std::fmt::Write;

use super::logging;
use super::table::{Effect, Row, rows};
use crate::compile::ingress::annotations::{Fate, rows as annotations};

/// The whole page, in Markdown.
pub fn page() -> String {
    let mut page = String::from(
        "# The ConfigMap\n\n\
         The keys of the ConfigMap that `--configmap NAMESPACE/NAME` names: those of ingress-nginx, and a few of ours. It is read\n\
         as it is, and changes act at once, without a restart or a broken connection. In a cluster it has to be there before\n\
         anything is served, or known not to be there.\n\n\
         This page is printed from the tables in `src/compile/config_map/`; a test keeps it equal.\n\n\
         - **Precedence.** An annotation goes before the key of its name, list keys included, and the key before `--limit`.\n\
         - **Values.** Times are whole seconds or `250ms`, `10s`, `5m`, `1h`; where a key is as an annotation, whole seconds.\n\
         \x20 Booleans are as in Go, lists have commas. A value that cannot be read is a problem, `ConfigKeyInvalid`, and the\n\
         \x20 default serves; where it guards access, all paths are closed, of `global-auth-*` those that it would guard.\n\
         - **What is not honoured** is a problem, `ConfigKeyIgnored`, unless the value says what is done anyway; so is a key\n\
         \x20 that nobody knows.\n",
    );
    section(&mut page, "Honoured", "| key | default | what it does |\n|---|---|---|", |row| {
        let what = match row.effect {
            Effect::Annotation if is_honoured(row) => row.meaning,
            Effect::Sets(_) => row.meaning,
            _ => return None,
        };
        Some(format!("| `{}` | {} | {what} |", row.name, code_or_dash(row.default)))
    });
    let head = "| key | default | what it would do, and does not yet: no spans are sent |\n|---|---|---|";
    section(&mut page, "Read, and without effect yet", head, |row| match row.effect {
        Effect::Reads(_) => Some(format!("| `{}` | {} | {} |", row.name, code_or_dash(row.default), row.meaning)),
        Effect::Annotation if is_read(row) => {
            Some(format!("| `{}` | {} | {} |", row.name, code_or_dash(row.default), row.meaning))
        }
        _ => None,
    });
    section(&mut page, "Not honoured in this version", "| key | instead |\n|---|---|", |row| match row.effect {
        Effect::Later(instead) => Some(format!("| `{}` | {instead} |", row.name)),
        Effect::Annotation if !is_honoured(row) && !is_read(row) => {
            Some(format!("| `{}` | as the annotation |", row.name))
        }
        _ => None,
    });
    section(&mut page, "Without effect here", "| key | why, or what to do |\n|---|---|", |row| match row.effect {
        Effect::Nothing(instead) => Some(format!("| `{}` | {instead} |", row.name)),
        _ => None,
    });
    section(&mut page, "Never run", "| key | what to do |\n|---|---|", |row| match row.effect {
        Effect::Refused(instead) => Some(format!("| `{}` | {instead} |", row.name)),
        _ => None,
    });
    variables(&mut page);
    page
}

/// What can stand in `log-format-upstream`.
fn variables(page: &mut String) {
    page.push_str("\n## Variables of the access log\n\n");
    let all: Vec<_> = logging::variables().iter().map(|name| format!("`${name}`")).collect();
    for line in all.chunks(5) {
        let _ = writeln!(page, "{}{}", line.join(", "), if line.last() == all.last() { "." } else { "," });
    }
    page.push_str(
        "\nThey are those of ingress-nginx, and `$failure_reason`. What is absent is `-`, and empty with `log-format-escape-json` and\n\
         `log-format-escape-none`. `$connection` and `$connection_requests` are numbers, 0 for a connection whose TLS is passed\n\
         on; `$remote_port` is 0 where a forwarding field tells of the client. `$server_port` is what `X-Forwarded-Port` says. Of\n\
         `$sent_http_NAME`, those of the connection (`Connection`, `Transfer-Encoding`, `Date` of ours) are absent. A variable\n\
         that is not in this list is written as `-`, and a problem, `ConfigKeyIgnored`, tells of it.\n",
    );
}

fn section(page: &mut String, title: &str, head: &str, line: impl Fn(&Row) -> Option<String>) {
    let _ = write!(page, "\n## {title}\n\n{head}\n");
    for line in rows().filter_map(line) {
        page.push_str(&line);
        page.push('\n');
    }
}

/// Whether the annotation of its name is read for a later version.
fn is_read(row: &Row) -> bool {
    annotations().any(|annotation| annotation.name == row.name && annotation.is_read())
}

fn is_honoured(row: &Row) -> bool {
    annotations().any(|annotation| annotation.name == row.name && annotation.fate() == Fate::Honoured)
}

fn code_or_dash(text: &str) -> String {
    if text.is_empty() { "–".to_owned() } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_config_map_is_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/config-map.md");
        let printed = page();
        if std::env::var_os("GOLDEN_WRITE").is_some() {
            std::fs::write(path, &printed).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap_or_default() == printed,
            "docs/config-map.md is out of date; run GOLDEN_WRITE=1 cargo test --lib docs_config_map"
        );
    }
}
