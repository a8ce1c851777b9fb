//! Changes to requests and answers in the short text form.

use super::filters::join;
use crate::ir::{AnswerAct, AnswerRule, InputEdit, RequestEdits, ResponseEdits, Template};

/// What is changed in requests.
pub(super) fn of_requests(edits: &RequestEdits) -> Vec<String> {
    let RequestEdits { host, connection, input, fields } = edits;
    let mut words = Vec::new();
    words.extend(host.as_ref().map(|host| format!("host={host}")));
    words.extend(connection.map(|connection| format!("connection={connection}")));
    words.extend(input.iter().map(|InputEdit { name, value, only_present }| {
        let only = if *only_present { "?" } else { "" };
        match value {
            None => format!("take-from-client={name}"),
            Some(text) => format!("in-place-of-client={name}{only}:{}", quoted(text)),
        }
    }));
    words.extend(fields.iter().map(|(name, text)| format!("send={name}:{}", quoted(text))));
    words
}

/// What is changed in answers.
pub(super) fn of_answers(edits: &ResponseEdits) -> Vec<String> {
    let ResponseEdits { fields, cookie_domain, cookie_path, location, rules } = edits;
    let mut words: Vec<String> = fields.iter().map(|(name, text)| format!("set={name}:{text:?}")).collect();
    let swaps = [("cookie-domain", cookie_domain), ("cookie-path", cookie_path)];
    words.extend(swaps.iter().filter_map(|(name, swap)| swap.as_ref().map(|(from, to)| format!("{name}={from}→{to}"))));
    words.extend(location.as_ref().map(|(from, to)| format!("location={from}→{to}")));
    words.extend(rules.iter().map(rule));
    words
}

fn rule(rule: &AnswerRule) -> String {
    let AnswerRule { name, act, statuses, types } = rule;
    let mut text = match act {
        AnswerAct::Add(text) => format!("add={name}:{}", quoted(text)),
        AnswerAct::Clear => format!("clear={name}"),
        AnswerAct::Hide => format!("hide={name}"),
        AnswerAct::Set(text) => format!("set={name}:{}", quoted(text)),
    };
    // Nobody needs to be told what `add_header` does anyway.
    if !statuses.is_empty() && (**statuses != AnswerRule::USUAL || !matches!(act, AnswerAct::Add(_))) {
        text.push_str(&format!(";on {}", join(statuses)));
    }
    if statuses.is_empty() && matches!(act, AnswerAct::Add(_)) {
        text.push_str(";always");
    }
    if !types.is_empty() {
        text.push_str(&format!(";of {}", types.join(",")));
    }
    text
}

fn quoted(text: &Template) -> String {
    format!("{:?}", text.to_string())
}
