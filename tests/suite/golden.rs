//! `tests/golden/<subject>/<case>.yaml`: plain objects, then as a comment what they come to and where requests go.
//!
//! A case begins with comment lines: what it shows, then perhaps `# options:` (words as in [`options`]),
//! `# resolved: name=address,address` and `# zone: name`. After the line `# expect` stands the short text form, each line
//! behind `# `, so that the whole file is plain manifests for any tool. `GOLDEN_WRITE=1` writes the expectations anew; the
//! section `requests` is kept, with new answers.

mod every;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use fairlead::compile::{self, Compiled, Compiler, Resolved};
use fairlead::ir::text::{self, Form};
use fairlead::ir::{self, EndpointSets};
use fairlead::live::Registry;
use fairlead::settings::{CompileOptions, Own};
use fairlead::snapshot::{Received, Snapshot, secret, yaml};
use fairlead::table::{RoutingTable, Target};
use fairlead::telemetry::Metrics;
use fairlead::uri;
use similar::TextDiff;

const EXPECT: &str = "# expect\n";
const SHUFFLES: u64 = 5;

#[test]
fn every_case_compiles_to_what_it_says() {
    let is_written = env::var_os("GOLDEN_WRITE").is_some();
    let mut failures = String::new();
    let cases = cases();
    assert!(cases.len() >= 100, "only {} cases", cases.len());
    for path in &cases {
        let case = Case::read(path);
        let found = case.run();
        if found == case.expected {
            continue;
        }
        if is_written {
            case.write(path, &found);
        } else {
            let diff = TextDiff::from_lines(&case.expected, &found);
            let _ = writeln!(failures, "{}\n{}", path.display(), diff.unified_diff().header("expected", "found"));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn objects_that_come_one_by_one_in_any_order_come_to_the_same() {
    for path in cases() {
        let case = Case::read(&path);
        let whole = compile::compile(&case.snapshot(), &case.options);
        for seed in 0..SHUFFLES {
            let mut objects = case.objects.clone();
            fastrand::Rng::with_seed(seed).shuffle(&mut objects);
            let mut compiler = Compiler::default();
            let mut snapshot = case.empty();
            let mut last = Compiled::default();
            for object in objects {
                snapshot.insert(object);
                last = compiler.compile(&snapshot, &case.options);
            }
            assert_eq!(last, whole, "{} with seed {seed}", path.display());
            assert_eq!(case.print(&snapshot, &last), case.print(&snapshot, &whole), "{}", path.display());
        }
    }
}

#[test]
fn every_case_says_what_it_shows() {
    for path in cases() {
        let text = fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap();
        assert!(first.starts_with("# ") && first.ends_with('.'), "{}: {first}", path.display());
    }
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases = Vec::new();
    for subject in fs::read_dir(root).unwrap() {
        for case in fs::read_dir(subject.unwrap().path()).unwrap() {
            cases.push(case.unwrap().path());
        }
    }
    cases.sort();
    cases
}

/// One file, read.
struct Case {
    input: String,
    options: CompileOptions,
    objects: Vec<Received>,
    problems: Vec<ir::Problem>,
    resolved: Resolved,
    zone: Option<Arc<str>>,
    expected: String,
    requests: Vec<String>,
}

impl Case {
    fn read(path: &Path) -> Case {
        let text = fs::read_to_string(path).unwrap();
        let (input, expected) = text.split_once(EXPECT).unwrap_or((&text, ""));
        let strip = |line: &str| line.strip_prefix("# ").or(line.strip_prefix('#')).unwrap_or(line).to_owned() + "\n";
        let expected: String = expected.lines().map(strip).collect();
        let requests = expected.lines().skip_while(|line| *line != "requests").skip(1);
        let requests = requests.map(|line| line.split('→').next().unwrap().trim().to_owned()).collect();
        let header = |name: &str| input.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let options = options(header("# options:"));
        let parsed = yaml::Reader::new(&options.annotations_prefix).read(input, "case.yaml");
        Case {
            input: input.to_owned(),
            options,
            objects: parsed.objects,
            problems: parsed.problems,
            resolved: resolved(header("# resolved:")),
            zone: Some(header("# zone:").trim()).filter(|zone| !zone.is_empty()).map(Arc::from),
            expected,
            requests,
        }
    }

    fn write(&self, path: &Path, found: &str) {
        let comment = |line: &str| format!("# {line}").trim_end().to_owned() + "\n";
        let expected: String = found.lines().map(comment).collect();
        fs::write(path, format!("{}{EXPECT}{expected}", self.input)).unwrap();
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot_of(self.objects.iter().cloned())
    }

    /// The snapshot with these in place of the objects of the case.
    fn snapshot_of(&self, objects: impl Iterator<Item = Received>) -> Snapshot {
        let mut snapshot = self.empty();
        for object in objects {
            snapshot.insert(object);
        }
        snapshot
    }

    /// The snapshot before the first object.
    fn empty(&self) -> Snapshot {
        Snapshot { problems: self.problems.clone(), zone: self.zone.clone(), ..Snapshot::default() }
    }

    fn run(&self) -> String {
        let snapshot = self.snapshot();
        self.print(&snapshot, &compile::compile(&snapshot, &self.options))
    }

    fn print(&self, snapshot: &Snapshot, compiled: &Compiled) -> String {
        let (filters, policy) = compile::plain(&self.options);
        let form = Form {
            http_port: self.options.http_port,
            https_port: self.options.https_port,
            filters: &filters,
            policy: &policy,
        };
        let mut problems = compiled.problems.clone();
        let mut sets = EndpointSets::new();
        for (id, backend) in &*compiled.config.backends {
            let (set, more) = compile::endpoints(snapshot, backend, &self.resolved);
            sets.insert(id.clone(), set);
            problems.extend(more);
        }
        problems.sort();
        let mut out = form.config(&compiled.config);
        // Cases that are not about endpoints have none, and no word of it.
        let is_about_endpoints = self.objects.iter().any(|object| matches!(object, Received::EndpointSlice(_)));
        if is_about_endpoints || !self.resolved.is_empty() {
            out += &text::endpoints(&sets);
        } else {
            problems.retain(|problem| problem.reason != ir::Reason::NoEndpoints);
        }
        out += &text::problems(&problems);
        if !self.requests.is_empty() {
            out += "requests\n";
            let world = World::new(&compiled.config);
            let width = self.requests.iter().map(|request| request.chars().count()).max().unwrap_or(0);
            for request in &self.requests {
                let _ = writeln!(out, "  {request:width$}  → {}", world.answer(request));
            }
        }
        out
    }
}

/// The options of a case: a folder on ports 80 and 443, but for the words given.
fn options(words: &str) -> CompileOptions {
    let mut options = CompileOptions::default();
    for word in words.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let object = || value.split_once('/').map(|(namespace, name)| ir::Name::new(namespace, name));
        match name {
            "annotations-prefix" => options.annotations_prefix = value.into(),
            "cluster" => options.folder = false,
            "controller-class" => options.controller_class = value.into(),
            "default-backend-service" => options.default_backend_service = object(),
            "configmap" => options.config_map = object(),
            "default-ssl-certificate" => options.default_ssl_certificate = object(),
            "enable-ssl-passthrough" => options.ssl_passthrough = true,
            "enable-topology-aware-routing" => options.topology_aware = true,
            "disable-catch-all" => options.disable_catch_all = true,
            "disable-svc-external-name" => options.disable_external_name = true,
            "https-port" => options.https_port = value.parse().ok(),
            "ingress-class" => options.ingress_class = value.into(),
            "own" => options.own = Some(Own { service: object(), pod: None }),
            "ingress-class-by-name" => options.ingress_class_by_name = true,
            "watch-ingress-without-class" => options.watch_ingress_without_class = true,
            _ => panic!("no option {name}"),
        }
    }
    options
}

fn resolved(words: &str) -> Resolved {
    let entry = |word: &str| {
        let (name, addresses) = word.split_once('=').unwrap();
        let addresses = addresses.split(',').filter(|address| !address.is_empty());
        (Arc::from(name), addresses.map(|address| address.parse().unwrap()).collect())
    };
    words.split_whitespace().map(entry).collect()
}

/// The real table over a configuration.
struct World {
    table: RoutingTable,
}

impl World {
    fn new(config: &Arc<ir::Config>) -> World {
        let self_made = Arc::new(secret::self_made(0).unwrap());
        let table = RoutingTable::build(config, None, &Registry::new(1), &Metrics::new(1, true), &self_made);
        World { table }
    }

    /// The answer to `GET host/path` or `TLS name`.
    fn answer(&self, request: &str) -> String {
        match request.split_once(' ').unwrap() {
            ("GET", target) => {
                let (host, path) = target.split_at(target.find('/').unwrap());
                self.route(host, path)
            }
            ("TLS", name) => self.certificate(name),
            (word, _) => panic!("no request {word}"),
        }
    }

    fn route(&self, host: &str, path: &str) -> String {
        let path = match uri::path::normalise(path.as_bytes()) {
            Ok(path) => path.matching,
            Err(fault) => return format!("400 {fault}"),
        };
        let Some(at) = self.table.find(&uri::host::lookup(host), &path) else { return "404 no_route".to_owned() };
        let route = self.table.route(at);
        let implicit = if route.rule.implicit { " (implicit)" } else { "" };
        let target = match &route.target {
            Target::Backend(backend) => backend.settings.id.to_string(),
            Target::Closed(reason) => format!("503 {reason}"),
            Target::NotFound => "404".to_owned(),
        };
        format!("{}{implicit}  {target}", route.rule.path)
    }

    fn certificate(&self, name: &str) -> String {
        let served = self.table.certificate(Some(name));
        let config = self.table.config();
        let known = config.certificates.values().chain(&config.default_certificate);
        let found = known.into_iter().find(|certificate| Arc::ptr_eq(&certificate.key, served));
        found.map_or_else(|| "self-made".to_owned(), |certificate| certificate.origin.to_string())
    }
}
