//! Names of the fields that most routes come from, made once and shared.

use std::sync::Arc;

/// How many rules, and paths of a rule, have a shared name.
const SHARED: usize = 32;

/// `spec.rules[R].http.paths[P]` for small numbers.
#[derive(Default)]
pub(super) struct Fields {
    paths: Vec<Vec<Arc<str>>>,
    whole: Arc<str>,
}

impl Fields {
    /// The empty name: the whole object.
    pub(super) fn whole(&self) -> Arc<str> {
        Arc::clone(&self.whole)
    }

    /// The field of a path.
    pub(super) fn path(&mut self, rule: usize, path: usize) -> Arc<str> {
        if rule >= SHARED || path >= SHARED {
            return name(rule, path);
        }
        while self.paths.len() <= rule {
            self.paths.push(Vec::new());
        }
        let Some(names) = self.paths.get_mut(rule) else { return name(rule, path) };
        while names.len() <= path {
            names.push(name(rule, names.len()));
        }
        names.get(path).map_or_else(|| name(rule, path), Arc::clone)
    }
}

fn name(rule: usize, path: usize) -> Arc<str> {
    format!("spec.rules[{rule}].http.paths[{path}]").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_once() {
        let mut fields = Fields::default();
        let first = fields.path(1, 2);
        assert_eq!(&*first, "spec.rules[1].http.paths[2]");
        assert!(Arc::ptr_eq(&first, &fields.path(1, 2)));
        assert_eq!(&*fields.path(1, 1), "spec.rules[1].http.paths[1]");
        assert_eq!(&*fields.path(99, 100), "spec.rules[99].http.paths[100]");
    }
}
