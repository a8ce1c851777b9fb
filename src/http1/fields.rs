//! Field lines as slices of one frozen buffer.

use bytes::Bytes;
use smallvec::SmallVec;

/// Field names that the proxy treats; found once, while parsing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Known {
    /// Any other name.
    Other,
    /// `Connection`.
    Connection,
    /// `Content-Length`.
    ContentLength,
    /// `Expect`.
    Expect,
    /// `Forwarded`.
    Forwarded,
    /// `Host`.
    Host,
    /// `HTTP2-Settings`.
    Http2Settings,
    /// `Keep-Alive`.
    KeepAlive,
    /// `Proxy`.
    Proxy,
    /// `Proxy-Authenticate`.
    ProxyAuthenticate,
    /// `Proxy-Authorization`.
    ProxyAuthorization,
    /// `Proxy-Connection`.
    ProxyConnection,
    /// `Referer`.
    Referer,
    /// `Server`.
    Server,
    /// `ssl-client-*`.
    SslClient,
    /// `Strict-Transport-Security`.
    StrictTransportSecurity,
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
    /// The name has an underscore.
    pub has_underscore: bool,
}

/// Field lines in order, in one frozen buffer.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// The buffer that every field is a slice of.
    pub bytes: Bytes,
    /// The lines.
    pub list: SmallVec<[Field; 24]>,
}

impl Fields {
    /// The name of `field`, as received.
    pub fn name(&self, field: &Field) -> &[u8] {
        slice(&self.bytes, field.name_start, field.name_len)
    }

    /// The value of `field`.
    pub fn value(&self, field: &Field) -> &[u8] {
        slice(&self.bytes, field.value_start, field.value_len)
    }

    /// The lines in order, as name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&Field, &[u8], &[u8])> {
        self.list.iter().map(|field| (field, self.name(field), self.value(field)))
    }

    /// The value of the first line with this name.
    pub fn get(&self, known: Known) -> Option<&[u8]> {
        self.list.iter().find(|field| field.known == known).map(|field| self.value(field))
    }
}

/// The slice, or nothing: offsets come from the parser of the same buffer, so nothing is never seen.
fn slice(bytes: &[u8], start: u32, len: u32) -> &[u8] {
    bytes.get(start as usize..start as usize + len as usize).unwrap_or_default()
}
