//! `docs/defaults.md`: every flag and every limit with its default, printed from the tables.

use std::fmt::Write;

use super::flag::{Effect, Flag};
use super::flags::SERVE;
use super::limits::{POOL_AGE, POOL_IDLE_CONNECTIONS, POOL_IDLE_TIME, POOL_REQUESTS};
use super::{Limit, Limits, units};

/// The whole page, in Markdown.
pub fn defaults_page() -> String {
    let mut page = String::from(
        "# Defaults\n\n\
         This page is printed from the tables in `src/settings/`; a test keeps it equal.\n\n\
         ## Flags of `fairlead serve`\n\n\
         A flag wins over the environment, and that over the default. The environment variable of a flag is `FAIRLEAD_`\n\
         and its name in capitals with `_` for `-`: `--http-port` is `FAIRLEAD_HTTP_PORT`. Repeatable flags take commas\n\
         there. `--x v` and `--x=v` are the same, one dash is as good as two, the last value wins, and booleans are as in Go\n\
         (`--x`, `--x=false`). Times are seconds or `250ms`, `10s`, `5m`, `1h`; sizes take `k`, `m`, `g`. An empty value\n\
         means \"not set\".\n",
    );
    let acting = |flag: &&Flag| flag.effect != Effect::Ignored;
    let mut group = "";
    for flag in SERVE.iter().filter(acting) {
        if flag.group != group {
            group = flag.group;
            let _ = write!(page, "\n### {group}\n\n| flag | default | |\n|---|---|---|\n");
        }
        let _ = writeln!(page, "| {} | {} | {} |", names(flag), code_or_dash(flag.default), meaning(flag));
    }
    page.push_str(
        "\n### Accepted without effect\n\n\
         Flags of ingress-nginx that a chart may pass. Each gives one warning, `FlagIgnored`.\n\n\
         | flag | why it does no harm |\n|---|---|\n",
    );
    for flag in SERVE.iter().filter(|flag| flag.effect == Effect::Ignored) {
        let _ = writeln!(page, "| `--{}` | {} |", flag.name, flag.help);
    }
    page.push_str(
        "\n## Limits\n\n\
         Set with `--limit NAME=VALUE`. Every breach is counted in `fairlead_limit_hits_total{limit}`.\n\n\
         | name | default | |\n|---|---|---|\n",
    );
    let limits = Limits::default();
    for limit in Limit::ALL {
        let _ = writeln!(page, "| `{}` | {} | {} |", limit.name(), limits.show(*limit), limit.description());
    }
    let _ = write!(
        page,
        "\nIdle upstream connections, per worker: at most {POOL_IDLE_CONNECTIONS}; each for at most {}, {POOL_REQUESTS} \
         requests, and {} of age.\n",
        units::show_duration(POOL_IDLE_TIME),
        units::show_duration(POOL_AGE),
    );
    page
}

fn names(flag: &Flag) -> String {
    let all: Vec<String> =
        [flag.name].iter().chain(flag.aliases).map(|name| format!("`--{name} {}`", flag.value.placeholder())).collect();
    all.join(", ")
}

fn meaning(flag: &Flag) -> String {
    match flag.effect {
        Effect::Later => format!("{}; not in this version: accepted with a warning", flag.help),
        Effect::Cluster => format!("{}; acts in a cluster only", flag.help),
        Effect::Acts | Effect::Ignored => flag.help.to_owned(),
    }
}

fn code_or_dash(text: &str) -> String {
    if text.is_empty() { "–".to_owned() } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_defaults_is_what_the_tables_print() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/defaults.md");
        let printed = defaults_page();
        if std::env::var_os("GOLDEN_WRITE").is_some() {
            std::fs::write(path, &printed).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == printed,
            "docs/defaults.md is out of date; run GOLDEN_WRITE=1 cargo test --lib docs_defaults"
        );
    }
}
