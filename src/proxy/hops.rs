//! Requests that come back to us: an external name, or the URL of a service that is asked, may lead to this very proxy, and
//! then one request would become thousands. So what goes to a name says how often it passed us (`CDN-Loop`, RFC 8586). The
//! number is written anew each time, whatever a route does with the fields of its clients.

use crate::http1::{RequestHead, options};
use crate::ir::EndpointSource;
use crate::table::BackendRef;

/// The field.
pub const FIELD: &str = "CDN-Loop";
/// A request that passed us more often is refused.
pub const MOST: u32 = 8;
/// What we are called in it.
const NAME: &str = "fairlead";
/// The parameter with the number.
const PASSED: &str = "passed=";

/// How often the request will have passed us at `backend`, where that may be us again.
pub fn passed(backend: &BackendRef, head: &RequestHead) -> Option<u32> {
    matches!(backend.settings.source, EndpointSource::Dns { .. }).then(|| before(head).saturating_add(1))
}

/// The value of the field.
pub fn value(passed: u32) -> String {
    format!("{NAME}; {PASSED}{passed}")
}

/// How often it did, as it says.
fn before(head: &RequestHead) -> u32 {
    let fields = head.fields.iter().filter(|(_, name, _)| name.eq_ignore_ascii_case(FIELD.as_bytes()));
    fields.flat_map(|(_, _, value)| options(value)).filter_map(number).max().unwrap_or(0)
}

/// The number of one member; `None` if it speaks of another proxy.
fn number(member: &[u8]) -> Option<u32> {
    let mut parts = member.split(|octet| *octet == b';').map(<[u8]>::trim_ascii);
    if parts.next()? != NAME.as_bytes() {
        return None;
    }
    let number = parts.find_map(|part| str::from_utf8(part.strip_prefix(PASSED.as_bytes())?).ok()?.parse().ok());
    Some(number.unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::head;

    #[test]
    fn the_largest_number_that_is_ours_counts() {
        for (lines, passed) in [
            ("", 0),
            ("CDN-Loop: other; passed=7\r\n", 0),
            ("CDN-Loop: fairlead\r\n", 1),
            ("CDN-Loop: fairlead; passed=x\r\n", 1),
            ("cdn-loop: fairlead; passed=3, other\r\nCDN-Loop: fairlead;passed=2\r\n", 3),
            ("CDN-Loop: fairlead; passed=4294967295\r\n", u32::MAX),
        ] {
            assert_eq!(before(&head("GET /", "a.example", lines)), passed, "{lines}");
        }
        assert_eq!(before(&head("GET /", "a.example", &format!("{FIELD}: {}\r\n", value(5)))), 5);
    }
}
