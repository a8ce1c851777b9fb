//! How answers are compressed on their way to clients.

use std::fmt;
use std::sync::{Arc, LazyLock};

use super::Regex;

/// Which codings are offered, and how each is tuned. The defaults are ingress-nginx's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Compression {
    /// Codings in order of preference: of those that a client likes equally well the first is taken. Empty = off.
    pub codings: Vec<Coding>,
    /// `gzip-*` of the ConfigMap.
    pub gzip: Tuning,
    /// `brotli-*` of the ConfigMap.
    pub brotli: Tuning,
    /// Lengths and types as for gzip.
    pub zstd: Tuning,
    /// `gzip-disable`: clients whose `User-Agent` has this get no gzip.
    pub gzip_disabled: Option<Regex>,
}

/// How one coding is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tuning {
    /// The coding's own scale: gzip 1 to 9, brotli 0 to 11, zstd 1 to 19.
    pub level: u8,
    /// Answers whose length is known are left alone below so many octets.
    pub min_length: u64,
    /// Media types in lower case, without parameters; `text/html` is compressed whatever is listed, and `*` stands for all.
    pub types: Arc<[Arc<str>]>,
}

/// A content coding (RFC 9110 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
    /// RFC 8878, with a window of 8 MiB at most (RFC 9659).
    Zstd,
}

impl Coding {
    /// The word of `Accept-Encoding` and `Content-Encoding`: `br`, `gzip` or `zstd`.
    pub fn as_str(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
            Coding::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Compression {
    /// The tuning of `coding`.
    pub fn tuning(&self, coding: Coding) -> &Tuning {
        match coding {
            Coding::Brotli => &self.brotli,
            Coding::Gzip => &self.gzip,
            Coding::Zstd => &self.zstd,
        }
    }
}

impl Default for Compression {
    /// Off; with ingress-nginx's levels, lengths and types.
    fn default() -> Compression {
        let tuning = |level, min_length| Tuning { level, min_length, types: Arc::clone(&TYPES) };
        Compression {
            codings: Vec::new(),
            gzip: tuning(1, 256),
            brotli: Tuning { types: Arc::clone(&BROTLI_TYPES), ..tuning(4, 20) },
            zstd: tuning(3, 256),
            gzip_disabled: None,
        }
    }
}

/// `gzip-types` of ingress-nginx.
static TYPES: LazyLock<Arc<[Arc<str>]>> = LazyLock::new(|| COMMON.iter().map(|name| Arc::from(*name)).collect());
/// `brotli-types` of ingress-nginx.
static BROTLI_TYPES: LazyLock<Arc<[Arc<str>]>> =
    LazyLock::new(|| ["application/xml+rss"].iter().chain(COMMON).map(|name| Arc::from(*name)).collect());

const COMMON: &[&str] = &[
    "application/atom+xml",
    "application/javascript",
    "application/json",
    "application/rss+xml",
    "application/vnd.ms-fontobject",
    "application/x-font-ttf",
    "application/x-javascript",
    "application/x-web-app-manifest+json",
    "application/xhtml+xml",
    "application/xml",
    "font/opentype",
    "image/svg+xml",
    "image/x-icon",
    "text/css",
    "text/javascript",
    "text/plain",
    "text/x-component",
];
