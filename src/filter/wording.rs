//! Texts with parts of the request in them.

use super::Request;
use crate::ir::{Groups, Piece, Variable, Wording};
use crate::uri::host;
use crate::uri::path::RoutingPath;

/// What the parts are taken from.
pub(super) struct Source<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) path: &'a RoutingPath<'a>,
    pub(super) groups: Groups<'a>,
}

/// Appends the text.
pub(super) fn write(out: &mut Vec<u8>, wording: &Wording, source: &Source<'_>) {
    let Source { request, path, groups } = source;
    for piece in &wording.0 {
        match piece {
            Piece::Group(number) => out.extend_from_slice(groups.get(*number).as_bytes()),
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Variable(Variable::Args) => {
                out.extend_from_slice(request.query.strip_prefix(b"?").unwrap_or_default());
            }
            Piece::Variable(Variable::Host) => out.extend_from_slice(host::lookup(request.host).as_bytes()),
            Piece::Variable(Variable::HttpHost) => request.write_authority(out),
            Piece::Variable(Variable::IsArgs) => {
                out.extend_from_slice(if request.query.len() > 1 { b"?" } else { b"" })
            }
            Piece::Variable(Variable::RequestUri) => {
                out.extend_from_slice(request.path);
                out.extend_from_slice(request.query);
            }
            Piece::Variable(Variable::Scheme) => out.extend_from_slice(request.scheme().as_bytes()),
            Piece::Variable(Variable::Uri) => out.extend_from_slice(path.matching.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uri::path;

    #[test]
    fn every_variable_says_what_nginx_says() {
        let request = Request { is_tls: true, host: "A.example", port: Some(8443), path: b"/x//%61", query: b"?q=1" };
        let source =
            Source { request: &request, path: &path::normalise(b"/x//%61").unwrap(), groups: Groups::default() };
        let texts = Variable::ALL.iter().map(|variable| {
            let mut out = Vec::new();
            write(&mut out, &Wording([Piece::Variable(*variable)].into()), &source);
            format!("{}={}", variable.as_str(), out.escape_ascii())
        });
        assert_eq!(
            texts.collect::<Vec<_>>(),
            [
                "args=q=1",
                "host=a.example",
                "http_host=A.example:8443",
                "is_args=?",
                "request_uri=/x//%61?q=1",
                "scheme=https",
                "uri=/x/a"
            ]
        );
    }
}
