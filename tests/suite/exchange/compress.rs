//! Answers compressed on their way: `fairlead.dev/compress`, and the keys of the ConfigMap beside it.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use fairlead::ir::Compression;
use flate2::read::GzDecoder;
use http::Request;
use tokio::net::TcpStream;

use super::scripted::{Caller, Scripted, ask};
use crate::bed::{Bed, ingress, service};
use crate::clients::h2;

fn bed(origin: &Scripted, compress: &str) -> Bed {
    let annotation = format!("fairlead.dev/compress: \"{compress}\"");
    Bed::start(&(service("web", &[origin.address]) + &ingress("web", "a.example", "/", "web", &annotation)))
}

fn html(fields: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{fields}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn decoded(coding: &str, body: &[u8]) -> String {
    let mut text = String::new();
    match coding {
        "gzip" => GzDecoder::new(body).read_to_string(&mut text).unwrap(),
        "br" => brotli::Decompressor::new(body, 4096).read_to_string(&mut text).unwrap(),
        "zstd" => zstd::stream::read::Decoder::new(body).unwrap().read_to_string(&mut text).unwrap(),
        _ => panic!("{coding}"),
    };
    text
}

#[test]
fn each_coding_is_used_where_the_client_likes_it_best() {
    let body = "<p>hello</p>".repeat(20_000);
    let origin = Scripted::fixed(html("ETag: \"a\"\r\nAccept-Ranges: bytes\r\nVary: Origin\r\n", &body));
    let bed = bed(&origin, "zstd, br, gzip");
    for (accept, coding) in
        [("gzip", "gzip"), ("gzip, br", "br"), ("gzip, br, zstd", "zstd"), ("gzip;q=1, zstd;q=0.5", "gzip")]
    {
        let answer = ask(bed.http, "GET", "/", &format!("Accept-Encoding: {accept}\r\n"));
        assert_eq!(answer.field("content-encoding").as_deref(), Some(coding), "{}", answer.head);
        assert!(answer.body.len() * 20 < body.len(), "{coding}: {}", answer.body.len());
        assert!(decoded(coding, &answer.body) == body, "{coding}");
        assert_eq!(answer.field("etag").as_deref(), Some("W/\"a\""));
        assert!(answer.head.contains("Vary: Origin\r\n") && answer.head.contains("Vary: Accept-Encoding\r\n"));
        for name in ["content-length", "accept-ranges"] {
            assert_eq!(answer.field(name), None, "{}", answer.head);
        }
    }
    // What the back end sees is what the client said, so it may compress itself.
    assert!(origin.heads()[0].contains("Accept-Encoding: gzip\r\n"));
}

#[test]
fn who_does_not_want_it_or_cannot_have_it_gets_the_answer_as_it_is() {
    let body = "x".repeat(1000);
    let origin = Scripted::fixed(html("ETag: \"a\"\r\nAccept-Ranges: bytes\r\n", &body));
    let bed = bed(&origin, "gzip");
    for (method, lines) in [
        ("GET", ""),
        ("GET", "Accept-Encoding: br\r\n"),
        ("GET", "Accept-Encoding: gzip;q=0\r\n"),
        ("HEAD", "Accept-Encoding: gzip\r\n"),
    ] {
        // A body after the answer to HEAD is the back end's fault and goes nowhere.
        let answer = ask(bed.http, method, "/", lines);
        assert_eq!(answer.field("content-encoding"), None, "{lines}");
        assert_eq!(answer.field("content-length").as_deref(), Some("1000"));
        assert_eq!(answer.field("vary").as_deref(), Some("Accept-Encoding"), "{lines}");
        assert_eq!(answer.field("etag").as_deref(), Some("\"a\""));
        assert_eq!(answer.field("accept-ranges").as_deref(), Some("bytes"));
    }
    let answer = super::plain::talk(bed.http, "GET / HTTP/1.0\r\nHost: a.example\r\nAccept-Encoding: gzip\r\n\r\n");
    assert!(answer.ends_with(&body) && answer.contains("Vary: Accept-Encoding\r\n"), "{answer}");
}

#[test]
fn what_is_coded_or_must_not_be_changed_passes_untouched() {
    for answer in [
        html("Content-Encoding: br\r\n", &"x".repeat(1000)),
        html("Cache-Control: public, no-transform\r\n", &"x".repeat(1000)),
        html("Content-Range: bytes 0-999/2000\r\n", &"x".repeat(1000)),
        html("", "short"),
        b"HTTP/1.1 206 Partial Content\r\nContent-Type: text/html\r\nContent-Length: 300\r\n\r\n".to_vec(),
        b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Type: text/html\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ] {
        let answer = match answer.ends_with(b"300\r\n\r\n") {
            true => [answer, vec![b'x'; 300]].concat(),
            false => answer,
        };
        let origin = Scripted::fixed(answer);
        let bed = bed(&origin, "gzip");
        let answer = ask(bed.http, "GET", "/", "Accept-Encoding: gzip\r\n");
        assert_eq!(answer.field("vary"), None, "{}", answer.head);
        assert!(!answer.head.contains("W/") && !answer.head.contains("gzip"), "{}", answer.head);
    }
}

#[test]
fn a_part_reaches_the_client_before_the_next_one_is_sent() {
    for content_type in ["text/html", "text/event-stream"] {
        let (next, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let origin = Scripted::start(move |_, socket| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n");
            socket.write_all(head.as_bytes()).unwrap();
            for _ in 0..3 {
                socket.write_all(b"9\r\ndata: x\n\n\r\n").unwrap();
                wait.lock().unwrap().recv().unwrap();
            }
            socket.write_all(b"0\r\n\r\n").unwrap();
        });
        let bed = bed(&origin, "gzip");
        bed.tune(|policy| {
            let mut compression = Compression::clone(policy.compress.as_ref().unwrap());
            compression.gzip.types = ["text/event-stream".into()].into();
            policy.compress = Some(Arc::new(compression));
        });
        let mut caller = Caller::connect(bed.http);
        caller.send("GET", "/", "Accept-Encoding: gzip\r\n");
        assert!(caller.head().contains("Content-Encoding: gzip\r\n"));
        let mut received = Vec::new();
        for part in 1..=3 {
            // The next part is sent only when this one was read.
            while readable(&received) < part * 9 {
                received.extend_from_slice(&caller.chunk());
            }
            next.send(()).unwrap();
        }
        loop {
            match caller.chunk() {
                chunk if chunk.is_empty() => break,
                chunk => received.extend_from_slice(&chunk),
            }
        }
        assert_eq!(decoded("gzip", &received), "data: x\n\n".repeat(3));
    }
}

/// Octets that can be read of a stream that goes on.
fn readable(received: &[u8]) -> usize {
    let mut decoder = GzDecoder::new(received);
    let mut piece = [0; 4096];
    let mut length = 0;
    while let Ok(n @ 1..) = decoder.read(&mut piece) {
        length += n;
    }
    length
}

#[test]
fn an_answer_that_breaks_off_is_not_made_whole() {
    let origin = Scripted::start(|_, socket| {
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2000\r\n\r\n").unwrap();
        socket.write_all(&[b'x'; 1000]).unwrap();
        socket.shutdown(std::net::Shutdown::Both).unwrap();
    });
    let bed = bed(&origin, "gzip");
    let mut socket = std::net::TcpStream::connect(bed.http).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // However it ends: without a last chunk.
    let _ = socket.read_to_end(&mut answer);
    assert!(!answer.is_empty() && !answer.ends_with(b"0\r\n\r\n"), "{:?}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_bad_word_leaves_answers_as_they_are() {
    let origin = Scripted::fixed(html("", &"x".repeat(1000)));
    let bed = bed(&origin, "gzip, deflate");
    let answer = ask(bed.http, "GET", "/", "Accept-Encoding: gzip\r\n");
    assert_eq!((answer.field("content-encoding"), answer.field("vary")), (None, None), "{}", answer.head);
    assert_eq!((answer.status, answer.text(), origin.count()), (200, &*"x".repeat(1000), 1));
}

/// Two Ingresses, one that says nothing of compression and one that switches it off, under a ConfigMap.
fn under(origin: &Scripted, keys: &str) -> Bed {
    let config = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: global}}\ndata: {{{keys}}}\n---\n");
    let quiet = ingress("quiet", "a.example", "/quiet", "web", "fairlead.dev/compress: 'off'");
    Bed::start(&(service("web", &[origin.address]) + &ingress("web", "a.example", "/", "web", "") + &quiet + &config))
}

#[test]
fn the_config_map_says_what_is_compressed_where_no_ingress_does() {
    let body = "x".repeat(300);
    let origin = Scripted::fixed(html("", &body));
    for (keys, path, lines, coding) in [
        ("use-gzip: 'true'", "/", "", Some("gzip")),
        ("use-gzip: 'true'", "/quiet", "", None),
        ("use-gzip: 'false'", "/", "", None),
        ("use-gzip: 'yes'", "/", "", None),
        ("use-gzip: 'true', gzip-min-length: '301'", "/", "", None),
        ("use-gzip: 'true', gzip-min-length: 1k", "/", "", Some("gzip")),
        ("use-gzip: 'true', gzip-level: '0'", "/", "", Some("gzip")),
        ("use-gzip: 'true', gzip-disable: 'old.*ie'", "/", "User-Agent: Old MSIE\r\n", None),
        ("use-gzip: 'true', gzip-disable: 'old.*ie'", "/", "User-Agent: new\r\n", Some("gzip")),
        ("use-gzip: 'true', enable-brotli: 'true'", "/", "", Some("br")),
        ("use-gzip: 'true', enable-brotli: 'true', brotli-min-length: '301'", "/", "", Some("gzip")),
        ("enable-brotli: 'true', enable-zstd: 'true'", "/", "", Some("zstd")),
    ] {
        let bed = under(&origin, keys);
        let answer = ask(bed.http, "GET", path, &format!("Accept-Encoding: gzip, br, zstd\r\n{lines}"));
        assert_eq!(answer.field("content-encoding").as_deref(), coding, "{keys} {path}");
        let text = coding.map_or_else(|| answer.text().to_owned(), |coding| decoded(coding, &answer.body));
        assert!(text == body, "{keys}");
    }
}

#[test]
fn types_are_those_of_the_key_and_html() {
    let css = format!("HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nContent-Length: 300\r\n\r\n{}", "x".repeat(300));
    for (keys, is_coded) in [
        ("use-gzip: 'true'", true),
        ("use-gzip: 'true', gzip-types: 'text/plain'", false),
        ("use-gzip: 'true', gzip-types: 'text/plain TEXT/css'", true),
        ("use-gzip: 'true', gzip-types: '*'", true),
        ("use-gzip: 'true', gzip-types: 'css'", true),
        ("enable-brotli: 'true', brotli-types: 'text/plain'", false),
    ] {
        let origin = Scripted::fixed(css.clone().into_bytes());
        let answer = ask(under(&origin, keys).http, "GET", "/", "Accept-Encoding: gzip, br\r\n");
        assert_eq!(answer.field("content-encoding").is_some(), is_coded, "{keys}");
    }
}

#[test]
fn over_http_2_too() {
    let body = "<p>hello</p>".repeat(20_000);
    let origin = Scripted::fixed(html("", &body));
    let bed = bed(&origin, "br");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let received = tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut client = h2(TcpStream::connect(bed.http).await.unwrap()).await;
        let request = Request::get("http://a.example/").header("accept-encoding", "gzip, br").body(()).unwrap();
        let (response, _) = client.send_request(request, true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.headers()["content-encoding"], "br");
        assert!(response.headers()["vary"] == "Accept-Encoding" && !response.headers().contains_key("content-length"));
        let (mut stream, mut received) = (response.into_body(), Vec::new());
        while let Some(data) = stream.data().await {
            received.extend_from_slice(&data.unwrap());
        }
        received
    });
    assert!(decoded("br", &received) == body);
}
