//! A folder of manifests as a source: read whole at start, watched from then on.

mod manifests;
mod walk;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use notify::event::{ModifyKind, RemoveKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use self::manifests::{Manifests, QUIET, Scan};
use super::Changed;
use crate::snapshot::Snapshot;

/// A scan finds what no event told: files behind links out of the folder, disks without events.
const RESCAN: Duration = Duration::from_secs(5);
/// While files keep being written, those that are quiet are read at least this often.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// Why a folder cannot be a source.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A path is missing or cannot be looked at.
    #[error("cannot read manifests from {}: {error}", .path.display())]
    Path {
        /// The path as given.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Reads files and folders once, without watching them. Missing paths hold nothing.
pub fn read(paths: &[PathBuf], annotations_prefix: &str) -> Snapshot {
    let mut manifests = Manifests::new(paths, annotations_prefix);
    manifests.scan(SystemTime::now(), Duration::ZERO);
    Arc::unwrap_or_clone(manifests.into_snapshot())
}

/// The manifests below `paths` in byte order, and what cannot be looked into with the reason.
pub fn files(paths: &[PathBuf]) -> (Vec<PathBuf>, Vec<(PathBuf, io::Error)>) {
    let walk::Walk { files, closed, .. } = walk::walk(paths);
    (files.into_keys().map(PathBuf::from).collect(), closed.into_iter().collect())
}

/// Files and folders that are watched.
pub struct FolderSource {
    manifests: Manifests,
    watch: Watch,
    /// First and last event that no scan has answered yet.
    pending: Option<(Instant, Instant)>,
    next_scan: Instant,
}

impl FolderSource {
    /// Reads every manifest below `paths`, each a file or a folder, and begins to watch. To be called where a Tokio
    /// runtime is. `annotations_prefix` is `--annotations-prefix`, without the slash.
    pub fn open(paths: &[PathBuf], annotations_prefix: &str) -> Result<FolderSource, OpenError> {
        for path in paths {
            std::fs::metadata(path).map_err(|error| OpenError::Path { path: path.clone(), error })?;
        }
        let mut source = FolderSource {
            manifests: Manifests::new(paths, annotations_prefix),
            watch: Watch::new(),
            pending: None,
            next_scan: Instant::now() + RESCAN,
        };
        source.scan(Duration::ZERO);
        Ok(source)
    }

    /// What the files say, as of the last change.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        self.manifests.snapshot()
    }

    /// Waits until the files say something else. The first change after quiet is answered at once, which is after 20 ms
    /// without a further event: a file may be half-written. May be dropped while it waits; nothing is lost.
    pub async fn changed(&mut self) -> Changed {
        loop {
            let Some((first, last)) = self.pending else {
                let event = timeout_at(self.next_scan, self.watch.event.notified()).await;
                let now = Instant::now();
                // A rescan that no event led to needs no quiet: files too fresh are left out by their age.
                self.pending =
                    Some(if event.is_ok() { (now, now) } else { (now, now.checked_sub(QUIET).unwrap_or(now)) });
                continue;
            };
            let due = (last + QUIET).min(first + LONGEST_WAIT);
            if Instant::now() < due {
                if timeout_at(due, self.watch.event.notified()).await.is_ok() {
                    self.pending = Some((first, Instant::now()));
                }
                continue;
            }
            // So that a folder in which something is written without end leaves time for all else.
            tokio::task::yield_now().await;
            let scan = self.scan(QUIET);
            let now = Instant::now();
            self.pending = scan.is_waiting.then_some((now, now));
            if !scan.delta.is_empty() {
                return Changed { delta: scan.delta, since: first.into_std() };
            }
        }
    }

    /// Looks at all files. New folders are watched first and looked at again, so that no file slips in between.
    fn scan(&mut self, quiet: Duration) -> Scan {
        self.next_scan = Instant::now() + RESCAN;
        let mut scan = self.manifests.scan(SystemTime::now(), quiet);
        if self.watch.follow(&scan.folders) {
            let again = self.manifests.scan(SystemTime::now(), quiet);
            scan.delta.add(again.delta);
            scan.is_waiting |= again.is_waiting;
            // Folders that appeared meanwhile raise events in the folder above them, which is watched by now.
        }
        scan
    }
}

/// Events of folders. Folders are watched, never files: a mounted ConfigMap swaps the link `..data`, an editor renames.
struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    event: Arc<Notify>,
    /// A folder went away: one that has its name by now is another, and not watched.
    is_torn: Arc<AtomicBool>,
}

impl Watch {
    fn new() -> Watch {
        let event = Arc::new(Notify::new());
        let is_torn = Arc::new(AtomicBool::new(false));
        let (wake, tear) = (Arc::clone(&event), Arc::clone(&is_torn));
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            match event.map(|event| event.kind) {
                // Our own reading raises it, which must not lead to reading.
                Ok(EventKind::Access(_)) => return,
                Ok(
                    EventKind::Remove(RemoveKind::Folder | RemoveKind::Other) | EventKind::Modify(ModifyKind::Name(_)),
                ) => {
                    tear.store(true, Ordering::Release);
                }
                Ok(_) | Err(_) => {}
            }
            wake.notify_one();
        });
        let watcher = watcher.inspect_err(|error| warn!(%error, "no file events; folders are read every 5 s")).ok();
        Watch { watcher, folders: BTreeSet::new(), event, is_torn }
    }

    /// Watches exactly `folders`; whether any is newly watched.
    fn follow(&mut self, folders: &[PathBuf]) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        if self.is_torn.swap(false, Ordering::AcqRel) {
            self.folders.clear();
        }
        let wanted: BTreeSet<PathBuf> = folders.iter().cloned().collect();
        for gone in self.folders.difference(&wanted) {
            // The kernel forgets a folder that is deleted by itself.
            let _ = watcher.unwatch(gone);
        }
        let mut is_new = false;
        for folder in wanted.difference(&self.folders) {
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => is_new = true,
                Err(error) => warn!(%error, folder = %folder.display(), "folder is not watched, only read every 5 s"),
            }
        }
        self.folders = wanted;
        is_new
    }
}
