//! Command-line words and environment into the texts that flags were given.

use std::collections::BTreeMap;
use std::fmt;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches};

use super::flag::{Effect, Flag, Value};
use super::suggest::distance;

/// Arguments or settings that cannot be used: one line that says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Unusable(pub String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was said about the flags of one table: by the command line, else by the environment.
#[derive(Clone, Debug)]
pub struct Given {
    flags: &'static [Flag],
    texts: BTreeMap<&'static str, Vec<String>>,
    /// Variables that are no flags.
    surroundings: BTreeMap<&'static str, String>,
}

/// What a Pod is told about itself.
const SURROUNDINGS: [&str; 3] = ["POD_NAME", "POD_NAMESPACE", "NODE_NAME"];

impl Given {
    /// Takes the flags of `flags` out of `matches`, and what is missing there out of `environment`. Every text has been
    /// checked against the kind of its flag.
    pub fn collect(
        flags: &'static [Flag],
        matches: &ArgMatches,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Given, Unusable> {
        let mut texts = BTreeMap::new();
        for flag in flags {
            let (said_by, values): (String, Vec<String>) = match matches.get_many::<String>(flag.name) {
                Some(values) => (format!("--{}", flag.name), values.cloned().collect()),
                None => {
                    let variable = flag.environment();
                    let value = environment(&variable).filter(|value| !is_service_link(flag, value));
                    let values = match value {
                        Some(value) if flag.value.is_repeatable() => value.split(',').map(str::to_owned).collect(),
                        value => value.into_iter().collect(),
                    };
                    (variable, values)
                }
            };
            // An empty text means "not set", as in charts that always write the flag.
            let mut values: Vec<String> = values.into_iter().filter(|value| !value.is_empty()).collect();
            if !flag.value.is_repeatable() {
                values.drain(..values.len().saturating_sub(1));
            }
            for value in &values {
                flag.value.check(value).map_err(|why| Unusable(format!("{said_by}: {why}")))?;
            }
            if !values.is_empty() {
                texts.insert(flag.name, values);
            }
        }
        let surroundings = SURROUNDINGS.into_iter().filter_map(|name| Some((name, environment(name)?)));
        Ok(Given { flags, texts, surroundings: surroundings.filter(|(_, value)| !value.is_empty()).collect() })
    }

    /// What flags would be given by these texts; for a caller that is no command line.
    pub fn of(flags: &'static [Flag], said: &[(&str, String)]) -> Result<Given, Unusable> {
        let mut texts: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for (name, text) in said {
            let flag = flags.iter().find(|flag| flag.is_named(name));
            let flag = flag.ok_or_else(|| Unusable(format!("unknown flag --{name}")))?;
            flag.value.check(text).map_err(|why| Unusable(format!("--{name}: {why}")))?;
            texts.entry(flag.name).or_default().push(text.clone());
        }
        Ok(Given { flags, texts, surroundings: BTreeMap::new() })
    }

    /// What the process is told about the Pod it runs in: `POD_NAME`, `POD_NAMESPACE` or `NODE_NAME`.
    pub fn surrounding(&self, name: &str) -> Option<&str> {
        self.surroundings.get(name).map(String::as_str)
    }

    /// The texts of a repeatable flag.
    pub fn all(&self, name: &str) -> &[String] {
        self.texts.get(name).map_or(&[], Vec::as_slice)
    }

    /// The text of a flag: what was said last, else the default; `None` if there is neither.
    pub fn text(&self, name: &str) -> Option<&str> {
        debug_assert!(self.flags.iter().any(|flag| flag.name == name), "no flag {name}");
        let said = self.texts.get(name).and_then(|texts| texts.last()).map(String::as_str);
        said.or_else(|| self.flags.iter().find(|flag| flag.name == name).map(|flag| flag.default))
            .filter(|text| !text.is_empty())
    }

    /// The flag's value as `read` reads it; `None` if it has none.
    pub fn read<T>(&self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, Unusable> {
        self.text(name).map(read).transpose().map_err(|why| Unusable(format!("--{name}: {why}")))
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> Result<bool, Unusable> {
        Ok(self.read(name, super::flag::boolean)?.unwrap_or(false))
    }

    /// Whether somebody set the flag, to whatever value.
    pub fn is_set(&self, name: &str) -> bool {
        self.texts.contains_key(name)
    }

    /// The flags that were set and that have `effect`.
    pub fn with_effect(&self, effect: Effect) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().filter(move |flag| flag.effect == effect && self.is_set(flag.name))
    }
}

/// Kubernetes sets `FAIRLEAD_HTTP_PORT=tcp://10.0.0.1:80` in every Pod beside a Service named `fairlead-http`.
fn is_service_link(flag: &Flag, value: &str) -> bool {
    flag.value == Value::Port && value.contains("://")
}

/// The parser's form of a table of flags.
pub fn arguments(flags: &[Flag]) -> Vec<Arg> {
    flags.iter().map(argument).collect()
}

fn argument(flag: &Flag) -> Arg {
    let mut help = flag.help.to_owned();
    if !flag.default.is_empty() {
        help.push_str(&format!(" [default: {}]", flag.default));
    }
    if let Some(alias) = flag.aliases.first() {
        help.push_str(&format!(" [also --{alias}]"));
    }
    if flag.effect == Effect::Later {
        help.push_str(" [not in this version]");
    }
    let argument = Arg::new(flag.name)
        .long(flag.name)
        .aliases(flag.aliases.iter().copied())
        .short(flag.short.map_or(Resettable::Reset, Resettable::Value))
        .value_name(flag.value.placeholder())
        .help(help)
        .help_heading(flag.group)
        .action(ArgAction::Append);
    match flag.value {
        Value::Switch => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => argument.num_args(1).allow_hyphen_values(true),
    }
}

/// Rewrites words as Go's flag packages take them to what the parser takes: one dash as two, `_` as `-` in names, and
/// a value in the next word whatever it begins with.
pub fn normalise(words: Vec<String>, flags: &[Flag]) -> Vec<String> {
    let mut normal = Vec::with_capacity(words.len());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            normal.push(word);
            normal.extend(words);
            break;
        }
        let Some(body) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|body| !body.is_empty())
        else {
            normal.push(word);
            continue;
        };
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name.replace('_', "-"), Some(value)),
            None => (body.replace('_', "-"), None),
        };
        let one_dash = !word.starts_with("--");
        let letter = name.chars().next();
        if let Some(flag) = flags.iter().find(|flag| flag.is_named(&name)) {
            match value.map(str::to_owned).or_else(|| if flag.value == Value::Switch { None } else { words.next() }) {
                Some(value) => normal.push(format!("--{name}={value}")),
                None => normal.push(format!("--{name}")),
            }
        } else if let Some(flag) = flags.iter().find(|flag| one_dash && flag.short.is_some() && flag.short == letter) {
            let value_is_next = body.chars().count() == 1 && flag.value != Value::Switch;
            normal.push(word);
            normal.extend(if value_is_next { words.next() } else { None });
        } else if one_dash && name.chars().count() > 1 {
            normal.push(format!("-{word}"));
        } else {
            normal.push(word);
        }
    }
    normal
}

/// Edits by which a word may differ from the command it is taken for.
const MOST_SLIPS: usize = 2;

/// The parser's complaint as one line.
pub fn complaint(error: &clap::Error, command: &str) -> Unusable {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.last().cloned(),
        _ => None,
    };
    let help = format!("see {command} --help");
    let (wrong, suggestion) = match error.kind() {
        ErrorKind::UnknownArgument => {
            let word = text(ContextKind::InvalidArg).unwrap_or_default();
            let what = if word.starts_with('-') { "flag" } else { "argument" };
            (format!("unknown {what} {word}"), text(ContextKind::SuggestedArg))
        }
        ErrorKind::InvalidSubcommand => {
            let word = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            let near = text(ContextKind::SuggestedSubcommand).filter(|near| distance(&word, near) <= MOST_SLIPS);
            (format!("unknown command {word}"), near)
        }
        ErrorKind::MissingRequiredArgument => {
            let word = text(ContextKind::InvalidArg).unwrap_or_default();
            (format!("{word} is missing"), None)
        }
        _ => {
            let shown = error.to_string();
            let first = shown.lines().next().unwrap_or_default();
            (first.strip_prefix("error: ").unwrap_or(first).to_owned(), None)
        }
    };
    Unusable(match suggestion {
        Some(right) => format!("{wrong}; did you mean {right}? ({help})"),
        None => format!("{wrong} ({help})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::flags::SERVE;

    fn normal(words: &[&str]) -> Vec<String> {
        normalise(words.iter().map(|word| (*word).to_owned()).collect(), SERVE)
    }

    #[test]
    fn words_are_read_as_go_reads_them() {
        for (words, expected) in [
            (&["-http-port", "81"][..], &["--http-port=81"][..]),
            (&["--http-port=81"], &["--http-port=81"]),
            (&["--log_dir", "-x"], &["--log-dir=-x"]),
            (&["-v=2"], &["--v=2"]),
            (&["-v", "2"], &["--v=2"]),
            (&["--update-status", "false"], &["--update-status", "false"]),
            (&["--update-status=false"], &["--update-status=false"]),
            (&["-no-such"], &["--no-such"]),
            (&["-h"], &["-h"]),
            (&["--limit", "head=1k", "--limit=body=2m"], &["--limit=head=1k", "--limit=body=2m"]),
            (&["--", "-http-port"], &["--", "-http-port"]),
        ] {
            assert_eq!(normal(words), expected, "{words:?}");
        }
    }
}
