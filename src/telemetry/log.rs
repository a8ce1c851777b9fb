//! The process log: `tracing` to standard error through a thread of its own, so that a blocked pipe delays nobody.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use super::sink::Sink;
use crate::settings::{LogFormat, LogLevel};

/// The running process log.
pub struct ProcessLog {
    sink: Arc<Sink>,
}

impl ProcessLog {
    /// Sends everything logged through `tracing` to standard error from here on. Lines that are lost are added to
    /// `dropped`. Fails when no thread can be started, or when it was started before.
    pub fn start(level: LogLevel, format: LogFormat, dropped: Arc<AtomicU64>) -> io::Result<ProcessLog> {
        let output = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let sink = Sink::start("process-log", output, dropped)?;
        let dispatch = dispatch(level, format, &sink);
        tracing::dispatcher::set_global_default(dispatch).map_err(io::Error::other)?;
        Ok(ProcessLog { sink })
    }

    /// Waits, `patience` at most, until everything logged so far is written. False if that was too short.
    pub fn settle(&self, patience: Duration) -> bool {
        self.sink.settle(patience)
    }
}

fn dispatch(level: LogLevel, format: LogFormat, sink: &Arc<Sink>) -> Dispatch {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    // Libraries say more than an operator wants to read, and some of it for each connection.
    // kube's client complains of every attempt; the source says once what is wrong.
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("kube_client", LevelFilter::OFF)
        .with_target("fairlead", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(Lines(Arc::clone(sink)));
    match format {
        LogFormat::Text => bounded(targets, lines.with_ansi(false)),
        LogFormat::Json => bounded(targets, lines.json().flatten_event(true)),
    }
}

fn bounded<L>(targets: Targets, layer: L) -> Dispatch
where
    L: tracing_subscriber::Layer<tracing_subscriber::layer::Layered<Targets, tracing_subscriber::Registry>>
        + Send
        + Sync,
    tracing_subscriber::layer::Layered<Targets, tracing_subscriber::Registry>: Subscriber,
{
    Dispatch::new(tracing_subscriber::registry().with(targets).with(layer))
}

/// Gives each event the way to the sink.
struct Lines(Arc<Sink>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

/// One event; the formatter writes it in one piece.
struct Line<'a>(&'a Sink);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.hand_on(bytes.to_vec(), 1);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::sink::tests::Memory;

    fn logged(level: LogLevel, format: LogFormat) -> String {
        let memory = Memory::default();
        let sink = Sink::start("test", memory.clone(), Arc::default()).unwrap();
        tracing::dispatcher::with_default(&dispatch(level, format, &sink), || {
            tracing::error!(backend = "shop/api:80", "connect failed");
            tracing::info!("quiet at warn");
            tracing::debug!("quiet at info");
            tracing::info!(target: "h2", "a library");
            tracing::warn!(target: "h2", "a library warns");
        });
        assert!(sink.settle(Duration::from_secs(20)));
        memory.text()
    }

    #[test]
    fn the_level_holds_for_us_and_libraries_only_warn() {
        for (level, lines) in [(LogLevel::Error, 1), (LogLevel::Warn, 2), (LogLevel::Info, 3), (LogLevel::Debug, 4)] {
            assert_eq!(logged(level, LogFormat::Text).lines().count(), lines, "{level:?}");
        }
    }

    #[test]
    fn text_and_json_carry_the_fields() {
        let text = logged(LogLevel::Error, LogFormat::Text);
        assert!(text.contains("ERROR") && text.contains("connect failed backend=\"shop/api:80\""), "{text}");
        let json: serde_json::Value = serde_json::from_str(&logged(LogLevel::Error, LogFormat::Json)).unwrap();
        assert_eq!(json["level"], "ERROR");
        assert_eq!(json["message"], "connect failed");
        assert_eq!(json["backend"], "shop/api:80");
    }
}
