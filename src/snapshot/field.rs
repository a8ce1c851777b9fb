//! The way to a field within a document: `spec.rules[0].http.paths[1]`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// To a field of a mapping.
    Field(String),
    /// To an item of a list.
    Item(usize),
}

/// The steps from the top of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldPath(pub(super) Vec<Step>);

impl FieldPath {
    /// The way to `steps` below this one.
    pub(super) fn below(&self, steps: &FieldPath) -> FieldPath {
        FieldPath(self.0.iter().chain(&steps.0).cloned().collect())
    }

    /// The way to an item of the list of this name here.
    pub(super) fn item(&self, list: &str, index: usize) -> FieldPath {
        self.below(&FieldPath(vec![Step::Field(list.to_owned()), Step::Item(index)]))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) => write!(f, "{}{name}", if index == 0 { "" } else { "." })?,
                Step::Item(number) => write!(f, "[{number}]")?,
            }
        }
        Ok(())
    }
}

/// Finds the line on which the last named field of a path stands, counted from 1.
pub(super) struct LineOf<'p>(pub(super) &'p [Step]);

impl<'de> DeserializeSeed<'de> for LineOf<'_> {
    type Value = Option<u64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<u64>, D::Error> {
        if self.0.is_empty() {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| None);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for LineOf<'_> {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what the path leads through")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<u64>, A::Error> {
        let mut line = None;
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            match self.0 {
                [Step::Field(name), deeper @ ..] if *name == key.value => {
                    line = map.next_value_seed(LineOf(deeper))?.or(Some(key.referenced.line()));
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(line)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Option<u64>, A::Error> {
        let (mut line, mut index) = (None, 0);
        loop {
            let (below, is_wanted) = match self.0 {
                [Step::Item(wanted), deeper @ ..] if *wanted == index => (deeper, true),
                _ => (&[][..], false),
            };
            let Some(found) = items.next_element_seed(LineOf(below))? else { return Ok(line) };
            if is_wanted {
                line = found;
            }
            index += 1;
        }
    }
}
