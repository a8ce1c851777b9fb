//! One copy of each text that many objects repeat: namespaces, Service names, port names, paths.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

/// Texts in use. Without it 5,000 Ingresses hold 5,000 copies of `default`, `http` and `/`.
#[derive(Default)]
pub struct Strings {
    known: HashSet<Arc<str>, RandomState>,
    sweep_at: usize,
}

impl Strings {
    /// The one copy of `text`.
    pub fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.known.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.known.insert(Arc::clone(&new));
        new
    }

    /// Forgets texts that nobody else holds, whenever their number has doubled since the last time.
    pub fn sweep(&mut self) {
        if self.known.len() > self.sweep_at {
            self.known.retain(|text| Arc::strong_count(text) > 1);
            self.sweep_at = 2 * self.known.len().max(512);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_unused_ones_go() {
        let mut strings = Strings::default();
        let kept = strings.share("a");
        assert!(Arc::ptr_eq(&kept, &strings.share("a")));
        strings.share("b");
        strings.sweep();
        assert_eq!(strings.known.len(), 1);
    }
}
