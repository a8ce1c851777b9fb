//! Passwords as htpasswd files store them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Users with what their passwords are compared with; never printed.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Users(pub BTreeMap<Box<[u8]>, Password>);

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} users", self.0.len())
    }
}

/// What a password is compared with.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Password {
    /// `$apr1$` or `$1$`: MD5 a thousand times (Apache, FreeBSD).
    Md5 {
        /// `$apr1$` or `$1$`.
        magic: &'static str,
        /// Up to eight octets.
        salt: Box<str>,
        /// As written.
        digest: Box<str>,
    },
    /// `$2a$`, `$2b$`, `$2y$`: bcrypt.
    Bcrypt(Arc<str>),
    /// `{PLAIN}`.
    Plain(Box<[u8]>),
    /// `{SHA}` and `{SSHA}`: SHA-1 of password and salt.
    Sha1 {
        /// 20 octets.
        digest: Box<[u8]>,
        /// Empty for `{SHA}`.
        salt: Box<[u8]>,
    },
    /// `$5$` and `$6$`: SHA-2 some thousand times.
    ShaCrypt(Arc<str>),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl Password {
    /// Whether a comparison takes so little that it need not be kept from a worker: the others take milliseconds on
    /// purpose.
    pub fn is_quick(&self) -> bool {
        matches!(self, Password::Plain(_) | Password::Sha1 { .. })
    }
}
