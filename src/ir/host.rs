//! The names a virtual host or a certificate answers to.

use std::fmt;
use std::sync::Arc;

/// A host as an Ingress rule writes it, in lower case. The order is the order of precedence for display; look-up tries
/// exact, then wildcard, then any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// One name, as in `a.example`.
    Exact(Arc<str>),
    /// `*.example`, kept without the star and dot: matches exactly one more label (Ingress v1, `rules.host`).
    Wildcard(Arc<str>),
    /// No host: every name that has no own virtual host.
    Any,
}

impl HostPattern {
    /// Whether the host `name` (lower case, no port, no trailing dot) is one that this pattern means.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            HostPattern::Exact(host) => **host == *name,
            HostPattern::Wildcard(suffix) => {
                name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == &**suffix)
            }
            HostPattern::Any => true,
        }
    }
}

impl fmt::Display for HostPattern {
    /// As an Ingress writes it; `*` for any host.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(host) => f.write_str(host),
            HostPattern::Wildcard(suffix) => write!(f, "*.{suffix}"),
            HostPattern::Any => f.write_str("*"),
        }
    }
}
