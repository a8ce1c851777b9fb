//! Counts what a client sends below HTTP/2's own limits, by the heads of its frames.
//!
//! The crate `h2` takes any number of PING, SETTINGS or PRIORITY frames and empty CONTINUATION frames. The meter reads
//! the bytes on their way to it, remembers only the head of the present frame, and says when a client has gone too far
//! (limits in docs/defaults.md; CVE-2019-9512, 9515, 9518, CVE-2023-44487 and their kin).

use std::time::{Duration, Instant};

use crate::settings::{Limit, Limits};

/// Why a client is sent away with GOAWAY ENHANCE_YOUR_CALM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// Too many frames that carry nothing, in one minute.
    ControlFrames,
    /// A CONTINUATION frame without payload.
    EmptyContinuation,
    /// Too many streams reset by the client, or by us for its fault, in ten seconds.
    Resets,
}

impl Breach {
    /// The limit that it is counted under.
    pub fn limit(self) -> Limit {
        match self {
            Breach::ControlFrames | Breach::EmptyContinuation => Limit::h2_control_frames,
            Breach::Resets => Limit::h2_resets,
        }
    }
}

/// The state of one connection: a few counters and at most one frame head.
#[derive(Clone, Debug)]
pub struct Meter {
    control: Rate,
    resets: Rate,
    /// Bytes of the connection preface (RFC 9113 3.4) still to come.
    preface: usize,
    /// Bytes of the present frame's payload that nobody looks at.
    skip: usize,
    head: [u8; HEAD + PEEK],
    filled: usize,
}

impl Meter {
    /// A meter at the start of a connection, before the preface.
    pub fn new(limits: &Limits) -> Meter {
        Meter {
            control: Rate::new(limits.h2_control_frames, CONTROL_SPAN),
            resets: Rate::new(limits.h2_resets, RESET_SPAN),
            preface: PREFACE,
            skip: 0,
            head: [0; HEAD + PEEK],
            filled: 0,
        }
    }

    /// Looks at the next bytes from the client. They may be cut anywhere. After a breach the meter is not asked again.
    pub fn feed(&mut self, bytes: &[u8], now: Instant) -> Result<(), Breach> {
        let mut bytes = bytes;
        take(&mut bytes, &mut self.preface);
        loop {
            take(&mut bytes, &mut self.skip);
            if bytes.is_empty() {
                return Ok(());
            }
            let (part, rest) = bytes.split_at(bytes.len().min(self.wanted() - self.filled));
            if let Some(room) = self.head.get_mut(self.filled..self.filled + part.len()) {
                room.copy_from_slice(part);
            }
            self.filled += part.len();
            bytes = rest;
            if self.filled == self.wanted() {
                self.skip = self.length() - (self.filled - HEAD);
                self.filled = 0;
                self.judge(now)?;
            }
        }
    }

    /// Counts a stream that we reset for the client's fault.
    pub fn fault(&mut self, now: Instant) -> Result<(), Breach> {
        self.resets.count(now).map_err(|Over| Breach::Resets)
    }

    fn judge(&mut self, now: Instant) -> Result<(), Breach> {
        let [_, _, _, kind, flags, _, _, _, _, peek @ ..] = self.head;
        let length = self.length();
        let is_control = match kind {
            DATA => {
                let padding = if flags & PADDED != 0 { 1 + usize::from(peek[0]) } else { 0 };
                flags & END_STREAM == 0 && length <= padding
            }
            HEADERS => false,
            RST_STREAM => return self.fault(now),
            WINDOW_UPDATE => length < PEEK || u32::from_be_bytes(peek) & 0x7fff_ffff < SMALL_WINDOW_UPDATE,
            CONTINUATION if length == 0 => return Err(Breach::EmptyContinuation),
            CONTINUATION => false,
            _ => true,
        };
        if is_control { self.control.count(now).map_err(|Over| Breach::ControlFrames) } else { Ok(()) }
    }

    /// How much of a frame is kept: its head, and of some kinds the first bytes of the payload.
    fn wanted(&self) -> usize {
        let [_, _, _, kind, flags, ..] = self.head;
        match kind {
            _ if self.filled < HEAD => HEAD,
            WINDOW_UPDATE => HEAD + self.length().min(PEEK),
            DATA if flags & PADDED != 0 => HEAD + self.length().min(1),
            _ => HEAD,
        }
    }

    fn length(&self) -> usize {
        let [a, b, c, ..] = self.head;
        u32::from_be_bytes([0, a, b, c]) as usize
    }
}

/// Takes as much of `bytes` as `left` allows.
fn take(bytes: &mut &[u8], left: &mut usize) {
    let (part, rest) = bytes.split_at(bytes.len().min(*left));
    *left -= part.len();
    *bytes = rest;
}

/// So many events in a span of time that begins with the first of them.
#[derive(Clone, Debug)]
struct Rate {
    /// 0 = off.
    limit: u64,
    span: Duration,
    since: Option<Instant>,
    count: u64,
}

struct Over;

impl Rate {
    fn new(limit: u64, span: Duration) -> Rate {
        Rate { limit, span, since: None, count: 0 }
    }

    fn count(&mut self, now: Instant) -> Result<(), Over> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= self.span) {
            self.since = Some(now);
            self.count = 0;
        }
        self.count += 1;
        if self.limit != 0 && self.count > self.limit { Err(Over) } else { Ok(()) }
    }
}

const CONTROL_SPAN: Duration = Duration::from_secs(60);
const RESET_SPAN: Duration = Duration::from_secs(10);

/// A smaller increment is a frame that does nearly nothing.
const SMALL_WINDOW_UPDATE: u32 = 1024;

/// Length of `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`.
const PREFACE: usize = 24;
/// Length of a frame head (RFC 9113 4.1).
const HEAD: usize = 9;
/// Length of a WINDOW_UPDATE payload, the most that is looked at.
const PEEK: usize = 4;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const PADDED: u8 = 0x8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PING: u8 = 6;
    const SETTINGS: u8 = 4;
    const PRIORITY: u8 = 2;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags, 0, 0, 0, 1]);
        bytes.extend(payload);
        bytes
    }

    fn meter(control: u64, resets: u64) -> Meter {
        let limits = Limits { h2_control_frames: control, h2_resets: resets, ..Limits::default() };
        let mut meter = Meter::new(&limits);
        meter.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Instant::now()).unwrap();
        meter
    }

    #[test]
    fn frames_that_carry_nothing_count_as_control_frames() {
        let cases: [(&str, bool, Vec<u8>); 15] = [
            ("ping", true, frame(PING, 0, &[0; 8])),
            ("settings", true, frame(SETTINGS, 0, &[])),
            ("priority", true, frame(PRIORITY, 0, &[0; 5])),
            ("unknown kind", true, frame(0xfa, 0, &[0; 100])),
            ("goaway", true, frame(7, 0, &[0; 8])),
            ("empty data", true, frame(DATA, 0, &[])),
            ("data of nothing but padding", true, frame(DATA, PADDED, &[5, 0, 0, 0, 0, 0])),
            ("window update of 1023", true, frame(WINDOW_UPDATE, 0, &1023_u32.to_be_bytes())),
            ("window update of 1023, reserved bit set", true, frame(WINDOW_UPDATE, 0, &0x8000_03ff_u32.to_be_bytes())),
            ("window update of 1024", false, frame(WINDOW_UPDATE, 0, &1024_u32.to_be_bytes())),
            ("empty data that ends the stream", false, frame(DATA, END_STREAM, &[])),
            ("data", false, frame(DATA, 0, b"x")),
            ("padded data", false, frame(DATA, PADDED, &[5, 1, 0, 0, 0, 0, 0])),
            ("headers", false, frame(HEADERS, 0x4, &[0x82])),
            ("continuation", false, frame(CONTINUATION, 0x4, &[0x82])),
        ];
        for (name, counts, bytes) in cases {
            let mut meter = meter(1, 1);
            let now = Instant::now();
            assert_eq!(meter.feed(&bytes, now), Ok(()), "{name}");
            let expected = if counts { Err(Breach::ControlFrames) } else { Ok(()) };
            assert_eq!(meter.feed(&bytes, now), expected, "{name}");
        }
    }

    #[test]
    fn an_empty_continuation_is_a_breach_at_once() {
        assert_eq!(meter(10, 10).feed(&frame(CONTINUATION, 0, &[]), Instant::now()), Err(Breach::EmptyContinuation));
    }

    #[test]
    fn counts_begin_anew_after_their_span() {
        let start = Instant::now();
        for (bytes, span) in [(frame(PING, 0, &[0; 8]), 60), (frame(RST_STREAM, 0, &[0; 4]), 10)] {
            let mut meter = meter(2, 2);
            assert!(meter.feed(&bytes, start).is_ok());
            assert!(meter.feed(&bytes, start + Duration::from_secs(span) - Duration::from_millis(1)).is_ok());
            assert!(meter.feed(&bytes, start + Duration::from_secs(span)).is_ok());
            assert!(meter.feed(&bytes, start + Duration::from_secs(span + 1)).is_ok());
            assert!(meter.feed(&bytes, start + Duration::from_secs(span + 2)).is_err());
        }
    }

    #[test]
    fn resets_of_both_sides_share_one_count() {
        let now = Instant::now();
        let mut meter = meter(10, 3);
        meter.feed(&frame(RST_STREAM, 0, &[0; 4]), now).unwrap();
        meter.fault(now).unwrap();
        meter.feed(&frame(RST_STREAM, 0, &[0; 4]), now).unwrap();
        assert_eq!(meter.fault(now), Err(Breach::Resets));
    }

    #[test]
    fn a_limit_of_nothing_is_off() {
        let now = Instant::now();
        let mut meter = meter(0, 0);
        for _ in 0..1000 {
            meter.feed(&frame(RST_STREAM, 0, &[0; 4]), now).unwrap();
            meter.feed(&frame(PING, 0, &[0; 8]), now).unwrap();
        }
    }

    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        (0_u8..12, any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_filter("an empty CONTINUATION ends the count", |(kind, _, payload)| *kind != 9 || !payload.is_empty())
            .prop_map(|(kind, flags, payload)| frame(kind, flags, &payload))
    }

    proptest! {
        #[test]
        fn cuts_anywhere_change_no_count(
            frames in proptest::collection::vec(any_frame(), 1..20),
            sizes in proptest::collection::vec(1_usize..30, 1..40),
        ) {
            let now = Instant::now();
            let bytes = frames.concat();
            let mut whole = meter(u64::MAX, u64::MAX);
            whole.feed(&bytes, now).unwrap();
            let mut cut = meter(u64::MAX, u64::MAX);
            let mut rest = &bytes[..];
            for size in sizes.iter().cycle() {
                let (part, tail) = rest.split_at(rest.len().min(*size));
                cut.feed(part, now).unwrap();
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!((whole.control.count, whole.resets.count), (cut.control.count, cut.resets.count));
            prop_assert_eq!(whole.control.count + whole.resets.count > 0, frames.iter().any(|f| counts(f)));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = meter(10, 10).feed(&bytes, Instant::now());
        }
    }

    /// The rule, written once more from whole frames.
    fn counts(frame: &[u8]) -> bool {
        let (kind, flags, payload) = (frame[3], frame[4], &frame[9..]);
        let body = match payload {
            [padding, rest @ ..] if flags & 8 != 0 => rest.len().saturating_sub(usize::from(*padding)),
            _ => payload.len(),
        };
        match kind {
            0 => flags & 1 == 0 && body == 0,
            1 | 9 => false,
            8 => payload.first_chunk().is_none_or(|bytes| u32::from_be_bytes(*bytes) & 0x7fff_ffff < 1024),
            _ => true,
        }
    }
}
