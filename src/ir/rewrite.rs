//! Paths and addresses that are put together from parts of a request.

use std::fmt;
use std::sync::Arc;

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
    pub prefix: Option<Arc<str>>,
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
    /// Stands as it is.
    Text(Arc<str>),
    /// `$host` and the like.
    Variable(Variable),
}

macro_rules! variables {
    ($($(#[$doc:meta])* $variable:ident $name:literal)*) => {
        /// What a variable means.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Variable { $($(#[$doc])* $variable),* }

        impl Variable {
            /// Every variable, in alphabetical order.
            pub const ALL: &'static [Variable] = &[$(Variable::$variable),*];

            /// Its name, without the dollar sign.
            pub fn as_str(self) -> &'static str {
                match self { $(Variable::$variable => $name),* }
            }
        }
    };
}

variables! {
    /// The query without its question mark.
    Args "args"
    /// Lower case, without port.
    Host "host"
    /// As received, with its port.
    HttpHost "http_host"
    /// `?` if there is a query, else nothing.
    IsArgs "is_args"
    /// Path and query as received.
    RequestUri "request_uri"
    /// `http` or `https`.
    Scheme "scheme"
    /// The path in the form that routes match.
    Uri "uri"
}

impl fmt::Display for Wording {
    /// As an annotation writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Group(number) => write!(f, "${number}"),
            Piece::Text(text) => f.write_str(text),
            Piece::Variable(variable) => write!(f, "${}", variable.as_str()),
        })
    }
}
