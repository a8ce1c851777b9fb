//! HTTP/2 frames that carry nothing, counted from the whole of what came.

/// The first limit that `bytes`, from the connection preface on, break: `control`, `resets` or `continuation`.
pub(crate) fn first_breach(bytes: &[u8], control: u64, resets: u64) -> Option<&'static str> {
    let mut rest = bytes.get(24..)?;
    let (mut controls, mut reset) = (0, 0);
    loop {
        let &[a, b, c, kind, flags, _, _, _, _] = rest.first_chunk()?;
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = rest.get(9..)?;
        let carries_nothing = match kind {
            0 if flags & 8 != 0 && len > 0 => flags & 1 == 0 && len <= 1 + usize::from(*payload.first()?),
            0 => flags & 1 == 0 && len == 0,
            8 if len >= 4 => u32::from_be_bytes(*payload.first_chunk()?) & 0x7FFF_FFFF < 1024,
            // A short WINDOW_UPDATE is judged when it is there.
            8 => payload.len() >= len,
            1 | 3 | 9 => false,
            _ => true,
        };
        if kind == 8 && payload.len() < len.min(4) {
            return None;
        }
        controls += u64::from(carries_nothing);
        reset += u64::from(kind == 3);
        if kind == 9 && len == 0 {
            return Some("continuation");
        }
        if controls > control {
            return Some("control");
        }
        if reset > resets {
            return Some("resets");
        }
        rest = payload.get(len..)?;
    }
}
