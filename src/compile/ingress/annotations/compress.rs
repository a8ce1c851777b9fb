//! The annotation about compression.

use super::Settings;
use super::table::Effect::Honoured;
use super::table::{Row, ours};
use super::value::{Refusal, Value};
use crate::ir::Coding;
use crate::settings::suggest::did_you_mean;

const WORDS: [(&str, Coding); 3] = [("gzip", Coding::Gzip), ("br", Coding::Brotli), ("zstd", Coding::Zstd)];

pub(super) const ROWS: &[Row] = &[ours("compress", Honoured(compress))
    .takes("write off, or words out of: gzip, br, zstd, the preferred one first")
    .does("off", "of those that a client likes equally well the first is taken")];

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
    to.compress = Some(codings);
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
