//! Paths and addresses that are put together from parts of a request.

use std::fmt;

use super::Part;

/// Another path for the upstream, or a redirect (`rewrite-target`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rewrite {
    /// What takes the place of the whole path.
    pub path: Wording,
    /// What stands in front of the query, or in its place.
    pub query: Option<Wording>,
    /// The query of the request goes along.
    pub keeps_query: bool,
    /// Not for the upstream: the client is sent there with a 302.
    pub is_redirect: bool,
    /// `X-Forwarded-Prefix` for the upstream.
    pub prefix: Option<Wording>,
}

impl fmt::Display for Rewrite {
    /// As an annotation writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)?;
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        if self.keeps_query { Ok(()) } else { f.write_str("?") }
    }
}

/// A text with parts of the request in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wording(pub Box<[Piece]>);

/// One part of a [`Wording`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// `$1` to `$9`: what that group of the path pattern took.
    Group(u8),
    /// Stands as it is, or is another part of the request.
    Other(Part),
}

impl fmt::Display for Wording {
    /// As an annotation writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Group(number) => write!(f, "${number}"),
            Piece::Other(part) => part.fmt(f),
        })
    }
}
