//! What other tools fill in before a cluster sees it: `{{ … }}` of templates, `${NAME}` of Flux and envsubst.

use std::sync::Arc;

use crate::snapshot::Ingress;

/// The first of them in a text that an annotation, a key or a value has. `${name}` may be a variable of nginx too: whoever asks
/// knows more.
pub(super) fn certain(text: &str) -> Option<&str> {
    let (start, end) = next(text)?;
    let found = text.get(start..end)?;
    // Variables of nginx have no capitals, and no defaults.
    let is_certain =
        found.starts_with("{{") || found.contains(|letter: char| letter.is_ascii_uppercase() || letter == ':');
    if is_certain { Some(found) } else { certain(text.get(end..)?) }
}

/// The first `${name}` or `{{ … }}` in a text.
pub(super) fn possible(text: &str) -> Option<&str> {
    let (start, end) = next(text)?;
    text.get(start..end)
}

/// An Ingress whose hosts, paths and class are such that they can be judged: for each placeholder stands its name. `None`: it
/// has none.
pub(super) fn filled(ingress: &Ingress) -> Option<Ingress> {
    let mut own = ingress.clone();
    let mut has_any = false;
    let mut fill = |text: &mut Arc<str>, is_path: bool| {
        if let Some(new) = named(text, is_path) {
            *text = new.into();
            has_any = true;
        }
    };
    for rule in &mut own.rules {
        rule.host.iter_mut().for_each(|host| fill(host, false));
        rule.paths.iter_mut().filter_map(|path| path.path.as_mut()).for_each(|path| fill(path, true));
    }
    for tls in &mut own.tls {
        tls.hosts.iter_mut().for_each(|host| fill(host, false));
    }
    if own.class.as_ref().is_some_and(|class| possible(class).is_some()) {
        own.class = None;
        has_any = true;
    }
    has_any.then_some(own)
}

/// A text with the names of its placeholders in their place, as a host or a path has them.
fn named(text: &str, is_path: bool) -> Option<String> {
    // People write `<your domain>` and `__HOST__` too.
    if !is_path && next(text).is_none() && (text.contains('<') || text.contains("__")) {
        let words =
            text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.').filter(|word| !word.is_empty());
        return Some(words.collect::<Vec<_>>().join("-").replace("-.", ".").replace(".-", ".").to_ascii_lowercase());
    }
    next(text)?;
    let mut out = String::new();
    let mut rest = text;
    while let Some((start, end)) = next(rest) {
        let (before, found) = (rest.get(..start).unwrap_or_default(), rest.get(start..end).unwrap_or_default());
        out.push_str(before);
        // A default stands behind a colon, and what a template does with a value behind a bar.
        let name = found.split([':', '|']).next().unwrap_or_default();
        let words = name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let words: Vec<String> = words.map(str::to_ascii_lowercase).collect();
        if is_path && out.is_empty() {
            out.push('/');
        }
        out.push_str(&words.join("-"));
        rest = rest.get(end..).unwrap_or_default();
    }
    out.push_str(rest);
    Some(out)
}

/// Where the first one begins and ends.
fn next(text: &str) -> Option<(usize, usize)> {
    let of = |open: &str, close: &str| {
        let start = text.find(open)?;
        let length = text.get(start..)?.find(close)?;
        Some((start, start + length + close.len()))
    };
    let shell = of("${", "}");
    let template = of("{{", "}}");
    shell.into_iter().chain(template).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_of_nginx_is_none() {
        for (text, found) in [
            ("https://$host/x", None),
            ("https://${host}/x", None),
            ("https://auth.${DOMAIN}/x?rd=${request_uri}", Some("${DOMAIN}")),
            ("${host}${domain:=a.example}", Some("${domain:=a.example}")),
            ("{{ .Values.x }}", Some("{{ .Values.x }}")),
            ("${DOMAIN", None),
        ] {
            assert_eq!(certain(text), found, "{text}");
        }
    }

    #[test]
    fn names_stand_for_what_is_filled_in() {
        for (text, is_path, told) in [
            ("${SECRET_DOMAIN}", false, "secret-domain"),
            ("app.${domain:=a.example}", false, "app.domain"),
            ("{{ .Values.host | quote }}.example", false, "values-host.example"),
            ("{{ .Values.path }}(/|$)(.*)", true, "/values-path(/|$)(.*)"),
            ("/${BASE}/x", true, "/base/x"),
            ("app.<your domain>", false, "app.your-domain"),
            ("__INGRESS_HOST__", false, "ingress-host"),
        ] {
            assert_eq!(named(text, is_path).as_deref(), Some(told));
        }
        assert_eq!(named("/api(/|$)(.*)", true), None);
    }
}
