//! The filters that the annotations of an Ingress ask for.

use std::sync::Arc;

use super::annotations::snippet::Rules;
use super::annotations::{Guard, Settings};
use super::{Draft, annotations, basic};
use crate::compile::filters::plain;
use crate::ir::{Access, AnswerRule, Filters, InputEdit, Reason, RequestEdits, ResponseEdits, Template};

impl Draft<'_, '_, '_> {
    /// The filters of the routes of the Ingress, but for the redirect to https, in which its host has a say. Closes the paths
    /// where a guard cannot be had.
    pub(super) fn prepare(&mut self) {
        let basic = basic::basic(&self.settings, self.ingress, self.view, &mut self.problems).unwrap_or_else(|()| {
            self.settings.close(Guard::Authentication);
            None
        });
        let (external, sign_in) = self.external();
        let fallback = self.fallback();
        let errors = self.errors(fallback.as_ref());
        let mirror = self.mirror();
        let response = self.response();
        self.look_for_replicas();
        let rules = self.settings.snippets.rules.clone().and(&self.view.ground.keys.location);
        self.settings.snippets.rules = Rules::default();
        let response = edits(response, rules.answers);
        let settings = &self.settings;
        self.filters = Filters {
            reply: rules.reply,
            redirect: settings.redirects.filter(),
            cors: settings.cors.filter(),
            limits: settings.limits.filter(),
            access: settings.access.filter(basic, external, sign_in, rules.access),
            fallback,
            errors,
            mirror,
            request: request(settings, rules.host, rules.input, rules.sends),
            response,
            is_silent: settings.answers.is_silent.unwrap_or(false),
            ..plain(self.view.ground)
        };
    }

    /// Tells whoever wants limits to be shared by replicas that are not known.
    fn look_for_replicas(&mut self) {
        let Some(annotation) = self.settings.limits.shared.clone() else { return };
        if self.settings.limits.filter().is_none() || self.view.knows_replicas() {
            return;
        }
        let message = "limit-scope: which Service is ours is not known, so the limits hold for each replica";
        let hint = "start with --publish-service, or set POD_NAME and POD_NAMESPACE";
        self.warn(&annotations::field(&annotation), Reason::AnnotationIgnored, message, hint);
    }

    fn response(&mut self) -> ResponseEdits {
        let said = self.settings.answers.clone();
        let fields = match &said.fields {
            None => Box::default(),
            Some(map) => self.set_fields(&map.value, &annotations::field(&map.annotation)).unwrap_or_default(),
        };
        let location = said.location_from.zip(said.location_to);
        let (cookie_domain, cookie_path) = (said.cookie_domain, said.cookie_path);
        ResponseEdits { fields, cookie_domain, cookie_path, location, rules: Box::default() }
    }
}

fn edits(edits: ResponseEdits, rules: Vec<AnswerRule>) -> Option<Arc<ResponseEdits>> {
    let edits = ResponseEdits { rules: rules.into(), ..edits };
    (edits != ResponseEdits::default()).then(|| Arc::new(edits))
}

fn request(
    settings: &Settings,
    host: Option<Template>,
    input: Vec<InputEdit>,
    sends: Vec<(Arc<str>, Template)>,
) -> Option<Arc<RequestEdits>> {
    let said = &settings.answers;
    let connection = said.closes.map(|closes| if closes { "close" } else { "keep-alive" });
    let host = said.host.clone().or(host);
    let edits = RequestEdits { host, connection, input: input.into(), fields: sends.into() };
    (edits != RequestEdits::default()).then(|| Arc::new(edits))
}

/// Those of `filters` that also act on paths which nobody declared.
pub(super) fn of_implicit_root(filters: &Filters) -> Filters {
    let Filters { hsts, access, errors, response, is_silent, .. } = filters.clone();
    Filters { hsts, access, errors, response, is_silent, ..Filters::default() }
}

/// Those of `filters` that act where `spec.defaultBackend` alone is asked for: what is said of paths is not for those that
/// nobody declared.
pub(super) fn of_catch_all(filters: &Filters) -> Filters {
    Filters { redirect: None, ..filters.clone() }
}

/// Those of `filters` that act where nobody is asked who he is (`no-auth-locations`).
pub(super) fn without_login(filters: &Filters) -> Filters {
    let access = filters.access.as_ref().and_then(|access| {
        let access = Access { basic: None, external: None, sign_in: None, ..Access::clone(access) };
        (access.allowed.is_some() || access.denied.is_some() || !access.rules.is_empty()).then(|| Arc::new(access))
    });
    Filters { access, ..filters.clone() }
}
