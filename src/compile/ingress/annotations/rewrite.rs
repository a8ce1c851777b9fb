//! Annotations about paths as regular expressions and what becomes of them upstream.

use std::sync::Arc;

use super::Settings;
use super::table::Effect::Honoured;
use super::table::{Row, both};
use super::value::{Refusal, Value, is_basic};
use super::wording;
use crate::ir::{Part, Piece, Rewrite, Wording};

pub(super) const ROWS: &[Row] = &[
    both("rewrite-target", Honoured(target))
        .takes("write a path or an URL, with $1 to $9 for what the groups of the path take, as in /$2")
        .for_ingress()
        .medium()
        .does("", "takes the place of the whole path upstream; with `http://` or `https://` a redirect (302)")
        .unlike_where(
            |target| target.contains('$'),
            "escapes such as `%2F` in what a group took are passed on as they came, where nginx resolves them; a result that climbs \
             above `/` gets 400",
        ),
    both("use-regex", Honoured(|value, to| value.boolean().map(|is| to.rewrite.is_regex = is)))
        .takes("one of: true, false")
        .for_ingress()
        .does("false", "the paths are regular expressions"),
    both("x-forwarded-prefix", Honoured(prefix))
        .takes("write a path, as in /shop or /$1")
        .medium()
        .does("", "text of `X-Forwarded-Prefix`, where `rewrite-target` acts; `$1` to `$9` are groups of the path"),
];

/// What an Ingress says about its paths.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    /// `use-regex`.
    is_regex: bool,
    /// `rewrite-target`.
    target: Option<Target>,
    /// `rewrite-target` is wrong.
    is_broken: bool,
    /// `x-forwarded-prefix`.
    prefix: Option<Wording>,
}

#[derive(Clone, Debug, PartialEq)]
struct Target {
    written: Arc<str>,
    rewrite: Arc<Rewrite>,
}

impl Said {
    /// Whether a path, as written, is a regular expression; then all paths of its host are.
    pub(in crate::compile) fn is_regex(&self, path: &str) -> bool {
        // With a wrong target nothing of this is believed, as in ingress-nginx.
        (self.is_regex && !self.is_broken) || self.of(path).is_some()
    }

    /// What becomes of a path, as written, upstream: nothing where the target says the same.
    pub(in crate::compile) fn of(&self, path: &str) -> Option<&Arc<Rewrite>> {
        self.target.as_ref().filter(|target| *target.written != *path).map(|target| &target.rewrite)
    }

    /// Puts together what several annotations say.
    pub(super) fn settle(&mut self) {
        let Some(Target { rewrite, .. }) = self.target.as_mut().filter(|_| self.prefix.is_some()) else { return };
        Arc::make_mut(rewrite).prefix.clone_from(&self.prefix);
    }
}

/// The marks beside letters, digits and those of nginx variables: what stands in paths and queries.
const MARKS: &str = "-._~/:,?&=$_ ";

fn target(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    to.rewrite.is_broken = true;
    let text = value.plain()?;
    let is_taken = |c: &char| c.is_ascii_alphanumeric() || MARKS.contains(*c);
    if let Some(other) = text.chars().find(|c| !is_taken(c)) {
        return Err(Refusal::Invalid(format!("has {other:?}, which no path needs here")));
    }
    let is_redirect = ["http://", "https://", "$scheme"].iter().any(|start| text.starts_with(start));
    // One mark at the end leaves out the query of the request.
    let (kept, keeps_query) = text.strip_suffix('?').map_or((text, true), |kept| (kept, false));
    let (path, query) = kept.split_once('?').map_or((kept, None), |(path, query)| (path, Some(query)));
    let rewrite = Rewrite {
        path: wording::parse(path)?,
        query: query.filter(|query| !query.is_empty()).map(wording::parse).transpose()?,
        keeps_query,
        is_redirect,
        prefix: None,
    };
    to.rewrite.is_broken = false;
    to.rewrite.target = Some(Target { written: text.into(), rewrite: Arc::new(rewrite) });
    Ok(())
}

fn prefix(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let text = value.plain()?;
    if !text.bytes().all(|octet| is_basic(octet) || octet == b'$') {
        return Err(Refusal::Invalid("has more than letters, digits, -._~/:$".to_owned()));
    }
    let prefix = wording::parse(text)?;
    // What else a client sends says nothing of where an application stands.
    let is_of_path = |piece: &Piece| matches!(piece, Piece::Group(_) | Piece::Other(Part::Text(_)));
    if !prefix.0.iter().all(is_of_path) {
        return Err(Refusal::Invalid("has a variable that is no group of the path".to_owned()));
    }
    to.rewrite.prefix = Some(prefix);
    Ok(())
}
