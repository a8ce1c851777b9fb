//! Annotations about choosing a backend and an endpoint.

use std::sync::Arc;

use super::table::Effect::Honoured;
use super::table::{ELSEWHERE, Row, both, nginx, ours};
use super::value::{Refusal, Value};
use super::{Settings, Way, template};
use crate::ir::Algorithm;

const VARIABLES: &str = "write a text with variables, as in $request_uri, $arg_NAME, $cookie_NAME, $http_NAME";

pub(super) const ROWS: &[Row] = &[
    ours("hash-by", Honoured(hash_by))
        .takes(VARIABLES)
        .and_on_services()
        .for_port()
        .and_on_canaries()
        .does("", "asks for `hash` by itself"),
    both("load-balance", Honoured(load_balance))
        .takes("one of: least_conn, round_robin, random, random_two, ewma, ip_hash, hash")
        .and_on_services()
        .for_port()
        .and_on_canaries()
        .does("least_conn", "which endpoint gets a request"),
    ours("locality", Honoured(locality))
        .takes("one of: off, prefer")
        .for_port()
        .does("off", "`prefer`: endpoints that their EndpointSlice means for the zone of our node; in a cluster only"),
    both(
        "service-upstream",
        Honoured(|value, to| value.boolean().map(|is| to.backend.own_address = Some(value.told(is)))),
    )
    .takes("one of: true, false")
    .for_port()
    .does(
        "false",
        "`true`: requests go to the Service's own address, behind which the cluster chooses; a Service \
         without one keeps its endpoints",
    ),
    nginx("upstream-hash-by", Honoured(hash_by))
        .takes(VARIABLES)
        .for_port()
        .and_on_canaries()
        .high()
        .does("", "asks for `hash` by itself"),
    both(
        "upstream-hash-by-subset",
        Honoured(|value, to| value.boolean().map(|is| to.backend.subset = Some(value.told(is)))),
    )
    .takes("one of: true, false")
    .for_port()
    .and_on_canaries()
    .does("false", "`true`: a text has a few endpoints, of which one is drawn"),
    both("upstream-hash-by-subset-size", Honoured(subset_size))
        .takes("write a whole number, 1 or more")
        .for_port()
        .and_on_canaries()
        .does("3", "how many, 64 at most"),
];

fn load_balance(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let way = match value.word()?.as_str() {
        "least_conn" => Way::Plain(Algorithm::LeastConn),
        "round_robin" => Way::Plain(Algorithm::RoundRobin),
        "random" => Way::Plain(Algorithm::Random),
        "random_two" => Way::Plain(Algorithm::RandomTwo),
        "ewma" => Way::Plain(Algorithm::Ewma),
        "ip_hash" => Way::Plain(Algorithm::IpHash),
        "hash" => Way::Hash,
        word @ ("chash" | "chashsubset") => {
            let hint = "write hash-by or upstream-hash-by with the text to hash, as in $request_uri";
            return Err(by_hand(word, hint));
        }
        word @ ("sticky_balanced" | "sticky_persistent") => return Err(by_hand(word, "write affinity: cookie")),
        _ => return Err(Refusal::Invalid("is no way to choose an endpoint".to_owned())),
    };
    to.backend.way = Some(value.told(way));
    Ok(())
}

/// Words that ingress-nginx takes and sets itself where other annotations ask for them.
fn by_hand(word: &str, hint: &'static str) -> Refusal {
    let default = Algorithm::default().as_str();
    Refusal::Ignored(format!("{word} is not set by hand; the default, {default}, serves{ELSEWHERE}"), hint)
}

/// Of `hash-by` and `upstream-hash-by` on one Ingress ours counts, whichever is read first.
fn hash_by(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let template = template::parse(value.plain()?)?;
    if value.is_ours || to.backend.hash_by.is_none() {
        to.backend.hash_by = Some(value.told(Arc::new(template)));
    }
    Ok(())
}

fn locality(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let is_preferred = match value.word()?.as_str() {
        "off" => false,
        "prefer" => true,
        _ => return Err(Refusal::Invalid("is neither off nor prefer".to_owned())),
    };
    to.backend.prefer_zone = Some(value.told(is_preferred));
    Ok(())
}

/// Each request looks at so many endpoints at most.
const LARGEST_SUBSET: u32 = 64;

fn subset_size(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let size = value.number(1..=u32::MAX)?;
    if size > LARGEST_SUBSET {
        let hint = format!("write {LARGEST_SUBSET} or less, or spread all with load-balance: random");
        return Err(Refusal::Mistaken("is larger than a group is of use".to_owned(), hint));
    }
    to.backend.subset_size = u16::try_from(size).ok().map(|size| value.told(size));
    Ok(())
}
