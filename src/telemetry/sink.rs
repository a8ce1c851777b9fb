//! One thread that writes what others hand it, so that nobody else waits for a pipe.
//!
//! The channel is bounded: when the reader of the pipe is too slow, what does not fit is counted as dropped.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Batches that may wait for the thread. With access log buffers of 16 KiB these are 4 MiB at most.
const QUEUE: usize = 256;
/// How long the thread pauses when the pipe is in non-blocking mode and full.
const FULL_PIPE_PAUSE: Duration = Duration::from_millis(5);

/// The way to the writing thread.
pub(super) struct Sink {
    sender: SyncSender<Batch>,
    handed: AtomicU64,
    written: Arc<Written>,
    dropped: Arc<AtomicU64>,
}

struct Batch {
    bytes: Vec<u8>,
    lines: u64,
}

/// Lines that are done with, written or given up.
#[derive(Default)]
struct Written {
    lines: Mutex<u64>,
    moved: Condvar,
}

impl Sink {
    /// Starts the thread `name`, which writes to `output`. Lines that are lost are added to `dropped`.
    pub(super) fn start(
        name: &str,
        output: impl Write + Send + 'static,
        dropped: Arc<AtomicU64>,
    ) -> io::Result<Arc<Sink>> {
        let (sender, receiver) = sync_channel(QUEUE);
        let written = Arc::new(Written::default());
        let (done, lost) = (Arc::clone(&written), Arc::clone(&dropped));
        thread::Builder::new().name(name.to_owned()).spawn(move || run(receiver, output, &done, &lost))?;
        Ok(Arc::new(Sink { sender, handed: AtomicU64::new(0), written, dropped }))
    }

    /// Hands on whole lines without waiting.
    pub(super) fn hand_on(&self, bytes: Vec<u8>, lines: u64) {
        match self.sender.try_send(Batch { bytes, lines }) {
            Ok(()) => self.handed.fetch_add(lines, Ordering::Relaxed),
            Err(_) => self.dropped.fetch_add(lines, Ordering::Relaxed),
        };
    }

    /// Waits, `patience` at most, until everything handed on so far is written. False if it is not.
    pub(super) fn settle(&self, patience: Duration) -> bool {
        let goal = self.handed.load(Ordering::Relaxed);
        let lines = self.written.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match self.written.moved.wait_timeout_while(lines, patience, |lines| *lines < goal) {
            Ok((lines, _)) => *lines >= goal,
            Err(poisoned) => *poisoned.into_inner().0 >= goal,
        }
    }
}

fn run(receiver: Receiver<Batch>, mut output: impl Write, written: &Written, dropped: &AtomicU64) {
    for batch in receiver {
        let rest = write_all(&mut output, &batch.bytes);
        if !rest.is_empty() {
            let lost = memchr::memchr_iter(b'\n', rest).count();
            dropped.fetch_add(u64::try_from(lost).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        *written.lines.lock().unwrap_or_else(PoisonError::into_inner) += batch.lines;
        written.moved.notify_all();
    }
}

/// Writes `bytes` and gives what could not be written. An error (nobody reads any more, disk full) loses one batch;
/// the next one is tried again, since a disk may have room by then.
fn write_all<'b>(output: &mut impl Write, mut bytes: &'b [u8]) -> &'b [u8] {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return bytes,
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Somebody who shares the pipe may have set it to non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL_PIPE_PAUSE),
            Err(_) => return bytes,
        }
    }
    let _ = output.flush();
    bytes
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Remembers what was written.
    #[derive(Clone, Default)]
    pub(in crate::telemetry) struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Memory {
        pub(in crate::telemetry) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A pipe that nobody reads until the lock is free.
    struct Blocked(Arc<Mutex<()>>, Memory);

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _held = self.0.lock().unwrap();
            self.1.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A pipe without reader, the first time; then a working one that takes two bytes at a time.
    struct Broken(bool, Memory);

    impl Write for Broken {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if std::mem::take(&mut self.0) {
                return Err(ErrorKind::BrokenPipe.into());
            }
            self.1.write(&bytes[..bytes.len().min(2)])
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn what_was_handed_on_is_written_in_order() {
        let (memory, dropped) = (Memory::default(), Arc::default());
        let sink = Sink::start("test", memory.clone(), Arc::clone(&dropped)).unwrap();
        sink.hand_on(b"a\nb\n".to_vec(), 2);
        sink.hand_on(b"c\n".to_vec(), 1);
        assert!(sink.settle(PATIENCE));
        assert_eq!(memory.text(), "a\nb\nc\n");
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_blocked_pipe_delays_nobody_and_what_does_not_fit_is_counted() {
        let (gate, memory, dropped) = (Arc::new(Mutex::new(())), Memory::default(), Arc::default());
        let sink = Sink::start("test", Blocked(Arc::clone(&gate), memory.clone()), Arc::clone(&dropped)).unwrap();
        let closed = gate.lock().unwrap();
        for _ in 0..QUEUE + 11 {
            sink.hand_on(b"x\n".to_vec(), 1);
        }
        assert!(!sink.settle(Duration::from_millis(1)), "the pipe is blocked");
        drop(closed);
        assert!(sink.settle(PATIENCE));
        let lost = dropped.load(Ordering::Relaxed);
        assert!(lost == 10 || lost == 11, "one batch may be in the thread's hands: {lost}");
        assert_eq!(memory.text().len() as u64, 2 * (QUEUE as u64 + 11 - lost));
    }

    #[test]
    fn a_broken_pipe_loses_one_batch_and_the_next_is_tried_again() {
        let (memory, dropped) = (Memory::default(), Arc::default());
        let sink = Sink::start("test", Broken(true, memory.clone()), Arc::clone(&dropped)).unwrap();
        sink.hand_on(b"a\nb\n".to_vec(), 2);
        sink.hand_on(b"cde\n".to_vec(), 1);
        assert!(sink.settle(PATIENCE));
        assert_eq!(memory.text(), "cde\n");
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    }
}
