//! A text cut into its documents, and one document read as YAML.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::serde::de::{DeserializeOwned, DeserializeSeed};

use super::field::{FieldPath, LineOf};

/// A document that cannot be read: the line of the fault and what it is.
pub(super) struct Fault {
    pub(super) line: u32,
    pub(super) what: String,
}

/// One document of a text.
pub(super) struct Document<'a> {
    pub(super) text: &'a str,
    /// Line on which `text` begins.
    pub(super) first: u32,
    /// Line of its first content.
    pub(super) line: u32,
}

impl Document<'_> {
    /// Of its text.
    pub(super) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        hasher.finish()
    }

    /// The whole of it.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_saphyr::from_str_with_options(self.text, options()).map_err(|error| {
            let line = error.location().map_or(self.line, |location| self.line_at(location.line()));
            let what = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
            // The message ends in the line within the document.
            let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
            Fault { line, what: what.to_owned() }
        })
    }

    /// The line on which the field stands. It costs reading the document once more.
    pub(super) fn line_of(&self, path: &FieldPath) -> u32 {
        let read = serde_saphyr::with_deserializer_from_str_with_options(self.text, options(), |deserializer| {
            LineOf(&path.0).deserialize(deserializer)
        });
        read.ok().flatten().map_or(self.line, |line| self.line_at(line))
    }

    /// The line in the file of a line of the document, which counts from 1.
    fn line_at(&self, line: u64) -> u32 {
        u32::try_from(line).map_or(self.line, |line| self.first + line.saturating_sub(1))
    }
}

/// A document of 10,000 objects is fine. Aliases stay limited, or one page of text could fill the memory.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_documents: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_buffered_comment_events: usize::MAX,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

/// Cuts a text at its document markers. A line that begins with `---` or `...` is one wherever it stands: YAML forbids it
/// inside scalars (YAML 1.2.2, 9.1.2 `c-forbidden`). So one broken document spoils no other.
pub(super) fn documents(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut documents, mut start, mut first, mut offset) = (Vec::new(), 0, 1, 0);
    let mut close = |from: usize, to: usize, first: u32| {
        let text = text.get(from..to).unwrap_or_default();
        let is_content = |line: &&str| !line.trim_start().is_empty() && !line.trim_start().starts_with(['#', '%']);
        if let Some(blank) = text.lines().position(|line| is_content(&line)) {
            documents.push(Document { text, first, line: first + u32::try_from(blank).unwrap_or(0) });
        }
    };
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let marker = line.get(..3).filter(|marker| *marker == "---" || *marker == "...");
        if marker.is_some()
            && line.get(3..).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
        {
            close(start, offset, first);
            // What follows the marker on its line is content: `--- {kind: List}`.
            start = offset + 3;
            first = u32::try_from(index + 1).unwrap_or(u32::MAX);
        }
        offset += line.len();
    }
    close(start, offset, first);
    documents
}
