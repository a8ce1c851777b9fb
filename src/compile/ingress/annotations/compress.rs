//! The annotation about compression.

use std::sync::Arc;

use super::Settings;
use super::table::Effect::Honoured;
use super::table::{Row, ours};
use super::value::{Refusal, Value};
use crate::ir::{Coding, Compression};
use crate::settings::suggest::did_you_mean;

/// What it says, over what the ConfigMap says of all Ingresses.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    /// Codings in order of preference; empty = off.
    pub(in crate::compile) codings: Option<Vec<Coding>>,
    /// How each is tuned; which codings are offered is not said here.
    pub(in crate::compile) tuning: Option<Arc<Compression>>,
}

impl Said {
    /// How answers are compressed, if they are.
    pub(in crate::compile) fn compression(&self) -> Option<Arc<Compression>> {
        let codings = self.codings.clone().filter(|codings| !codings.is_empty())?;
        let tuning = self.tuning.as_deref().cloned().unwrap_or_default();
        Some(Arc::new(Compression { codings, ..tuning }))
    }
}

const WORDS: [(&str, Coding); 3] = [("gzip", Coding::Gzip), ("br", Coding::Brotli), ("zstd", Coding::Zstd)];

pub(super) const ROWS: &[Row] = &[ours("compress", Honoured(compress))
    .takes("write off, or words out of: gzip, br, zstd, the preferred one first")
    .does("off", "of those that a client likes equally well the first is taken; without it `use-gzip`, `enable-brotli` and `enable-zstd` of the ConfigMap count")];

/// A list of codings; a word that is said twice stands where it is first.
fn compress(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let mut codings = Vec::new();
    if value.word()? != "off" {
        for word in value.list()? {
            let coding = coding(word)?;
            if !codings.contains(&coding) {
                codings.push(coding);
            }
        }
    }
    to.compress.codings = Some(codings);
    Ok(())
}

fn coding(word: &str) -> Result<Coding, Refusal> {
    let lower = word.to_ascii_lowercase();
    if let Some((_, coding)) = WORDS.iter().find(|(name, _)| *name == lower) {
        return Ok(*coding);
    }
    let names = WORDS.iter().map(|(name, _)| *name);
    let meant = match &*lower {
        "brotli" => Some("br"),
        "zstandard" => Some("zstd"),
        "x-gzip" | "gz" => Some("gzip"),
        _ => did_you_mean(&lower, names),
    };
    let why = format!("has {word:?}, which is no coding");
    Err(match meant {
        Some(near) => Refusal::Mistaken(why, format!("did you mean {near}?")),
        None => Refusal::Invalid(why),
    })
}
