//! The fuzz targets on stable: every committed input, and every input with one octet edited.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/second/mod.rs"]
mod second;
#[path = "../../fuzz/src/targets.rs"]
mod targets;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The files of a folder by name.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Calls `target`; a panic names the input.
fn call(name: &str, input: &str, target: targets::Target, bytes: &[u8]) {
    let outcome = std::panic::catch_unwind(|| target(bytes));
    assert!(outcome.is_ok(), "target {name}, corpus input {input}: {:?}", bytes.escape_ascii().to_string());
}

#[test]
fn every_target_has_a_corpus_and_a_fuzz_target() {
    let all: Vec<String> = targets::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz().join("corpus")), all);
    let files: Vec<String> = all.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&fuzz().join("fuzz_targets")), files);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in &all {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is missing in fuzz/Cargo.toml");
    }
}

#[test]
fn every_corpus_input_passes() {
    for (name, target) in targets::ALL {
        let folder = fuzz().join("corpus").join(name);
        let inputs = names(&folder);
        assert!(inputs.len() >= 5, "{name} has {} inputs", inputs.len());
        for input in inputs {
            call(name, &input, *target, &fs::read(folder.join(&input)).unwrap());
        }
    }
}

/// Octets that mean something in one of the formats.
const OCTETS: [u8; 15] = [0, b'\t', b'\n', b'\r', b' ', b'"', b'%', b'.', b'/', b'0', b':', b';', b'a', 0x7F, 0xFF];

/// `bytes` with one octet removed, replaced or inserted, in every way.
fn edits(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len()).flat_map(move |at| {
        let (head, tail) = bytes.split_at(at);
        let removed = std::iter::once([head, &tail[1..]].concat());
        let changed =
            OCTETS.chunks(1).flat_map(move |octet| [[head, octet, &tail[1..]].concat(), [head, octet, tail].concat()]);
        removed.chain(changed)
    })
}

#[test]
fn every_corpus_input_with_one_octet_edited_passes() {
    for (name, target) in targets::ALL {
        // Compiling takes a thousand times as long as parsing a head.
        let most = if matches!(*name, "manifests" | "pattern" | "snippet") { 100 } else { 3_000 };
        let folder = fuzz().join("corpus").join(name);
        for input in names(&folder) {
            let bytes = fs::read(folder.join(&input)).unwrap();
            let step = edits(&bytes).count() / most + 1;
            for edited in edits(&bytes).step_by(step) {
                call(name, &input, *target, &edited);
            }
        }
    }
}
