//! Heads as RFC 9112 writes them, without any of the tolerance it allows.

/// A field: name and value.
pub(crate) type Field = (Vec<u8>, Vec<u8>);

/// How a body ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Neither `Content-Length` nor `Transfer-Encoding`.
    Unsaid,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// A head in its parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The start line, split at its first two spaces.
    pub(crate) start: [Vec<u8>; 3],
    /// Field lines in order.
    pub(crate) fields: Vec<Field>,
    /// How the body ends.
    pub(crate) body: Body,
    /// Octets of the head with its empty line.
    pub(crate) len: usize,
}

impl Head {
    /// The values of all fields with this lower-case name.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| &value[..])
    }
}

/// The request head at the start of `bytes`: a token, a target of visible octets, `HTTP/1.0` or `HTTP/1.1`, exactly one
/// space between them, exactly one Host (none is needed in 1.0), not both kinds of length.
pub(crate) fn request(bytes: &[u8]) -> Option<Head> {
    let head = read(bytes)?;
    let [method, target, version] = &head.start;
    let is_target = !target.is_empty() && target.iter().all(u8::is_ascii_graphic);
    let hosts = head.values("host").count();
    let is_whole = match version.as_slice() {
        b"HTTP/1.1" => hosts == 1,
        b"HTTP/1.0" => hosts <= 1 && head.body != Body::Chunked,
        _ => false,
    };
    (is_token(method) && is_target && is_whole).then_some(head)
}

/// The response head at the start of `bytes`.
pub(crate) fn response(bytes: &[u8]) -> Option<Head> {
    let head = read(bytes)?;
    let [version, status, _] = &head.start;
    let is_version = version == b"HTTP/1.1" || version == b"HTTP/1.0";
    let is_status = status.len() == 3 && status.iter().all(u8::is_ascii_digit) && status.first() != Some(&b'0');
    (is_version && is_status).then_some(head)
}

fn read(bytes: &[u8]) -> Option<Head> {
    let mut rest = bytes;
    let mut lines = Vec::new();
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let (line, tail) = rest.split_at(end);
        rest = tail.get(2..)?;
        if line.is_empty() {
            break;
        }
        if line.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
            return None;
        }
        lines.push(line);
    }
    let (start, lines) = lines.split_first()?;
    let mut parts = start.splitn(3, |octet| *octet == b' ').map(<[u8]>::to_vec);
    let start = [parts.next()?, parts.next()?, parts.next().unwrap_or_default()];
    let fields = lines.iter().map(|line| field(line)).collect::<Option<Vec<Field>>>()?;
    let body = body(&fields)?;
    Some(Head { start, fields, body, len: bytes.len() - rest.len() })
}

/// One field line: token, colon, value with no control octet but the tab, white space around it taken off.
pub(crate) fn field(line: &[u8]) -> Option<Field> {
    let colon = line.iter().position(|octet| *octet == b':')?;
    let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
    let is_value = value.iter().all(|octet| *octet == b'\t' || !octet.is_ascii_control());
    (is_token(name) && is_value).then(|| (name.to_vec(), value.trim_ascii().to_vec()))
}

fn body(fields: &[Field]) -> Option<Body> {
    let values = |name: &str| -> Vec<&[u8]> {
        fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| &value[..]).collect()
    };
    match (values("content-length").as_slice(), values("transfer-encoding").as_slice()) {
        ([], []) => Some(Body::Unsaid),
        ([length], []) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(length).ok()?.parse().ok().map(Body::Length)
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Some(Body::Chunked),
        _ => None,
    }
}

/// RFC 9110 5.6.2.
pub(crate) fn is_token(text: &[u8]) -> bool {
    let is_separator = |octet: &u8| b"\"(),/:;<=>?@[\\]{}".contains(octet);
    !text.is_empty() && text.iter().all(|octet| octet.is_ascii_graphic() && !is_separator(octet))
}
