//! `fairlead explain URL`: which route answers and why, from a folder or from a running Fairlead; one text for both.

use super::admin_client::{escape, foreign};
use super::running::Running;
use super::{Call, FAILED, OK, Stop, UNUSABLE, offline, print_text};
use crate::admin::explain::{Request, explain};
use crate::admin::shape::{Answer, Explanation};
use crate::settings::CompileOptions;

/// Explains one request.
pub(super) fn run(call: &Call<'_>) -> Result<u8, Stop> {
    let given = &call.given;
    let url = call.words.first().cloned().unwrap_or_default();
    refuse_control("the URL", &url)?;
    let mut request = Request::new(given.text("request").unwrap_or("GET"), &url).map_err(Stop::unusable)?;
    for field in given.all("header") {
        refuse_control("-H", field)?;
        let Some((name, value)) = field.split_once(':').filter(|(name, _)| !name.trim().is_empty()) else {
            return Err(Stop::unusable(format!("-H {field:?} is not \"NAME: VALUE\"")));
        };
        request = request.with(name, value).map_err(|why| Stop::unusable(format!("-H: {why}")))?;
    }
    let client = given.read("client-ip", |text| text.parse().map_err(|_| format!("{text:?} is not an IP address")))?;
    request.client = client.unwrap_or(request.client);
    let explanation = if given.is_set("manifests") {
        if let Some(other) = ["admin", "cluster", "pod"].iter().find(|name| given.is_set(name)) {
            return Err(Stop::unusable(format!("--manifests and --{other} exclude each other; give one of them")));
        }
        let options = CompileOptions::read(given)?;
        let loaded = offline::load(given.all("manifests"), &options)?;
        explain(&loaded.table()?, &loaded.listeners(&options), &request).blame(&loaded.problems)
    } else {
        ask(call, &request)?
    };
    print_text(&explanation.text(&request));
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
fn ask(call: &Call<'_>, request: &Request) -> Result<Explanation, Stop> {
    let Request { method, url, client, fields, .. } = request;
    let mut path =
        format!("/api/v1/explain?url={}&method={}&client={}", escape(url), escape(method), escape(&client.to_string()));
    for (name, value) in fields {
        path += &format!("&header={}", escape(&format!("{name}: {value}")));
    }
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
