//! Annotations into settings: one table, with its rows in files by subject.
//!
//! A name that is known and not honoured is never passed over in silence: it is a problem, and where it guards access
//! the Ingress's paths are closed, since serving them without the guard would be worse than not serving them.

mod access;
mod answers;
mod backend_tls;
mod balance;
mod basic;
mod cache;
mod canary;
mod client_auth;
mod compress;
mod cors;
mod document;
mod exchange;
pub(in crate::compile) mod external;
mod health;
mod hosts;
mod known;
mod limits;
mod mirror;
mod raw;
mod redirect;
mod rewrite;
pub(in crate::compile) mod snippet;
mod sticky;
mod table;
pub(in crate::compile) mod template;
mod tls;
pub(in crate::compile) mod traces;
mod value;
mod wording;

use std::sync::Arc;
use std::time::Duration;

use self::table::Effect;
pub(in crate::compile) use self::value::{NETWORKS, Refusal, SWITCH, Value, is_number, means, shorten};
use crate::compile::claim::{Front, problem};
use crate::compile::config_map;
use crate::compile::ground::Ground;
use crate::compile::resolve::Resolution;
use crate::compile::said::{BackendSettings, Said};
use crate::ir::{Algorithm, Kind, Name, Object, Problem, Protocol, Reason, RetryOn, Severity, Upgrade};
use crate::settings::suggest::did_you_mean;
use crate::snapshot::{Annotations, Ingress, Service};

pub(in crate::compile) use self::backend_tls::Said as BackendTlsSaid;
pub(in crate::compile) use self::client_auth::Said as ClientAuthSaid;
pub use self::document::page;
pub(in crate::compile) use self::external::{Url, UrlHost, default_times};
pub(in crate::compile) use self::limits::limit_by;
pub(in crate::compile) use self::mirror::Said as Mirrored;
pub(in crate::compile) use self::table::Guard;
pub(in crate::compile) use self::table::hint as refused_hint;
pub use self::table::{Fate, Row, rows};
pub(in crate::compile) use self::template::{field_text, field_value, lasting};

/// The longest name that the API server takes.
const LONGEST_NAME: usize = 253;
/// The prefix that is always ours.
const OURS: &str = "fairlead.dev";
/// So many annotations with unknown names are told one by one.
const MOST_UNKNOWN: usize = 32;

/// What the annotations of one Ingress say. `None` = not said, or said wrongly.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Settings {
    /// Where requests are sent instead.
    pub(in crate::compile) redirects: redirect::Said,
    /// What it says of its hosts.
    pub(in crate::compile) front: Front,
    /// `use-regex`, `rewrite-target` and what belongs to it.
    pub(in crate::compile) rewrite: rewrite::Said,
    /// Cross-origin requests.
    pub(in crate::compile) cors: cors::Said,
    /// How much a client may ask for.
    pub(in crate::compile) limits: limits::Said,
    /// Who may come in.
    pub(in crate::compile) access: access::Said,
    /// TLS towards backends.
    pub(in crate::compile) backend_tls: backend_tls::Said,
    /// TLS to clients.
    pub(in crate::compile) tls: tls::Said,
    /// Certificates of clients.
    pub(in crate::compile) client_auth: client_auth::Said,
    /// Passwords.
    pub(in crate::compile) basic: basic::Said,
    /// Whom else is to be asked.
    pub(in crate::compile) external: external::Said,
    /// Who gets copies.
    pub(in crate::compile) mirror: mirror::Said,
    /// What is changed on the way, and who answers in place of errors.
    pub(in crate::compile) answers: answers::Said,
    /// `proxy-body-size`, bytes; 0 = unlimited.
    pub(in crate::compile) body_size: Option<u64>,
    /// `client-body-min-rate`, octets a second; 0 = any.
    pub(in crate::compile) body_min_rate: Option<u64>,
    /// `proxy-connect-timeout`.
    pub(in crate::compile) connect_timeout: Option<Duration>,
    /// `proxy-read-timeout`.
    pub(in crate::compile) read_timeout: Option<Duration>,
    /// `proxy-send-timeout`.
    pub(in crate::compile) send_timeout: Option<Duration>,
    /// `request-timeout`.
    pub(in crate::compile) request_timeout: Option<Duration>,
    /// `tunnel-idle-timeout`.
    pub(in crate::compile) tunnel_idle_timeout: Option<Duration>,
    /// `proxy-request-buffering`.
    pub(in crate::compile) buffer_request: Option<bool>,
    /// `proxy-next-upstream`.
    pub(in crate::compile) retry_on: Option<RetryOn>,
    /// `retry-non-idempotent` of the ConfigMap.
    pub(in crate::compile) retry_any_method: bool,
    /// `proxy-next-upstream-tries`.
    pub(in crate::compile) retry_tries: Option<u32>,
    /// `proxy-next-upstream-timeout`.
    pub(in crate::compile) retry_timeout: Option<Duration>,
    /// What it says about the Service ports that it names.
    pub(in crate::compile) backend: BackendSettings,
    /// `upgrade`.
    pub(in crate::compile) upgrade: Option<Upgrade>,
    /// `request-trailers`: pass them.
    pub(in crate::compile) request_trailers: Option<bool>,
    /// `proxy-http-version` is `1.0`.
    pub(in crate::compile) http10: Option<bool>,
    /// What it is beside another Ingress.
    pub(in crate::compile) canary: canary::Said,
    /// `cache` and what stands beside it.
    pub(in crate::compile) cache: cache::Said,
    /// Traces.
    pub(in crate::compile) traces: traces::Said,
    /// `compress`.
    pub(in crate::compile) compress: compress::Said,
    /// nginx's own configuration.
    pub(in crate::compile) snippets: snippet::Said,
    /// Why paths are closed; see [`Settings::closed`].
    guards: Vec<Guard>,
}

/// `backend-protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::compile) struct BackendProtocol {
    /// What is spoken.
    pub(in crate::compile) protocol: Protocol,
    /// `GRPC` and `GRPCS`: streams without end are usual.
    pub(in crate::compile) is_grpc: bool,
}

/// `load-balance`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::compile) enum Way {
    /// `hash`, which needs a text to hash.
    Hash,
    /// All others.
    Plain(Algorithm),
}

/// `health-check-protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::compile) enum CheckProtocol {
    /// `grpc`.
    Grpc,
    /// `http`.
    Http,
    /// `https`.
    Https,
    /// `tcp`.
    Tcp,
}

impl CheckProtocol {
    /// The word of the annotation.
    pub(in crate::compile) fn as_str(self) -> &'static str {
        match self {
            CheckProtocol::Grpc => "grpc",
            CheckProtocol::Http => "http",
            CheckProtocol::Https => "https",
            CheckProtocol::Tcp => "tcp",
        }
    }

    /// Whether nothing can be asked without `health-check-path`.
    pub(in crate::compile) fn asks_for_a_path(self) -> bool {
        matches!(self, CheckProtocol::Http | CheckProtocol::Https)
    }
}

impl Settings {
    /// Closes the paths: an object that the guard needs is not as it should be.
    pub(in crate::compile) fn close(&mut self, guard: Guard) {
        self.guards.push(guard);
    }

    /// How many reasons there are to close paths.
    pub(in crate::compile) fn reasons(&self) -> usize {
        self.guards.len()
    }

    /// Forgets all reasons to close paths but the first so many: the others were of one host.
    pub(in crate::compile) fn reopen(&mut self, reasons: usize) {
        self.guards.truncate(reasons);
    }

    /// Why requests for the path get 503, if they do. `needs_no_login`: authentication is not asked for on it
    /// (`no-auth-locations`).
    pub(in crate::compile) fn closed(&self, needs_no_login: bool) -> Option<Reason> {
        let closes = |guard: &&Guard| !(needs_no_login && matches!(guard, Guard::Authentication));
        self.guards.iter().filter(closes).map(|guard| guard.reason()).min()
    }
}

/// Reads the annotations of one Ingress, over what the ConfigMap of the flags says.
pub(in crate::compile) fn read(
    annotations: &Annotations,
    ground: &Ground,
    object: &Arc<Object>,
    problems: &mut Vec<Problem>,
) -> Settings {
    let prefix = &*ground.options.annotations_prefix;
    let mut settings = ground.base.clone();
    if !settings.guards.is_empty() {
        take_back(annotations, prefix, &mut settings.guards);
    }
    let is_set = |name: &str| is_set(annotations, OURS, name) || is_set(annotations, prefix, name);
    settings.client_auth.is_asked = is_set("auth-tls-secret");
    let mut unknown_ones = 0_usize;
    let mut has_waiting = false;
    for (full, text) in annotations.iter() {
        let Some((given, name)) = full.split_once('/') else { continue };
        let is_ours = given == OURS;
        if !is_ours && given != prefix {
            continue;
        }
        // A guard closes the paths under the wrong prefix too: its author believes in it.
        let row =
            table::find(name).filter(|row| if is_ours { row.ours } else { row.nginx } || row.fate() == Fate::Refused);
        let value = Value { text: value::trim(text), is_ours, full };
        let Some(row) = row else {
            if let Some(guard) = table::find(name).and_then(|row| row.guard)
                && !value.text.is_empty()
            {
                settings.guards.push(guard);
                problems.push(misplaced(name, guard, if is_ours { prefix } else { OURS }).on(object, full));
            } else {
                unknown_ones += 1;
                // To look for what was meant costs more than all else, and an object may have thousands of them.
                if unknown_ones <= MOST_UNKNOWN {
                    problems.push(unknown(full, given, name, is_ours, object));
                }
            }
            continue;
        };
        let is_ours_set = |name: &str| self::is_set(annotations, OURS, name);
        let is_shadowed = !is_ours && row.ours && (is_ours_set(name) || table::alias(name).is_some_and(is_ours_set));
        if value.text.is_empty() || is_shadowed {
            continue;
        }
        if let Some(found) = apply(row, &value, &mut settings) {
            // What waits for the same is told once.
            let waits = row.waits(value.text).is_some() && found.severity == Severity::Info;
            if !(waits && std::mem::replace(&mut has_waiting, true)) {
                problems.push(found.on(object, full));
            }
        }
    }
    if unknown_ones > MOST_UNKNOWN {
        problems.push(more_unknown(unknown_ones - MOST_UNKNOWN, object));
    }
    for (name, needs) in NEEDING {
        let full = || annotations.keys().find(|full| full.split_once('/').is_some_and(|(_, own)| own == name));
        if is_set(name)
            && !is_set(needs)
            && let Some(full) = full()
        {
            problems.push(orphan(name, needs).on(object, full));
        }
    }
    problems.extend(settings.tls.settle(ground).map(|(full, found)| found.on(object, &full)));
    snippet::settle(&mut settings, annotations, prefix, object, problems);
    settings.rewrite.settle();
    for full in settings.canary.idle() {
        let name = full.split_once('/').map_or(&**full, |(_, name)| name);
        let idle =
            Finding::ignored(Severity::Info, format!("{name} has no effect"), "it means something on a canary only");
        problems.push(idle.on(object, full));
    }
    if let Some((full, total)) = settings.canary.too_heavy() {
        let weight = annotations.get(full).map(|text| shorten(value::trim(text))).unwrap_or_default();
        let message = format!("canary-weight: {weight} is more than canary-weight-total, {total}, and means all");
        problems.push(Finding::invalid(message, format!("write {total} or less")).on(object, full));
    }
    for full in sticky::take_idle(&mut settings.backend) {
        let name = full.split_once('/').map_or(&*full, |(_, name)| name);
        let message = format!("{name}: has no effect without affinity: cookie");
        let idle = Finding::ignored(Severity::Warning, message, "set affinity: cookie, or remove it");
        problems.push(idle.on(object, &full));
    }
    if settings.canary.is_one() {
        pass_over(annotations, prefix, object, problems);
    }
    settings
}

/// Tells of each annotation that says nothing on a canary, in place of all that else is said of it.
fn pass_over(annotations: &Annotations, prefix: &str, object: &Arc<Object>, problems: &mut Vec<Problem>) {
    for (full, text) in annotations.iter() {
        let Some((given, name)) = full.split_once('/').filter(|(given, _)| [OURS, prefix].contains(given)) else {
            continue;
        };
        let is_known = |row: &&Row| row.guard.is_some() || if given == OURS { row.ours } else { row.nginx };
        let Some(row) = table::find(name).filter(|row| !row.on_canary).filter(is_known) else { continue };
        if value::trim(text).is_empty() {
            continue;
        }
        let field = field(full);
        problems.retain(|problem| problem.field != field);
        let hint = if row.on_service { "set it on the Service" } else { "set it on the Ingress beside it" };
        let idle = Finding::ignored(Severity::Info, format!("{name} has no effect on a canary"), hint);
        problems.push(idle.on(object, full));
    }
}

/// Annotations that mean nothing without another one: ingress-nginx passes them over in silence.
const NEEDING: [(&str, &str); 2] = [("auth-secret", "auth-type"), ("auth-signin", "auth-url")];

/// What is said of one of them. Its author may believe that it guards the paths.
fn orphan(name: &str, needs: &str) -> Finding {
    let message = format!("{name} has no effect without {needs}, which is missing: the paths are served without it");
    Finding::ignored(Severity::Warning, message, format!("set {needs}, or remove {name}"))
}

/// What is said of unknown names beyond those that are told one by one.
fn more_unknown(count: usize, object: &Arc<Object>) -> Problem {
    let message = format!("{count} more annotations have names that are not known");
    let hint = "remove them; they have no effect";
    problem(object, Severity::Warning, Reason::AnnotationUnknown, "metadata.annotations", message, hint)
}

/// Reads a key of a ConfigMap as the annotation of its name. What is wrong with it is told of `object`.
pub(in crate::compile) fn apply_key(value: &Value<'_>, base: &mut Settings, object: &Arc<Object>) -> Option<Problem> {
    let row = table::find(value.full)?;
    let Finding { severity, reason, message, hint } = apply(row, value, base)?;
    let message = message.replace("the paths of this Ingress answer", "all paths answer");
    Some(problem(object, severity, config_map::reason(reason), config_map::field(value.full), message, hint))
}

/// The objects that the annotations of an Ingress name, as far as it may name them.
pub(in crate::compile) fn references<'a>(
    ingress: &'a Ingress,
    prefix: &'a str,
    crosses_namespaces: bool,
) -> impl Iterator<Item = (Kind, Name)> + 'a {
    ingress.annotations.iter().filter_map(move |(full, text)| {
        let (given, name) = full.split_once('/').filter(|(given, _)| *given == OURS || *given == prefix)?;
        let row = table::find(name).filter(|row| if given == OURS { row.ours } else { row.nginx })?;
        let own = &ingress.meta.object.name.namespace;
        let named = reference(value::trim(text), own)?;
        let may_name = |names: &table::Names| names.anywhere || crosses_namespaces || named.namespace == *own;
        row.names.filter(may_name).map(|names| (names.kind, named))
    })
}

/// The object that `text` names, as `name` (in the namespace `own`) or `namespace/name`.
pub(in crate::compile) fn reference(text: &str, own: &Arc<str>) -> Option<Name> {
    let is_name = |part: &str| {
        let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        !part.is_empty() && part.len() <= LONGEST_NAME && part.bytes().all(is_fit)
    };
    let name = match text.split_once('/') {
        Some((namespace, name)) => Name::new(namespace, name),
        None => Name { namespace: Arc::clone(own), name: text.into() },
    };
    (is_name(&name.namespace) && is_name(&name.name)).then_some(name)
}

/// Reads the `fairlead.dev/` annotations of a Service into what is known of one of its ports.
pub(in crate::compile) fn read_service(service: &Service, resolution: &mut Resolution) {
    let mut settings = Settings::default();
    for (full, text) in service.annotations.iter() {
        let Some((OURS, name)) = full.split_once('/') else { continue };
        let value = Value { text: value::trim(text), is_ours: true, full };
        let object = &service.meta.object;
        let Some(row) = table::find(name).filter(|row| row.ours) else {
            resolution.notes.push(unknown(full, OURS, name, true, object));
            continue;
        };
        if value.text.is_empty() {
            continue;
        }
        let found = if row.on_service {
            apply(row, &value, &mut settings)
        } else {
            Some(Finding::ignored(
                Severity::Warning,
                format!("{full} has no effect on a Service"),
                "set it on the Ingress",
            ))
        };
        resolution.notes.extend(found.map(|found| found.on(object, full)));
    }
    if settings.backend != BackendSettings::default() {
        let object = Arc::clone(&service.meta.object);
        resolution.facts.said = Some(Said { object, settings: Arc::new(settings.backend) });
    }
}

/// A problem that still lacks the object.
struct Finding {
    severity: Severity,
    reason: Reason,
    message: String,
    hint: String,
}

impl Finding {
    fn ignored(severity: Severity, message: String, hint: impl Into<String>) -> Self {
        Finding { severity, reason: Reason::AnnotationIgnored, message, hint: hint.into() }
    }

    fn invalid(message: String, hint: String) -> Self {
        Finding { severity: Severity::Warning, reason: Reason::AnnotationInvalid, message, hint }
    }

    fn on(self, object: &Arc<Object>, full: &str) -> Problem {
        problem(object, self.severity, self.reason, field(full), self.message, self.hint)
    }
}

/// Whether the annotation of this full name is one of ours.
pub(in crate::compile) fn is_ours(full: &str) -> bool {
    full.strip_prefix(OURS).is_some_and(|rest| rest.starts_with('/'))
}

/// The field of an annotation, as problems name it.
pub(in crate::compile) fn field(full: &str) -> String {
    format!("metadata.annotations[{full}]")
}

fn apply(row: &Row, value: &Value<'_>, settings: &mut Settings) -> Option<Finding> {
    let name = row.name;
    match row.effect {
        Effect::Honoured(set) | Effect::Read(set, _) => match set(value, settings) {
            Ok(()) => row.waits(value.text).map(|missing| {
                let message = format!("{name} is read, and has no effect yet: {missing}");
                Finding::ignored(Severity::Info, message, "leave it for a later version, or remove it")
            }),
            Err(Refusal::Ignored(why, hint)) => {
                Some(Finding::ignored(Severity::Warning, format!("{name}: {why}"), hint))
            }
            Err(Refusal::Mistaken(why, hint)) => Some(refused(row, value, &why, hint, settings)),
            Err(Refusal::Invalid(why)) => {
                Some(refused(row, value, &why, table::hint(row.values, value.text), settings))
            }
        },
        Effect::Ignored { severity, instead } => {
            let message = match severity {
                Severity::Info => format!("{name} has no effect"),
                Severity::Error | Severity::Warning => format!("{name} is not honoured"),
            };
            Some(Finding::ignored(severity, message, instead))
        }
        Effect::Guards { guard, off } => {
            if means(value.text, off) {
                return None;
            }
            if guard.is_raw() && settings.snippets.treatment.unknown == snippet::Unknown::Ignored {
                let message = format!("{name} is not run, and snippets: ignore serves without it");
                return Some(Finding::ignored(Severity::Warning, message, guard.hint()));
            }
            settings.guards.push(guard);
            Some(Finding {
                severity: Severity::Error,
                reason: guard.reason(),
                message: format!("{name} {}, so the paths of this Ingress answer 503", guard.why()),
                hint: guard.hint().to_owned(),
            })
        }
    }
}

/// What is said of a wrong value. Where it guards access, the paths are closed: nobody knows what its author meant, and
/// serving them without the guard would be worse than not serving them.
fn refused(row: &Row, value: &Value<'_>, why: &str, hint: String, settings: &mut Settings) -> Finding {
    let (name, shown) = (row.name, shorten(value.text));
    let Some(guard) = row.guard else {
        return Finding::invalid(format!("{name}: {shown:?} {why}; the default serves{}", row.unless()), hint);
    };
    settings.guards.push(guard);
    let comes_to = if guard == Guard::Clients && settings.client_auth.is_asked {
        settings.client_auth.broken = Some(Arc::clone(value.full));
        "the hosts of this Ingress answer 403"
    } else {
        "the paths of this Ingress answer 503"
    };
    Finding {
        severity: Severity::Error,
        reason: guard.reason(),
        message: format!("{name}: {shown:?} {why}, so {comes_to}"),
        hint,
    }
}

/// What is said of a guard under the prefix that does not know it.
fn misplaced(name: &str, guard: Guard, right: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        reason: guard.reason(),
        message: format!("{name} is not known under this prefix, so the paths of this Ingress answer 503"),
        hint: format!("write {right}/{name}"),
    }
}

fn unknown(full: &str, given: &str, name: &str, is_ours: bool, object: &Arc<Object>) -> Problem {
    let known = rows().filter(|row| if is_ours { row.ours } else { row.nginx }).map(|row| row.name);
    let hint = match (table::replacement(name), did_you_mean(name, known)) {
        (Some(replacement), _) => replacement.to_owned(),
        (None, _) if config_map::rows().any(|row| row.name == name) => "use the ConfigMap key of that name".to_owned(),
        (None, Some(near)) => format!("did you mean {given}/{near}?"),
        (None, None) => "remove it; it has no effect".to_owned(),
    };
    problem(
        object,
        Severity::Warning,
        Reason::AnnotationUnknown,
        field(full),
        format!("no annotation is named {}", shorten(name)),
        hint,
    )
}

/// An annotation that says that a guard is off goes before the key of its name: of `guards`, those of the ConfigMap, it leaves
/// the others. What else the Ingress says is read later, in whatever order.
fn take_back(annotations: &Annotations, prefix: &str, guards: &mut Vec<Guard>) {
    for row in rows() {
        let Effect::Guards { guard, off } = row.effect else { continue };
        let says = |prefix: &str| annotations.get(format!("{prefix}/{}", row.name).as_str());
        let is_off = |text: &Arc<str>| means(value::trim(text), off);
        if !off.is_empty()
            && [OURS, prefix].into_iter().filter_map(says).any(is_off)
            && config_map::rows().any(|key| key.name == row.name)
        {
            guards.retain(|own| *own != guard);
        }
    }
}

fn is_set(annotations: &Annotations, prefix: &str, name: &str) -> bool {
    annotations.get(format!("{prefix}/{name}").as_str()).is_some_and(|text| !value::trim(text).is_empty())
}
