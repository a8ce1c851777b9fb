//! The access log: one line a request, formatted on the worker into its own buffer, written by one thread.
//!
//! A worker never waits for the log: full buffers go through a bounded channel, and when it is full the lines are
//! counted as dropped.

mod custom;
mod json;
mod record;
mod text;
mod write;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

pub use self::record::{Attempt, Further, Record, Unseen, basic_user};
pub(super) use self::text::seconds;
pub use self::text::upstream_name;
use super::sink::Sink;
use crate::ir::Logging;
use crate::settings::LogFormat;

/// A buffer of this many bytes is handed on.
const FULL: usize = 16 << 10;

/// The sink: where workers send full buffers.
pub struct AccessLog {
    sink: Arc<Sink>,
    format: LogFormat,
}

impl AccessLog {
    /// Starts the thread that writes to `output`. Lines that are lost are added to `dropped`
    /// (`Metrics::dropped_lines`). Fails when no thread can be started.
    pub fn start(
        output: impl Write + Send + 'static,
        format: LogFormat,
        dropped: Arc<AtomicU64>,
    ) -> io::Result<Arc<AccessLog>> {
        Ok(Arc::new(AccessLog { sink: Sink::start("access-log", output, dropped)?, format }))
    }

    /// [`AccessLog::start`] with standard output, without the line buffer that the standard library puts before it.
    pub fn stdout(format: LogFormat, dropped: Arc<AtomicU64>) -> io::Result<Arc<AccessLog>> {
        let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        AccessLog::start(output, format, dropped)
    }

    /// A writer for one worker.
    pub fn writer(self: &Arc<Self>) -> AccessWriter {
        AccessWriter {
            log: Arc::clone(self),
            buffer: Vec::with_capacity(FULL + 4096),
            lines: 0,
            second: i64::MIN,
            stamp: Vec::new(),
        }
    }

    /// Waits, `patience` at most, until every buffer handed on is written. False if that was too short. For the end of
    /// the process, after the workers flushed.
    pub fn settle(&self, patience: Duration) -> bool {
        self.sink.settle(patience)
    }
}

/// One worker's end of the access log.
pub struct AccessWriter {
    log: Arc<AccessLog>,
    buffer: Vec<u8>,
    lines: u64,
    /// The second that `stamp` shows.
    second: i64,
    /// The printed time, made once a second.
    stamp: Vec<u8>,
}

impl AccessWriter {
    /// Appends one line to the buffer; hands the buffer on when it is full.
    pub fn write(&mut self, record: &Record<'_>) {
        let second = record.time.div_euclid(1_000_000_000);
        if second != self.second {
            self.second = second;
            self.stamp = match self.log.format {
                LogFormat::Text => text::stamp(second),
                LogFormat::Json => json::stamp(second),
            };
        }
        match self.log.format {
            LogFormat::Text => text::line(&mut self.buffer, record, &self.stamp),
            LogFormat::Json => {
                let millis = u32::try_from(record.time.rem_euclid(1_000_000_000) / 1_000_000).unwrap_or(0);
                json::line(&mut self.buffer, record, &self.stamp, millis);
            }
        }
        self.written();
    }

    /// The same, as a ConfigMap has it.
    pub fn write_by(&mut self, rules: &Logging, record: &Record<'_>, further: &impl Further) {
        match &rules.format {
            _ if rules.is_off || is_skipped(rules, record) => {}
            Some(format) if !(rules.is_default && self.log.format == LogFormat::Json) => {
                custom::line(&mut self.buffer, format, record, further);
                self.written();
            }
            Some(_) | None => self.write(record),
        }
    }

    fn written(&mut self) {
        self.lines += 1;
        if self.buffer.len() >= FULL {
            self.flush();
        }
    }

    /// Hands on what the buffer holds. Called when the worker has nothing else to do, and at least every 100 ms.
    pub fn flush(&mut self) {
        if self.lines > 0 {
            let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(FULL + FULL / 8));
            self.log.sink.hand_on(full, self.lines);
            self.lines = 0;
        }
    }
}

/// As nginx's `map $request_uri` has it: the query belongs to what is compared.
fn is_skipped(rules: &Logging, record: &Record<'_>) -> bool {
    rules.skipped.iter().any(|skipped| skipped.matches(record.target))
}

impl Drop for AccessWriter {
    /// A worker that ends leaves no line behind.
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests;
