//! Names of other objects in annotations: `name`, or `namespace/name`.

use std::sync::Arc;

use crate::ir::{Name, Object};

/// A name as written, and the namespace that it stands in.
pub(super) struct Reference<'a> {
    text: &'a str,
    home: &'a Arc<str>,
}

impl<'a> Reference<'a> {
    /// What `text` means in an annotation of `object`.
    pub(super) fn new(text: &'a str, object: &'a Object) -> Reference<'a> {
        Reference { text, home: &object.name.namespace }
    }

    /// The object, if it is in the namespace of the Ingress; `Err` names one that is not.
    pub(super) fn own(&self) -> Result<Name, Name> {
        let name = match self.text.split_once('/') {
            Some((namespace, name)) => Name::new(namespace, name),
            None => Name { namespace: Arc::clone(self.home), name: self.text.into() },
        };
        if name.namespace == *self.home { Ok(name) } else { Err(name) }
    }
}
