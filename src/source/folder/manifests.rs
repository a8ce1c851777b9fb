//! Files into a snapshot: what was read, what was last good, and which object counts when two have one name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::walk::{Stamp, Walk, walk};
use crate::ir::{Kind, Name, Object, Problem, Reason, Severity};
use crate::snapshot::{EndpointSlice, Received, Snapshot, yaml};
use crate::source::Delta;
use crate::source::delta::Differences;

/// A file that was written less than this ago may be half-written.
pub(super) const QUIET: Duration = Duration::from_millis(20);
/// File times have steps of some milliseconds (seconds on some disks): until a file is this old, an equal time does not
/// prove an equal content.
const SETTLED: Duration = Duration::from_secs(2);
/// With more changed objects all are merged anew.
const FEW: usize = 1_000;
/// Larger files are refused: 10,000 Ingresses take a tenth of it.
const LARGEST: u64 = 64 << 20;

/// The manifests below some paths, as they were last looked at.
pub(super) struct Manifests {
    roots: Vec<PathBuf>,
    reader: yaml::Reader,
    files: BTreeMap<OsString, Manifest>,
    closed: Vec<Problem>,
    /// Two files, or two documents of one, declare the same object.
    has_duplicates: bool,
    snapshot: Arc<Snapshot>,
}

/// Objects of the changed files, as they were.
type Before = BTreeMap<OsString, Vec<Received>>;

/// What reading a file led to.
enum Read {
    /// It says the same as before.
    Same,
    /// Only what is wrong with it changed.
    Problems,
    /// Its objects changed; these were the former ones.
    Objects(Vec<Received>),
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
    /// The documents that `objects` come from.
    kept: Vec<yaml::Kept>,
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
            has_duplicates: false,
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
        let mut before = Before::new();
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
            match self.read(path, *stamp, is_settled) {
                Read::Same => {}
                Read::Problems => is_changed = true,
                Read::Objects(objects) => {
                    is_changed = true;
                    before.insert(path.clone(), objects);
                }
            }
        }
        // What cannot be looked into is not known to be gone.
        let is_below = |path: &OsStr| closed.keys().any(|closed| Path::new(path).starts_with(closed));
        let gone = self.files.extract_if(.., |path, _| !files.contains_key(path) && !is_below(path));
        for (path, manifest) in gone {
            is_changed = true;
            before.insert(path, manifest.objects);
        }
        let closed: Vec<Problem> = closed.iter().map(|(path, error)| unreadable(path.as_os_str(), error)).collect();
        is_changed |= closed != self.closed;
        self.closed = closed;
        let delta = match is_changed {
            true => self.amend(&before).unwrap_or_else(|| self.merge()),
            false => Delta::default(),
        };
        Scan { delta, folders: folders.into_iter().collect(), is_waiting }
    }

    /// Reads one file.
    fn read(&mut self, path: &OsStr, stamp: Stamp, is_settled: bool) -> Read {
        let known = self.files.remove(path);
        let (text, hash) = match contents(path, stamp) {
            Ok(text) => {
                let mut hasher = DefaultHasher::new();
                text.hash(&mut hasher);
                (text, hasher.finish())
            }
            // It went away since the walk.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return known.map_or(Read::Same, |known| Read::Objects(known.objects));
            }
            Err(error) => {
                let (objects, kept, was_whole, before) = match known {
                    Some(Manifest { objects, kept, was_whole, problems, .. }) => (objects, kept, was_whole, problems),
                    None => (Vec::new(), Vec::new(), false, Vec::new()),
                };
                let problems = vec![unreadable(path, &error)];
                let read = if problems == before { Read::Same } else { Read::Problems };
                let manifest = Manifest { stamp, is_settled, hash: None, objects, kept, was_whole, problems };
                self.files.insert(path.to_owned(), manifest);
                return read;
            }
        };
        let known = match known {
            Some(known) if known.hash == Some(hash) => {
                self.files.insert(path.to_owned(), Manifest { stamp, is_settled, ..known });
                return Read::Same;
            }
            known => known,
        };
        let (documents, before) = known.as_ref().map_or((&[][..], &[][..]), |known| (&known.kept, &known.objects));
        let yaml::Parsed { objects, mut problems, is_whole, kept } =
            self.reader.read_again(&text, &path.to_string_lossy(), documents, before);
        let (objects, kept, was_whole, read) = match known {
            Some(known) if !is_whole && known.was_whole => (known.objects, known.kept, true, Read::Problems),
            known => (objects, kept, is_whole, Read::Objects(known.map(|known| known.objects).unwrap_or_default())),
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
        let manifest = Manifest { stamp, is_settled, hash: Some(hash), objects, kept, was_whole, problems };
        self.files.insert(path.to_owned(), manifest);
        read
    }

    /// The snapshot brought up to the files, if few of their objects changed and no name is declared twice: then only
    /// those objects have to be looked at, not all. `before` holds the former objects of the changed files.
    fn amend(&mut self, before: &Before) -> Option<Delta> {
        let key = |object: &Received| (object.meta().object.kind, object.meta().object.name.clone());
        let old: BTreeMap<_, &Received> = before.values().flatten().map(|object| (key(object), object)).collect();
        let now = before.keys().filter_map(|path| self.files.get(path)).flat_map(|manifest| &manifest.objects);
        let mut new: BTreeMap<_, &Received> = BTreeMap::new();
        for object in now {
            if new.insert(key(object), object).is_some() || new.len() > FEW {
                return None;
            }
        }
        let fresh: BTreeMap<_, _> = new.iter().filter(|(key, _)| !old.contains_key(*key)).collect();
        // Slices are known by their Service, but the name alone must be theirs.
        let is_fresh =
            |slice: &EndpointSlice| fresh.contains_key(&(Kind::EndpointSlice, slice.meta.object.name.clone()));
        if self.has_duplicates
            || old.len() > FEW
            || fresh.values().any(|object| self.snapshot.find(object).is_some())
            || (!fresh.is_empty() && self.snapshot.slices.values().flatten().any(|slice| is_fresh(slice)))
        {
            return None;
        }
        let snapshot = Arc::make_mut(&mut self.snapshot);
        let mut differences = Differences::default();
        for (key, object) in &old {
            let served = snapshot.find(object);
            snapshot.remove(object);
            let next = new.remove(key).map(|object| match (object, &served) {
                (Received::Secret(secret), Some(Received::Secret(before))) => {
                    Received::Secret(secret.after(Some(before)))
                }
                (object, _) => object.clone(),
            });
            differences.object(served.as_ref(), next.as_ref());
            next.map(|object| snapshot.insert(object));
        }
        for object in new.into_values() {
            differences.object(None, Some(object));
            snapshot.insert(object.clone());
        }
        let mut problems: Vec<Problem> = self.files.values().flat_map(|manifest| &manifest.problems).cloned().collect();
        problems.extend_from_slice(&self.closed);
        problems.sort();
        let has_other_problems = problems != snapshot.problems;
        snapshot.problems = problems;
        let mut delta = differences.into_delta(snapshot);
        delta.report |= has_other_problems;
        Some(delta)
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
                            Received::Secret(secret) => Received::Secret(secret.after(self.snapshot.secrets.get(name))),
                            object => object.clone(),
                        };
                        next.insert(object);
                    }
                }
            }
        }
        self.has_duplicates = next.problems.iter().any(|problem| problem.reason == Reason::DuplicateObject);
        next.problems.extend_from_slice(&self.closed);
        next.problems.sort();
        next.pack();
        let delta = Delta::between(&self.snapshot, &next);
        self.snapshot = Arc::new(next);
        delta
    }
}

fn contents(path: &OsStr, stamp: Stamp) -> io::Result<String> {
    if stamp.size > LARGEST {
        return Err(io::Error::other(format!(
            "it has {} MiB, and more than {} are not read",
            stamp.size >> 20,
            LARGEST >> 20
        )));
    }
    // What was a file when it was looked at may be a pipe by now, whose opening and reading would wait for a writer.
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(stamp.size).unwrap_or_default());
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it has more than {} MiB, which are not read", LARGEST >> 20)));
    }
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
    use std::fs;

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

    #[test]
    fn a_few_changes_come_to_what_reading_all_anew_comes_to() {
        let pod = |weight| {
            format!(
                "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: p, labels: {{fairlead.dev/weight: '{weight}'}}}}}}\n"
            )
        };
        let slice = |service: &str, address: &str| {
            format!(
                "---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{{port: 80}}],\n \
                 metadata: {{name: a-1, labels: {{kubernetes.io/service-name: {service}}}}},\n \
                 endpoints: [{{addresses: [{address}], targetRef: {{kind: Pod, name: p}}}}]}}\n"
            )
        };
        let other = format!("---\n{}", SERVICE.replace("name: a", "name: b"));
        let folder = tempfile::TempDir::new().unwrap();
        let mut amended = Manifests::new(&[folder.path().to_owned()], "x");
        // Stands in no file: reading all anew drops it.
        let mark = yaml::read(&pod(1).replace("name: p", "name: mark"), "mark").objects.remove(0);
        for (file, text, road, is_amended) in [
            ("a.yaml", SERVICE.to_owned(), "routes", true),
            ("b.yaml", format!("{}{}{}", slice("a", "10.0.0.1"), pod(2), other), "routes endpoints", true),
            ("b.yaml", format!("{}{}{}", slice("a", "10.0.0.2"), pod(2), other), "endpoints", true),
            ("b.yaml", format!("{}{}{}", slice("a", "10.0.0.2"), pod(3), other), "endpoints", true),
            ("b.yaml", format!("\n{}{}{}", slice("a", "10.0.0.2"), pod(3), other), "report", true),
            ("b.yaml", format!("{}{}{}", slice("b", "10.0.0.2"), pod(3), other), "endpoints report", true),
            ("c.yaml", slice("c", "10.0.0.2"), "report", false),
            ("c.yaml", String::new(), "report", false),
            ("a.yaml", SERVICE.replace("80", "81"), "routes", true),
            ("a.yaml", format!("{SERVICE}---\n]["), "report", true),
            ("a.yaml", format!("{SERVICE}---\n{SERVICE}"), "routes report", false),
            ("a.yaml", SERVICE.to_owned(), "report", false),
            ("b.yaml", String::new(), "routes endpoints", true),
        ] {
            let path = folder.path().join(file);
            fs::write(&path, text).unwrap();
            let before = Arc::clone(amended.snapshot());
            Arc::make_mut(&mut amended.snapshot).insert(mark.clone());
            let later = changed(&path) + 2 * SETTLED;
            let delta = amended.scan(later, Duration::ZERO).delta;
            let told = [("routes", delta.routes), ("endpoints", !delta.endpoints.is_empty()), ("report", delta.report)];
            let told: Vec<_> = told.into_iter().filter(|(_, is_told)| *is_told).map(|(name, _)| name).collect();
            assert_eq!(told.join(" "), road, "{file}");
            let snapshot = Arc::make_mut(&mut amended.snapshot);
            assert_eq!(snapshot.find(&mark).is_some(), is_amended, "{file}");
            snapshot.remove(&mark);
            assert_eq!(delta, Delta::between(&before, amended.snapshot()), "{file}");
            let mut anew = Manifests::new(&[folder.path().to_owned()], "x");
            anew.scan(later, Duration::ZERO);
            if anew.files.values().all(|file| file.was_whole) {
                assert_eq!(format!("{:?}", amended.snapshot()), format!("{:?}", anew.snapshot()), "{file}");
            }
        }
    }

    #[test]
    fn documents_that_stay_are_not_read_again_even_after_the_file_was_broken() {
        let other = |name: &str| format!("---\n{}", SERVICE.replace("name: a", &format!("name: {name}")));
        let (_folder, path, mut manifests, at) = written(&format!("{SERVICE}{}", other("b")));
        manifests.scan(at + QUIET, QUIET);
        let first = manifests.snapshot().services.values().next().cloned().unwrap();
        for text in [format!("{SERVICE}{}---\n][", other("b")), format!("{SERVICE}{}", other("c"))] {
            fs::write(&path, text).unwrap();
            manifests.scan(changed(&path) + QUIET, QUIET);
            let services = &manifests.snapshot().services;
            assert!(services.len() == 2 && Arc::ptr_eq(&first, services.values().next().unwrap()));
        }
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
    fn a_pipe_in_the_place_of_a_file_is_told_and_not_waited_for() {
        let (folder, path, mut manifests, at) = written(SERVICE);
        manifests.scan(at + QUIET, QUIET);
        let stamp = walk(&[folder.path().to_owned()]).files.remove(path.as_os_str()).unwrap();
        fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        assert_eq!(contents(path.as_os_str(), stamp).unwrap_err().to_string(), "it is no file");
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
