//! Texts with groups of the path and variables in them, as `rewrite-target` has them.

use super::template::{self, MOST_VARIABLES};
use super::value::Refusal;
use crate::ir::{Part, Piece, Wording};

/// Reads a text with `$1` to `$9` and the variables that templates have. A space is written as in a path.
pub(super) fn parse(text: &str) -> Result<Wording, Refusal> {
    let text = text.replace(' ', "%20");
    let mut pieces = Vec::new();
    let mut rest = &*text;
    while let Some((before, number, after)) = next_group(rest)? {
        push(&mut pieces, before)?;
        pieces.push(Piece::Group(number));
        rest = after;
    }
    push(&mut pieces, rest)?;
    if pieces.iter().filter(|piece| !matches!(piece, Piece::Other(Part::Text(_)))).count() > MOST_VARIABLES {
        return Err(Refusal::Invalid(format!("has more than {MOST_VARIABLES} groups and variables")));
    }
    Ok(Wording(pieces.into()))
}

/// What stands before the next group, its number, and what stands behind.
fn next_group(text: &str) -> Result<Option<(&str, u8, &str)>, Refusal> {
    let is_group = |(at, _): &(usize, &str)| text.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit);
    let Some((at, _)) = text.match_indices('$').find(is_group) else { return Ok(None) };
    match (text.get(..at), text.as_bytes().get(at + 1).copied(), text.get(at + 2..)) {
        (Some(before), Some(digit @ b'1'..=b'9'), Some(after)) => Ok(Some((before, digit - b'0', after))),
        _ => Err(Refusal::Mistaken("has $0, which is no group".to_owned(), "write $1 to $9".to_owned())),
    }
}

fn push(pieces: &mut Vec<Piece>, text: &str) -> Result<(), Refusal> {
    pieces.extend(template::read(text)?.parts.into_iter().map(Piece::Other));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_variables_are_read() {
        for (text, count) in [("/$1", 2), ("/a/$2/b", 3), ("$12", 2), ("/$host$is_args$args", 4), ("/a b", 1), ("", 0)]
        {
            let wording = parse(text).ok().unwrap();
            assert_eq!(wording.to_string(), text.replace(' ', "%20"));
            assert_eq!(wording.0.len(), count, "{text}");
        }
    }

    #[test]
    fn groups_and_variables_together_are_so_many_at_most() {
        let text = |groups| format!("/{}$host{}", "$1".repeat(groups), "$2/".repeat(3));
        assert_eq!(parse(&text(MOST_VARIABLES - 4)).ok().unwrap().to_string(), text(MOST_VARIABLES - 4));
        let Err(Refusal::Invalid(why)) = parse(&text(MOST_VARIABLES - 3)) else { panic!("more are taken") };
        assert_eq!(why, "has more than 32 groups and variables");
    }

    #[test]
    fn what_is_neither_is_refused_with_the_nearest() {
        for (text, hint) in [
            ("/$hots", "did you mean $host?"),
            ("/$0", "write $1 to $9"),
            ("/$", "write a variable behind it"),
            ("/$-a", "write a variable behind it"),
        ] {
            let Err(Refusal::Mistaken(_, told)) = parse(text) else { panic!("{text} is taken") };
            assert!(told.starts_with(hint), "{text}: {told}");
        }
    }
}
