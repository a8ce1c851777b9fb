//! How fast answers go: `limit-rate`, `limit-rate-after`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fairlead::settings::Limits;

use super::filters::nginx;
use super::scripted::{self, Scripted};
use crate::bed::{Bed, ingress, service};
use crate::clients::h2;

const KIB: usize = 1 << 10;

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// An origin that sends all at once.
fn origin(length: usize) -> Scripted {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    answer.extend(body(length));
    Scripted::start(move |_, socket| {
        let _gone = socket.write_all(&answer);
    })
}

/// Whether at each time no more had come than may, and when all had.
fn watch(rate: usize, after: usize, begun: Instant, arrivals: &[(Instant, usize)]) -> Duration {
    for (at, so_far) in arrivals {
        let may = after as f64 + rate as f64 * (at.duration_since(begun).as_secs_f64() + 1.0);
        assert!(*so_far as f64 <= may + 1.0, "{so_far} octets after {:?}, not {may}", at.duration_since(begun));
    }
    arrivals.last().unwrap().0.duration_since(begun)
}

/// The body of an answer over HTTP/1.1, with its arrivals.
fn fetch(bed: &Bed) -> (Vec<u8>, Instant, Vec<(Instant, usize)>) {
    let mut client = TcpStream::connect(bed.http).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let begun = Instant::now();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").unwrap();
    let (mut input, mut arrivals, mut piece) = (Vec::new(), Vec::new(), [0; 4096]);
    let mut head = 0;
    loop {
        let count = client.read(&mut piece).unwrap();
        if count == 0 {
            return (input.split_off(head), begun, arrivals);
        }
        input.extend_from_slice(&piece[..count]);
        if head == 0 {
            head = input.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
        }
        arrivals.push((Instant::now(), input.len() - head));
    }
}

/// Beside the time that a rate asks for, what a busy machine may add.
const SLACK: Duration = Duration::from_secs(4);

#[test]
fn an_answer_goes_as_fast_as_the_annotation_says_and_no_time_out_minds() {
    for (pairs, rate, after, length, least) in [
        (&[("limit-rate", "16"), ("proxy-read-timeout", "1")][..], 16 * KIB, 0, 48 * KIB, 2.0),
        (&[("limit-rate", "16"), ("limit-rate-after", "32")], 16 * KIB, 32 * KIB, 72 * KIB, 1.5),
    ] {
        let origin = origin(length);
        let manifests = service("web", &[origin.address]) + &ingress("web", "a.example", "/", "web", &nginx(pairs));
        // The client takes everything at once, so that it never stalls.
        let limits = Limits { write_stall: Duration::from_millis(500), ..Limits::default() };
        let bed = Bed::with(&manifests, limits, 1, None);
        let (got, begun, arrivals) = fetch(&bed);
        assert!(got == body(length), "{pairs:?}: {} octets", got.len());
        let took = watch(rate, after, begun, &arrivals);
        let least = Duration::from_secs_f64(least);
        assert!((least..least + SLACK).contains(&took), "{pairs:?}: {took:?}");
        assert!(arrivals.len() >= 16, "{pairs:?}: {} pieces", arrivals.len());
    }
}

#[tokio::test]
async fn each_stream_of_http2_has_its_own_rate() {
    let origin = origin(32 * KIB);
    let annotations = nginx(&[("limit-rate", "16")]);
    let bed = Bed::start(&(service("web", &[origin.address]) + &ingress("web", "a.example", "/", "web", &annotations)));
    let address = bed.http;
    tokio::task::LocalSet::new()
        .run_until(async move {
            let client = h2(tokio::net::TcpStream::connect(address).await.unwrap()).await;
            let begun = Instant::now();
            let streams = (0..3).map(|_| {
                let mut client = client.clone();
                async move {
                    let request = http::Request::get("http://a.example/").body(()).unwrap();
                    let mut incoming = client.send_request(request, true).unwrap().0.await.unwrap().into_body();
                    let (mut got, mut arrivals) = (Vec::new(), Vec::new());
                    while let Some(data) = incoming.data().await {
                        let data = data.unwrap();
                        incoming.flow_control().release_capacity(data.len()).unwrap();
                        got.extend_from_slice(&data);
                        arrivals.push((Instant::now(), got.len()));
                    }
                    assert!(got == body(32 * KIB), "{} octets", got.len());
                    watch(16 * KIB, 0, begun, &arrivals)
                }
            });
            for took in futures::future::join_all(streams).await {
                assert!((Duration::from_secs(1)..Duration::from_secs(1) + SLACK).contains(&took), "{took:?}");
            }
        })
        .await;
}

#[test]
fn what_is_chunked_or_kept_or_compressed_is_held_back_too_and_comes_whole() {
    let text = "0123456789abcdef".repeat(2 * KIB);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{text}\r\n0\r\n\r\n",
        text.len()
    );
    let origin = Scripted::fixed(answer);
    let annotations =
        format!("{}, fairlead.dev/cache: \"on\", fairlead.dev/compress: gzip", nginx(&[("limit-rate", "16")]));
    let bed = Bed::start(&(service("web", &[origin.address]) + &ingress("web", "a.example", "/", "web", &annotations)));
    for round in 0..2 {
        let begun = Instant::now();
        let answer = scripted::ask(bed.http, "GET", "/", "");
        assert!(answer.text() == text, "round {round}");
        assert!(begun.elapsed() >= Duration::from_secs(1), "round {round}: {:?}", begun.elapsed());
    }
    assert_eq!(origin.count(), 1, "the second comes from the cache");
    // Coded it is so short that nothing holds it back.
    let begun = Instant::now();
    let coded = scripted::ask(bed.http, "GET", "/", "Accept-Encoding: gzip\r\n");
    assert_eq!(coded.field("content-encoding").as_deref(), Some("gzip"));
    assert!(coded.body.len() < 16 * KIB && begun.elapsed() < SLACK);
}

#[test]
fn the_map_sets_it_for_all_and_a_wrong_value_counts_for_nothing() {
    let origin = origin(24 * KIB);
    let web =
        |annotations: &str| service("web", &[origin.address]) + &ingress("web", "a.example", "/", "web", annotations);
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: global}\ndata: {limit-rate: \"16\"}\n---\n";
    let bed = Bed::start(&(web("") + map));
    let (got, begun, arrivals) = fetch(&bed);
    assert!(got == body(24 * KIB));
    assert!(watch(16 * KIB, 0, begun, &arrivals) >= Duration::from_millis(500));
    let bed = Bed::start(&(web(&nginx(&[("limit-rate", "0")])) + map));
    let (got, begun, _) = fetch(&bed);
    assert!(got.len() == 24 * KIB && begun.elapsed() < SLACK, "0 is no limit");
    for pairs in [&[("limit-rate", "16k")][..], &[("limit-rate", "16"), ("limit-rate-after", "1m")]] {
        let bed = Bed::start(&(web(&nginx(pairs)) + map));
        let (got, begun, arrivals) = fetch(&bed);
        assert!(got == body(24 * KIB));
        assert!(watch(16 * KIB, 0, begun, &arrivals) >= Duration::from_millis(500), "as the map says: {pairs:?}");
    }
}
