//! Annotations about hosts: further names, and what is answered before any path.

use std::sync::Arc;

use super::table::Effect::Honoured;
use super::table::{Row, both};
use super::value::{Refusal, Value};
use super::{Settings, template};
use crate::compile::ingress::host;
use crate::ir::{Alias, HostPattern, HostRedirect, LARGEST_PATTERN, Regex, USUAL_PATTERN};

pub(super) const ROWS: &[Row] = &[
    both("app-root", Honoured(app_root))
        .takes("write an absolute path, as in /app")
        .for_host()
        .medium()
        .does("", "requests for `/` are redirected there (302), for the whole host; may have the variables below"),
    both("from-to-www-redirect", Honoured(|value, to| value.boolean().map(|is| to.front.www = is)))
        .takes("one of: true, false")
        .for_host()
        .does(
            "false",
            "`www.` and the host's name (or the name without it) redirects to the host, unless it has rules \
         of its own",
        ),
    both("server-alias", Honoured(aliases))
        .takes("write names with commas between them, as in b.example, *.c.example, d.*; ~ begins a regular expression")
        .for_host()
        .high()
        .does("", "further names of the host; the oldest Ingress of the host that has it counts"),
];

fn app_root(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = value.plain()?;
    if !text.starts_with('/') {
        return Err(Refusal::Mistaken("does not begin with a slash".to_owned(), format!("write /{text}")));
    }
    if !text.bytes().all(|octet| octet.is_ascii_graphic() || octet == b' ') {
        return Err(Refusal::Invalid("has a character outside ASCII".to_owned()));
    }
    let root = HostRedirect::Root(template::read(&text.replace(' ', "%20"))?);
    to.front.app_root = Some(value.told(Arc::new(root)));
    Ok(())
}

/// Memory for the expressions of one value, bytes.
const MOST_MEMORY: usize = 4 << 20;
/// The same for those that may be slow: an unknown host is compared with each of them.
const MOST_SLOW: usize = 2 * LARGEST_PATTERN;

fn aliases(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let (mut aliases, mut spent, mut slow) = (Vec::new(), 0, 0);
    for part in value.parts()?.into_iter().filter(|part| !part.is_empty()) {
        let alias = alias(part)?;
        if let Alias::Expression(expression) = &alias {
            let cost = expression.cost();
            spent += cost;
            slow += if cost > USUAL_PATTERN { cost } else { 0 };
        }
        if spent > MOST_MEMORY || slow > MOST_SLOW {
            return Err(Refusal::Invalid("has regular expressions that take too much memory together".to_owned()));
        }
        aliases.push(alias);
    }
    to.front.aliases = Some(value.told(aliases.into()));
    Ok(())
}

fn alias(text: &str) -> Result<Alias, Refusal> {
    if let Some(expression) = text.strip_prefix('~') {
        let invalid = |why: String| Refusal::Invalid(format!("has {text}, which is no regular expression here: {why}"));
        return Regex::new(expression.trim_start_matches('*'), true).map(Alias::Expression).map_err(invalid);
    }
    let begun = text.strip_suffix(".*").filter(|begin| matches!(host::parse(Some(begin)), Ok(HostPattern::Exact(_))));
    if let Some(begin) = begun {
        // Any further labels, as in nginx.
        let expression = format!("^{}\\..+$", begin.replace('.', "\\."));
        return Regex::new(&expression, true).map(Alias::Expression).map_err(Refusal::Invalid);
    }
    match host::parse(Some(text)) {
        Ok(name) => Ok(Alias::Name(name)),
        Err((why, hint)) => Err(Refusal::Mistaken(format!("has {text}, which {why}"), hint.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_be_many_expressions_but_few_that_may_be_slow() {
        let full = "nginx.ingress.kubernetes.io/server-alias".into();
        for (one, count, is_taken) in [("~^w{9}$", 200, true), ("~.*a[ab]{400}", 2, true), ("~.*a[ab]{400}", 3, false)]
        {
            let text = vec![one; count].join(",");
            let taken = aliases(&Value { text: &text, is_ours: false, full: &full }, &mut Settings::default());
            assert_eq!(taken.is_ok(), is_taken, "{one} {count} times");
        }
    }
}
