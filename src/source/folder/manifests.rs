//! Files into a snapshot: what was read, what was last good, and which object counts when two have one name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::walk::{Stamp, Walk, walk};
use crate::ir::{Kind, Name, Object, Problem, Reason, Severity};
use crate::snapshot::{Received, Secret, Snapshot, yaml};
use crate::source::Delta;

/// A file that was written less than this ago may be half-written.
pub(super) const QUIET: Duration = Duration::from_millis(20);
/// File times have steps of some milliseconds (seconds on some disks): until a file is this old, an equal time does not
/// prove an equal content.
const SETTLED: Duration = Duration::from_secs(2);
/// Larger files are refused: 10,000 Ingresses take a tenth of it.
const LARGEST: u64 = 64 << 20;

/// The manifests below some paths, as they were last looked at.
pub(super) struct Manifests {
    roots: Vec<PathBuf>,
    reader: yaml::Reader,
    files: BTreeMap<OsString, Manifest>,
    closed: Vec<Problem>,
    snapshot: Arc<Snapshot>,
}

/// One file.
struct Manifest {
    stamp: Stamp,
    /// Whether an equal stamp proves an equal content.
    is_settled: bool,
    /// Of the bytes; `None` if they could not be had.
    hash: Option<u64>,
    /// The last good objects; if the file was never whole, what could be read of it.
    objects: Vec<Received>,
    was_whole: bool,
    problems: Vec<Problem>,
}

/// What a scan found.
pub(super) struct Scan {
    pub(super) delta: Delta,
    /// The folders to watch.
    pub(super) folders: Vec<PathBuf>,
    /// Some file was too fresh to be read: look again after [`QUIET`].
    pub(super) is_waiting: bool,
}

impl Manifests {
    /// Nothing looked at yet. `annotations_prefix` is `--annotations-prefix`, without the slash.
    pub(super) fn new(roots: &[PathBuf], annotations_prefix: &str) -> Manifests {
        Manifests {
            roots: roots.to_vec(),
            reader: yaml::Reader::new(annotations_prefix),
            files: BTreeMap::new(),
            closed: Vec::new(),
            snapshot: Arc::default(),
        }
    }

    /// What the files say, as of the last scan.
    pub(super) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// What the files say, as of the last scan.
    pub(super) fn into_snapshot(self) -> Arc<Snapshot> {
        self.snapshot
    }

    /// Looks at every file's stamp, and reads those that changed and have been `quiet` for long enough.
    pub(super) fn scan(&mut self, now: SystemTime, quiet: Duration) -> Scan {
        let Walk { files, folders, closed } = walk(&self.roots);
        let mut is_waiting = false;
        let mut is_changed = false;
        for (path, stamp) in &files {
            let known = self.files.get(path);
            if known.is_some_and(|known| known.stamp == *stamp && known.is_settled) {
                continue;
            }
            let age = stamp.age(now);
            if age.is_some_and(|age| age < quiet) && known.is_none_or(|known| known.stamp != *stamp) {
                is_waiting = true;
                continue;
            }
            let is_settled = age.is_some_and(|age| age >= SETTLED);
            is_changed |= self.read(path, *stamp, is_settled);
        }
        let before = self.files.len();
        // What cannot be looked into is not known to be gone.
        let is_below = |path: &OsStr| closed.keys().any(|closed| Path::new(path).starts_with(closed));
        self.files.retain(|path, _| files.contains_key(path) || is_below(path));
        let closed: Vec<Problem> = closed.iter().map(|(path, error)| unreadable(path.as_os_str(), error)).collect();
        is_changed |= before != self.files.len() || closed != self.closed;
        self.closed = closed;
        let delta = if is_changed { self.merge() } else { Delta::default() };
        Scan { delta, folders: folders.into_iter().collect(), is_waiting }
    }

    /// Reads one file; whether anything became different.
    fn read(&mut self, path: &OsStr, stamp: Stamp, is_settled: bool) -> bool {
        let known = self.files.remove(path);
        let (text, hash) = match contents(path, stamp) {
            Ok(text) => {
                let mut hasher = DefaultHasher::new();
                text.hash(&mut hasher);
                (text, hasher.finish())
            }
            // It went away since the walk.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return known.is_some(),
            Err(error) => {
                let (objects, was_whole, before) = match known {
                    Some(Manifest { objects, was_whole, problems, .. }) => (objects, was_whole, problems),
                    None => (Vec::new(), false, Vec::new()),
                };
                let problems = vec![unreadable(path, &error)];
                let is_changed = problems != before;
                let manifest = Manifest { stamp, is_settled, hash: None, objects, was_whole, problems };
                self.files.insert(path.to_owned(), manifest);
                return is_changed;
            }
        };
        let known = match known {
            Some(known) if known.hash == Some(hash) => {
                self.files.insert(path.to_owned(), Manifest { stamp, is_settled, ..known });
                return false;
            }
            known => known.filter(|known| known.was_whole),
        };
        let yaml::Parsed { objects, mut problems, is_whole } = self.reader.read(&text, &path.to_string_lossy());
        let (objects, was_whole) = match known {
            Some(known) if !is_whole => (known.objects, true),
            _ => (objects, is_whole),
        };
        if !is_whole {
            let hint = if was_whole {
                "correct the document; until then the last good objects of the file are served"
            } else {
                "correct the document; the other objects of the file are served"
            };
            for problem in problems.iter_mut().filter(|problem| problem.object.kind == Kind::File) {
                hint.clone_into(&mut problem.hint);
            }
        }
        let manifest = Manifest { stamp, is_settled, hash: Some(hash), objects, was_whole, problems };
        self.files.insert(path.to_owned(), manifest);
        true
    }

    /// A new snapshot from all files, and what is different in it.
    fn merge(&mut self) -> Delta {
        let mut next = Snapshot::default();
        let mut owners: BTreeMap<(Kind, &Name), &Received> = BTreeMap::new();
        for manifest in self.files.values() {
            next.problems.extend_from_slice(&manifest.problems);
            for object in &manifest.objects {
                let name = &object.meta().object.name;
                match owners.entry((object.meta().object.kind, name)) {
                    Entry::Occupied(owner) => next.problems.push(duplicate(object, owner.get())),
                    Entry::Vacant(place) => {
                        place.insert(object);
                        let object = match object {
                            Received::Secret(secret) => {
                                Received::Secret(with_last_good(secret, self.snapshot.secrets.get(name)))
                            }
                            object => object.clone(),
                        };
                        next.insert(object);
                    }
                }
            }
        }
        next.problems.extend_from_slice(&self.closed);
        next.problems.sort();
        let delta = Delta::between(&self.snapshot, &next);
        self.snapshot = Arc::new(next);
        delta
    }
}

/// A Secret that cannot be served keeps the certificate that was served under its name.
fn with_last_good(secret: &Arc<Secret>, before: Option<&Arc<Secret>>) -> Arc<Secret> {
    let (None, Some(before)) = (secret.certificate(), before) else { return Arc::clone(secret) };
    let Some(last_good) = before.certificate() else { return Arc::clone(secret) };
    if before.current == secret.current && before.meta.object == secret.meta.object {
        return Arc::clone(before);
    }
    Arc::new(Secret::new(secret.meta.clone(), secret.current.clone(), Some(Arc::clone(last_good))))
}

fn contents(path: &OsStr, stamp: Stamp) -> io::Result<String> {
    if stamp.size > LARGEST {
        return Err(io::Error::other(format!(
            "it has {} MiB, and more than {} are not read",
            stamp.size >> 20,
            LARGEST >> 20
        )));
    }
    let bytes = fs::read(path)?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = 1 + memchr::memchr_iter(b'\n', error.as_bytes().get(..good).unwrap_or_default()).count();
        io::Error::other(format!("line {line} is not UTF-8 text"))
    })
}

fn unreadable(path: &OsStr, error: &io::Error) -> Problem {
    let path: Arc<str> = path.to_string_lossy().into();
    let name = Name { namespace: "".into(), name: Arc::clone(&path) };
    Problem {
        object: Arc::new(Object { kind: Kind::File, name, file: Some(Arc::clone(&path)), line: None }),
        severity: Severity::Error,
        reason: Reason::ManifestUnreadable,
        field: String::new(),
        message: format!("{path}: {error}"),
        hint: "make it readable; until then what was last read of it is served".to_owned(),
    }
}

fn duplicate(object: &Received, owner: &Received) -> Problem {
    let (meta, owner) = (object.meta(), owner.meta());
    let is_same = meta.version == owner.version;
    let place = |object: &Object| {
        let (file, line) = (object.file.as_deref().unwrap_or_default(), object.line.unwrap_or_default());
        format!("{file}:{line}")
    };
    Problem {
        object: Arc::clone(&meta.object),
        severity: if is_same { Severity::Info } else { Severity::Error },
        reason: Reason::DuplicateObject,
        field: String::new(),
        message: format!(
            "{} declares {} too, which stands in {} already{}",
            place(&meta.object),
            meta.object,
            place(&owner.object),
            if is_same { " with the same content" } else { "; that one counts" }
        ),
        hint: "remove one of the two, or rename it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}\n";

    /// A folder with one file, its manifests, and the time at which the file was written.
    fn written(text: &str) -> (tempfile::TempDir, PathBuf, Manifests, SystemTime) {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("a.yaml");
        fs::write(&path, text).unwrap();
        let manifests = Manifests::new(&[folder.path().to_owned()], "x");
        let at = changed(&path);
        (folder, path, manifests, at)
    }

    fn changed(path: &Path) -> SystemTime {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path).unwrap();
        SystemTime::UNIX_EPOCH + Duration::new(metadata.ctime() as u64, metadata.ctime_nsec() as u32)
    }

    #[test]
    fn a_file_is_read_when_it_has_been_quiet_and_not_before() {
        let ms = Duration::from_millis;
        let (_folder, path, mut manifests, at) = written("{apiVersion: v1, kind: Serv");
        let scan = manifests.scan(at + ms(19), QUIET);
        assert!(scan.is_waiting && scan.delta.is_empty());
        fs::write(&path, SERVICE).unwrap();
        let at = changed(&path);
        assert!(manifests.scan(at + ms(19), QUIET).is_waiting);
        let scan = manifests.scan(at + ms(20), QUIET);
        assert!(!scan.is_waiting && scan.delta.routes && !scan.delta.report);
    }

    #[test]
    fn a_file_from_the_future_is_read_all_the_same() {
        let (_folder, _, mut manifests, at) = written(SERVICE);
        let scan = manifests.scan(at - Duration::from_secs(3600), QUIET);
        assert!(!scan.is_waiting && scan.delta.routes);
    }

    #[test]
    fn only_files_whose_stamp_is_new_or_fresh_are_read_again() {
        let (_folder, _, mut manifests, at) = written(SERVICE);
        let forget = |manifests: &mut Manifests| {
            for file in manifests.files.values_mut() {
                file.hash = None;
            }
        };
        let is_read = |manifests: &Manifests| manifests.files.values().all(|file| file.hash.is_some());
        manifests.scan(at + QUIET, QUIET);
        forget(&mut manifests);
        manifests.scan(at + SETTLED, QUIET);
        assert!(is_read(&manifests), "two writes may have one time");
        forget(&mut manifests);
        manifests.scan(at + 2 * SETTLED, QUIET);
        assert!(!is_read(&manifests));
    }
}
