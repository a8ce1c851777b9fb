//! An alternative to a backend, and which requests it gets.

use std::fmt;
use std::sync::Arc;

use super::{Affinity, BackendId, Origin, PortKey, Protocol, Regex};

/// What takes a share of the requests to a backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    /// The backend that takes it.
    pub backend: BackendId,
    /// The port of its Service as written, where the backend is not called so.
    pub port: Option<PortKey>,
    /// Which requests it takes.
    pub rule: Arc<CanaryRule>,
    /// What is spoken to it, where somebody says that of the backend beside which it stands.
    pub protocol: Option<Protocol>,
    /// What keeps a client at it: the cookie of the backend beside which it stands, unless that is not wanted
    /// (`affinity-canary-behavior: legacy`).
    pub affinity: Option<Affinity>,
    /// The Ingress.
    pub origin: Origin,
}

/// Which requests an alternative takes: the first part that decides counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CanaryRule {
    /// `canary-by-header`.
    pub header: Option<(Arc<str>, HeaderTest)>,
    /// `canary-by-cookie`: `always` and `never` decide.
    pub cookie: Option<Arc<str>>,
    /// `canary-weight`: so many of `total`.
    pub weight: u32,
    /// `canary-weight-total`, 100 or more.
    pub total: u32,
}

/// What is looked for in a field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeaderTest {
    /// Nothing that can be found: who has the field gets no alternative.
    Broken,
    /// An expression.
    Pattern(Regex),
    /// This very value.
    Value(Arc<str>),
    /// `always` and `never`.
    Word,
}

impl fmt::Display for CanaryRule {
    /// `header=x-canary;cookie=c;20/100`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CanaryRule { header, cookie, weight, total } = self;
        match header {
            None => {}
            Some((name, HeaderTest::Broken)) => write!(f, "header={name}~?;")?,
            Some((name, HeaderTest::Pattern(pattern))) => write!(f, "header={name}~{};", pattern.as_str())?,
            Some((name, HeaderTest::Value(value))) => write!(f, "header={name}:{value};")?,
            Some((name, HeaderTest::Word)) => write!(f, "header={name};")?,
        }
        if let Some(cookie) = cookie {
            write!(f, "cookie={cookie};")?;
        }
        write!(f, "{weight}/{total}")
    }
}
