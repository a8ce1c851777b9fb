//! Annotations that stand as they are in a template: what can be said of it before it is rendered.

use serde_json::Value;

use super::input::text;
use crate::snapshot::yaml;

/// Annotations next to each other.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// Line of the first, from 1.
    pub(super) line: u32,
    /// Those whose value is there, by their full names.
    pub(super) annotations: Vec<(String, String)>,
}

/// The annotations with this prefix, as they stand in a text that is no YAML yet. Those whose values are to be filled in are
/// left out.
pub(super) fn blocks(source: &str, prefix: &str) -> Vec<Block> {
    let lines: Vec<&str> = source.lines().collect();
    let mut blocks: Vec<Block> = Vec::new();
    // How far the annotations of the block that is being read stand in.
    let mut open: Option<usize> = None;
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let (number, depth) = (at + 1, indentation(line));
        at += 1;
        if line.trim().is_empty() || is_control(line) {
            continue;
        }
        if !is_annotation(line, prefix) {
            // Other annotations stand in as far.
            open = open.filter(|open| depth >= *open);
            continue;
        }
        let more = lines.iter().skip(at).take_while(|next| next.trim().is_empty() || indentation(next) > depth).count();
        let own = lines.get(at - 1..at + more).unwrap_or_default();
        at += more;
        let Some(read) = read(own, depth) else { continue };
        if open != Some(depth) || blocks.is_empty() {
            blocks.push(Block { line: u32::try_from(number).unwrap_or(u32::MAX), annotations: Vec::new() });
        }
        open = Some(depth);
        if let Some(block) = blocks.last_mut() {
            // The branches of a condition say the same thing twice; the first counts.
            let is_new = |(name, _): &(String, String)| !block.annotations.iter().any(|(other, _)| other == name);
            let new: Vec<_> = read.into_iter().filter(is_new).collect();
            block.annotations.extend(new);
        }
    }
    blocks
}

/// One annotation, its further lines included.
fn read(lines: &[&str], depth: usize) -> Option<Option<(String, String)>> {
    let own = lines.iter().map(|line| line.get(depth..).unwrap_or_default()).collect::<Vec<_>>().join("\n");
    if own.contains("{{") {
        return None;
    }
    let document = yaml::plain(&own).into_iter().next()?;
    let Value::Object(map) = document.content.ok()? else { return None };
    let (name, value) = map.into_iter().next()?;
    Some(text(&value).map(|value| (name, value)))
}

fn is_annotation(line: &str, prefix: &str) -> bool {
    let rest = line.trim_start().trim_start_matches(['"', '\'']).strip_prefix(prefix);
    rest.is_some_and(|rest| rest.starts_with('/') && rest.contains(':'))
}

/// Whether a line is the template's own, as in `{{- if .Values.x }}`.
fn is_control(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("{{") && line.ends_with("}}")
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_there_is_read_and_what_is_filled_in_is_not() {
        let source = "kind: Ingress
metadata:
  name: {{ .Release.Name }}
  annotations:
    nginx.ingress.kubernetes.io/proxy-body-size: \"8m\" # large
    cert-manager.io/issuer: {{ .Values.issuer }}
    {{- if .Values.secure }}
    \"nginx.ingress.kubernetes.io/ssl-redirect\": 'true'
    {{- end }}
    nginx.ingress.kubernetes.io/auth-url: https://{{ .Values.host }}/verify
    nginx.ingress.kubernetes.io/configuration-snippet: |
      more_set_headers \"A: b\";

      gzip on;
spec:
  rules: []
---
    nginx.ingress.kubernetes.io/use-regex: true
";
        let own = |name: &str, value: &str| (format!("nginx.ingress.kubernetes.io/{name}"), value.to_owned());
        let first = vec![
            own("proxy-body-size", "8m"),
            own("ssl-redirect", "true"),
            own("configuration-snippet", "more_set_headers \"A: b\";\n\ngzip on;\n"),
        ];
        let found = blocks(source, "nginx.ingress.kubernetes.io");
        let second = vec![own("use-regex", "true")];
        assert_eq!(found, [Block { line: 5, annotations: first }, Block { line: 18, annotations: second }]);
    }
}
