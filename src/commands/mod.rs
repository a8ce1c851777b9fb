//! What people type: the commands of `fairlead`, their words in and their text out.

mod admin_client;
mod check;
mod cluster;
mod demo;
mod explain;
mod flags;
mod listing;
mod offline;
mod running;
mod serve;
mod table;

use std::io::Write;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command};

use crate::admin::webhook::WebhookError;
use crate::app::StartError;
use crate::settings::Unusable;
use crate::settings::arguments::{Given, arguments, complaint, normalise};
use crate::settings::flag::Flag;
use crate::settings::flags::SERVE;

/// It worked; for `check` no error was found, for `explain` a route answers.
const OK: u8 = 0;
/// Something failed while running; for `check` an error was found, for `explain` no route answers.
const FAILED: u8 = 1;
/// Arguments or settings cannot be used.
const UNUSABLE: u8 = 2;

/// Why a command ends early: one line for people, and the exit code.
struct Stop {
    code: u8,
    line: String,
}

impl Stop {
    fn failed(line: impl Into<String>) -> Stop {
        Stop { code: FAILED, line: line.into() }
    }

    fn unusable(line: impl Into<String>) -> Stop {
        Stop { code: UNUSABLE, line: line.into() }
    }
}

impl From<StartError> for Stop {
    fn from(error: StartError) -> Stop {
        match error {
            StartError::Client(_) | StartError::Source(_) | StartError::Webhook(WebhookError::Certificate(_)) => {
                Stop::unusable(error.to_string())
            }
            _ => Stop::failed(error.to_string()),
        }
    }
}

impl From<Unusable> for Stop {
    fn from(Unusable(line): Unusable) -> Stop {
        Stop::unusable(line)
    }
}

/// Runs the program as it was called: `words` are the arguments with the program's own name first. Gives the exit code.
pub fn run(words: Vec<String>, environment: &dyn Fn(&str) -> Option<String>) -> u8 {
    let mut words = words.into_iter();
    let called = words.next().unwrap_or_default();
    let called = Path::new(&called).file_name().and_then(|name| name.to_str()).unwrap_or("fairlead");
    // The image has this name so that ingress-nginx's preStop hook does no harm: draining waits by itself.
    if called == "wait-shutdown" {
        return OK;
    }
    let program = if called == "kubectl-fairlead" { "kubectl fairlead" } else { "fairlead" };
    match dispatch(program, words.collect(), environment) {
        Ok(code) => code,
        Err(Stop { code, line }) => {
            let _ = writeln!(std::io::stderr(), "{program}: {line}");
            code
        }
    }
}

fn dispatch(
    program: &'static str,
    words: Vec<String>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<u8, Stop> {
    let Some(at) = words.iter().position(|word| !word.starts_with('-')) else {
        return top_level(program, words);
    };
    let Some(verb) = words.get(at).and_then(|word| VERBS.iter().find(|verb| verb.name == word)) else {
        return top_level(program, words);
    };
    let flags = (verb.flags)();
    let mut words = words;
    let rest = words.split_off(at + 1);
    words.extend(normalise(rest, flags));
    let matches = match parser(program).try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) => return shown_or_refused(&error, &format!("{program} {}", verb.name)),
    };
    let Some((_, matches)) = matches.subcommand() else {
        return Err(Stop::unusable(format!("no command (see {program} --help)")));
    };
    let given = Given::collect(flags, matches, environment)?;
    let words = verb.positional.as_ref().and_then(|positional| matches.get_many::<String>(positional.name));
    let words = words.into_iter().flatten().cloned().collect();
    (verb.run)(&Call { program, given, words, environment })
}

/// What is left when no command is named: help, version, or a complaint.
fn top_level(program: &'static str, words: Vec<String>) -> Result<u8, Stop> {
    let words = words.into_iter().map(|word| match word.as_str() {
        "-help" => "--help".to_owned(),
        "-version" => "--version".to_owned(),
        _ => word,
    });
    match parser(program).try_get_matches_from(words) {
        Ok(_) => Err(Stop::unusable(format!("no command (see {program} --help)"))),
        Err(error) => shown_or_refused(&error, program),
    }
}

fn shown_or_refused(error: &clap::Error, command: &str) -> Result<u8, Stop> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print_text(&error.to_string());
            Ok(OK)
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err(Stop::unusable(format!("no command; try {command} demo (see {command} --help)")))
        }
        _ => Err(complaint(error, command).into()),
    }
}

/// Writes to stdout. A reader that went away (`| head`) is no failure.
fn print_text(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

struct Verb {
    name: &'static str,
    about: &'static str,
    /// What stands below the flags in `--help`.
    after: &'static str,
    flags: fn() -> &'static [Flag],
    positional: Option<Positional>,
    run: fn(&Call<'_>) -> Result<u8, Stop>,
}

/// One call of a command.
struct Call<'a> {
    /// How the program is called: `fairlead` or `kubectl fairlead`.
    program: &'static str,
    /// What its flags were given.
    given: Given,
    /// Its arguments that are no flags.
    words: Vec<String>,
    /// Looks a variable of the environment up.
    environment: &'a dyn Fn(&str) -> Option<String>,
}

struct Positional {
    name: &'static str,
    help: &'static str,
    is_repeatable: bool,
    is_required: bool,
}

const VERBS: &[Verb] = &[
    Verb {
        name: "serve",
        about: "Serve a cluster or manifests: controller and proxy in one",
        after: SERVE_AFTER,
        flags: || SERVE,
        positional: None,
        run: serve::run,
    },
    Verb {
        name: "demo",
        about: "Serve a small shop with nothing else installed, and say what to try",
        after: "",
        flags: || flags::DEMO,
        positional: None,
        run: demo::run,
    },
    Verb {
        name: "check",
        about: "Say what manifests or a cluster mean and what is wrong with them",
        after: CHECK_AFTER,
        flags: flags::check,
        positional: Some(Positional {
            name: "PATH",
            help: "File or folder of YAML or JSON",
            is_repeatable: true,
            is_required: false,
        }),
        run: check::run,
    },
    Verb {
        name: "explain",
        about: "Say which route answers a URL and why, and why the others do not",
        after: EXPLAIN_AFTER,
        flags: flags::explain,
        positional: Some(Positional {
            name: "URL",
            help: "As in http://host/path",
            is_repeatable: false,
            is_required: true,
        }),
        run: explain::run,
    },
    Verb {
        name: "routes",
        about: "List the routes of a running Fairlead",
        after: LISTING_AFTER,
        flags: || flags::LISTING,
        positional: None,
        run: |call| listing::run(call, &listing::ROUTES),
    },
    Verb {
        name: "backends",
        about: "List backends and endpoints of a running Fairlead",
        after: LISTING_AFTER,
        flags: || flags::LISTING,
        positional: None,
        run: |call| listing::run(call, &listing::BACKENDS),
    },
    Verb {
        name: "certificates",
        about: "List the certificates of a running Fairlead: names and dates, never keys",
        after: LISTING_AFTER,
        flags: || flags::LISTING,
        positional: None,
        run: |call| listing::run(call, &listing::CERTIFICATES),
    },
    Verb {
        name: "problems",
        about: "List what is wrong with the configuration of a running Fairlead",
        after: LISTING_AFTER,
        flags: || flags::LISTING,
        positional: None,
        run: |call| listing::run(call, &listing::PROBLEMS),
    },
];

const SERVE_AFTER: &str = "\
Every flag can be set by the environment: --http-port is FAIRLEAD_HTTP_PORT. A flag wins over the environment.
One dash is as good as two; booleans are --x or --x=false; times are seconds or 250ms, 10s, 5m, 1h.
Exit codes: 0 after a clean drain, 1 failure, 2 unusable arguments or settings.";

const CHECK_AFTER: &str = "\
Exit codes: 0 no error, 1 at least one error, 2 unusable arguments.
With --from-ingress-nginx: 0 nothing is refused and all could be read, 1 otherwise, 2 nothing to check too.";

const EXPLAIN_AFTER: &str = "\
Exit codes: 0 a back end answers, or a redirect or another answer that was asked for; 1 an error or nobody does;
2 unusable arguments, or nobody to ask.";

const LISTING_AFTER: &str = "\
Exit codes: 0 the list is printed, whatever is in it; 1 somebody does not answer, or replicas disagree;
2 unusable arguments.";

fn parser(program: &'static str) -> Command {
    Command::new(program)
        .bin_name(program)
        .no_binary_name(true)
        .about("A Kubernetes ingress controller with its proxy inside")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .subcommands(VERBS.iter().map(|verb| subparser(program, verb)))
        .after_help(format!("{program} COMMAND --help shows the flags of a command."))
}

fn subparser(program: &str, verb: &'static Verb) -> Command {
    let mut command = Command::new(verb.name)
        .bin_name(format!("{program} {}", verb.name))
        .display_name("fairlead")
        .version(env!("CARGO_PKG_VERSION"))
        .about(verb.about)
        .after_help(verb.after)
        .args(arguments((verb.flags)()));
    if let Some(Positional { name, help, is_repeatable, is_required }) = verb.positional {
        let action = if is_repeatable { ArgAction::Append } else { ArgAction::Set };
        let arity = if is_repeatable { (1..).into() } else { clap::builder::ValueRange::from(1) };
        command = command
            .arg(Arg::new(name).value_name(name).help(help).required(is_required).action(action).num_args(arity));
    }
    command
}
