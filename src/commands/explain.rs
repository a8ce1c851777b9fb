//! `fairlead explain URL`: which route answers and why, from a folder or from a running Fairlead; one text for both.

use std::collections::BTreeSet;

use super::admin_client::{escape, foreign};
use super::running::Running;
use super::{Call, FAILED, OK, Stop, UNUSABLE, offline, print_text};
use crate::admin::explain::{Request, explain};
use crate::admin::shape::{Answer, Explanation};
use crate::settings::CompileOptions;

/// Explains one request.
pub(super) fn run(call: &Call<'_>) -> Result<u8, Stop> {
    let given = &call.given;
    let mut url = call.words.first().cloned().unwrap_or_default();
    refuse_control("the URL", &url)?;
    let (mut length, mut unread) = (None, BTreeSet::new());
    for field in given.all("header") {
        refuse_control("-H", field)?;
        let Some((name, value)) = field.split_once(':').filter(|(name, _)| !name.trim().is_empty()) else {
            return Err(Stop::unusable(format!("-H {field:?} is not \"NAME: VALUE\"")));
        };
        let (name, value) = (name.trim(), value.trim());
        match name.to_ascii_lowercase().as_str() {
            "host" => url = with_host(&url, value),
            "content-length" => {
                let digits = value.parse::<u64>().ok().filter(|_| !value.starts_with('+'));
                length = Some(digits.ok_or_else(|| Stop::unusable(format!("-H {field:?} is no length in bytes")))?);
            }
            _ => drop(unread.insert(format!("-H {name}"))),
        }
    }
    let client = given.read("client-ip", |text| {
        text.parse::<std::net::IpAddr>().map_err(|_| format!("{text:?} is not an IP address"))
    })?;
    unread.extend(client.map(|_| "--client-ip".to_owned()));
    let method = given.text("request").unwrap_or("GET");
    let request = Request { length, ..Request::new(method, &url).map_err(Stop::unusable)? };
    let explanation = if given.is_set("manifests") {
        if let Some(other) = ["admin", "cluster", "pod"].iter().find(|name| given.is_set(name)) {
            return Err(Stop::unusable(format!("--manifests and --{other} exclude each other; give one of them")));
        }
        let options = CompileOptions::read(given)?;
        let loaded = offline::load(given.all("manifests"), &options)?;
        explain(&loaded.table()?, &loaded.listeners(&options), &request)
    } else {
        ask(call, &request, length)?
    };
    print_text(&explanation.text(&request));
    if !unread.is_empty() {
        let unread = unread.into_iter().collect::<Vec<_>>().join(", ");
        print_text(&format!("without effect: {unread} (Host and Content-Length are all that is looked at)\n"));
    }
    Ok(if explanation.answer == Answer::Refused { FAILED } else { OK })
}

/// Such octets cannot be in a request, and would reach the terminal with the answer.
fn refuse_control(what: &str, text: &str) -> Result<(), Stop> {
    match text.chars().find(|character| character.is_control()) {
        Some(character) => Err(Stop::unusable(format!("{what} holds the control character {character:?}"))),
        None => Ok(()),
    }
}

/// What whoever runs says. Replicas that say different things are printed, and then it is over.
fn ask(call: &Call<'_>, request: &Request, length: Option<u64>) -> Result<Explanation, Stop> {
    let length = length.map(|length| format!("&length={length}")).unwrap_or_default();
    let path = format!("/api/v1/explain?url={}&method={}{length}", escape(&request.url), escape(&request.method));
    let read = |who: &str, body: &str| {
        let answer = serde_json::from_str(body).map_err(|_| foreign(who))?;
        let answer: Explanation = serde_json::from_value(answer)
            .map_err(|_| Stop::failed(format!("{who} answers in a form that this version does not know")))?;
        let text = answer.text(request);
        Ok((answer, text))
    };
    // 1 says that no route answers; who could not ask does not know that.
    let unknown = |stop: Stop| Stop::unusable(stop.line);
    let asked = Running::find(call).and_then(|running| running.ask(&path, read)).map_err(unknown)?;
    if asked.opinions.len() > 1 {
        for (who, said) in asked.opinions.iter().flat_map(|opinion| opinion.who.iter().zip(&opinion.said)) {
            print_text(&format!("# {who}\n{}", said.text(request)));
        }
    }
    asked.verdict(UNUSABLE)?;
    let only = asked.opinions.into_iter().flat_map(|opinion| opinion.said).next();
    only.ok_or_else(|| Stop::unusable("there is nobody to ask"))
}

/// The URL as a request with this Host field would have it.
fn with_host(url: &str, host: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let target = rest.find(['/', '?', '#']).and_then(|at| rest.get(at..)).unwrap_or_default();
    format!("{scheme}://{host}{target}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_field_takes_the_place_of_the_authority() {
        assert_eq!(with_host("https://127.0.0.1:8443/x?y", "a.example"), "https://a.example/x?y");
        assert_eq!(with_host("http://127.0.0.1", "a.example"), "http://a.example");
        assert_eq!(with_host("nonsense", "a.example"), "nonsense");
    }
}
