//! A load generator and the origin behind the proxy, fused in one thread so that both fit on one core.
//!
//! `cargo bench --bench peers -- --help` names the options. The last line printed is one JSON object.

#![allow(clippy::print_stdout, reason = "a tool that reports on standard output")]

mod balancing;
mod h1;
mod http2;
mod origin;
mod tally;

use std::io::Read;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::{Arg, ArgAction, Command, value_parser};
use fairlead::proxy::AnyCertificate;
use rustls::ClientConfig;
use tokio::task::{JoinSet, LocalSet};

use self::tally::{Tally, cpu_time};

/// What to send, where, and when to stop.
pub(crate) struct Load {
    target: SocketAddr,
    host: String,
    path: String,
    /// `Accept-Encoding`.
    encodings: String,
    /// Bytes of a POST body; 0 = GET.
    post: usize,
    tls: Option<Arc<ClientConfig>>,
    connections: usize,
    /// Requests a second over all connections of HTTP/1.1; 0 = as many as they can.
    rate: f64,
    /// Streams at once on each connection; 0 = HTTP/1.1.
    streams: usize,
    until: Until,
}

/// When a client stops.
#[derive(Clone, Copy)]
enum Until {
    /// After so much time.
    Elapsed(Duration),
    /// After so many requests in all.
    Requests(u64),
    /// After one request on each connection; the connections stay open until standard input ends.
    Idle,
}

fn main() -> anyhow::Result<()> {
    let flags = command().get_matches();
    let number = |name: &str| flags.get_one::<usize>(name).copied().unwrap_or_default();
    let text = |name: &str| flags.get_one::<String>(name).cloned().unwrap_or_default();
    let seconds = |name: &str| flags.get_one::<f64>(name).copied().map(Duration::from_secs_f64);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        if let Some(("balancing", flags)) = flags.subcommand() {
            return balancing::run(flags).await;
        }
        if let Some(address) = flags.get_one::<SocketAddr>("origin") {
            origin::listen(*address).with_context(|| format!("origin on {address}"))?;
        }
        let Some(target) = flags.get_one::<SocketAddr>("target") else {
            return std::future::pending().await;
        };
        let until = match flags.get_one::<u64>("requests") {
            _ if flags.get_flag("idle") => Until::Idle,
            Some(count) => Until::Requests(*count),
            None => Until::Elapsed(seconds("seconds").unwrap_or_default()),
        };
        let streams = number("streams");
        let load = Load {
            target: *target,
            host: text("host"),
            path: text("path"),
            encodings: text("encodings"),
            post: number("post"),
            tls: flags.get_flag("tls").then(|| tls(streams > 0)).transpose()?,
            connections: number("connections"),
            rate: flags.get_one("rate").copied().unwrap_or_default(),
            streams,
            until,
        };
        if let Some(warm_up) = seconds("warm-up").filter(|time| !time.is_zero()) {
            run(Rc::new(Load {
                until: Until::Elapsed(warm_up),
                tls: load.tls.clone(),
                host: text("host"),
                path: text("path"),
                encodings: text("encodings"),
                ..load
            }))
            .await?;
        }
        let pids: Vec<u32> = flags.get_many::<u32>("watch-pid").into_iter().flatten().copied().collect();
        let before = cpu_time(&pids)?;
        let started = Instant::now();
        let tally = run(Rc::new(load)).await?;
        if !flags.get_flag("idle") {
            println!("{}", tally.report(started.elapsed(), cpu_time(&pids)? - before));
        }
        ensure!(tally.requests() > 0, "no request was answered");
        Ok(())
    })
}

/// Runs every connection to its end.
async fn run(load: Rc<Load>) -> anyhow::Result<Tally> {
    let tally = Tally::new(load.until);
    let mut clients = JoinSet::new();
    for _ in 0..load.connections {
        let (load, tally) = (load.clone(), tally.clone());
        if load.streams > 0 {
            clients.spawn_local(http2::client(load, tally));
        } else {
            clients.spawn_local(h1::client(load, tally));
        }
    }
    if matches!(load.until, Until::Idle) {
        while tally.requests() + tally.errors() < load.connections as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        println!("{}", tally.report(Duration::ZERO, Duration::ZERO));
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        return Ok(tally);
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(tally)
}

fn command() -> Command {
    let value = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).long(name).default_value(default).help(help)
    };
    Command::new("peers").subcommand(balancing::command()).args([
        Arg::new("origin").long("origin").value_parser(value_parser!(SocketAddr)).help("answer requests here"),
        Arg::new("target").long("target").value_parser(value_parser!(SocketAddr)).help("send requests here"),
        Arg::new("tls").long("tls").action(ArgAction::SetTrue).help("speak TLS, whatever the certificate"),
        Arg::new("idle").long("idle").action(ArgAction::SetTrue).help("one request a connection, then hold them"),
        Arg::new("requests").long("requests").value_parser(value_parser!(u64)).help("stop after so many requests"),
        Arg::new("watch-pid")
            .long("watch-pid")
            .action(ArgAction::Append)
            .value_parser(value_parser!(u32))
            .help("count the CPU time of this process; repeatable"),
        value("connections", "64", "connections at once").value_parser(value_parser!(usize)),
        value("rate", "0", "requests a second over all connections of HTTP/1.1; 0 = as many as they can")
            .value_parser(value_parser!(f64)),
        value("streams", "0", "HTTP/2 streams at once on each connection; 0 = HTTP/1.1")
            .value_parser(value_parser!(usize)),
        value("seconds", "5", "how long to measure").value_parser(value_parser!(f64)),
        value("warm-up", "1", "seconds of load that do not count").value_parser(value_parser!(f64)),
        value("host", "bench.example", "host of every request"),
        value("path", "/bytes/1024", "path of every request; /bytes/N is answered with N bytes"),
        value("encodings", h1::ENCODINGS, "Accept-Encoding of every request"),
        value("post", "0", "bytes of a POST body; 0 = GET").value_parser(value_parser!(usize)),
        Arg::new("out").long("bench").action(ArgAction::SetTrue).hide(true),
    ])
}

/// A client that believes any certificate: the bench makes its own.
fn tls(http2: bool) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Ok(Arc::new(config))
}
