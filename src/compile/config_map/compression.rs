//! Keys about compression: what `fairlead.dev/compress` starts from.

use std::sync::Arc;

use super::Read;
use super::table::{Row, sets};
use super::value::NUMBER;
use crate::compile::ingress::annotations::{Refusal, SWITCH, Value, shorten};
use crate::ir::{Coding, Compression, Regex, Tuning};

const TYPES: &str = "write media types with spaces between, as in text/css application/json; * stands for all";

/// What the keys say.
#[derive(Default)]
pub(super) struct Said {
    gzip: Option<bool>,
    brotli: Option<bool>,
    zstd: Option<bool>,
    tuning: Compression,
}

pub(super) const ROWS: &[Row] = &[
    sets(
        "brotli-level",
        "4",
        |value, to| level(value, 0, 11).map(|level| to.compression.tuning.brotli.level = level),
        "write a whole number from 0 to 11",
        "how hard brotli tries",
    ),
    sets(
        "brotli-min-length",
        "20",
        |value, to| value.count().map(|octets| to.compression.tuning.brotli.min_length = octets.into()),
        NUMBER,
        "answers shorter than so many octets get no brotli",
    ),
    sets(
        "brotli-types",
        "",
        |value, to| types(value).map(|types| to.compression.tuning.brotli.types = types),
        TYPES,
        "media types that get brotli, beside `text/html`; those of ingress-nginx if not set",
    ),
    sets(
        "enable-brotli",
        "false",
        |value, to| value.boolean().map(|is| to.compression.brotli = Some(is)),
        SWITCH,
        "offer brotli where an Ingress does not say `compress`",
    ),
    sets(
        "enable-zstd",
        "false",
        |value, to| value.boolean().map(|is| to.compression.zstd = Some(is)),
        SWITCH,
        "offer zstd likewise, with the lengths and types of gzip; of equals it goes before brotli, and brotli before gzip",
    ),
    sets(
        "gzip-disable",
        "",
        disabled,
        "write a regular expression",
        "clients whose `User-Agent` it is found in, in any letter case, get no gzip",
    ),
    sets(
        "gzip-level",
        "1",
        |value, to| level(value, 1, 9).map(|level| to.compression.tuning.gzip.level = level),
        "write a whole number from 1 to 9",
        "how hard gzip tries",
    ),
    sets(
        "gzip-min-length",
        "256",
        |value, to| value.count().map(|octets| both(to).map(|tuning| tuning.min_length = octets.into())).map(drop),
        NUMBER,
        "answers shorter than so many octets get no gzip and no zstd",
    ),
    sets(
        "gzip-types",
        "",
        |value, to| types(value).map(|types| both(to).map(|tuning| tuning.types = Arc::clone(&types))).map(drop),
        TYPES,
        "media types that get gzip and zstd, beside `text/html`; those of ingress-nginx if not set",
    ),
    sets(
        "use-gzip",
        "false",
        |value, to| value.boolean().map(|is| to.compression.gzip = Some(is)),
        SWITCH,
        "offer gzip where an Ingress does not say `compress`",
    ),
];

/// Puts what is said together.
pub(super) fn finish(read: &mut Read) {
    let Said { gzip, brotli, zstd, tuning } = std::mem::take(&mut read.compression);
    let offered = [(zstd, Coding::Zstd), (brotli, Coding::Brotli), (gzip, Coding::Gzip)];
    let codings: Vec<Coding> = offered.iter().filter(|(is, _)| *is == Some(true)).map(|(_, coding)| *coding).collect();
    read.base.compress.codings = Some(codings).filter(|codings| !codings.is_empty());
    read.base.compress.tuning = (tuning != Compression::default()).then(|| Arc::new(tuning));
}

/// The tunings that the keys of gzip mean.
fn both(to: &mut Read) -> [&mut Tuning; 2] {
    let Compression { gzip, zstd, .. } = &mut to.compression.tuning;
    [gzip, zstd]
}

fn level(value: &Value<'_>, least: u32, most: u32) -> Result<u8, Refusal> {
    let level = value.number(least..=most)?;
    u8::try_from(level).map_err(|_| Refusal::Invalid("is no level".to_owned()))
}

fn types(value: &Value<'_>) -> Result<Arc<[Arc<str>]>, Refusal> {
    let is_fit = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&octet);
    let is_type = |word: &str| {
        let (kind, name) = word.split_once('/').unwrap_or_default();
        !kind.is_empty() && !name.is_empty() && kind.bytes().chain(name.bytes()).all(is_fit)
    };
    let wrong = |word: &str| Refusal::Invalid(format!("has {:?}, which is no media type", shorten(word)));
    let read = value.words()?.map(|word| match word {
        "*" => Ok(Arc::from("*")),
        word if is_type(word) => Ok(Arc::from(word.to_ascii_lowercase())),
        word => Err(wrong(word)),
    });
    read.collect()
}

/// As `gzip_disable` of nginx, with its word for old browsers.
fn disabled(value: &Value<'_>, to: &mut Read) -> Result<(), Refusal> {
    let text = match value.plain()? {
        "msie6" => r"MSIE [4-6]\.",
        text => text,
    };
    let regex = Regex::new(text, true).map_err(|why| Refusal::Invalid(format!("is no regular expression: {why}")))?;
    to.compression.tuning.gzip_disabled = Some(regex);
    Ok(())
}
