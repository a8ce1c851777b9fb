//! Keys about the service that says who may come in wherever an Ingress names none (`global-auth-*`).

use std::sync::Arc;

use super::table::{Closes, Row, sets};
use super::{Read, field};
use crate::compile::claim::problem;
use crate::compile::ingress::annotations::{Refusal, SWITCH, UrlHost, Value, external, lasting};
use crate::compile::resolve::refusal;
use crate::ir::{Object, Reason, Severity};

/// The key without which the others mean nothing.
const URL: &str = "global-auth-url";

/// What is asked where an Ingress says nothing of `auth-url`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) enum GlobalAuth {
    /// A service.
    Asks {
        /// What is said of it.
        said: Arc<external::Said>,
        /// The ConfigMap, to blame.
        object: Arc<Object>,
    },
    /// A service that cannot be had, so nobody comes in.
    Broken,
    /// Nothing.
    #[default]
    None,
}

/// What the keys say.
#[derive(Default)]
pub(super) struct Said {
    pub(super) external: external::Said,
    /// A value of a key that guards is wrong.
    pub(super) is_broken: bool,
}

pub(super) const ROWS: &[Row] = &[
    guarding(
        "global-auth-always-set-cookie",
        "false",
        always_cookies,
        SWITCH,
        "cookies of the service go to the client whatever the back end answers; of that of `auth-url` too",
    ),
    guarding(
        "global-auth-cache-duration",
        "200 202 401 5m",
        |value, to| external::times(value).map(|times| to.global_auth.external.cache_times = Some(times)),
        "write statuses and a time, as in 200 202 401 5m",
        "which of its answers are remembered, and how long",
    ),
    sets(
        "global-auth-cache-key",
        "",
        cache_key,
        "write a text with variables, as in $cookie_session",
        "requests for a path with the same text get the same answer while it is remembered",
    ),
    guarding(
        "global-auth-method",
        "",
        |value, to| external::method(value, &mut to.global_auth.external),
        "one of: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        "the method to ask with",
    ),
    guarding(
        "global-auth-request-redirect",
        "",
        |value, to| external::text(value).map(|text| to.global_auth.external.redirect = Some(text)),
        "write a text with variables, as in $scheme://$host$request_uri",
        "`X-Auth-Request-Redirect`; path and query of the request if not set",
    ),
    guarding(
        "global-auth-response-headers",
        "",
        |value, to| external::fields(value, &mut to.global_auth.external),
        "write names of header fields, as in X-User, X-Groups",
        "fields of its answer that the back end gets in place of the client's",
    ),
    sets(
        "global-auth-signin",
        "",
        |value, to| external::address(value).map(|text| to.global_auth.external.sign_in = Some(text)),
        "write a URL, as in https://$host/oauth2/start",
        "where clients are sent that it does not know",
    ),
    sets(
        "global-auth-signin-redirect-param",
        "rd",
        |value, to| external::parameter(value, &mut to.global_auth.external),
        "write the name of an argument, as in rd",
        "the argument that says where they wanted to go",
    ),
    guarding(
        URL,
        "",
        |value, to| external::url(value).map(|url| to.global_auth.external.url = Some(value.told(url))),
        "write a URL, as in http://auth.example/verify",
        "asks this service who may come in, on paths of Ingresses without `auth-url` and without `enable-global-auth: \
         \"false\"`, but for those of `no-auth-locations`; its host may be a variable as that of `auth-url`",
    ),
];

const fn guarding(
    name: &'static str,
    default: &'static str,
    set: super::table::Set,
    values: &'static str,
    meaning: &'static str,
) -> Row {
    Row { closes: Some(Closes::Asked), ..sets(name, default, set, values, meaning) }
}

fn cache_key(value: &Value<'_>, to: &mut Read) -> Result<(), Refusal> {
    to.global_auth.external.cache_key = Some(lasting(external::text(value)?)?);
    Ok(())
}

fn always_cookies(value: &Value<'_>, to: &mut Read) -> Result<(), Refusal> {
    let is = value.boolean()?;
    to.global_auth.external.always_cookies = is;
    to.base.external.always_cookies = is;
    Ok(())
}

/// Puts what is said together. `is_asked`: there is a URL, right or wrong.
pub(super) fn finish(read: &mut Read, is_asked: bool, is_folder: bool, object: &Arc<Object>) {
    let Said { external: mut said, is_broken } = std::mem::take(&mut read.global_auth);
    said.lines = std::mem::take(&mut read.global_lines);
    let host = said.url.as_ref().and_then(|url| match &url.value.host {
        UrlHost::Named(host) => Some(host.trim_matches(['[', ']'])),
        UrlHost::OfRule(..) => None,
    });
    let refused = host.and_then(|host| Some((host, refusal(host, is_folder)?)));
    if let Some((host, why)) = refused {
        let message = format!("{URL}: host {host} {why}, so the paths that it guards answer 503");
        let hint = "name a host outside this machine and its link";
        read.problems.push(problem(object, Severity::Error, Reason::AccessRuleBroken, field(URL), message, hint));
    }
    read.keys.global_auth = match () {
        () if !is_asked => GlobalAuth::None,
        () if is_broken || refused.is_some() => GlobalAuth::Broken,
        () => GlobalAuth::Asks { said: Arc::new(said), object: Arc::clone(object) },
    };
}

impl GlobalAuth {
    /// The key that asks for it.
    pub(in crate::compile) const KEY: &'static str = URL;
}
