//! Field lines as slices of one frozen buffer.

use std::borrow::Cow;

use bytes::Bytes;

/// Field names that the proxy treats; found once, while parsing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Known {
    /// Any other name.
    Other,
    /// `Authorization`.
    Authorization,
    /// `Cache-Control`.
    CacheControl,
    /// `If-*`, `Range`: what makes an answer another one for who has it already, or a part of it.
    Conditional,
    /// `Connection`.
    Connection,
    /// `Content-Length`.
    ContentLength,
    /// `Date`.
    Date,
    /// `Expect`.
    Expect,
    /// `Forwarded`.
    Forwarded,
    /// `Host`.
    Host,
    /// `HTTP2-Settings`, `Keep-Alive`, `Proxy-Connection`: meant for the next hop only.
    Hop,
    /// `Proxy`, which a CGI back end would take for a setting of its own (CVE-2016-5385 and kin).
    Proxy,
    /// `Referer`.
    Referer,
    /// `Server`.
    Server,
    /// `ssl-client-*`.
    SslClient,
    /// `TE`.
    Te,
    /// `Trailer`.
    Trailer,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Upgrade`.
    Upgrade,
    /// `User-Agent`.
    UserAgent,
    /// `X-Accel-*`.
    XAccel,
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `X-Forwarded-Host`.
    XForwardedHost,
    /// Any other `X-Forwarded-*`, `X-Real-IP`, `X-Scheme`, `X-Original-*`.
    XForwardedOther,
    /// `X-Request-ID`.
    XRequestId,
}

impl Known {
    fn bit(self) -> u32 {
        1 << self as u32
    }

    /// Which name this is, in any letter case.
    pub fn of(name: &[u8]) -> Known {
        let is =
            |other: &str, known: Known| if name.eq_ignore_ascii_case(other.as_bytes()) { known } else { Known::Other };
        let starts = |prefix: &str| name.get(..prefix.len()).is_some_and(|s| s.eq_ignore_ascii_case(prefix.as_bytes()));
        match (name.len(), name.first().map(u8::to_ascii_lowercase)) {
            (2, Some(b't')) => is("te", Known::Te),
            (4, Some(b'h')) => is("host", Known::Host),
            (4, Some(b'd')) => is("date", Known::Date),
            (5, Some(b'p')) => is("proxy", Known::Proxy),
            (5, Some(b'r')) => is("range", Known::Conditional),
            (6, Some(b'e')) => is("expect", Known::Expect),
            (6, Some(b's')) => is("server", Known::Server),
            (7, Some(b'u')) => is("upgrade", Known::Upgrade),
            (7, Some(b't')) => is("trailer", Known::Trailer),
            (7, Some(b'r')) => is("referer", Known::Referer),
            (8, Some(b'i')) if starts("if-match") || starts("if-range") => Known::Conditional,
            (9, Some(b'f')) => is("forwarded", Known::Forwarded),
            (10, Some(b'c')) => is("connection", Known::Connection),
            (10, Some(b'k')) => is("keep-alive", Known::Hop),
            (10, Some(b'u')) => is("user-agent", Known::UserAgent),
            (13, Some(b'a')) => is("authorization", Known::Authorization),
            (13, Some(b'c')) => is("cache-control", Known::CacheControl),
            (13, Some(b'i')) => is("if-none-match", Known::Conditional),
            (14, Some(b'c')) => is("content-length", Known::ContentLength),
            (14, Some(b'h')) => is("http2-settings", Known::Hop),
            (16, Some(b'p')) => is("proxy-connection", Known::Hop),
            (17, Some(b'i')) => is("if-modified-since", Known::Conditional),
            (17, Some(b't')) => is("transfer-encoding", Known::TransferEncoding),
            (19, Some(b'i')) => is("if-unmodified-since", Known::Conditional),
            (_, Some(b's')) if starts("ssl-client-") => Known::SslClient,
            (_, Some(b'x')) => match name.len() {
                8 => is("x-scheme", Known::XForwardedOther),
                9 => is("x-real-ip", Known::XForwardedOther),
                12 if starts("x-request-id") => Known::XRequestId,
                15 if starts("x-forwarded-for") => Known::XForwardedFor,
                16 if starts("x-forwarded-host") => Known::XForwardedHost,
                _ if starts("x-forwarded-") || starts("x-original-") => Known::XForwardedOther,
                _ if starts("x-accel-") => Known::XAccel,
                _ => Known::Other,
            },
            _ => Known::Other,
        }
    }
}

/// One field line: where its name and value stand in the buffer.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Offset of the name.
    pub name_start: u32,
    /// Length of the name.
    pub name_len: u32,
    /// Offset of the value, without surrounding white space.
    pub value_start: u32,
    /// Length of the value.
    pub value_len: u32,
    /// Which name it is.
    pub known: Known,
    /// Not passed on: meant for this hop only, or replaced by ours.
    pub skip: bool,
}

/// Field lines in order, in one frozen buffer.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// The buffer that every field is a slice of.
    pub bytes: Bytes,
    pub(super) list: Vec<Field>,
    /// A bit for each [`Known`] that a line has: most names that are asked for are not there.
    present: u32,
}

impl Fields {
    /// The lines of `list`, which stand in `bytes`.
    pub fn new(bytes: Bytes, list: Vec<Field>) -> Fields {
        let present = list.iter().fold(0, |present, field| present | field.known.bit());
        Fields { bytes, list, present }
    }

    /// How many lines there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// The name of `field`, as received.
    pub fn name(&self, field: &Field) -> &[u8] {
        slice(&self.bytes, field.name_start, field.name_len)
    }

    /// The value of `field`.
    pub fn value(&self, field: &Field) -> &[u8] {
        slice(&self.bytes, field.value_start, field.value_len)
    }

    /// The value of `field` as a slice that keeps the buffer alive.
    pub fn value_bytes(&self, field: &Field) -> Bytes {
        share(&self.bytes, field.value_start, field.value_len)
    }

    /// The lines in order, as name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&Field, &[u8], &[u8])> {
        self.list.iter().map(|field| (field, self.name(field), self.value(field)))
    }

    /// The lines that are passed on.
    pub fn passed(&self) -> impl Iterator<Item = (&Field, &[u8], &[u8])> {
        self.iter().filter(|(field, ..)| !field.skip)
    }

    /// Whether a line has this name.
    pub fn has(&self, known: Known) -> bool {
        self.present & known.bit() != 0
    }

    /// The value of the first line with this name.
    pub fn get(&self, known: Known) -> Option<&[u8]> {
        if !self.has(known) {
            return None;
        }
        self.list.iter().find(|field| field.known == known).map(|field| self.value(field))
    }

    /// The values of all lines of the name as one (RFC 9110 5.3).
    pub fn joined(&self, known: Known) -> Cow<'_, [u8]> {
        let mut lines = self.list.iter().filter(|field| field.known == known).map(|field| self.value(field));
        let mut all = Cow::Borrowed(lines.next().unwrap_or_default());
        for line in lines {
            all.to_mut().extend_from_slice(b", ");
            all.to_mut().extend_from_slice(line);
        }
        all
    }

    /// The value of the first line with this lower-case name, for names that are not [`Known`].
    pub fn find(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(_, n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, _, value)| value)
    }

    /// Marks every line of this name as passed on.
    pub fn pass(&mut self, known: Known) {
        for field in self.list.iter_mut().filter(|field| field.known == known) {
            field.skip = false;
        }
    }

    /// Marks the lines with `_` in their name as passed on, which they are not else: back ends of CGI's kind cannot tell
    /// them from those with hyphens. So a name that comes to one of ours that way stays behind.
    pub fn pass_underscored(&mut self) {
        for at in 0..self.list.len() {
            let Some(field) = self.list.get(at).copied() else { break };
            let name = self.name(&field);
            if memchr::memchr(b'_', name).is_none() {
                continue;
            }
            let hyphened: Vec<u8> = name.iter().map(|octet| if *octet == b'_' { b'-' } else { *octet }).collect();
            let is_nothing_to_us =
                matches!(Known::of(&hyphened), Known::CacheControl | Known::Conditional | Known::Other);
            if let Some(field) = self.list.get_mut(at).filter(|_| is_nothing_to_us) {
                field.skip = false;
            }
        }
        let bytes = self.bytes.clone();
        let named = self.list.iter().filter(|field| field.known == Known::Connection);
        let spans: Vec<(u32, u32)> = named.map(|field| (field.value_start, field.value_len)).collect();
        for option in spans.into_iter().flat_map(|(start, length)| super::head::options(slice(&bytes, start, length))) {
            self.skip_option(option);
        }
    }

    /// Marks every line of this name as not passed on.
    pub fn skip_named(&mut self, name: &[u8]) {
        for field in &mut self.list {
            let own = slice(&self.bytes, field.name_start, field.name_len);
            field.skip |= own.eq_ignore_ascii_case(name);
        }
    }

    /// The same, also of a name that back ends of CGI's kind cannot tell from it ([`is_alike`]).
    pub fn skip_alike(&mut self, name: &[u8]) {
        self.skip_where(|own, _| is_alike(own, name));
    }

    /// Marks every line whose name and value are `meant` as not passed on.
    pub fn skip_where(&mut self, mut meant: impl FnMut(&[u8], &[u8]) -> bool) {
        let Fields { bytes, list, present: _ } = self;
        for field in list.iter_mut().filter(|field| !field.skip) {
            let name = slice(bytes, field.name_start, field.name_len);
            field.skip = meant(name, slice(bytes, field.value_start, field.value_len));
        }
    }

    /// Marks the lines that a `Connection` option names, unless the option would hit the host, the framing or a field
    /// that we set ourselves.
    pub(super) fn skip_option(&mut self, option: &[u8]) {
        for i in 0..self.list.len() {
            let Some(field) = self.list.get(i).copied() else { break };
            if is_end_to_end(field.known)
                && self.name(&field).eq_ignore_ascii_case(option)
                && let Some(field) = self.list.get_mut(i)
            {
                field.skip = true;
            }
        }
    }
}

/// Whether two names are one to a back end of CGI's kind, to which neither letter case nor `_` or `-` make a difference.
pub fn is_alike(one: &[u8], other: &[u8]) -> bool {
    let plain = |octet: &u8| if *octet == b'_' { b'-' } else { octet.to_ascii_lowercase() };
    one.len() == other.len() && one.iter().map(plain).eq(other.iter().map(plain))
}

/// Whether a field of a request is passed on, unless a `Connection` option takes it away: it is not meant for this hop, not
/// made anew, and claims nothing that only we may say.
pub(super) fn is_end_to_end(known: Known) -> bool {
    match known {
        Known::Authorization
        | Known::CacheControl
        | Known::Conditional
        | Known::Date
        | Known::Other
        | Known::Referer
        | Known::Server
        | Known::UserAgent
        | Known::XAccel => true,
        Known::Connection
        | Known::ContentLength
        | Known::Expect
        | Known::Forwarded
        | Known::Hop
        | Known::Host
        | Known::Proxy
        | Known::SslClient
        | Known::Te
        | Known::Trailer
        | Known::TransferEncoding
        | Known::Upgrade
        | Known::XForwardedFor
        | Known::XForwardedHost
        | Known::XForwardedOther
        | Known::XRequestId => false,
    }
}

/// Offset and length of a part of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First octet.
    pub start: u32,
    /// Octets.
    pub len: u32,
}

impl Span {
    /// The part of `bytes`.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        slice(bytes, self.start, self.len)
    }

    /// Whether it is no octet long.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Where `part`, a slice of `whole`, stands in it.
    pub(super) fn within(whole: &[u8], part: &[u8]) -> Span {
        Span { start: offset(whole, part), len: len32(part.len()) }
    }
}

/// The offset of `part`, a slice of `whole`; heads are bounded far below 4 GiB.
pub(super) fn offset(whole: &[u8], part: &[u8]) -> u32 {
    len32((part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize))
}

/// A length as `u32`; heads are bounded far below 4 GiB.
pub(super) fn len32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The slice, or nothing: offsets come from the parser of the same buffer, so nothing is never seen.
fn slice(bytes: &[u8], start: u32, len: u32) -> &[u8] {
    bytes.get(start as usize..start as usize + len as usize).unwrap_or_default()
}

fn share(bytes: &Bytes, start: u32, len: u32) -> Bytes {
    let (start, end) = (start as usize, start as usize + len as usize);
    if end <= bytes.len() { bytes.slice(start..end) } else { Bytes::new() }
}
