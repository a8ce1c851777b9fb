//! The rules of `docs/architecture.md` that a text scan can hold: the order of the layers, what a layer must not name,
//! and the size of a file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// No file is longer.
const MAX_LINES: usize = 600;

/// Layers and what they must not contain. A pattern is matched from the start of an identifier; one that ends in `::`
/// or a space is matched whole, any other also as the beginning of a longer name (`tokio` finds `tokio_util`).
const BANS: [(&[&str], &[&str]); 3] = [
    (
        &["uri", "ir", "snapshot", "compile", "http1", "filter", "table"],
        &["tokio", "hyper", "h2::", "async fn ", "std::fs", "std::env", "Instant::now", "SystemTime::now"],
    ),
    (&["http1", "live", "filter", "table", "proxy"], &["kube::", "k8s_openapi::", "crate::snapshot", "crate::compile"]),
    (&["source", "report"], &["hyper", "crate::live", "crate::table", "crate::proxy"]),
];

/// Where a banned word may stand all the same: the client of `kube` is made there, and `kube` offers no other way to say how
/// its sockets notice that packets are lost.
const EXCEPTIONS: [(&str, &str); 1] = [("source/cluster/client.rs", "hyper")];

/// What only `main`, `settings` and `app` may contain.
const PROCESS: [&str; 4] = ["std::env", "process::exit", "anyhow", "static mut "];
const PROCESS_MAY: [&str; 3] = ["main", "settings", "app"];

#[test]
fn a_module_uses_only_modules_above_it() {
    assert_none(sources().iter().flat_map(|file| upward_uses(file, &layers())));
}

#[test]
fn no_layer_contains_what_is_banned_in_it() {
    assert_none(sources().iter().flat_map(banned_words));
}

#[test]
fn no_path_climbs_two_modules() {
    assert_none(sources().iter().flat_map(|file| {
        occurrences(&file.code, "super::super").map(|line| format!("{}:{line}", file.path.display()))
    }));
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let files =
        ["src", "tests", "benches", "fuzz", "scripts"].iter().flat_map(|folder| files_below(&root().join(folder)));
    assert_none(files.filter_map(|path| {
        let lines = fs::read_to_string(&path).ok()?.lines().count();
        let code = path.extension().is_some_and(|ending| ["rs", "py", "sh"].iter().any(|known| ending == *known));
        (code && lines > MAX_LINES).then(|| format!("{} has {lines} lines", path.display()))
    }));
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let silent = sources().into_iter().filter(|file| {
        let text = fs::read_to_string(root().join("src").join(&file.path)).unwrap();
        !text.starts_with("//! ")
    });
    assert_none(silent.map(|file| file.path.display().to_string()));
}

#[test]
fn every_layer_stands_in_the_architecture_page_in_this_order() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let order = page.lines().find(|line| line.contains(" ◀ ")).expect("the line that gives the layer order");
    let named: Vec<&str> = order.trim_matches(['`', '.']).split(" ◀ ").collect();
    assert_eq!(named, layers());
    let rows = page.lines().skip_while(|line| !line.starts_with("| module |")).skip(2);
    let rows: Vec<&str> = rows.map_while(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(rows, layers());
}

#[test]
fn every_layer_that_a_ban_names_exists() {
    let layers = layers();
    assert_none(
        BANS.iter()
            .flat_map(|(banned, _)| *banned)
            .filter(|name| !layers.iter().any(|layer| layer == *name))
            .map(|name| format!("there is no layer {name}")),
    );
}

#[test]
fn the_scan_sees_each_kind_of_violation() {
    let layers: Vec<String> = ["ir", "http1", "proxy"].map(str::to_owned).to_vec();
    let uses = |text: &str| upward_uses(&Source::new("http1/head.rs", text), &layers);
    assert_eq!(uses("use crate::ir::Name;"), [""; 0]);
    assert_eq!(uses("\nuse crate::proxy::Error;"), ["http1/head.rs:2 (http1) uses crate::proxy"]);
    assert_eq!(uses("use crate::{\n    ir::Name,\n    proxy::{Error, Pool},\n};").len(), 1);
    assert_eq!(uses("// crate::proxy\n/* crate::proxy */ const A: &str = \"crate::proxy\";"), [""; 0]);
    assert_eq!(uses("const A: char = '\"'; fn f<'a>() { crate::proxy::run() }").len(), 1);
    assert_eq!(uses("fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::proxy::run;\n}\n"), [""; 0]);

    let from = |path: &str| upward_uses(&Source::new(path, "use super::proxy::run;"), &layers).len();
    assert_eq!(["http1/mod.rs", "http1.rs", "http1/head.rs", "http1/body/mod.rs"].map(from), [1, 1, 0, 0]);

    let bans = |path: &str, text: &str| banned_words(&Source::new(path, text)).len();
    assert_eq!(bans("http1/head.rs", "use tokio_util::codec;"), 1);
    assert_eq!(bans("http1/head.rs", "pub async fn read() {}"), 1);
    assert_eq!(bans("proxy/exchange.rs", "pub async fn read() { tokio::spawn(x) }"), 0);
    assert_eq!(bans("proxy/exchange.rs", "let a = std::env::var(\"A\");"), 1);
    assert_eq!(bans("settings/mod.rs", "let a = std::env::var(\"A\");"), 0);
    assert_eq!(bans("source/folder.rs", "use crate::live::Registry;"), 1);
    let client = ["source/cluster/client.rs", "source/cluster/driver.rs"];
    assert_eq!(client.map(|path| bans(path, "use hyper_util::rt;")), [0, 1]);
    assert_eq!(client.map(|path| bans(path, "use crate::live::Registry;")), [1, 1]);
}

/// One file of `src`, with comments, text literals and test modules blanked out; line numbers stay true.
struct Source {
    path: PathBuf,
    /// The top-level module the file belongs to.
    layer: String,
    code: String,
    /// Files that a `#[cfg(test)] mod name;` of this file names, without their ending.
    test_files: Vec<PathBuf>,
}

impl Source {
    /// `path` is relative to `src`.
    fn new(path: impl Into<PathBuf>, text: &str) -> Source {
        let path = path.into();
        let layer = path.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
        let mut code = without_comments_and_text(text);
        let folder = match path.file_stem().unwrap().to_str().unwrap() {
            "mod" | "lib" | "main" => path.parent().unwrap().to_owned(),
            _ => path.with_extension(""),
        };
        let mut test_files = Vec::new();
        while let Some(start) = code.find("#[cfg(test)]") {
            let (end, file) = test_item(&code, start);
            test_files.extend(file.map(|name| folder.join(name)));
            let blank: String = code[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
            code.replace_range(start..end, &blank);
        }
        Source { path, layer, code, test_files }
    }
}

/// Where the item after `#[cfg(test)]` ends, and the name if it is a module in its own file.
fn test_item(code: &str, start: usize) -> (usize, Option<String>) {
    let brace = code[start..].find('{').map(|at| start + at);
    let semicolon = code[start..].find(';').map(|at| start + at);
    match (brace, semicolon) {
        (Some(brace), semicolon) if semicolon.is_none_or(|at| at > brace) => {
            let mut depth = 0;
            for (at, byte) in code.bytes().enumerate().skip(brace) {
                match byte {
                    b'{' => depth += 1,
                    b'}' if depth == 1 => return (at + 1, None),
                    b'}' => depth -= 1,
                    _ => {}
                }
            }
            (code.len(), None)
        }
        (_, Some(semicolon)) => {
            let name = code[start..semicolon].rsplit_once("mod ").map(|(_, name)| name.trim().to_owned());
            (semicolon + 1, name)
        }
        _ => (code.len(), None),
    }
}

/// The text with comments and the inside of text and character literals replaced by spaces.
fn without_comments_and_text(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let blank = |out: &mut Vec<u8>, from: usize, to: usize| {
        for byte in &mut out[from..to.min(bytes.len())] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    };
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let end = if rest.starts_with("//") {
            at + rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            at + block_comment_length(rest)
        } else if rest.starts_with('"') {
            at + text_length(rest)
        } else if let Some(length) = raw_text_length(text, at) {
            at + length
        } else if let Some(length) = character_length(rest) {
            at + length
        } else {
            at += rest.chars().next().unwrap().len_utf8();
            continue;
        };
        blank(&mut out, at, end);
        at = end;
    }
    String::from_utf8(out).unwrap()
}

fn block_comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

fn text_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `r"…"`, `r#"…"#` and so on, where the `r` does not end a longer name.
fn raw_text_length(text: &str, at: usize) -> Option<usize> {
    let rest = text[at..].strip_prefix('r')?;
    let before = text[..at].strip_suffix('b').unwrap_or(&text[..at]);
    if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let inside = rest[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(1 + hashes + 1 + inside.find(&end).map_or(inside.len(), |found| found + end.len()))
}

/// A character literal, and not a lifetime.
fn character_length(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    if inside.starts_with('\\') {
        return inside[2..].find('\'').map(|end| end + 4);
    }
    let first = inside.chars().next()?;
    inside[first.len_utf8()..].starts_with('\'').then(|| first.len_utf8() + 2)
}

/// Uses of modules that stand below the file's own in `layers`.
fn upward_uses(file: &Source, layers: &[String]) -> Vec<String> {
    let Some(own) = layers.iter().position(|layer| *layer == file.layer) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    // In the file that is a whole layer or its root, `super` is the crate.
    let is_root = file.path.parent().is_some_and(|folder| folder == Path::new(""))
        || file.path.file_name().is_some_and(|name| name == "mod.rs") && file.path.iter().count() == 2;
    let ups = file.code.match_indices("super::").filter(|_| is_root);
    for (at, up) in file.code.match_indices("crate::").chain(ups) {
        let line = file.code[..at].lines().count().max(1);
        for used in first_segments(&file.code[at + up.len()..]) {
            if layers.iter().position(|layer| *layer == used).is_some_and(|index| index > own) {
                found.push(format!("{}:{line} ({}) uses crate::{used}", file.path.display(), file.layer));
            }
        }
    }
    found
}

/// The first names of a path or of a group of paths in braces.
fn first_segments(rest: &str) -> Vec<&str> {
    let name = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let Some(group) = rest.strip_prefix('{') else {
        return vec![&rest[..name(rest)]];
    };
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' | ',' if depth == 0 => {
                let item = group[start..at].trim();
                names.push(&item[..name(item)]);
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

fn banned_words(file: &Source) -> Vec<String> {
    let rows = BANS.iter().filter(|(layers, _)| layers.contains(&file.layer.as_str())).flat_map(|(_, words)| *words);
    let process = PROCESS.iter().filter(|_| !PROCESS_MAY.contains(&file.layer.as_str()));
    let is_allowed =
        |word: &str| EXCEPTIONS.iter().any(|(path, allowed)| file.path.ends_with(path) && word == *allowed);
    rows.chain(process)
        .filter(|word| !is_allowed(word))
        .flat_map(|word| {
            occurrences(&file.code, word).map(move |line| {
                format!("{}:{line} ({}) contains {}", file.path.display(), file.layer, word.trim_end())
            })
        })
        .collect()
}

/// The lines on which `word` begins a name.
fn occurrences<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word)
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .map(|(at, _)| code[..at].lines().count().max(1))
}

/// The names after `pub mod` in `src/lib.rs`, in order.
fn layers() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect()
}

/// Every file of `src` but those that hold only tests.
fn sources() -> Vec<Source> {
    let src = root().join("src");
    let files: Vec<Source> = files_below(&src)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .map(|path| Source::new(path.strip_prefix(&src).unwrap(), &fs::read_to_string(&path).unwrap()))
        .collect();
    assert!(files.len() > 20, "the scan found only {} files", files.len());
    let tests: BTreeSet<PathBuf> = files.iter().flat_map(|file| file.test_files.clone()).collect();
    let is_test = |path: &Path| path.with_extension("").ancestors().any(|part| tests.contains(part));
    files.into_iter().filter(|file| !is_test(&file.path)).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().is_some_and(|name| name != "target"))
        .flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] })
        .collect();
    files.sort();
    files
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn assert_none(violations: impl Iterator<Item = String>) {
    let violations: Vec<String> = violations.collect();
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}
