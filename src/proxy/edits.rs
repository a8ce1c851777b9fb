//! What filters change in a request on its way to the back end.

use std::borrow::Cow;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::filter::{Request, rules::is_named, text};
use crate::http1::{Fields, RequestHead, is_alike};
use crate::ir::{Access, InputEdit, RequestEdits};

/// Changes to the fields that a client sent. Nothing is allocated or copied until something changes: most requests go on
/// as they came.
#[derive(Clone, Debug, Default)]
pub struct Edits(Option<Box<Changes>>);

#[derive(Clone, Debug, Default)]
struct Changes {
    fields: Option<Fields>,
    added: Vec<(Cow<'static, str>, Bytes)>,
    host: Option<Bytes>,
    connection: Option<&'static str>,
    cookies: SmallVec<[Bytes; 1]>,
}

impl Edits {
    fn changes(&mut self) -> &mut Changes {
        self.0.get_or_insert_default()
    }

    /// Leaves every line of this name behind, also one that a back end may take for it.
    pub fn remove(&mut self, head: &RequestHead, name: &str) {
        let Changes { fields, added, .. } = self.changes();
        fields.get_or_insert_with(|| head.fields.clone()).skip_alike(name.as_bytes());
        added.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
    }

    /// Sends this in the place of every line of the name.
    pub fn set(&mut self, head: &RequestHead, name: impl Into<Cow<'static, str>>, value: Bytes) {
        let name = name.into();
        self.remove(head, &name);
        self.changes().added.push((name, value));
    }

    /// Sends this too. No client may send anything under that name.
    pub fn add(&mut self, name: &'static str, value: Bytes) {
        self.changes().added.push((name.into(), value));
    }

    /// Leaves behind what is not for a back end of a guarded route: a password, and what a client says of itself in the
    /// place of the service that is asked.
    pub fn withhold(&mut self, access: &Access, head: &RequestHead) {
        if access.basic.is_some() {
            self.remove(head, "Authorization");
        }
        for name in access.external.iter().flat_map(|external| &external.fields) {
            self.remove(head, name);
        }
    }

    /// Makes a client's fields something else. What stands here already is somebody else's word, and stays.
    pub fn input(&mut self, asked: &RequestEdits, request: &Request<'_>) {
        let head = request.head;
        for InputEdit { name, value, only_present } in &asked.input {
            let is_there = head.fields.iter().any(|(_, own, _)| is_named(name, own));
            let Changes { fields, added, .. } = self.changes();
            fields.get_or_insert_with(|| head.fields.clone()).skip_where(|own, _| is_meant(name, own));
            let is_told = added.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
            let value = value.as_ref().filter(|_| !is_told && (is_there || !only_present));
            let value = value.map(|value| text::field_value(value, request)).filter(|value| !value.is_empty());
            added.extend(value.map(|value| (name.to_string().into(), value.into())));
        }
    }

    /// Makes the changes that a route asks for.
    pub fn apply(&mut self, asked: &RequestEdits, request: &Request<'_>) {
        self.input(asked, request);
        let changes = self.changes();
        changes.host = asked.host.as_ref().map(|host| text::visible(text::expand(host, request)).into());
        changes.connection = asked.connection;
        for (name, template) in &asked.fields {
            match text::field_value(template, request) {
                value if value.is_empty() => self.remove(request.head, name),
                value => self.set(request.head, name.to_string(), value.into()),
            }
        }
    }

    /// Gives the client these cookies of a service that was asked.
    pub fn give(&mut self, cookies: SmallVec<[Bytes; 1]>) {
        if !cookies.is_empty() {
            self.changes().cookies = cookies;
        }
    }

    /// The same, for somebody else than the back end: without its `Host` and `Connection`.
    pub fn elsewhere(&self) -> Edits {
        let changes = |changes: &Changes| Changes { host: None, connection: None, ..changes.clone() };
        Edits(self.0.as_deref().map(|own| Box::new(changes(own))))
    }

    /// The client's fields, as far as they are sent.
    pub fn fields<'a>(&'a self, head: &'a RequestHead) -> &'a Fields {
        self.0.as_ref().and_then(|changes| changes.fields.as_ref()).unwrap_or(&head.fields)
    }

    /// The fields beside them.
    pub fn added(&self) -> &[(Cow<'static, str>, Bytes)] {
        self.0.as_ref().map_or(&[], |changes| &changes.added)
    }

    /// Another `Host`.
    pub fn host(&self) -> Option<&[u8]> {
        self.0.as_ref()?.host.as_deref()
    }

    /// `Connection`, over HTTP/1.1.
    pub fn connection(&self) -> Option<&'static str> {
        self.0.as_ref()?.connection
    }

    /// `Set-Cookie` fields for the client.
    pub fn cookies(&self) -> &[Bytes] {
        self.0.as_ref().map_or(&[], |changes| &changes.cookies)
    }
}

/// As [`is_named`], also where a back end may take one name for the other.
fn is_meant(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => name.get(..begin.len()).is_some_and(|own| is_alike(own, begin.as_bytes())),
        None => is_alike(name, pattern.as_bytes()),
    }
}
