//! Whether an Ingress is ours: class by field, by annotation, or none.

use crate::compile::claim::problem;
use crate::compile::view::{View, is_ours};
use crate::ir::{Problem, Reason, Severity};
use crate::snapshot::{ClassRef, Ingress};

/// Whose an Ingress is.
pub(super) enum Owner {
    /// Somebody else's: why, as a sentence part, and a problem if nobody can serve it.
    Foreign(String, Option<Problem>),
    /// Ours.
    Us,
}

/// Decides by the rules of ingress-nginx: the field names an IngressClass of our controller; else the annotation is our
/// class name; else classless Ingresses are watched. In a folder without any IngressClass every Ingress is ours, and
/// there an IngressClass of ours marked default claims classless ones, since no API server does.
pub(super) fn owner(ingress: &Ingress, view: &mut View<'_>) -> Owner {
    let options = view.options;
    if options.folder && !view.classes().any {
        return Owner::Us;
    }
    match ingress.class_ref() {
        ClassRef::Field(name) => match view.class(name) {
            Some(class) if is_ours(class, options) => Owner::Us,
            Some(_) => Owner::Foreign(format!("class {name} is not ours"), None),
            None => {
                let missing = problem(
                    &ingress.meta.object,
                    Severity::Error,
                    Reason::ClassNotFound,
                    "spec.ingressClassName",
                    format!("no IngressClass {name}"),
                    format!("create it, or name one whose controller is {}", options.controller_class),
                );
                Owner::Foreign(format!("class {name} does not exist"), Some(missing))
            }
        },
        ClassRef::Annotation(name) if *name == *options.ingress_class => Owner::Us,
        ClassRef::Annotation(name) => Owner::Foreign(format!("class {name} is not ours"), None),
        ClassRef::None if options.watch_ingress_without_class => Owner::Us,
        ClassRef::None if options.folder && view.classes().default_is_ours => Owner::Us,
        ClassRef::None => Owner::Foreign("it names no class".to_owned(), None),
    }
}
