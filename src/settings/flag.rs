//! One flag as data: how it is written, what it takes, what it is by default, and where it acts.

use std::net::IpAddr;
use std::path::Path;

use super::limits::Limits;
use super::units;
use crate::ir::Name;

/// One row of a table of flags. Parser, help, environment names and `docs/defaults.md` are made from it.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Name without dashes.
    pub name: &'static str,
    /// Other names that mean the same.
    pub aliases: &'static [&'static str],
    /// One letter for one dash.
    pub short: Option<char>,
    /// What it takes.
    pub value: Value,
    /// The text it has when nobody sets it; empty = nothing. A default in words stands in `help`.
    pub default: &'static str,
    /// Heading it stands under in `--help`.
    pub group: &'static str,
    /// Whether it does anything, and where.
    pub effect: Effect,
    /// What it is for, in one sentence part.
    pub help: &'static str,
}

/// What a flag takes. The text is the placeholder in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// `IP:PORT`, or `localhost:PORT`.
    Address,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number of at least this.
    Count(u64),
    /// A time: seconds, or with a unit.
    Duration,
    /// `IP:PORT`, or `:PORT` for all addresses.
    Listen,
    /// IP addresses, or `localhost`; repeatable, or with commas between.
    Ips,
    /// `NAME=VALUE` of a limit; repeatable, or with commas between.
    Limits,
    /// A path that begins with `/`.
    UrlPath,
    /// `namespace/name`.
    Object,
    /// A path of the file system; repeatable.
    Paths(&'static str),
    /// A port; 0 = off.
    Port,
    /// A number of bytes: digits with `k`, `m` or `g`.
    Size,
    /// A Go boolean: the flag alone is true.
    Switch,
    /// Any text.
    Text(&'static str),
    /// Any texts; repeatable.
    Texts(&'static str),
}

/// Whether a flag does anything, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It acts.
    Acts,
    /// It has a meaning only with the Kubernetes API; in a folder it is accepted and does nothing.
    Cluster,
    /// ingress-nginx has it; here it is accepted with a warning.
    Ignored,
    /// Promised, and not built yet: accepted with a warning.
    Later,
}

impl Flag {
    /// A flag that acts, without aliases.
    pub const fn new(
        name: &'static str,
        value: Value,
        default: &'static str,
        group: &'static str,
        help: &'static str,
    ) -> Flag {
        Flag { name, aliases: &[], short: None, value, default, group, effect: Effect::Acts, help }
    }

    /// The same flag under further names.
    pub const fn alias(self, aliases: &'static [&'static str]) -> Flag {
        Flag { aliases, ..self }
    }

    /// The same flag with a letter.
    pub const fn short(self, letter: char) -> Flag {
        Flag { short: Some(letter), ..self }
    }

    /// The same flag, acting only in a cluster.
    pub const fn in_cluster(self) -> Flag {
        Flag { effect: Effect::Cluster, ..self }
    }

    /// The same flag, not built yet.
    pub const fn later(self) -> Flag {
        Flag { effect: Effect::Later, ..self }
    }

    /// The environment variable that sets it: `FAIRLEAD_HTTP_PORT`.
    pub fn environment(&self) -> String {
        format!("FAIRLEAD_{}", self.name.replace('-', "_").to_ascii_uppercase())
    }

    /// Whether `name`, without dashes, means this flag.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

impl Value {
    /// The placeholder in `--help`.
    pub fn placeholder(self) -> &'static str {
        match self {
            Value::Address => "IP:PORT",
            Value::Listen => "[IP]:PORT",
            Value::Choice(_) => "WORD",
            Value::Count(_) => "N",
            Value::Duration => "TIME",
            Value::Ips => "IP",
            Value::Limits => "NAME=VALUE",
            Value::Object => "NAMESPACE/NAME",
            Value::Paths(text) | Value::Text(text) | Value::Texts(text) => text,
            Value::Port => "PORT",
            Value::Size => "SIZE",
            Value::Switch => "BOOL",
            Value::UrlPath => "PATH",
        }
    }

    /// Whether giving the flag twice means two values, not the last one.
    pub fn is_repeatable(self) -> bool {
        matches!(self, Value::Ips | Value::Limits | Value::Paths(_) | Value::Texts(_))
    }

    /// Whether `text` can be read. `Err` says what is wrong and what would be right.
    pub fn check(self, text: &str) -> Result<(), String> {
        match self {
            Value::Address => address(text).map(drop),
            Value::Choice(words) if words.contains(&text) => Ok(()),
            Value::Choice([word]) => Err(format!("{text:?} is not {word}")),
            Value::Choice(words) => Err(format!("{text:?} is not one of {}", words.join(", "))),
            Value::Count(least) => match text.parse::<u64>() {
                Ok(number) if number >= least => Ok(()),
                _ => Err(format!("{text:?} is not a whole number of at least {least}")),
            },
            Value::Duration => units::duration(text).map(drop),
            Value::Ips => ips(text).map(drop),
            Value::Limits => Limits::default().set_list(text),
            Value::Listen => listen(text).map(drop),
            Value::Object => object(text).map(drop),
            Value::Paths(_) | Value::Text(_) | Value::Texts(_) => Ok(()),
            Value::Port => port(text).map(drop),
            Value::Size => units::size(text).map(drop),
            Value::Switch => boolean(text).map(drop),
            Value::UrlPath if text.starts_with('/') => Ok(()),
            Value::UrlPath => Err(format!("{text:?} does not begin with /")),
        }
    }
}

/// Reads a boolean as Go's `strconv.ParseBool` does.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{text:?} is not true or false")),
    }
}

/// Reads a port; 0 means off.
pub fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("{text:?} is not a port; give a number from 0 (off) to 65535"))
}

/// Reads one address and port.
pub fn address(text: &str) -> Result<std::net::SocketAddr, String> {
    let wrong = || format!("{text:?} is not an address with a port; write it as 127.0.0.1:10246 or [::1]:10246");
    match text.strip_prefix("localhost:") {
        Some(port) => port.parse().map(|port| (std::net::Ipv4Addr::LOCALHOST, port).into()).map_err(|_| wrong()),
        None => text.parse().map_err(|_| wrong()),
    }
}

/// Reads addresses to listen on: one with its port, or all, IPv4 and IPv6, with only a port after a colon as in Go.
pub fn listen(text: &str) -> Result<Vec<std::net::SocketAddr>, String> {
    match text.strip_prefix(':').map(str::parse::<u16>) {
        Some(Ok(port)) => {
            Ok(vec![(std::net::Ipv4Addr::UNSPECIFIED, port).into(), (std::net::Ipv6Addr::UNSPECIFIED, port).into()])
        }
        Some(Err(_)) => Err(format!("{text:?} is not a port after a colon; write it as :8443 or 127.0.0.1:8443")),
        None => address(text).map(|address| vec![address]),
    }
}

/// Reads IP addresses with commas between; `localhost` is both loopback addresses.
pub fn ips(text: &str) -> Result<Vec<IpAddr>, String> {
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim) {
        if part == "localhost" {
            found.extend([IpAddr::from(std::net::Ipv4Addr::LOCALHOST), std::net::Ipv6Addr::LOCALHOST.into()]);
            continue;
        }
        let bare = part.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(part);
        found.push(bare.parse().map_err(|_| format!("{part:?} is not an IP address"))?);
    }
    Ok(found)
}

/// Reads `namespace/name`.
pub fn object(text: &str) -> Result<Name, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(Name::new(namespace, name))
        }
        _ => Err(format!("{text:?} is not namespace/name")),
    }
}

/// Whether a file or folder is there. `Err` says that it is not, that it is something else, or why it cannot be seen.
pub fn existing(path: &Path) -> Result<(), String> {
    match path.metadata() {
        Ok(metadata) if metadata.is_file() || metadata.is_dir() => Ok(()),
        Ok(_) => Err(format!("{} is neither file nor folder", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(format!("{} does not exist", path.display())),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}
