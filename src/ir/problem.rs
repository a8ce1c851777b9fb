//! One thing that is wrong with one object, as data: Events, `check`, the API and metrics are rendered from it.

use std::fmt;
use std::sync::Arc;

use super::Object;

/// How much a problem hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something asked for is not served.
    Error,
    /// It is served, but differently.
    Warning,
    /// No effect.
    Info,
}

impl Severity {
    /// `error`, `warning`, `info`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}

macro_rules! reasons {
    ($($reason:ident)*) => {
        /// The closed list of problem reasons; stable words for Events, metrics and scripts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the names are the documentation; docs/problems.md explains each")]
        pub enum Reason { $($reason),* }

        impl Reason {
            /// Every reason, in alphabetical order.
            pub const ALL: &'static [Reason] = &[$(Reason::$reason),*];

            /// The word, in PascalCase.
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$reason => stringify!($reason)),* }
            }
        }
    };
}

reasons! {
    AccessRuleBroken AnnotationIgnored AnnotationInvalid AnnotationUnknown CanaryWithoutMain CertificateExpiring
    CertificateMismatch CertificateUnusable ClassNotFound ClassNotOurs ClassParametersIgnored ConfigKeyIgnored
    ConfigKeyInvalid CrossNamespace DuplicateObject ExternalNameHostKept ExternalNameRefused ExternalNameUnresolved
    FlagIgnored ForwardedHeadersTrustEveryone HostConflict HostInvalid ManifestUnreadable NoEndpoints PathConflict
    PathInvalid PortInUse PortNotFound RegexInvalid ResourceBackend SecretForbidden SecretNotFound
    ServiceNotFound ServiceSettingIgnored SettingShadowed SnippetHonoured SnippetRefused WatchForbidden WeightInvalid
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing wrong with one object. The derived order is the order of every printed list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// The object to blame.
    pub object: Arc<Object>,
    /// How much it hurts.
    pub severity: Severity,
    /// Stable reason.
    pub reason: Reason,
    /// The field concerned, as in `spec.rules[0].http.paths[1]`; empty for the whole object.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}
