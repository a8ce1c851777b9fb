//! Every annotation that is honoured is in a case with a right value, which shows in what the case comes to, and in one with a
//! wrong value, which is told.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairlead::compile::{self, Annotation, AnnotationFate, Compiled};
use fairlead::ir::{Problem, Reason};
use fairlead::snapshot::{Annotations, Received};

use super::{Case, cases};

/// Both of its right values come to the same, so that no case shows it.
const ALIKE: &str = "affinity-mode";

#[test]
fn every_annotation_that_is_honoured_is_in_a_case_with_a_right_value_and_in_one_with_a_wrong_one() {
    let (mut right, mut wrong) = (BTreeSet::new(), BTreeSet::new());
    for path in cases() {
        let case = Case::read(&path);
        let snapshot = case.snapshot();
        let compiled = compile::compile(&snapshot, &case.options);
        let whole = case.print(&snapshot, &compiled);
        for (at, object) in case.objects.iter().enumerate() {
            for full in annotations(object).into_iter().flat_map(Annotations::keys) {
                let Some(row) = known(full, &case.options.annotations_prefix) else { continue };
                let told: Vec<&Problem> = told(&compiled, object, full).collect();
                if told.iter().any(|problem| is_about_the_value(problem, row.name)) {
                    wrong.insert(row.name);
                } else if !right.contains(row.name) && told.iter().all(|told| told.reason == Reason::SnippetHonoured) {
                    let less = case.snapshot_of(
                        case.objects
                            .iter()
                            .enumerate()
                            .map(|(other, object)| if at == other { without(object, full) } else { object.clone() }),
                    );
                    let rest = case.print(&less, &compile::compile(&less, &case.options));
                    if row.name == ALIKE || rest != whole {
                        right.insert(row.name);
                    }
                }
            }
        }
    }
    let missing = |found: &BTreeSet<&str>| -> Vec<&str> {
        honoured().map(|row| row.name).filter(|name| !found.contains(name)).collect()
    };
    assert_eq!(
        (missing(&right), missing(&wrong)),
        (Vec::new(), Vec::new()),
        "no case in tests/golden shows these rightly (left) and wrongly (right)"
    );
}

fn honoured() -> impl Iterator<Item = &'static Annotation> {
    compile::annotations().filter(|row| row.fate() == AnnotationFate::Honoured)
}

/// The row of an annotation that is honoured, by its full name.
fn known(full: &str, prefix: &str) -> Option<&'static Annotation> {
    let (given, name) = full.split_once('/')?;
    honoured()
        .find(|row| row.name == name && if given == "fairlead.dev" { row.ours } else { given == prefix && row.nginx })
}

/// What is said of an annotation of an object.
fn told<'a>(compiled: &'a Compiled, object: &'a Received, full: &str) -> impl Iterator<Item = &'a Problem> {
    let field = format!("metadata.annotations[{full}]");
    compiled
        .problems
        .iter()
        .filter(move |problem| problem.object.name == object.meta().object.name && problem.field == field)
}

fn is_about_the_value(problem: &Problem, name: &str) -> bool {
    match problem.reason {
        Reason::AnnotationInvalid | Reason::AccessRuleBroken | Reason::SecretNotFound | Reason::SnippetRefused => true,
        // An origin that is none matches nothing; the rest of the list counts.
        Reason::AnnotationIgnored => name == "cors-allow-origin",
        _ => false,
    }
}

fn annotations(object: &Received) -> Option<&Annotations> {
    match object {
        Received::Ingress(ingress) => Some(&ingress.annotations),
        Received::Service(service) => Some(&service.annotations),
        _ => None,
    }
}

fn without(object: &Received, full: &str) -> Received {
    let mut object = object.clone();
    let annotations = match &mut object {
        Received::Ingress(ingress) => &mut Arc::make_mut(ingress).annotations,
        Received::Service(service) => &mut Arc::make_mut(service).annotations,
        _ => return object,
    };
    *annotations = annotations
        .iter()
        .filter(|(name, _)| ***name != *full)
        .map(|(name, value)| (Arc::clone(name), Arc::clone(value)))
        .collect();
    object
}
