//! An answer that is kept, and what of it decides whether it may be served.

use std::sync::Arc;

use bytes::BytesMut;

use super::Body;
use crate::http1::{Field, Fields, ResponseHead};

/// Fields of the request that chose an answer, by lower-case name: their values in one form, `None` where there was none.
pub type Selecting = Box<[(Box<[u8]>, Option<Box<[u8]>>)]>;

/// An answer that is kept. Its framing is that of the upstream; its length is the body's.
#[derive(Debug)]
pub struct Stored {
    /// Status and fields, without those of one hop.
    pub head: ResponseHead,
    /// The body, which may still be coming in.
    pub body: Arc<Body>,
    /// Which requests it is for.
    pub selecting: Selecting,
    /// How long it may be served.
    pub life: Life,
}

/// Ages and lifetimes of an answer, milliseconds (RFC 9111 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When it came, since the epoch.
    pub received: u64,
    /// How old it was then.
    pub initial_age: u64,
    /// Up to this age it is fresh.
    pub fresh: u64,
    /// So long after that it is served while another is fetched.
    pub while_revalidate: u64,
    /// So long after that it is served while the backend fails.
    pub if_error: u64,
    /// Never served stale.
    pub must_revalidate: bool,
    /// Never served without asking.
    pub no_cache: bool,
}

impl Life {
    /// How old it is. A clock that was set back makes nothing younger than it came.
    pub fn age(&self, now: u64) -> u64 {
        self.initial_age + now.saturating_sub(self.received)
    }
}

impl Stored {
    /// Octets of memory, about.
    pub fn weight(&self) -> u64 {
        let fields = self.head.fields.bytes.len() + self.head.fields.count() * size_of::<Field>();
        let selecting: usize =
            self.selecting.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, |v| v.len())).sum();
        self.body.length() + (fields + selecting + size_of::<Stored>() + size_of::<Body>()) as u64
    }
}

/// The lines of `fields` that are passed on and `kept`, in memory of their own and in the form in which they are written.
pub fn compact(fields: &Fields, mut kept: impl FnMut(&[u8]) -> bool) -> Fields {
    let mut bytes = BytesMut::with_capacity(fields.bytes.len());
    let mut list = Vec::with_capacity(fields.count());
    for (field, name, value) in fields.passed().filter(|(_, name, _)| kept(name)) {
        append(&mut bytes, &mut list, field, name, value);
    }
    Fields::new(bytes.freeze(), list)
}

/// Two lists of lines as one, in the form of [`compact`].
pub fn join<'a>(lines: impl Iterator<Item = (&'a Field, &'a [u8], &'a [u8])>) -> Fields {
    let mut bytes = BytesMut::new();
    let mut list = Vec::new();
    lines.for_each(|(field, name, value)| append(&mut bytes, &mut list, field, name, value));
    Fields::new(bytes.freeze(), list)
}

fn append(bytes: &mut BytesMut, list: &mut Vec<Field>, field: &Field, name: &[u8], value: &[u8]) {
    // Heads are bounded far below 4 GiB.
    let at = |bytes: &BytesMut| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let name_start = at(bytes);
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(b": ");
    let value_start = at(bytes);
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
    list.push(Field { name_start, value_start, ..*field });
}
