//! A service of ten back ends and its clients, in wall time: `peers balancing`. Requests come at random moments whatever
//! became of those before, and a latency counts from the moment at which the request was due.

mod alarm;
mod plan;
mod station;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::BytesMut;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::alarm::Alarm;
use self::plan::{Job, plan};
use self::station::Station;
use crate::Until;
use crate::h1::{FIELDS, answer};
use crate::tally::Tally;

/// A request without an answer after this long counts as broken.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn command() -> Command {
    let value = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).long(name).default_value(default).help(help)
    };
    Command::new("balancing")
        .about("Ten back ends behind a proxy, one of them sick, and clients that do not wait")
        .args([
            Arg::new("station")
                .long("station")
                .required(true)
                .action(ArgAction::Append)
                .value_parser(value_parser!(SocketAddr))
                .help("a back end listens here; repeatable, the first is the sick one"),
            Arg::new("target")
                .long("target")
                .required(true)
                .value_parser(value_parser!(SocketAddr))
                .help("the proxy; it is asked when a line comes on standard input"),
            value("host", "bench.example", "host of every request"),
            value("seed", "1", "what is asked, and how much work it is").value_parser(value_parser!(u64)),
            value("rate", "1000", "requests a second, at random moments").value_parser(value_parser!(f64)),
            value("clients", "5000", "values of X-Key, one a client").value_parser(value_parser!(u64)),
            value("mean-ms", "10", "mean time of a request; exponential").value_parser(value_parser!(f64)),
            value("places", "16", "requests that a back end works on at once").value_parser(value_parser!(usize)),
            value("slowdown", "1", "how many times slower the sick one is").value_parser(value_parser!(f64)),
            value("failing", "0", "share of requests that the sick one answers with 503")
                .value_parser(value_parser!(f64)),
            value("connections", "128", "connections that are open from the start; more are opened when all are busy")
                .value_parser(value_parser!(usize)),
            value("warm-up", "3", "seconds that do not count").value_parser(value_parser!(f64)),
            value("seconds", "20", "seconds that count").value_parser(value_parser!(f64)),
        ])
}

/// Runs the service and its clients in the current `LocalSet`; prints a line when the back ends listen, and one JSON object
/// at the end.
pub(crate) async fn run(flags: &ArgMatches) -> anyhow::Result<()> {
    let number = |name: &str| flags.get_one::<f64>(name).copied().unwrap_or_default();
    let count = |name: &str| flags.get_one::<usize>(name).copied().unwrap_or_default();
    let integer = |name: &str| flags.get_one::<u64>(name).copied().unwrap_or_default();
    let warm_up = Duration::from_secs_f64(number("warm-up"));
    let length = warm_up + Duration::from_secs_f64(number("seconds"));
    let plan: Rc<[Job]> = plan(integer("seed"), number("rate"), length, integer("clients")).into();
    let alarm = Alarm::start()?;
    let mut stations = Vec::new();
    for (place, address) in flags.get_many::<SocketAddr>("station").into_iter().flatten().enumerate() {
        let (slowdown, failing) = if place == 0 { (number("slowdown"), number("failing")) } else { (1.0, 0.0) };
        let station = Rc::new(Station {
            mean: Duration::from_secs_f64(number("mean-ms") / 1e3 * slowdown),
            failing,
            places: Semaphore::new(count("places")),
            came: Cell::new(0),
            plan: plan.clone(),
            alarm: alarm.clone(),
        });
        station.listen(*address).with_context(|| format!("back end on {address}"))?;
        stations.push(station);
    }
    let clients = Rc::new(Clients {
        target: *flags.get_one("target").context("no target")?,
        host: flags.get_one::<String>("host").cloned().unwrap_or_default(),
        idle: RefCell::default(),
        tally: Tally::new(Until::Idle),
    });
    println!("the back ends listen");
    // Until then nothing is sent: a connection's own port might be the one that the proxy is to listen on.
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    clients.open(count("connections")).await?;
    let started = Instant::now();
    let mut requests = JoinSet::new();
    for (number, job) in plan.iter().enumerate() {
        alarm.until(started + job.at).await;
        requests.spawn_local(clients.clone().ask(number, *job, started + job.at, job.at >= warm_up));
    }
    let elapsed = started.elapsed() - warm_up;
    while let Some(ended) = requests.join_next().await {
        ended?;
    }
    let came: Vec<u64> = stations.iter().map(|station| station.came.get()).collect();
    let report = clients.tally.report(elapsed, Duration::ZERO);
    println!("{}", serde_json::json!({ "clients": report, "came": came, "late_p99_us": alarm.late.quantile(0.99) }));
    Ok(())
}

/// Whoever asks, and the connections that nobody uses now.
struct Clients {
    target: SocketAddr,
    host: String,
    /// The one that is idle longest in front, so that all are used alike.
    idle: RefCell<VecDeque<TcpStream>>,
    tally: Tally,
}

impl Clients {
    async fn open(&self, connections: usize) -> anyhow::Result<()> {
        for _ in 0..connections {
            let stream = self.connect().await.with_context(|| format!("connect to {}", self.target))?;
            self.idle.borrow_mut().push_back(stream);
        }
        Ok(())
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(self.target).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// One request, which was `due` then; whether it `counts`.
    async fn ask(self: Rc<Self>, number: usize, job: Job, due: Instant, counts: bool) {
        let outcome = tokio::time::timeout(PATIENCE, self.exchange(number, &job)).await;
        match outcome {
            _ if !counts => {}
            Ok(Ok(status)) => self.tally.answered(status, due.elapsed(), 0),
            Ok(Err(_)) | Err(_) => self.tally.broke(),
        }
    }

    async fn exchange(&self, number: usize, job: &Job) -> anyhow::Result<u16> {
        let idle = self.idle.borrow_mut().pop_front();
        let mut stream = match idle {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        let mut request = format!("GET /job/{number} HTTP/1.1\r\nHost: {}\r\nX-Key: key-{}\r\n", self.host, job.client);
        for (name, value) in FIELDS {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let (status, closes, _) = answer(&mut BytesMut::with_capacity(4 << 10), &mut stream).await?;
        if !closes {
            self.idle.borrow_mut().push_back(stream);
        }
        Ok(status)
    }
}
