//! Texts with groups of the path and variables in them, as `rewrite-target` and `app-root` have them.

use super::value::Refusal;
use crate::ir::{Piece, Variable, Wording};
use crate::settings::suggest::nearest;

/// Reads a text with `$1` to `$9`, where there are groups, and `$host` and the like. A space is written as in a path.
pub(super) fn parse(text: &str, has_groups: bool) -> Result<Wording, Refusal> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        push(&mut pieces, before);
        let end =
            after.bytes().position(|octet| !octet.is_ascii_alphanumeric() && octet != b'_').unwrap_or(after.len());
        let (name, behind) = after.split_at_checked(end).unwrap_or((after, ""));
        let number = name.bytes().next().filter(u8::is_ascii_digit).map(|digit| digit - b'0');
        rest = match (number, has_groups) {
            (Some(number @ 1..), true) => {
                pieces.push(Piece::Group(number));
                after.get(1..).unwrap_or_default()
            }
            (Some(_), _) => {
                let hint = if has_groups { "write $1 to $9" } else { "write the path itself" };
                return Err(Refusal::Mistaken(format!("has ${name}, which is no group"), hint.to_owned()));
            }
            (None, _) => {
                pieces.push(Piece::Variable(variable(name)?));
                behind
            }
        };
    }
    push(&mut pieces, rest);
    Ok(Wording(pieces.into()))
}

fn push(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.replace(' ', "%20").into()));
    }
}

fn variable(name: &str) -> Result<Variable, Refusal> {
    if name.is_empty() {
        let hint = "write a variable behind it, as in $host, or leave it out";
        return Err(Refusal::Mistaken("has a $ without a name".to_owned(), hint.to_owned()));
    }
    let known = || Variable::ALL.iter().copied();
    // Other names of the same.
    let meant = match name {
        "best_http_host" => "http_host",
        "pass_access_scheme" => "scheme",
        "query_string" => "args",
        "document_uri" => "uri",
        name => name,
    };
    known().find(|variable| variable.as_str() == meant).ok_or_else(|| {
        let near = nearest(name, known().map(Variable::as_str)).first().copied().unwrap_or("host");
        let all: Vec<_> = known().map(Variable::as_str).collect();
        let hint = format!("did you mean ${near}? right are ${}", all.join(", $"));
        Refusal::Mistaken(format!("has ${name}, which is no variable"), hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_variables_are_read() {
        for (text, count) in [("/$1", 2), ("/a/$2/b", 3), ("$12", 2), ("/$host$is_args$args", 4), ("/a b", 1), ("", 0)]
        {
            let wording = parse(text, true).ok().unwrap();
            assert_eq!(wording.to_string(), text.replace(' ', "%20"));
            assert_eq!(wording.0.len(), count, "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused_with_the_nearest() {
        for (text, has_groups, hint) in [
            ("/$hots", true, "did you mean $host?"),
            ("/$0", true, "write $1 to $9"),
            ("/$1", false, "write the path itself"),
            ("/$", true, "write a variable behind it"),
            ("/$-a", true, "write a variable behind it"),
        ] {
            let Err(Refusal::Mistaken(_, told)) = parse(text, has_groups) else { panic!("{text} is taken") };
            assert!(told.starts_with(hint), "{text}: {told}");
        }
    }
}
