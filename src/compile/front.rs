//! What Ingresses say of whole hosts into redirects and further names: of several on one host the oldest counts, and of
//! several hosts that want one name the first.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::claim::{Front, problem};
use super::ground::Ground;
use super::ingress::annotations::field;
use super::ingress::annotations::snippet::Rules;
use super::passthrough;
use super::said::Told;
use crate::ir::{
    Alias, Aliases, Cipher, ClientAuth, HostPattern, HostRedirect, HostTls, Object, Problem, Reason, Severity,
    VirtualHost,
};

/// What is said of one host together.
#[derive(Default)]
pub(super) struct Decided<'a> {
    /// What requests for `/` get.
    pub(super) app_root: Option<Arc<HostRedirect>>,
    /// Client certificates.
    pub(super) client_auth: Option<Arc<ClientAuth>>,
    /// How TLS is spoken.
    pub(super) tls: HostTls,
    /// The oldest Ingress that asks for TLS to be passed on unopened.
    pub(super) passthrough: Option<passthrough::Asked<'a>>,
    /// What `server-snippet` asks for.
    pub(super) rules: Option<Arc<Rules>>,
    /// It acts on the paths of this namespace only: the host belongs to another.
    pub(super) reach: Option<Arc<str>>,
    /// Further names.
    pub(super) names: Option<Names>,
}

/// Further names that one host asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Names {
    aliases: Option<Asked>,
    www: bool,
}

/// Who asks for which names.
type Asked = (Arc<Object>, Told<Box<[Alias]>>);

/// Merges what is said of one host, oldest first. Others that say it differently are told. `owner` is the namespace of its
/// oldest Ingress: a snippet of another must not answer for the paths of that one.
pub(super) fn decide<'a>(
    owner: Option<&Arc<str>>,
    fronts: impl Iterator<Item = (&'a Arc<Object>, &'a Arc<Front>)> + Clone,
    problems: &mut Vec<Problem>,
) -> Decided<'a> {
    let (mut app_root, mut aliases, mut client_auth, mut snippet, mut www) = (None, None, None, None, false);
    let is_owners = |object: &Object| owner.is_none_or(|owner| object.name.namespace == *owner);
    for of_owner in [true, false] {
        for (object, front) in fronts.clone().filter(|(object, _)| is_owners(object) == of_owner) {
            first(&mut snippet, object, front.snippet.as_ref(), problems);
        }
    }
    let (mut passthrough, mut ciphers, mut server_order) = (None, None, None);
    for (object, front) in fronts {
        let Front {
            app_root: own_root,
            aliases: own_aliases,
            client_auth: own_auth,
            ciphers: own_ciphers,
            server_order: own_order,
            passthrough: own_passthrough,
            snippet: _,
            www: own_www,
        } = &**front;
        first(&mut app_root, object, own_root.as_ref(), problems);
        first(&mut aliases, object, own_aliases.as_ref(), problems);
        first(&mut client_auth, object, own_auth.as_ref(), problems);
        first(&mut ciphers, object, own_ciphers.as_ref(), problems);
        first(&mut server_order, object, own_order.as_ref(), problems);
        passthrough = passthrough.or(own_passthrough.as_ref().map(|told| (object, told)));
        www |= own_www;
    }
    let aliases = aliases.map(|(object, told)| (Arc::clone(object), told.clone()));
    let foreign = snippet.filter(|(object, _)| !is_owners(object));
    if let (Some((object, told)), Some(owner)) = (foreign, owner) {
        let Told { annotation, .. }: &Told<Arc<Rules>> = told;
        let own = &object.name.namespace;
        let name = annotation.split_once('/').map_or(&**annotation, |(_, name)| name);
        problems.push(problem(
            object,
            Severity::Warning,
            Reason::SettingShadowed,
            field(annotation),
            format!("{name} acts on the paths of namespace {own} only: the oldest Ingress of the host is of {owner}"),
            format!("write it on an Ingress of namespace {owner}, if it is meant for the whole host"),
        ));
    }
    Decided {
        app_root: app_root.map(|(_, told): (_, &Told<Arc<HostRedirect>>)| Arc::clone(&told.value)),
        client_auth: client_auth.map(|(_, told): (_, &Told<Arc<ClientAuth>>)| Arc::clone(&told.value)),
        tls: HostTls {
            ciphers: ciphers.map(|(_, told): (_, &Told<Box<[Cipher]>>)| told.value.clone()),
            client_order: server_order.is_some_and(|(_, told): (_, &Told<bool>)| !told.value),
        },
        passthrough,
        rules: snippet.map(|(_, told): (_, &Told<Arc<Rules>>)| Arc::clone(&told.value)),
        reach: foreign.map(|(object, _)| Arc::clone(&object.name.namespace)),
        names: (aliases.is_some() || www).then_some(Names { aliases, www }),
    }
}

fn first<'a, T: PartialEq>(
    decides: &mut Option<(&'a Arc<Object>, &'a Told<T>)>,
    object: &'a Arc<Object>,
    told: Option<&'a Told<T>>,
    problems: &mut Vec<Problem>,
) {
    let Some(told) = told else { return };
    match decides {
        None => *decides = Some((object, told)),
        Some((owner, other)) if other.value != told.value => problems.push(problem(
            object,
            Severity::Warning,
            Reason::SettingShadowed,
            field(&told.annotation),
            format!("{} is set by the older {owner} of the same host", told.annotation),
            "set it alike on every Ingress of the host, or on the oldest only",
        )),
        Some(_) => {}
    }
}

/// What the further names of all hosts come to.
#[derive(Default)]
pub(super) struct Resolved {
    /// Names that lead to a host.
    pub(super) aliases: Aliases,
    /// Hosts that only redirect, each with the host that they redirect to.
    pub(super) moved: BTreeMap<HostPattern, HostPattern>,
    /// Names that somebody else has.
    pub(super) problems: Vec<Problem>,
}

/// Gives each further name to one host. `is_host`: some rule has the name.
pub(super) fn resolve(asked: &BTreeMap<HostPattern, Names>, is_host: impl Fn(&HostPattern) -> bool) -> Resolved {
    let mut resolved = Resolved::default();
    for (host, Names { aliases, .. }) in asked {
        let Some((object, told)) = aliases else { continue };
        for alias in &told.value {
            let name = match alias {
                Alias::Expression(expression) => {
                    resolved.aliases.expressions.push((expression.clone(), host.clone()));
                    continue;
                }
                Alias::Name(name) if name == host => continue,
                Alias::Name(name) => name,
            };
            let owner = match resolved.aliases.names.get(name) {
                Some(other) if other == host => continue,
                Some(other) => format!("a further name of {other}"),
                None if is_host(name) => "a host with rules of its own".to_owned(),
                None => {
                    resolved.aliases.names.insert(name.clone(), host.clone());
                    continue;
                }
            };
            resolved.problems.push(problem(
                object,
                Severity::Warning,
                Reason::HostConflict,
                field(&told.annotation),
                format!("{name} is no further name of {host}: it is {owner}"),
                "let each name belong to one host",
            ));
        }
    }
    for (host, _) in asked.iter().filter(|(_, names)| names.www) {
        let Some(other) = other_name(host) else { continue };
        if !is_host(&other) && !resolved.aliases.names.contains_key(&other) {
            resolved.moved.insert(other, host.clone());
        }
    }
    resolved
}

/// `www.x` for `x` and the other way round. A wildcard has none.
fn other_name(host: &HostPattern) -> Option<HostPattern> {
    let HostPattern::Exact(name) = host else { return None };
    Some(HostPattern::Exact(match name.strip_prefix("www.") {
        Some(bare) => bare.into(),
        None => format!("www.{name}").into(),
    }))
}

/// The host `from` that sends everybody to `to`.
pub(super) fn moved(from: &HostPattern, to: &HostPattern, ground: &Ground) -> VirtualHost {
    let options = &ground.options;
    // In a cluster the ports that clients see are the load balancer's.
    let port = |own: Option<u16>, usual| own.filter(|_| options.folder).unwrap_or(usual);
    let redirect = HostRedirect::Moved {
        to: to.to_string().into(),
        status: ground.keys.redirect_code,
        http_port: port(options.http_port, 80),
        https_port: port(options.https_port, 443),
    };
    VirtualHost {
        host: from.clone(),
        routes: Vec::new(),
        redirect: Some(Arc::new(redirect)),
        client_auth: None,
        tls: None,
        passthrough: None,
    }
}
