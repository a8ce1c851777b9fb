//! What Ingresses and Services say about one Service port, merged setting by setting: the first that says it decides.

use std::sync::Arc;
use std::time::Duration;

use super::claim::problem;
use super::config_map::{field as key_field, reason as in_config_map};
use super::ingress::annotations::{BackendProtocol, CheckProtocol, Way, field, is_ours};
use crate::ir::{BackendId, BackendTls, Kind, Object, PassiveCheck, Problem, Reason, SameSite, Severity, Template};

/// One setting with the annotation that says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Told<T> {
    /// What is said.
    pub(super) value: T,
    /// The annotation's full name.
    pub(super) annotation: Arc<str>,
}

/// TLS towards a Service port, as annotations ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AskedTls {
    /// All but whether the name is sent, which also depends on where the endpoints come from.
    pub(super) tls: BackendTls,
    /// `proxy-ssl-server-name`.
    pub(super) sends_name: Option<bool>,
}

/// Who says something about a Service port, and what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    /// The Ingress or the Service.
    pub(super) object: Arc<Object>,
    /// What it says.
    pub(super) settings: Arc<BackendSettings>,
}

/// What was decided about one setting.
pub(super) struct Word<'a, T> {
    /// What is meant.
    pub(super) value: &'a T,
    /// The annotation's full name.
    pub(super) annotation: &'a Arc<str>,
    /// Who says it.
    pub(super) object: &'a Arc<Object>,
    /// Where two settings contradict each other the one of the lesser rank counts.
    pub(super) rank: Rank,
}

/// The place of whoever says something (the Service, then Ingresses by age), then whether it is said under
/// ingress-nginx's prefix.
pub(super) type Rank = (usize, bool);

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        /// What one Ingress or one Service says about a Service port. `None` = not said, or said wrongly.
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) struct BackendSettings {
            $($(#[$doc])* pub(super) $name: Option<Told<$type>>,)*
        }

        /// What all of them come to. `None` = nobody says it.
        pub(super) struct Decided<'a> {
            $($(#[$doc])* pub(super) $name: Option<Word<'a, $type>>,)*
        }

        impl<'a> Decided<'a> {
            /// Takes for each setting the word of the first that has one; `sources` are in order of precedence. Others
            /// that say it differently are told.
            pub(super) fn of(id: &BackendId, sources: &[&'a Said], problems: &mut Vec<Problem>) -> Self {
                Decided { $($name: first(id, sources, |settings| settings.$name.as_ref(), problems),)* }
            }
        }
    };
}

settings! {
    /// `backend-protocol`.
    protocol: BackendProtocol,
    /// `proxy-ssl-*`.
    tls: AskedTls,
    /// `load-balance`.
    way: Way,
    /// `hash-by`, `upstream-hash-by`.
    hash_by: Arc<Template>,
    /// `upstream-hash-by-subset`.
    subset: bool,
    /// `upstream-hash-by-subset-size`.
    subset_size: u16,
    /// `locality` is `prefer`.
    prefer_zone: bool,
    /// `health-check-protocol`.
    check_protocol: CheckProtocol,
    /// `health-check-path`.
    check_path: Arc<str>,
    /// `health-check-host`.
    check_host: Arc<str>,
    /// `health-check-expected-status`.
    check_expected: Box<[(u16, u16)]>,
    /// `health-check-port`.
    check_port: u16,
    /// `health-check-interval`.
    check_interval: Duration,
    /// `health-check-timeout`.
    check_timeout: Duration,
    /// `health-check-unhealthy-threshold`.
    check_fall: u32,
    /// `health-check-healthy-threshold`.
    check_rise: u32,
    /// `passive-health`; `None` = off.
    passive: Option<PassiveCheck>,
    /// `panic-threshold`, percent.
    panic_threshold: u8,
    /// `slow-start`.
    slow_start: Duration,
    /// `service-upstream`.
    own_address: bool,
    /// `max-in-flight`; 0 = no limit.
    max_in_flight: u32,
    /// `affinity` is `cookie`. Who does not say it says nothing of the cookie.
    affinity: (),
    /// `session-cookie-name`.
    cookie_name: Arc<str>,
    /// `session-cookie-path`.
    cookie_path: Arc<str>,
    /// `session-cookie-domain`.
    cookie_domain: Arc<str>,
    /// `session-cookie-expires`, seconds.
    cookie_expires: u32,
    /// `session-cookie-max-age`, seconds.
    cookie_max_age: u32,
    /// `session-cookie-samesite`.
    cookie_same_site: SameSite,
    /// `session-cookie-conditional-samesite-none`.
    cookie_conditional_none: bool,
    /// `session-cookie-secure`.
    cookie_secure: bool,
    /// `session-cookie-change-on-failure`.
    cookie_change_on_failure: bool,
}

impl BackendSettings {
    /// What of it counts on a canary.
    pub(super) fn of_canary(&self) -> BackendSettings {
        BackendSettings {
            way: self.way.clone(),
            hash_by: self.hash_by.clone(),
            subset: self.subset.clone(),
            subset_size: self.subset_size.clone(),
            ..BackendSettings::default()
        }
    }
}

impl<T> Clone for Word<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Word<'_, T> {}

impl<T> Word<'_, T> {
    fn field(&self) -> String {
        if self.object.kind == Kind::ConfigMap { key_field(self.annotation) } else { field(self.annotation) }
    }

    /// A problem with it. The message begins with the name of the annotation.
    pub(super) fn told(&self, reason: Reason, why: &str, hint: &str) -> Problem {
        let name = self.annotation.split_once('/').map_or(&**self.annotation, |(_, name)| name);
        let reason = if self.object.kind == Kind::ConfigMap { in_config_map(reason) } else { reason };
        problem(self.object, Severity::Warning, reason, self.field(), format!("{name}: {why}"), hint)
    }
}

fn first<'a, T: PartialEq>(
    id: &BackendId,
    sources: &[&'a Said],
    setting: impl Fn(&'a BackendSettings) -> Option<&'a Told<T>>,
    problems: &mut Vec<Problem>,
) -> Option<Word<'a, T>> {
    let mut told = sources.iter().enumerate().filter_map(|(at, said)| Some((at, said, setting(&said.settings)?)));
    let (at, owner, decides) = told.next()?;
    // What a ConfigMap says of all Service ports is meant to give way.
    let told = told.filter(|(_, said, _)| said.object.kind != Kind::ConfigMap);
    for (_, said, other) in told.filter(|(_, _, other)| other.value != decides.value) {
        if is_of_routes(&other.annotation) {
            continue;
        }
        problems.push(shadowed(id, said, &other.annotation, &owner.object));
    }
    let Told { value, annotation } = decides;
    Some(Word { value, annotation, object: &owner.object, rank: (at, !is_ours(annotation)) })
}

/// How a back end is spoken to is said for the routes of the Ingress, and holds for these whatever others say.
fn is_of_routes(annotation: &str) -> bool {
    let name = annotation.split_once('/').map_or(annotation, |(_, name)| name);
    name == "backend-protocol" || name.starts_with("proxy-ssl-")
}

fn shadowed(id: &BackendId, said: &Said, annotation: &str, owner: &Object) -> Problem {
    let is_service = owner.kind == Kind::Service;
    let (by, hint) = if is_service {
        (format!("{owner} itself"), "remove it here: what the Service says goes before what its Ingresses say")
    } else {
        (format!("the older {owner}"), "set it alike on every Ingress of this Service port, or on the oldest only")
    };
    problem(
        &said.object,
        Severity::Warning,
        Reason::SettingShadowed,
        field(annotation),
        format!("{annotation} for {id} is set by {by}"),
        hint,
    )
}
