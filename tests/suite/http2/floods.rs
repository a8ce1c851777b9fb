//! What a hostile client may send, and where it ends (the limits in docs/defaults.md).

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING, PRIORITY, RST_STREAM, Raw, SETTINGS,
    WINDOW_UPDATE, block, frame,
};
use crate::bed::{Bed, ingress, service};
use crate::origin::Origin;
use fairlead::settings::Limits;

fn bed(limits: Limits) -> (Bed, Origin) {
    let origin = Origin::start("web");
    let manifests = service("web", &[origin.address]) + &ingress("web", "a.example", "/", "web", "");
    (Bed::with(&manifests, limits, 1, None), origin)
}

fn few_control_frames() -> Limits {
    Limits { h2_control_frames: 100, ..Limits::default() }
}

#[test]
fn frames_that_carry_nothing_end_the_connection_when_there_are_too_many() {
    let (bed, _origin) = bed(few_control_frames());
    let floods: [(&str, Vec<u8>); 6] = [
        ("ping", frame(PING, 0, 0, &[0; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("priority", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("unknown", frame(0xf0, 0, 0, b"?")),
        ("small window updates", frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
        ("empty data", frame(DATA, 0, 1, &[])),
    ];
    for (name, flood) in floods {
        let mut client = Raw::connect(bed.http);
        client.frame(HEADERS, END_HEADERS, 1, &block("POST", "a.example", "/", &[]));
        for _ in 0..200 {
            client.send(&flood);
        }
        assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM), "{name}");
    }
}

#[test]
fn an_empty_continuation_ends_the_connection() {
    let (bed, _origin) = bed(Limits::default());
    let mut client = Raw::connect(bed.http);
    client.frame(HEADERS, END_STREAM, 1, &block("GET", "a.example", "/", &[]));
    client.frame(CONTINUATION, 0, 1, &[]);
    assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn a_header_block_of_many_continuations_ends_the_connection() {
    let (bed, _origin) = bed(Limits::default());
    let mut client = Raw::connect(bed.http);
    client.frame(HEADERS, END_STREAM, 1, &block("GET", "a.example", "/", &[]));
    for i in 0..10 {
        let mut field = vec![0, 3];
        field.extend(format!("x-{i}").as_bytes());
        field.extend([1, b'v']);
        client.frame(CONTINUATION, 0, 1, &field);
    }
    assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn rapid_reset_ends_the_connection() {
    let (bed, _origin) = bed(Limits::default());
    let mut client = Raw::connect(bed.http);
    for i in 0..300 {
        client.get(1 + 2 * i, "a.example", "/", &[]);
        client.frame(RST_STREAM, 0, 1 + 2 * i, &8_u32.to_be_bytes());
    }
    assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn resets_that_we_are_made_to_send_end_the_connection() {
    let (bed, _origin) = bed(Limits { h2_resets: 20, ..Limits::default() });
    let mut client = Raw::connect(bed.http);
    for i in 0..40 {
        client.get(1 + 2 * i, "a.example", "/", &[("x", " spaced")]);
    }
    assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn a_head_over_the_list_limit_is_431_and_far_over_it_the_end() {
    let (bed, _origin) = bed(Limits::default());
    // A kilobyte that enters the table, then one octet for each further use of it (RFC 7541 6.1): a small bomb.
    let bomb = |uses: usize| {
        let mut bomb = block("GET", "a.example", "/", &[("x", &"v".repeat(1000))]);
        let at = bomb.len() - 1000 - 6;
        bomb[at] = 0x40;
        bomb.extend(std::iter::repeat_n(0x80 | 62, uses));
        bomb
    };
    let mut client = Raw::connect(bed.http);
    client.frame(HEADERS, END_STREAM | END_HEADERS, 1, &bomb(70));
    assert_eq!(client.status(), 431);
    client.get(3, "a.example", "/", &[]);
    assert_eq!(client.status(), 200);
    client.frame(HEADERS, END_STREAM | END_HEADERS, 5, &bomb(300));
    assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn streams_over_the_limit_are_refused_and_the_others_served() {
    let (bed, _origin) = bed(Limits { h2_streams: 2, ..Limits::default() });
    let mut client = Raw::connect(bed.http);
    // The first SETTINGS with the limit must be acknowledged before it binds us; we never do, so our own count must.
    for stream in [1, 3, 5] {
        client.get(stream, "a.example", "/slow/20", &[]);
    }
    let refused = client.read_kind(&[RST_STREAM]).unwrap();
    assert_eq!((refused.stream, refused.code()), (5, 7));
    let mut ended = Vec::new();
    while ended.len() < 2 {
        let frame = client.read().expect("two streams are served");
        if frame.kind == DATA && frame.flags & END_STREAM != 0 {
            ended.push(frame.stream);
        }
    }
    assert_eq!(ended.iter().sum::<u32>(), 4);
}
