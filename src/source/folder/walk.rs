//! Which files are manifests, and whether one was written since.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use foldhash::fast::RandomState;

/// What tells apart two states of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    pub(super) size: u64,
    modified: (i64, i64),
    /// Changes with every write and every rename, and nobody can set it.
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Time since the last write or rename; `None` if that lies ahead of `now`, as it may on another machine's disk.
    pub(super) fn age(&self, now: SystemTime) -> Option<Duration> {
        let seconds = u64::try_from(self.changed.0).ok()?;
        let nanos = u32::try_from(self.changed.1).ok()?;
        now.duration_since(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)).ok()
    }
}

/// What lies below some paths.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Manifests in byte order of their paths.
    pub(super) files: BTreeMap<OsString, Stamp>,
    /// Every folder in which a manifest may appear.
    pub(super) folders: BTreeSet<PathBuf>,
    /// Paths that are there and cannot be looked into.
    pub(super) closed: BTreeMap<PathBuf, io::Error>,
}

/// Finds all manifests below `roots`. A root that is a file counts whatever its name. Hidden entries are skipped; links
/// are followed, but a file or folder that is reached twice counts once, so circles end.
pub(super) fn walk(roots: &[PathBuf]) -> Walk {
    let mut walk = Walk::default();
    let mut seen = HashSet::default();
    for root in roots {
        match fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => descend(root, &mut walk, &mut seen),
            Ok(metadata) if metadata.is_file() => {
                let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty());
                walk.folders.insert(parent.unwrap_or(Path::new(".")).to_owned());
                walk.files.insert(root.clone().into(), Stamp::of(&metadata));
            }
            Ok(_) => {
                walk.closed.insert(root.clone(), io::Error::other("it is neither file nor folder"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                walk.closed.insert(root.clone(), error);
            }
        }
    }
    let mut seen: HashSet<(u64, u64), RandomState> = HashSet::default();
    walk.files.retain(|_, stamp| seen.insert((stamp.device, stamp.inode)));
    walk
}

fn descend(root: &Path, walk: &mut Walk, seen: &mut HashSet<(u64, u64), RandomState>) {
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        let identity = fs::metadata(&folder).map(|metadata| (metadata.dev(), metadata.ino()));
        if identity.is_ok_and(|identity| !seen.insert(identity)) {
            continue;
        }
        let entries = match fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries,
            // It went away since its parent was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                walk.closed.insert(folder, error);
                continue;
            }
        };
        let mut folders = Vec::new();
        for entry in entries {
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            // Follows links; a link to nowhere is no manifest.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file() && is_manifest(&path) {
                walk.files.insert(path.into(), Stamp::of(&metadata));
            }
        }
        folders.sort_unstable_by(|a, b| b.cmp(a));
        left.extend(folders);
        walk.folders.insert(folder);
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}
