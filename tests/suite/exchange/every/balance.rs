//! Which endpoint gets a request.

use std::collections::BTreeSet;

use super::{Asked, Place, Row, Subject, check, row};
use crate::bed::{Bed, ingress, service};
use crate::exchange::filters::{Echo, ask};

pub(super) struct Balance {
    endpoints: [Echo; 3],
    own_address: Echo,
}

const BY_TARGET: &[(&str, &str)] = &[("upstream-hash-by", "$request_uri")];

pub(super) const ROWS: &[Row<Balance>] = &[
    row("load-balance", "ip_hash", "chess").shows(&["one endpoint"]),
    row("service-upstream", "true", "yes").shows(&["the address of the Service"]),
    row("upstream-hash-by", "$request_uri", "$nothing").shows(&["one endpoint"]),
    row("upstream-hash-by-subset", "true", "yes").beside(BY_TARGET).shows(&["several endpoints"]),
    row("upstream-hash-by-subset-size", "1", "0")
        .beside(&[("upstream-hash-by", "$request_uri"), ("upstream-hash-by-subset", "true")])
        .shows(&["one endpoint"]),
];

impl Subject for Balance {
    fn serve(&self, row: &Row<Self>, place: &Place, annotations: &str) -> String {
        let Place { name, host, .. } = place;
        let service = service(name, &self.endpoints.each_ref().map(|echo| echo.address));
        let service = match row.name {
            "service-upstream" => {
                let spec = format!(
                    "spec: {{clusterIP: 127.0.0.1, ports: [{{name: http, port: {}}}]}}",
                    self.own_address.address.port()
                );
                service.replacen("spec: {ports: [{name: http, port: 80}]}", &spec, 1)
            }
            _ => service,
        };
        service + &ingress(name, host, "/", name, annotations)
    }

    /// Who gets twenty requests.
    fn see(&self, asked: &Asked) -> String {
        let answers: BTreeSet<String> =
            (0..20).map(|_| asked.answer().rsplit("\r\n").next().unwrap().to_owned()).collect();
        match answers.len() {
            1 if answers.contains("own") => "the address of the Service\n".to_owned(),
            1 => "one endpoint\n".to_owned(),
            _ => "several endpoints\n".to_owned(),
        }
    }
}

#[test]
fn which_endpoint_gets_a_request() {
    let endpoints = ["a", "b", "c"].map(|name| Echo::answering("200 OK", "", name));
    check(ROWS, &Balance { endpoints, own_address: Echo::answering("200 OK", "", "own") });
}

#[test]
fn every_variable_may_say_which_requests_belong_together() {
    let endpoints = ["a", "b", "c"].map(|name| Echo::answering("200 OK", "", name));
    let addresses = endpoints.each_ref().map(|echo| echo.address);
    for by in ["$service_name", "$namespace/$ingress_name", "$location_path", "$host", "$request_id", "$best_http_host"]
    {
        let annotations = format!("nginx.ingress.kubernetes.io/upstream-hash-by: {by}");
        let bed = Bed::start(&(service("web", &addresses) + &ingress("web", "a.example", "/", "web", &annotations)));
        let answers: BTreeSet<String> = (0..20)
            .map(|number| ask(&bed, &format!("GET /{number}"), "X-Request-ID: the-same\r\n"))
            .map(|answer| answer.rsplit("\r\n").next().unwrap().to_owned())
            .collect();
        assert_eq!(answers.len(), 1, "{by}: {answers:?}");
    }
}
