//! The flags of an ingress-nginx, judged by the table of `fairlead serve`.

use super::Setting;
use crate::commands::check::fate::{Fate, Judged};
use crate::settings::flag::{Effect, Flag, Value};
use crate::settings::flags::SERVE;
use crate::settings::suggest::did_you_mean;

/// Arguments as names and values, as Go's pflag reads them: `--x=v`, `--x v`, and `--x` alone for what is true.
pub(super) fn pairs(arguments: &[String]) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut words = arguments.iter().peekable();
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else { continue };
        if let Some((name, value)) = flag.split_once('=') {
            pairs.push((name.to_owned(), value.to_owned()));
            continue;
        }
        let takes_one = find(flag).is_none_or(|flag| flag.value != Value::Switch);
        let next = words.next_if(|next| takes_one && !next.starts_with('-'));
        pairs.push((flag.to_owned(), next.cloned().unwrap_or_else(|| "true".to_owned())));
    }
    pairs
}

/// What becomes of one.
pub(super) fn judge(name: &str, value: &str) -> Setting {
    Setting { name: format!("--{name}"), value: value.to_owned(), judged: judged(name, value) }
}

fn judged(name: &str, value: &str) -> Judged {
    let Some(flag) = find(name) else {
        let known = SERVE.iter().map(|flag| flag.name);
        let hint = did_you_mean(name, known).map(|near| format!("did you mean --{near}?"));
        return Judged::new(
            Fate::Refused,
            "there is no such flag, and with it the program does not start",
            hint.unwrap_or_else(|| "remove it".to_owned()),
        );
    };
    match flag.effect {
        Effect::Ignored => Judged::new(Fate::Ignored, format!("has no effect: {}", flag.help), "").by_name(),
        _ if let Err(why) = flag.value.check(value) => Judged::new(Fate::Refused, why, "correct the value"),
        Effect::Later if value == flag.default => Judged::new(Fate::Honoured, "", ""),
        Effect::Later => Judged::new(Fate::Differs, "is not honoured in this version", ""),
        Effect::Acts | Effect::Cluster => Judged::new(Fate::Honoured, "", ""),
    }
}

/// The flag of a name.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    SERVE.iter().find(|flag| flag.is_named(name))
}
