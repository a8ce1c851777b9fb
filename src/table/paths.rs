//! The paths of one host: a tree of segments, in which the last of ten thousand costs what the first costs; or regular
//! expressions, which are tried one after the other.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use crate::ir::{PathKind, PathMatch, PathPattern, SLOW_TEXT, USUAL_PATTERN};

/// The paths of one host.
pub(super) enum Paths {
    /// In the order in which they are tried: the first that matches answers.
    List {
        /// Each is the path of a route.
        patterns: Box<[PathPattern]>,
        /// The longest path that any of them takes, octets: one of them may be slow.
        longest: usize,
    },
    /// By segments.
    Tree(Tree),
}

/// A match is a walk along the segments of the request path, no further than the tree goes, so a long path of a client
/// costs nothing extra.
pub(super) struct Tree {
    /// The root is the first.
    nodes: Box<[Node]>,
}

/// Told of every route that a walk passes on its way, so that `explain` sees the real match.
pub(super) trait Walk {
    /// Prefix routes that take the request, unless something longer or exact does.
    fn passes(&mut self, prefixes: Slots);
}

/// Nobody listens: the walk of a request.
pub(super) struct Silent;

impl Walk for Silent {
    fn passes(&mut self, _: Slots) {}
}

/// The routes that end at one node, by whether they were written with a trailing slash.
#[derive(Clone, Copy)]
pub(super) struct Slots {
    bare: u32,
    slashed: u32,
}

const NONE: u32 = u32::MAX;

impl Slots {
    const EMPTY: Slots = Slots { bare: NONE, slashed: NONE };

    pub(super) fn bare(self) -> Option<u32> {
        (self.bare != NONE).then_some(self.bare)
    }

    pub(super) fn slashed(self) -> Option<u32> {
        (self.slashed != NONE).then_some(self.slashed)
    }

    /// Of the two the one that is written like the request (`ir::Rank`).
    fn like(self, slashed: bool) -> Option<u32> {
        if slashed { self.slashed().or(self.bare()) } else { self.bare().or(self.slashed()) }
    }

    fn fill(&mut self, slashed: bool, route: u32) {
        let slot = if slashed { &mut self.slashed } else { &mut self.bare };
        if *slot == NONE {
            *slot = route;
        }
    }
}

/// What ends here and what goes on from here.
struct Node {
    exact: Slots,
    prefix: Slots,
    children: Children,
}

/// The next segments with the places of their nodes. A few are compared one by one, many are hashed.
#[allow(clippy::box_collection, reason = "a hash map is large, and nearly no node has one")]
enum Children {
    Few(Box<[(Box<[u8]>, u32)]>),
    Many(Box<HashMap<Box<[u8]>, u32, RandomState>>),
}

const FEW: usize = 4;

impl Paths {
    /// The form of `paths` for look-ups, which are in order of precedence; a match gives the place among them. Either all
    /// are regular expressions or none is.
    pub(super) fn new<'a>(paths: impl Iterator<Item = &'a PathMatch> + Clone) -> Paths {
        let patterns = paths.clone().map(|path| match &path.kind {
            PathKind::Regex(pattern) => Some(pattern.clone()),
            PathKind::Exact | PathKind::Prefix => None,
        });
        match patterns.collect::<Option<Box<[_]>>>() {
            Some(patterns) if !patterns.is_empty() => {
                let may_be_slow = patterns.iter().any(|pattern: &PathPattern| pattern.cost() > USUAL_PATTERN);
                Paths::List { patterns, longest: if may_be_slow { SLOW_TEXT } else { usize::MAX } }
            }
            _ => Paths::Tree(Tree::new(paths)),
        }
    }

    /// The route that takes `path`, a request path in the form matched.
    pub(super) fn find(&self, path: &str, walk: &mut impl Walk) -> Option<u32> {
        match self {
            Paths::Tree(tree) => tree.find(path, walk),
            Paths::List { longest, .. } if path.len() > *longest => None,
            Paths::List { patterns, .. } => {
                let place = patterns.iter().position(|pattern| pattern.matches(path))?;
                u32::try_from(place).ok()
            }
        }
    }
}

impl Tree {
    fn new<'a>(paths: impl Iterator<Item = &'a PathMatch>) -> Tree {
        let mut nodes = vec![Growing::default()];
        for (route, path) in (0..NONE).zip(paths) {
            grow(&mut nodes, path, route);
        }
        Tree { nodes: nodes.into_iter().map(Growing::freeze).collect() }
    }

    fn find(&self, path: &str, walk: &mut impl Walk) -> Option<u32> {
        let mut rest = path.as_bytes();
        let mut node = self.nodes.first()?;
        let mut longest = None;
        if !matches!(rest.first(), None | Some(b'/')) {
            return None;
        }
        loop {
            walk.passes(node.prefix);
            longest = node.prefix.like(!rest.is_empty()).or(longest);
            let exact = match rest {
                [] => node.exact.bare(),
                [b'/'] => node.exact.slashed(),
                _ => None,
            };
            if exact.is_some() {
                return exact;
            }
            let Some((_, from_segment)) = rest.split_first() else { return longest };
            let end = memchr::memchr(b'/', from_segment).unwrap_or(from_segment.len());
            let Some((segment, after)) = from_segment.split_at_checked(end) else { return longest };
            let Some(next) = node.children.find(segment).and_then(|next| self.nodes.get(next as usize)) else {
                return longest;
            };
            (node, rest) = (next, after);
        }
    }
}

impl Children {
    fn find(&self, segment: &[u8]) -> Option<u32> {
        match self {
            Children::Few(children) => children.iter().find(|(name, _)| **name == *segment).map(|&(_, node)| node),
            Children::Many(children) => children.get(segment).copied(),
        }
    }
}

/// A node while the tree is made.
struct Growing<'a> {
    exact: Slots,
    prefix: Slots,
    children: BTreeMap<&'a str, u32>,
}

impl Default for Growing<'_> {
    fn default() -> Self {
        Growing { exact: Slots::EMPTY, prefix: Slots::EMPTY, children: BTreeMap::new() }
    }
}

impl Growing<'_> {
    fn freeze(self) -> Node {
        let few = self.children.len() <= FEW;
        let children = self.children.into_iter().map(|(name, node)| (name.as_bytes().into(), node));
        let children =
            if few { Children::Few(children.collect()) } else { Children::Many(Box::new(children.collect())) };
        Node { exact: self.exact, prefix: self.prefix, children }
    }
}

fn grow<'a>(nodes: &mut Vec<Growing<'a>>, path: &'a PathMatch, route: u32) {
    let trimmed = path.path.strip_suffix('/').unwrap_or(&path.path);
    let mut at = 0;
    for segment in trimmed.split('/').skip(1) {
        let fresh = nodes.len() as u32;
        let Some(node) = nodes.get_mut(at) else { return };
        at = *node.children.entry(segment).or_insert(fresh) as usize;
        if at == nodes.len() {
            nodes.push(Growing::default());
        }
    }
    let Some(node) = nodes.get_mut(at) else { return };
    let slots = match path.kind {
        PathKind::Exact => &mut node.exact,
        PathKind::Prefix => &mut node.prefix,
        PathKind::Regex(_) => return,
    };
    slots.fill(trimmed.len() != path.path.len(), route);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> PathMatch {
        let kind = match &text[..1] {
            "=" => PathKind::Exact,
            "^" => PathKind::Prefix,
            _ => PathKind::Regex(PathPattern::new(&text[2..]).unwrap()),
        };
        PathMatch { kind, path: text[2..].into() }
    }

    fn find<'a>(paths: &[&'a str], request: &str) -> Option<&'a str> {
        let matches: Vec<_> = paths.iter().map(|text| path(text)).collect();
        let found = Paths::new(matches.iter()).find(request, &mut Silent);
        found.map(|route| paths[route as usize])
    }

    #[test]
    fn prefixes_go_by_segments_and_the_longest_answers() {
        let paths = ["^ /", "^ /api", "^ /api/v1/users", "^ /aaa"];
        for (request, route) in [
            ("/", "^ /"),
            ("/api", "^ /api"),
            ("/api/", "^ /api"),
            ("/api/v1", "^ /api"),
            ("/api/v1/users/7", "^ /api/v1/users"),
            ("/api/v1/usersx", "^ /api"),
            ("/aaacccc", "^ /"),
            ("/API", "^ /"),
            ("", "^ /"),
        ] {
            assert_eq!(find(&paths, request), Some(route), "{request}");
        }
        assert_eq!(find(&paths[1..], "/"), None);
        assert_eq!(find(&paths, "*"), None, "the asterisk form has no path");
    }

    #[test]
    fn exact_comes_before_prefix() {
        let paths = ["= /api", "= /api/", "^ /api", "^ /api/x", "= /"];
        for (request, route) in [
            ("/api", Some("= /api")),
            ("/api/", Some("= /api/")),
            ("/api/x", Some("^ /api/x")),
            ("/api/y", Some("^ /api")),
            ("/", Some("= /")),
            ("/z", None),
        ] {
            assert_eq!(find(&paths, request), route, "{request}");
        }
    }

    #[test]
    fn of_p_and_p_slash_the_one_written_like_the_request_answers() {
        let both = ["^ /p", "^ /p/"];
        for (request, route) in [("/p", "^ /p"), ("/p/", "^ /p/"), ("/p/x", "^ /p/")] {
            assert_eq!(find(&both, request), Some(route), "{request}");
        }
        for request in ["/p", "/p/", "/p/x"] {
            assert_eq!(find(&both[..1], request), Some("^ /p"), "{request}");
            assert_eq!(find(&both[1..], request), Some("^ /p/"), "{request}");
        }
    }

    #[test]
    fn the_first_expression_that_matches_answers() {
        let paths = ["~ /foo/bar/[a-z]{3}", "~ /foo/bar/bar", "~ /foo", "~ /"];
        for (request, route) in [
            ("/foo/bar/bar", "~ /foo/bar/[a-z]{3}"),
            ("/FOO/bar/BAZ/x", "~ /foo/bar/[a-z]{3}"),
            ("/foo/bar/b", "~ /foo"),
            ("/foobar", "~ /foo"),
            ("/x/foo", "~ /"),
        ] {
            assert_eq!(find(&paths, request), Some(route), "{request}");
        }
        assert_eq!(find(&paths[..3], "/x"), None);
    }

    #[test]
    fn a_tree_with_many_children_finds_each() {
        let texts: Vec<String> = (0..1_000).map(|number| format!("^ /s{number}/x")).collect();
        let paths: Vec<&str> = texts.iter().map(|text| &**text).collect();
        for number in [0, 499, 999] {
            assert_eq!(find(&paths, &format!("/s{number}/x/y")), Some(paths[number]));
        }
        assert_eq!(find(&paths, "/s1000/x"), None);
    }
}
