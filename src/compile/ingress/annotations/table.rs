//! The table: every known annotation name with what is done about it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::value::{Refusal, Value, means};
use super::{
    Settings, access, answers, backend_tls, balance, basic, cache, canary, client_auth, compress, cors, exchange,
    external, health, hosts, known, limits, mirror, raw, redirect, rewrite, snippet, sticky, tls, traces,
};
use crate::ir::{Kind, Reason, Severity};
use crate::settings::suggest::{did_you_mean, distance};

/// One known annotation.
#[derive(Debug)]
pub struct Row {
    /// Name without prefix.
    pub name: &'static str,
    /// Known under `fairlead.dev/`.
    pub ours: bool,
    /// Known under ingress-nginx's prefix.
    pub nginx: bool,
    /// Known on a Service too, under `fairlead.dev/`.
    pub on_service: bool,
    /// It counts on a canary.
    pub(super) on_canary: bool,
    /// Which values are right, as a hint: `one of: on, off`.
    pub values: &'static str,
    /// What is done where nobody sets it, as it would be written; empty = nothing.
    pub default: &'static str,
    /// What it does, for the page.
    pub(super) does: &'static str,
    /// What it acts on.
    pub(super) scope: Scope,
    /// How ingress-nginx classes it.
    pub(super) risk: Risk,
    /// What comes of it that would not with ingress-nginx.
    pub(super) unlike: Option<Unlike>,
    /// What it guards; a wrong value closes the paths then.
    pub(super) guard: Option<Guard>,
    /// Its value names an object, without which the Ingress cannot be compiled.
    pub(super) names: Option<Names>,
    pub(super) effect: Effect,
}

/// The object that a value names, as `name` or `namespace/name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// Secret or ConfigMap.
    pub(super) kind: Kind,
    /// In any namespace, as in ingress-nginx; else in another one only with `allow-cross-namespace-resources`.
    pub(super) anywhere: bool,
}

/// What an annotation acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The whole host: its oldest Ingress counts.
    Host,
    /// The Ingress as one.
    Ingress,
    /// Each path of the Ingress by itself.
    Path,
    /// The Service port that a path names, for all Ingresses that name it.
    Port,
}

impl Scope {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Scope::Host => "host",
            Scope::Ingress => "Ingress",
            Scope::Path => "path",
            Scope::Port => "Service port",
        }
    }
}

/// How much harm an annotation could do in ingress-nginx, as `annotations-risk-level` counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Risk {
    Low,
    Medium,
    High,
    Critical,
}

impl Risk {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Risk::Low => "Low",
            Risk::Medium => "Medium",
            Risk::High => "High",
            Risk::Critical => "Critical",
        }
    }
}

/// A difference from ingress-nginx in what clients or back ends see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unlike {
    /// The value that it is about; empty = every one, or those that `applies` to.
    pub(super) value: &'static str,
    /// Whether it is about a value.
    applies: fn(&str) -> bool,
    /// What is different.
    pub(super) how: &'static str,
}

/// What happens to an annotation, as `check` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It does what it says.
    Honoured,
    /// It has no effect, and a problem says so.
    Ignored,
    /// It guards access and cannot be honoured, so the Ingress's paths are closed.
    Refused,
}

impl Row {
    /// What happens to it.
    pub fn fate(&self) -> Fate {
        match self.effect {
            Effect::Honoured(_) => Fate::Honoured,
            Effect::Ignored { .. } | Effect::Read(..) => Fate::Ignored,
            Effect::Guards { .. } => Fate::Refused,
        }
    }

    /// Whether it is read for a later version.
    pub fn is_read(&self) -> bool {
        matches!(self.effect, Effect::Read(..))
    }

    /// What is missing for the value to have an effect, where it is read for a later version; `None` for what says the
    /// default.
    pub fn waits(&self, value: &str) -> Option<&'static str> {
        match self.effect {
            Effect::Read(_, missing) if !means(value.trim(), self.default) => Some(missing),
            _ => None,
        }
    }

    /// Whether it holds for the whole host, whatever Ingresses are there.
    pub fn is_of_host(&self) -> bool {
        self.scope == Scope::Host
    }

    /// When the default serves in the place of a wrong value, as the end of a sentence: what acts on more than the paths of
    /// one Ingress may be set by others.
    pub(super) fn unless(&self) -> &'static str {
        match self.scope {
            // Those of client certificates count together, of one Ingress.
            Scope::Host if self.name.starts_with("auth-tls-") => "",
            Scope::Host | Scope::Port => ELSEWHERE,
            Scope::Ingress | Scope::Path => "",
        }
    }

    /// What comes of the value that would not with ingress-nginx.
    pub fn difference(&self, value: &str) -> Option<&'static str> {
        let is_meant =
            |unlike: &Unlike| (unlike.applies)(value) && (unlike.value.is_empty() || means(value.trim(), unlike.value));
        self.unlike.filter(is_meant).map(|unlike| unlike.how)
    }
}

/// What to write in place of a wrong value; `values` says which are right.
pub(in crate::compile) fn hint(values: &str, written: &str) -> String {
    match meant(values, written) {
        Some(near) => format!("did you mean {near}? {values}"),
        None => values.to_owned(),
    }
}

/// The right word that `written` was probably meant to be, where the values are words.
fn meant<'a>(values: &'a str, written: &str) -> Option<&'a str> {
    let words = values.strip_prefix(ONE_OF)?;
    let written = written.to_ascii_lowercase();
    let is_meant = |word: &&str| did_you_mean(&written, [word.to_ascii_lowercase().as_str()]).is_some();
    words.split(", ").filter(is_meant).min_by_key(|word| distance(&written, &word.to_ascii_lowercase()))
}

/// When the default serves, as [`Row::unless`] says it.
pub(super) const ELSEWHERE: &str = " where nothing else sets it";

/// How the hint for a value begins that is one of some words.
pub(super) const ONE_OF: &str = "one of: ";

pub(super) type Set = fn(&Value<'_>, &mut Settings) -> Result<(), Refusal>;

/// What is done about an annotation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect {
    /// It guards access and is not honoured, unless its value is `off`.
    Guards { guard: Guard, off: &'static str },
    /// It changes a setting.
    Honoured(Set),
    /// It changes a setting on which nothing acts yet; what is missing.
    Read(Set, &'static str),
    /// It changes nothing; a problem says so.
    Ignored { severity: Severity, instead: &'static str },
}

/// What kind of guard is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::compile) enum Guard {
    /// Addresses and limits.
    Access,
    /// Passwords and external authentication.
    Authentication,
    /// Certificates of clients, which a host asks for on all its paths, those of other Ingresses too.
    Clients,
    /// A web application firewall, which is not there.
    Firewall,
    /// Raw nginx configuration, which often is the access control.
    Snippet,
}

impl Guard {
    pub(super) fn reason(self) -> Reason {
        match self {
            Guard::Access | Guard::Authentication | Guard::Clients | Guard::Firewall => Reason::AccessRuleBroken,
            Guard::Snippet => Reason::SnippetRefused,
        }
    }

    /// Whether `snippets: ignore` serves without it.
    pub(super) fn is_raw(self) -> bool {
        match self {
            Guard::Firewall | Guard::Snippet => true,
            Guard::Access | Guard::Authentication | Guard::Clients => false,
        }
    }

    /// Why it closes the paths, as a sentence part.
    pub(super) fn why(self) -> &'static str {
        match self {
            Guard::Access | Guard::Authentication | Guard::Clients | Guard::Firewall => {
                "guards access and is not honoured"
            }
            Guard::Snippet => "is raw configuration, which is never run",
        }
    }

    pub(super) fn hint(self) -> &'static str {
        match self {
            Guard::Access | Guard::Authentication | Guard::Clients | Guard::Firewall => {
                "remove it to serve the paths without this guard"
            }
            Guard::Snippet => "remove it, or say the same with annotations",
        }
    }
}

/// Every known annotation, in alphabetical order.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    TABLE.values().copied()
}

/// The row of a name.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    TABLE.get(name).copied()
}

/// The rows of each subject; the page has a place for each under this name.
pub(super) const SUBJECTS: [(&str, &[Row]); 24] = [
    ("canary", canary::ROWS),
    ("redirect", redirect::ROWS),
    ("hosts", hosts::ROWS),
    ("rewrite", rewrite::ROWS),
    ("cors", cors::ROWS),
    ("exchange", exchange::ROWS),
    ("backend_tls", backend_tls::ROWS),
    ("tls", tls::ROWS),
    ("client_auth", client_auth::ROWS),
    ("balance", balance::ROWS),
    ("health", health::ROWS),
    ("sticky", sticky::ROWS),
    ("compress", compress::ROWS),
    ("cache", cache::ROWS),
    ("limits", limits::ROWS),
    ("access", access::ROWS),
    ("basic", basic::ROWS),
    ("external", external::ROWS),
    ("answers", answers::ROWS),
    ("mirror", mirror::ROWS),
    ("raw", raw::ROWS),
    ("snippet", snippet::ROWS),
    ("known", known::ROWS),
    ("traces", traces::ROWS),
];

static TABLE: LazyLock<BTreeMap<&'static str, &'static Row>> = LazyLock::new(|| {
    let rows = SUBJECTS.into_iter().flat_map(|(_, rows)| rows);
    rows.map(|row| (row.name, row)).collect()
});

/// Older names of annotations.
pub(super) const ALIASES: [&str; 2] = ["limit-whitelist", "whitelist-source-range"];

/// The other name of what has two.
pub(super) fn alias(name: &str) -> Option<&'static str> {
    Some(match name {
        "allowlist-source-range" => "whitelist-source-range",
        "whitelist-source-range" => "allowlist-source-range",
        "limit-allowlist" => "limit-whitelist",
        "limit-whitelist" => "limit-allowlist",
        _ => return None,
    })
}

/// What to write in place of a name that is seen in the wild and means nothing.
pub(super) fn replacement(name: &str) -> Option<&'static str> {
    let replacement = match name {
        "add-base-url" | "base-url-scheme" => "have the backend write its own base URL",
        "client-header-buffer-size" | "large-client-header-buffers" => {
            "remove it; request heads may be 64 KiB, fields 16 KiB"
        }
        "client-max-body-size" => "write proxy-body-size",
        "enable-websockets" => "remove it; WebSockets pass without it",
        "enable-gzip" | "enable-brotli" | "use-gzip" => "write fairlead.dev/compress",
        "grpc-backend" => "write backend-protocol: GRPC",
        "proxy-set-headers" => "use the ConfigMap key of that name",
        "secure-backends" => "write backend-protocol: HTTPS",
        "secure-verify-ca-secret" => "write proxy-ssl-secret and proxy-ssl-verify",
        "session-cookie-hash" => "remove it; cookies need no hash",
        "use-forwarded-headers" => "use the ConfigMap key of that name",
        _ if name.starts_with("proxy-cache") => "write fairlead.dev/cache: \"on\"",
        _ if name.starts_with("rate-limit") => "write limit-rps, limit-rpm or limit-connections",
        _ if name.starts_with("opentracing-") || name == "enable-opentracing" => "write enable-opentelemetry",
        _ if name.starts_with("global-rate-limit") => "write limit-rps with fairlead.dev/limit-scope: cluster",
        _ if name.starts_with("influxdb-") || name == "enable-influxdb" => "remove it; scrape /metrics",
        _ if name.starts_with("lua-resty-waf") => "remove it; there is no such firewall",
        _ => return None,
    };
    Some(replacement)
}

/// A row whose name stands under both prefixes.
pub(super) const fn both(name: &'static str, effect: Effect) -> Row {
    Row { ours: true, ..nginx(name, effect) }
}

/// A row whose name stands under ingress-nginx's prefix only, as its values are nginx's own.
pub(super) const fn nginx(name: &'static str, effect: Effect) -> Row {
    Row {
        name,
        ours: false,
        nginx: true,
        on_service: false,
        on_canary: false,
        values: "",
        default: "",
        does: "",
        scope: Scope::Path,
        risk: Risk::Low,
        unlike: None,
        guard: None,
        names: None,
        effect,
    }
}

/// A row whose name stands under `fairlead.dev/` only.
pub(super) const fn ours(name: &'static str, effect: Effect) -> Row {
    Row { ours: true, nginx: false, ..nginx(name, effect) }
}

impl Row {
    /// The row, with the values that are right.
    pub(super) const fn takes(self, values: &'static str) -> Row {
        Row { values, ..self }
    }

    /// The row, with its default (empty = nothing) and what it does (empty where name and values say it), for the page.
    pub(super) const fn does(self, default: &'static str, what: &'static str) -> Row {
        Row { default, does: what, ..self }
    }

    /// The row, with what comes of it that would not with ingress-nginx.
    pub(super) const fn unlike(self, how: &'static str) -> Row {
        self.unlike_for("", how)
    }

    /// The same, of one value.
    pub(super) const fn unlike_for(self, value: &'static str, how: &'static str) -> Row {
        Row { unlike: Some(Unlike { value, applies: |_| true, how }), ..self }
    }

    /// The same, of values that `applies` is true of.
    pub(super) const fn unlike_where(self, applies: fn(&str) -> bool, how: &'static str) -> Row {
        Row { unlike: Some(Unlike { value: "", applies, how }), ..self }
    }

    /// The row, which acts on the Ingress as one. Without this and its like: on each path by itself.
    pub(super) const fn for_ingress(self) -> Row {
        Row { scope: Scope::Ingress, ..self }
    }

    /// The row, which acts on the host.
    pub(super) const fn for_host(self) -> Row {
        Row { scope: Scope::Host, ..self }
    }

    /// The row, which acts on the Service port.
    pub(super) const fn for_port(self) -> Row {
        Row { scope: Scope::Port, ..self }
    }

    /// The row, of medium risk in ingress-nginx. Without this and its like: low.
    pub(super) const fn medium(self) -> Row {
        Row { risk: Risk::Medium, ..self }
    }

    /// The row, of high risk.
    pub(super) const fn high(self) -> Row {
        Row { risk: Risk::High, ..self }
    }

    /// The row, of critical risk.
    pub(super) const fn critical(self) -> Row {
        Row { risk: Risk::Critical, ..self }
    }

    /// The row, whose wrong values close the paths.
    pub(super) const fn guarding(self, guard: Guard) -> Row {
        Row { guard: Some(guard), ..self }
    }

    /// The row, known on a Service too.
    pub(super) const fn and_on_services(self) -> Row {
        Row { on_service: true, ..self }
    }

    /// The row, which counts on a canary too, or on one only.
    pub(super) const fn and_on_canaries(self) -> Row {
        Row { on_canary: true, ..self }
    }

    /// The row, whose value names an object in the namespace of the Ingress.
    pub(super) const fn names(self, kind: Kind) -> Row {
        Row { names: Some(Names { kind, anywhere: false }), ..self }
    }

    /// The same, whatever its namespace.
    pub(super) const fn names_anywhere(self, kind: Kind) -> Row {
        Row { names: Some(Names { kind, anywhere: true }), ..self }
    }
}

/// Read for a later version.
pub(super) const fn reads(set: Set, missing: &'static str) -> Effect {
    Effect::Read(set, missing)
}

/// Not honoured: what is served differs from what was asked for.
pub(super) const fn differs(instead: &'static str) -> Effect {
    Effect::Ignored { severity: Severity::Warning, instead }
}

/// Nothing to honour: it tunes something that does not exist here.
pub(super) const fn tunes_nothing(instead: &'static str) -> Effect {
    Effect::Ignored { severity: Severity::Info, instead }
}

/// Guards access, whatever its value.
pub(super) const fn guards(guard: Guard) -> Effect {
    Effect::Guards { guard, off: "" }
}

/// Guards access unless its value is `off`.
pub(super) const fn guards_unless(off: &'static str, guard: Guard) -> Effect {
    Effect::Guards { guard, off }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_has_two_rows() {
        assert_eq!(SUBJECTS.into_iter().map(|(_, rows)| rows.len()).sum::<usize>(), TABLE.len());
    }

    #[test]
    fn all_names_of_ingress_nginx_are_known() {
        // 136 names and 2 aliases, in ingress-nginx 1.15.
        assert_eq!(rows().filter(|row| row.nginx).count(), 138);
    }

    #[test]
    fn what_is_honoured_says_which_values_are_right() {
        for row in rows().filter(|row| matches!(row.effect, Effect::Honoured(_) | Effect::Read(..))) {
            assert!(!row.values.is_empty(), "{}", row.name);
        }
    }

    #[test]
    fn what_is_honoured_says_what_it_does() {
        // Of these name and values say it.
        let is_plain =
            |row: &Row| row.name.starts_with("cors-") || row.name.contains("-code") || !row.default.is_empty();
        let is_silent = |row: &&Row| row.fate() == Fate::Honoured && row.does.is_empty() && !is_plain(row);
        let silent: Vec<&str> = rows().filter(is_silent).map(|row| row.name).collect();
        assert!(silent.is_empty(), "these rows need .does(default, what): {silent:?}");
    }

    #[test]
    fn no_name_is_both_known_and_replaced() {
        assert!(rows().all(|row| replacement(row.name).is_none()));
    }
}
