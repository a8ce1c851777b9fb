//! `routes`, `backends`, `certificates`, `problems`: the admin API's lists as tables.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::admin_client::{escape, foreign};
use super::running::Running;
use super::table::Table;
use super::{Call, FAILED, OK, Stop, print_text};
use crate::admin::shape;

/// One list of the admin API and how it is shown.
pub(super) struct Listing {
    path: &'static str,
    /// The answer as it is printed by `-o json`: read into its type, which keeps the keys in their order.
    pretty: fn(&str) -> serde_json::Result<String>,
    headings: &'static [&'static str],
    /// The rows of the whole answer.
    rows: fn(&Value) -> Vec<Vec<String>>,
    /// Makes of a row what is the same in every replica.
    common: fn(&mut Vec<String>),
}

/// What one replica says.
struct Said {
    rows: Vec<Vec<String>>,
    pretty: String,
}

/// Prints the list that `call` asks for.
pub(super) fn run(call: &Call<'_>, listing: &Listing) -> Result<u8, Stop> {
    let given = &call.given;
    let filters: Vec<String> = ["namespace", "host"]
        .iter()
        .filter_map(|name| given.text(name).map(|value| format!("{name}={}", escape(value))))
        .collect();
    let separator = if filters.is_empty() { "" } else { "?" };
    let path = format!("{}{separator}{}", listing.path, filters.join("&"));
    let asked = Running::find(call)?.ask(&path, |who, body| listing.read(body).map_err(|_| foreign(who)))?;
    if given.text("output") == Some("json") {
        let verdict = asked.verdict(FAILED);
        // Whoever reads JSON reads one answer.
        let only = asked.opinions.first().filter(|_| asked.opinions.len() == 1);
        if let Some(said) = only.and_then(|opinion| opinion.said.first()) {
            print_text(&format!("{}\n", said.pretty));
        }
        return verdict.map(|()| OK);
    }
    for opinion in &asked.opinions {
        if asked.opinions.len() > 1 {
            print_text(&format!("# {}\n", opinion.who.join(", ")));
        }
        let mut table = Table::new(listing.headings);
        for row in listing.joined(&opinion.said) {
            table.row(row);
        }
        print_text(&table.print());
    }
    asked.verdict(FAILED).map(|()| OK)
}

impl Listing {
    /// What a body says, and the part of it that replicas have in common.
    fn read(&self, body: &str) -> serde_json::Result<(Said, String)> {
        let rows = (self.rows)(&serde_json::from_str(body)?);
        let mut common = Table::new(self.headings);
        for mut row in rows.clone() {
            (self.common)(&mut row);
            common.row(row);
        }
        Ok((Said { rows, pretty: (self.pretty)(body)? }, common.print()))
    }

    /// The rows of replicas that agree as one list: what is counted in each is summed up.
    fn joined(&self, said: &[Said]) -> Vec<Vec<String>> {
        let counted = self.headings.iter().position(|heading| *heading == IN_FLIGHT);
        let mut rows = said.first().map(|first| first.rows.clone()).unwrap_or_default();
        for (at, row) in rows.iter_mut().enumerate() {
            let Some(cell) = counted.and_then(|column| row.get_mut(column)).filter(|cell| !cell.is_empty()) else {
                continue;
            };
            let cells = said.iter().filter_map(|one| one.rows.get(at)?.get(counted?)?.parse::<u64>().ok());
            *cell = cells.sum::<u64>().to_string();
        }
        rows
    }
}

/// The one column of counts.
const IN_FLIGHT: &str = "IN-FLIGHT";
const IN_FLIGHT_COLUMN: usize = 7;

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
    common: |_| {},
};

pub(super) const BACKENDS: Listing = Listing {
    path: "/api/v1/backends",
    pretty: pretty::<shape::Backends>,
    headings: &[
        "NAME",
        "PROTOCOL",
        "BALANCE",
        "ENDPOINT",
        "POD",
        "WEIGHT",
        "STATE",
        IN_FLIGHT,
        "LATENCY-MS",
        "SINCE",
        "CHECKED",
        "REASON",
    ],
    rows: |answer| {
        let mut rows = Vec::new();
        for backend in items(answer, "backends") {
            let start = || ["name", "protocol", "balance"].iter().map(|key| text(backend, key));
            let mut endpoints = items(backend, "endpoints").peekable();
            if endpoints.peek().is_none() {
                rows.push(start().chain(std::iter::repeat_n(String::new(), 9)).collect());
            }
            for endpoint in endpoints {
                let keys =
                    ["address", "pod", "weight", "state", "in_flight", "latency_ms", "since", "checked", "reason"];
                rows.push(start().chain(keys.iter().map(|key| text(endpoint, key))).collect());
            }
        }
        rows
    },
    // What follows the state each replica counts and judges by itself.
    common: |row| row.iter_mut().skip(IN_FLIGHT_COLUMN).for_each(String::clear),
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
    // Without a Secret it was made at the start of the replica.
    common: |row| {
        if row.first().is_some_and(String::is_empty) {
            row.iter_mut().skip(3).take(3).for_each(String::clear);
        }
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
    common: |_| {},
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
    fn what_each_replica_counts_or_made_itself_is_no_difference() {
        let backends = |in_flight: u8, state: &str| {
            format!(
                r#"{{"backends":[{{"name":"a/b:1","protocol":"http1","balance":"least_conn","endpoints":[
                {{"address":"10.0.0.7:80","weight":1,"state":"{state}","in_flight":{in_flight}}}]}}]}}"#
            )
        };
        let certificates = |secret: &str, serial: u8| {
            format!(
                r#"{{"certificates":[{{"names":["a"],{secret}"serial":"{serial}","not_before":"b","not_after":"{serial}",
                "hosts":[],"default":true}}]}}"#
            )
        };
        for (listing, one, other, is_same) in [
            (&BACKENDS, backends(1, "ready"), backends(2, "ready"), true),
            (&BACKENDS, backends(1, "ready"), backends(1, "draining"), false),
            (&CERTIFICATES, certificates("", 1), certificates("", 2), true),
            (&CERTIFICATES, certificates(r#""secret":"a/b","#, 1), certificates(r#""secret":"a/b","#, 2), false),
        ] {
            let (one, other) = (listing.read(&one).unwrap(), listing.read(&other).unwrap());
            assert_eq!(one.1 == other.1, is_same, "{} {}", one.1, other.1);
        }
        let said = [1, 2].map(|in_flight| BACKENDS.read(&backends(in_flight, "ready")).unwrap().0);
        assert_eq!(BACKENDS.joined(&said)[0][IN_FLIGHT_COLUMN], "3");
        assert_eq!(BACKENDS.headings[IN_FLIGHT_COLUMN], IN_FLIGHT);
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
                {"address":"10.0.0.7:8080","pod":"api-x","weight":1,"state":"ejected","reason":"5 connect failures",
                "since":"s","checked":"c","in_flight":0,"latency_ms":1.9}]}]}"#,
                "shop/api:80|http1|least_conn|10.0.0.7:8080|api-x|1|ejected|0|1.9|s|c|5 connect failures",
            ),
            (
                &BACKENDS,
                r#"{"backends":[{"name":"a/b:1","protocol":"http1","balance":"least_conn","endpoints":[]}]}"#,
                "a/b:1|http1|least_conn|||||||||",
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
