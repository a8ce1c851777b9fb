//! `routes`, `backends`, `certificates`, `problems`: the admin API's lists as tables.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::admin_client::{escape, foreign, get};
use super::table::Table;
use super::{OK, Stop, print_text};
use crate::admin::shape;
use crate::settings::{Given, flag};

/// One list of the admin API and how it is shown.
pub(super) struct Listing {
    path: &'static str,
    /// The answer as it is printed by `-o json`: read into its type, which keeps the keys in their order.
    pretty: fn(&str) -> serde_json::Result<String>,
    headings: &'static [&'static str],
    /// The rows of the whole answer.
    rows: fn(&Value) -> Vec<Vec<String>>,
}

/// Prints the list that `given` asks for.
pub(super) fn run(given: &Given, listing: &Listing) -> Result<u8, Stop> {
    let Some(address) = given.read("admin", flag::address)? else {
        return Err(Stop::unusable("--admin is empty"));
    };
    let filters: Vec<String> = ["namespace", "host"]
        .iter()
        .filter_map(|name| given.text(name).map(|value| format!("{name}={}", escape(value))))
        .collect();
    let separator = if filters.is_empty() { "" } else { "?" };
    let body = get(address, &format!("{}{separator}{}", listing.path, filters.join("&")))?;
    if given.text("output") == Some("json") {
        let text = (listing.pretty)(&body).map_err(|_| foreign(address))?;
        print_text(&format!("{text}\n"));
        return Ok(OK);
    }
    let answer = serde_json::from_str(&body).map_err(|_| foreign(address))?;
    let mut table = Table::new(listing.headings);
    for row in (listing.rows)(&answer) {
        table.row(row);
    }
    print_text(&table.print());
    Ok(OK)
}

pub(super) const ROUTES: Listing = Listing {
    path: "/api/v1/routes",
    pretty: pretty::<shape::Routes>,
    headings: &["LISTENER", "HOST", "MATCH", "PATH", "BACKEND", "FILTERS", "ORIGIN"],
    rows: |answer| {
        items(answer, "routes")
            .map(|route| {
                let mut row: Vec<String> =
                    ["listener", "host", "match", "path", "backend"].iter().map(|key| text(route, key)).collect();
                row.extend([list(route, "filters"), origin(route.get("origin"))]);
                row
            })
            .collect()
    },
};

pub(super) const BACKENDS: Listing = Listing {
    path: "/api/v1/backends",
    pretty: pretty::<shape::Backends>,
    headings: &["NAME", "PROTOCOL", "BALANCE", "ENDPOINT", "POD", "WEIGHT", "STATE", "IN-FLIGHT", "REASON"],
    rows: |answer| {
        let mut rows = Vec::new();
        for backend in items(answer, "backends") {
            let start = || ["name", "protocol", "balance"].iter().map(|key| text(backend, key));
            let mut endpoints = items(backend, "endpoints").peekable();
            if endpoints.peek().is_none() {
                rows.push(start().chain(std::iter::repeat_n(String::new(), 6)).collect());
            }
            for endpoint in endpoints {
                let keys = ["address", "pod", "weight", "state", "in_flight", "reason"];
                rows.push(start().chain(keys.iter().map(|key| text(endpoint, key))).collect());
            }
        }
        rows
    },
};

pub(super) const CERTIFICATES: Listing = Listing {
    path: "/api/v1/certificates",
    pretty: pretty::<shape::Certificates>,
    headings: &["SECRET", "NAMES", "HOSTS", "NOT-BEFORE", "NOT-AFTER", "SERIAL", "DEFAULT"],
    rows: |answer| {
        items(answer, "certificates")
            .map(|certificate| {
                vec![
                    text(certificate, "secret"),
                    list(certificate, "names"),
                    list(certificate, "hosts"),
                    text(certificate, "not_before"),
                    text(certificate, "not_after"),
                    text(certificate, "serial"),
                    text(certificate, "default"),
                ]
            })
            .collect()
    },
};

pub(super) const PROBLEMS: Listing = Listing {
    path: "/api/v1/problems",
    pretty: pretty::<shape::Problems>,
    headings: &["SEVERITY", "REASON", "OBJECT", "FILE", "FIELD", "MESSAGE"],
    rows: |answer| {
        items(answer, "problems")
            .map(|problem| {
                let object = problem.get("object").unwrap_or(&Value::Null);
                // The message about a file begins with its path and line.
                let is_file = text(object, "kind") == "File";
                let file = match (text(object, "file"), text(object, "line")) {
                    _ if is_file => String::new(),
                    (file, line) if !file.is_empty() && !line.is_empty() => format!("{file}:{line}"),
                    (file, _) => file,
                };
                vec![
                    text(problem, "severity"),
                    text(problem, "reason"),
                    if is_file { "file".to_owned() } else { origin(Some(object)) },
                    file,
                    text(problem, "field"),
                    format!("{}; {}", text(problem, "message"), text(problem, "hint")),
                ]
            })
            .collect()
    },
};

fn pretty<T: DeserializeOwned + Serialize>(body: &str) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&serde_json::from_str::<T>(body)?)
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// A field as a cell; empty when it is left out or null.
fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn list(value: &Value, key: &str) -> String {
    items(value, key)
        .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
        .collect::<Vec<_>>()
        .join(",")
}

/// `ingress shop/web`.
fn origin(object: Option<&Value>) -> String {
    let Some(object) = object else { return String::new() };
    let (kind, namespace, name) = (text(object, "kind"), text(object, "namespace"), text(object, "name"));
    let separator = if namespace.is_empty() { "" } else { "/" };
    format!("{} {namespace}{separator}{name}", kind.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_the_order_of_the_keys() {
        for (listing, body) in [
            (
                &ROUTES,
                r#"{"generation":7,"routes":[{"listener":"https:443","host":"a.example","match":"prefix","path":"/api","backend":"shop/api:80","filters":["hsts"],"origin":{"kind":"Ingress","namespace":"shop","name":"web","field":"f"}}]}"#,
            ),
            (
                &BACKENDS,
                r#"{"backends":[{"name":"shop/api:80","protocol":"http1","balance":"least_conn","endpoints":[{"address":"10.0.0.7:8080","pod":"api-x","weight":1,"state":"ejected","reason":"r","since":"s","checked":"c","in_flight":0,"latency_ms":1.9}]}]}"#,
            ),
            (
                &CERTIFICATES,
                r#"{"certificates":[{"names":["a"],"secret":"shop/tls","serial":"0a1b","not_before":"b","not_after":"a","hosts":["a"],"default":false}]}"#,
            ),
            (
                &PROBLEMS,
                r#"{"problems":[{"object":{"kind":"File","namespace":"","name":"a","file":null,"line":null},"severity":"error","reason":"r","message":"m","hint":"h"}]}"#,
            ),
        ] {
            let pretty = (listing.pretty)(body).unwrap();
            assert!(pretty.lines().count() > 5, "{pretty}");
            let packed: String = pretty.lines().map(str::trim_start).collect();
            assert_eq!(packed.replace("\": ", "\":"), body);
        }
    }

    #[test]
    fn every_list_of_the_api_has_a_row_with_its_fields() {
        for (listing, answer, expected) in [
            (
                &ROUTES,
                r#"{"routes":[{"listener":"https:443","host":"a.example","match":"prefix","path":"/api","backend":"shop/api:80",
                "filters":["ssl-redirect"],"origin":{"kind":"Ingress","namespace":"shop","name":"web","field":"x"}}]}"#,
                "https:443|a.example|prefix|/api|shop/api:80|ssl-redirect|ingress shop/web",
            ),
            (
                &BACKENDS,
                r#"{"backends":[{"name":"shop/api:80","protocol":"http1","balance":"least_conn","endpoints":[
                {"address":"10.0.0.7:8080","pod":"api-x","weight":1,"state":"ready","in_flight":0}]}]}"#,
                "shop/api:80|http1|least_conn|10.0.0.7:8080|api-x|1|ready|0|",
            ),
            (
                &BACKENDS,
                r#"{"backends":[{"name":"a/b:1","protocol":"http1","balance":"least_conn","endpoints":[]}]}"#,
                "a/b:1|http1|least_conn||||||",
            ),
            (
                &CERTIFICATES,
                r#"{"certificates":[{"names":["a","b"],"secret":"shop/tls","serial":"0a","not_before":"x","not_after":"y",
                "hosts":["a"],"default":false}]}"#,
                "shop/tls|a,b|a|x|y|0a|false",
            ),
            (
                &PROBLEMS,
                r#"{"problems":[{"object":{"kind":"File","namespace":"","name":"bad.yaml","file":"bad.yaml","line":3},
                "severity":"error","reason":"ManifestUnreadable","message":"bad.yaml:3: m","hint":"h"}]}"#,
                "error|ManifestUnreadable|file|||bad.yaml:3: m; h",
            ),
            (
                &PROBLEMS,
                r#"{"problems":[{"object":{"kind":"Ingress","namespace":"a","name":"b","file":"c.yaml","line":3},
                "severity":"error","reason":"HostInvalid","field":"f","message":"m","hint":"h"}]}"#,
                "error|HostInvalid|ingress a/b|c.yaml:3|f|m; h",
            ),
        ] {
            let rows = (listing.rows)(&serde_json::from_str(answer).unwrap());
            assert_eq!(rows.len(), 1);
            assert_eq!(rows[0].join("|"), expected);
            assert_eq!(rows[0].len(), listing.headings.len());
        }
    }
}
