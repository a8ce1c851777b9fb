//! What is changed in requests and answers on their way.

use std::sync::Arc;

use super::Template;

/// What is changed in requests on their way to the backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestEdits {
    /// `upstream-vhost`: another `Host`.
    pub host: Option<Template>,
    /// `connection-proxy-header`: `close` or `keep-alive`.
    pub connection: Option<&'static str>,
    /// Fields of the client that are something else before anybody looks at them (`more_set_input_headers` of nginx).
    pub input: Box<[InputEdit]>,
    /// Fields in the place of the client's; one whose text is empty is not sent.
    pub fields: Box<[(Arc<str>, Template)]>,
}

/// A field of a client that is something else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputEdit {
    /// Its name; of one that is taken away perhaps a beginning and `*`.
    pub name: Arc<str>,
    /// What it is; `None`, or an empty text: it is not there.
    pub value: Option<Template>,
    /// Only where the client sends it.
    pub only_present: bool,
}

/// What is changed in answers on their way to the client.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResponseEdits {
    /// `custom-headers`: fields in the place of the backend's, on our own answers too.
    pub fields: Box<[(Arc<str>, Arc<str>)]>,
    /// `proxy-cookie-domain`: what `Domain` of cookies is and what it becomes.
    pub cookie_domain: Option<(Arc<str>, Arc<str>)>,
    /// `proxy-cookie-path`: how `Path` of cookies begins and what that becomes.
    pub cookie_path: Option<(Arc<str>, Arc<str>)>,
    /// `proxy-redirect-from`, `-to`: how `Location` and `Refresh` begin and what that becomes.
    pub location: Option<(Arc<str>, Template)>,
    /// Further changes, in order.
    pub rules: Box<[AnswerRule]>,
}

/// A change of one field of answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnswerRule {
    /// Its name; of one that is taken away perhaps a beginning and `*`.
    pub name: Arc<str>,
    /// What happens to it.
    pub act: AnswerAct,
    /// Only on answers with these statuses, sorted; empty: on all.
    pub statuses: Box<[u16]>,
    /// Only on answers of these media types; empty: on all.
    pub types: Box<[Arc<str>]>,
}

impl AnswerRule {
    /// The statuses on which nginx's `add_header` acts.
    pub const USUAL: [u16; 10] = [200, 201, 204, 206, 301, 302, 303, 304, 307, 308];
}

/// What happens to a field of answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnswerAct {
    /// It is sent beside others of its name (`add_header`).
    Add(Template),
    /// It is taken away (`more_clear_headers`).
    Clear,
    /// That of the back end is taken away (`proxy_hide_header`).
    Hide,
    /// It is sent in their place (`more_set_headers`); an empty text takes it away.
    Set(Template),
}
