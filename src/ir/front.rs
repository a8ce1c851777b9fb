//! What a host does before any of its paths is looked at, and under which other names it answers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{HostPattern, Regex, Template};

/// A redirect that belongs to a host, whatever its paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostRedirect {
    /// The host is only there to send clients to another one (`from-to-www-redirect`).
    Moved {
        /// The other host.
        to: Arc<str>,
        /// 301, 302, 307 or 308.
        status: u16,
        /// The port in clear text to write, where the client names none.
        http_port: u16,
        /// The port of TLS to write, where the client names none.
        https_port: u16,
    },
    /// Requests for `/` itself go to this path (`app-root`).
    Root(Template),
}

/// A further name of a host (`server-alias`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alias {
    /// Every name in which it is found.
    Expression(Regex),
    /// A name, or a wildcard.
    Name(HostPattern),
}

impl fmt::Display for Alias {
    /// As an annotation writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Alias::Expression(expression) => write!(f, "~{}", expression.as_str()),
            Alias::Name(name) => name.fmt(f),
        }
    }
}

/// The further names of all hosts, each with the host that it leads to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aliases {
    /// Names that are nobody else's.
    pub names: BTreeMap<HostPattern, HostPattern>,
    /// Expressions, in the order in which they are tried on names that no host has.
    pub expressions: Vec<(Regex, HostPattern)>,
}

impl Aliases {
    /// The further names of `host`.
    pub fn of<'a>(&'a self, host: &'a HostPattern) -> impl Iterator<Item = Alias> + 'a {
        let names = self.names.iter().filter(move |(_, of)| *of == host).map(|(name, _)| Alias::Name(name.clone()));
        let expressions = self.expressions.iter().filter(move |(_, of)| of == host);
        names.chain(expressions.map(|(expression, _)| Alias::Expression(expression.clone())))
    }
}
