//! Every annotation of ingress-nginx that is honoured, over the wire: what a right value does, and what comes of a wrong one.
//!
//! A row serves three hosts: one with the right value, one with the wrong one, one without the annotation. What is seen of the
//! first has to show what the row says, and what is seen of the last must not. Of the second the same is seen as of the last,
//! where the default serves; or it is closed. A further annotation is one more row of the subject where it belongs.

mod access;
mod answers;
mod backend_tls;
mod balance;
mod canary;
mod client_certificates;
mod cors;
mod external;
mod mirror;
mod redirects;
mod snippets;
mod sticky;
mod times;
mod tls;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use fairlead::compile::{self, AnnotationFate};
use fairlead::settings::{CompileOptions, Limits};
use fairlead::telemetry::AccessLog;

use super::filters::Echo;
use super::plain::talk;
use crate::bed::{Bed, ingress};

const PREFIX: &str = "nginx.ingress.kubernetes.io";

/// One annotation.
struct Row<T> {
    name: &'static str,
    right: &'static str,
    wrong: &'static str,
    beside: &'static [(&'static str, &'static str)],
    request: &'static str,
    lines: &'static str,
    body: &'static str,
    shows: &'static [&'static str],
    comes_to: Wrongly,
    is_alike: bool,
    see: Option<See<T>>,
}

/// What is seen of one host, as lines: `<` before those of the answer, `>` before those that the back end got.
type See<T> = fn(&T, &Asked) -> String;

/// What comes of a wrong value.
#[derive(Clone, Copy)]
enum Wrongly {
    /// It is as if the annotation was not there.
    Default,
    /// Nobody comes in.
    Closed { status: &'static str, reason: &'static str },
    /// Something else, and this is seen.
    Shows { reason: &'static str, lines: &'static [&'static str] },
}

/// A row of which the default serves where the value is wrong, and of which `GET /x` shows whether it acts.
const fn row<T>(name: &'static str, right: &'static str, wrong: &'static str) -> Row<T> {
    Row {
        name,
        right,
        wrong,
        beside: &[],
        request: "GET /x",
        lines: "",
        body: "",
        shows: &[],
        comes_to: Wrongly::Default,
        is_alike: false,
        see: None,
    }
}

impl<T> Row<T> {
    /// With these annotations beside it on all three hosts.
    const fn beside(self, beside: &'static [(&'static str, &'static str)]) -> Row<T> {
        Row { beside, ..self }
    }

    /// Asking for this, with these further lines.
    const fn asking(self, request: &'static str, lines: &'static str) -> Row<T> {
        Row { request, lines, ..self }
    }

    /// With a body behind that.
    const fn sending(self, body: &'static str) -> Row<T> {
        Row { body, ..self }
    }

    /// With these texts in what is seen; without those that begin with an exclamation mark.
    const fn shows(self, shows: &'static [&'static str]) -> Row<T> {
        Row { shows, ..self }
    }

    /// It guards access: a wrong value closes the path.
    const fn guards(self) -> Row<T> {
        self.closes("503", "AccessRuleBroken")
    }

    /// A wrong value closes the path with this status, for this reason.
    const fn closes(self, status: &'static str, reason: &'static str) -> Row<T> {
        Row { comes_to: Wrongly::Closed { status, reason }, ..self }
    }

    /// A wrong value is told for this reason, and this is seen.
    const fn wrongly(self, reason: &'static str, lines: &'static [&'static str]) -> Row<T> {
        Row { comes_to: Wrongly::Shows { reason, lines }, ..self }
    }

    /// Each right value comes to what is done without it.
    const fn alike(self) -> Row<T> {
        Row { is_alike: true, ..self }
    }

    /// Looked at in this way.
    const fn seen(self, see: See<T>) -> Row<T> {
        Row { see: Some(see), ..self }
    }
}

/// What the rows of one file have in common.
trait Subject: Sync + Sized {
    /// All are looked at together, as each takes its time.
    const AT_ONCE: bool = false;

    /// The text that a word of capitals in a value stands for.
    fn words(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// What stands beside the hosts.
    fn objects(&self) -> String {
        String::new()
    }

    /// The Service `name` of a host, and what its Ingress of that name has beside the annotations.
    fn serve(&self, row: &Row<Self>, place: &Place, annotations: &str) -> String;

    /// What is seen of most rows.
    fn see(&self, asked: &Asked) -> String;

    /// What the flags say besides.
    fn flags(&self, _: &mut CompileOptions) {}

    /// Where requests are logged.
    fn log(&self) -> Option<Arc<AccessLog>> {
        None
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Right,
    Wrong,
    Without,
}

const KINDS: [Kind; 3] = [Kind::Right, Kind::Wrong, Kind::Without];

/// One of the three hosts of a row.
struct Place {
    kind: Kind,
    /// Of Ingress and Service.
    name: String,
    host: String,
}

impl Place {
    fn of(name: &str, kind: Kind) -> Place {
        let kind_name = match kind {
            Kind::Right => "right",
            Kind::Wrong => "wrong",
            Kind::Without => "without",
        };
        Place { kind, name: format!("{kind_name}-{name}"), host: format!("{kind_name}-{name}.example") }
    }

    /// The Ingress for all paths of the host.
    fn ingress(&self, annotations: &str) -> String {
        ingress(&self.name, &self.host, "/", &self.name, annotations)
    }
}

/// Who asks which of the hosts for what.
struct Asked {
    http: SocketAddr,
    https: SocketAddr,
    place: Place,
    request: &'static str,
    lines: &'static str,
    body: &'static str,
}

impl Asked {
    /// The answer to the row's request.
    fn answer(&self) -> String {
        self.answer_of(&self.place.host)
    }

    /// The answer that another host gives to it.
    fn answer_of(&self, host: &str) -> String {
        let Asked { request, lines, body, .. } = self;
        talk(self.http, &format!("{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n{body}"))
    }

    /// The answer, and what these got meanwhile, each line behind its mark.
    fn view(&self, answer: &str, marks: &[(char, &Echo)]) -> String {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
        let mut view = self.marked('<', head);
        let _ = writeln!(view, "= {body}");
        for (mark, echo) in marks {
            echo.heads().iter().for_each(|head| view += &self.marked(*mark, head));
        }
        view
    }

    /// Lines behind a mark, without what differs from one request to the next.
    fn marked(&self, mark: char, head: &str) -> String {
        let head = head.replace(&self.place.host, "HOST").replace(&self.place.name, "NAME");
        let head = head.replace(&format!(":{}", self.https.port()), ":PORT");
        let is_kept = |line: &&str| {
            !["Date: ", "X-Request-ID: ", "X-Forwarded-Port: "].iter().any(|start| line.starts_with(start))
        };
        head.trim_end().split("\r\n").filter(is_kept).fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{mark} {line}");
            text
        })
    }
}

/// Serves all hosts of the rows, looks at each, and holds it against what the row says.
fn check<T: Subject>(rows: &[Row<T>], subject: &T) {
    let words = subject.words();
    let annotations = |row: &Row<T>, place: &Place| {
        let own = match place.kind {
            Kind::Right => Some((row.name, row.right)),
            Kind::Wrong => Some((row.name, row.wrong)),
            Kind::Without => None,
        };
        let fill = |value: &str| {
            let value = value.replace("HOST", &place.host);
            words.iter().fold(value, |value, (word, text)| value.replace(word, text))
        };
        let all = own.iter().chain(row.beside).map(|(name, value)| format!("{PREFIX}/{name}: '{}'", fill(value)));
        all.collect::<Vec<_>>().join(", ")
    };
    let mut text = subject.objects();
    for row in rows {
        for place in KINDS.map(|kind| Place::of(row.name, kind)) {
            text += &subject.serve(row, &place, &annotations(row, &place));
        }
    }
    let bed = Bed::told(&text, Limits::default(), 1, subject.log(), |options| subject.flags(options));
    let (http, https) = (bed.http, bed.https);
    let look = |row: &Row<T>, kind| {
        let Row { name, request, lines, body, .. } = *row;
        let asked = Asked { http, https, place: Place::of(name, kind), request, lines, body };
        row.see.map_or_else(|| subject.see(&asked), |see| see(subject, &asked))
    };
    let views: Vec<[String; 3]> = if T::AT_ONCE {
        thread::scope(|scope| {
            let look = &look;
            let begun: Vec<_> = rows.iter().map(|row| KINDS.map(|kind| scope.spawn(move || look(row, kind)))).collect();
            begun.into_iter().map(|three| three.map(|one| one.join().unwrap())).collect()
        })
    } else {
        rows.iter().map(|row| KINDS.map(|kind| look(row, kind))).collect()
    };
    let mut faults = String::new();
    for (row, views) in rows.iter().zip(&views) {
        let reasons = KINDS.map(|kind| bed.reasons(&Place::of(row.name, kind).name, &format!("{PREFIX}/{}", row.name)));
        for fault in judge(row, views, &reasons) {
            let [right, wrong, without] = views;
            let _ = writeln!(faults, "{}: {fault}\nright\n{right}wrong\n{wrong}without\n{without}", row.name);
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// What is wrong with what was seen of the three hosts of a row, and told of its annotation.
fn judge<T>(row: &Row<T>, [right, wrong, without]: &[String; 3], reasons: &[Vec<&str>; 3]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut must = |is: bool, fault: String| {
        if !is {
            faults.push(fault);
        }
    };
    let shows = |view: &str, lines: &[&str]| {
        lines.iter().all(|line| line.strip_prefix('!').map_or(view.contains(line), |line| !view.contains(line)))
    };
    must(!row.shows.is_empty() && shows(right, row.shows), format!("a right value does not show {:?}", row.shows));
    must(shows(without, row.shows) == row.is_alike, "the annotation makes no difference".to_owned());
    let is_fine = reasons[0].iter().all(|reason| *reason == "SnippetHonoured");
    must(is_fine, format!("of a right value is told {:?}", reasons[0]));
    let expected = match row.comes_to {
        Wrongly::Default => {
            must(wrong == without, "with a wrong value the default does not serve".to_owned());
            "AnnotationInvalid"
        }
        Wrongly::Closed { status, reason } => {
            let is_closed = shows(wrong, &[&format!("< HTTP/1.1 {status} "), "!> "]);
            must(is_closed, format!("a wrong value does not close the path with {status}"));
            reason
        }
        Wrongly::Shows { reason, lines } => {
            must(shows(wrong, lines), format!("a wrong value does not show {lines:?}"));
            reason
        }
    };
    must(reasons[1] == [expected], format!("of a wrong value is told {:?}, not {expected}", reasons[1]));
    faults
}

#[test]
fn there_is_a_row_for_every_name_of_ingress_nginx_that_is_honoured() {
    fn names<T>(rows: &[Row<T>]) -> Vec<&'static str> {
        rows.iter().map(|row| row.name).collect()
    }
    let rows = [
        names(access::ROWS),
        names(answers::ROWS),
        names(backend_tls::ROWS),
        names(balance::ROWS),
        names(canary::ROWS),
        names(client_certificates::ROWS),
        names(cors::ROWS),
        names(external::ROWS),
        names(mirror::ROWS),
        names(redirects::ROWS),
        names(snippets::ROWS),
        names(sticky::ROWS),
        names(times::ROWS),
        names(tls::ROWS),
    ];
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let honoured = compile::annotations().filter(|row| row.nginx && row.fate() == AnnotationFate::Honoured);
    counts.extend(honoured.map(|row| (row.name, 0)));
    for name in rows.concat() {
        *counts.get_mut(name).unwrap_or_else(|| panic!("{name} is not honoured")) += 1;
    }
    counts.retain(|_, count| *count != 1);
    assert!(counts.is_empty(), "names with another number of rows than one: {counts:?}");
}
