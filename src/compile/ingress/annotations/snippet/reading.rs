//! The statements of one snippet into settings.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fields::{self, Header};
use super::words;
use crate::compile::ingress::annotations::template;
use crate::compile::ingress::annotations::value::{Refusal, shorten};
use crate::compile::nginx::{self, Statement};
use crate::ir::networks::network;
use crate::ir::{
    AccessRule, AnswerAct, AnswerRule, AuthMethod, FixedContent, FixedReply, InputEdit, Networks, Severity, Template,
};

/// Where a snippet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::compile) enum Level {
    /// In the request to the service that says who may come in.
    Auth,
    /// Beside all hosts.
    Http,
    /// On each path.
    Location,
    /// On a host.
    Server,
}

/// Fields that one snippet may be about, and variables that it may have.
const MOST: usize = 128;

/// What a snippet asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Rules {
    /// `return`.
    pub(in crate::compile) reply: Option<Arc<FixedReply>>,
    /// Changes to answers, in order.
    pub(in crate::compile) answers: Vec<AnswerRule>,
    /// Changes to what clients say, one for each name.
    pub(in crate::compile) input: Vec<InputEdit>,
    /// Fields for the back end, or for the service that is asked; one for each name.
    pub(in crate::compile) sends: Vec<(Arc<str>, Template)>,
    /// Another `Host` for the back end.
    pub(in crate::compile) host: Option<Template>,
    /// `allow` and `deny`, in order.
    pub(in crate::compile) access: Vec<AccessRule>,
    /// The service that is asked is asked with the method of the client.
    pub(in crate::compile) asks_as_client: bool,
}

impl Rules {
    /// These, and then others.
    pub(in crate::compile) fn and(mut self, then: &Rules) -> Rules {
        let Rules { reply, answers, input, sends, host, access, asks_as_client } = then.clone();
        self.reply = self.reply.or(reply);
        self.answers.extend(answers);
        input.into_iter().for_each(|edit| self.enter(edit));
        sends.into_iter().for_each(|(name, text)| self.send(name, text));
        self.host = host.or(self.host);
        self.access.extend(access);
        self.asks_as_client |= asks_as_client;
        self
    }

    /// The method to ask a service with, where they say one beside `auth-method`.
    pub(in crate::compile) fn method(&self) -> Option<AuthMethod> {
        self.asks_as_client.then_some(AuthMethod::OfClient)
    }

    /// The fields for a service that is asked; one that must not pass is empty.
    pub(in crate::compile) fn lines(self) -> Vec<(Arc<str>, Template)> {
        let withheld = self.input.into_iter().map(|edit| (edit.name, Template { parts: Box::default() }));
        withheld.chain(self.sends).collect()
    }

    /// What is too much of it, as a sentence part: all of it is done for every request.
    fn excess(&self) -> Option<String> {
        let Rules { reply, answers, input, sends, host, access: _, asks_as_client: _ } = self;
        let fields = answers.len() + input.len() + sends.len();
        let of_answers = answers.iter().filter_map(|rule| match &rule.act {
            AnswerAct::Add(text) | AnswerAct::Set(text) => Some(text),
            AnswerAct::Clear | AnswerAct::Hide => None,
        });
        let of_reply = reply.iter().filter_map(|reply| match &reply.content {
            FixedContent::Location(text) | FixedContent::Text { text, .. } => Some(text),
            FixedContent::Page => None,
        });
        let sent = input.iter().filter_map(|edit| edit.value.as_ref()).chain(sends.iter().map(|(_, text)| text));
        let texts = of_answers.chain(of_reply).chain(sent).chain(host);
        let variables: usize = texts.map(Template::variables).sum();
        match () {
            () if fields > MOST => Some(format!("begins a text that is about more than {MOST} fields")),
            () if variables > MOST => Some(format!("begins a text that has more than {MOST} variables")),
            () => None,
        }
    }

    /// The last word on a name counts.
    fn enter(&mut self, edit: InputEdit) {
        if !edit.only_present {
            self.input.retain(|own| !own.name.eq_ignore_ascii_case(&edit.name));
        }
        self.input.push(edit);
    }

    fn send(&mut self, name: Arc<str>, text: Template) {
        self.sends.retain(|(own, _)| !own.eq_ignore_ascii_case(&name));
        self.sends.push((name, text));
    }
}

/// A statement that is not done.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Left {
    /// Where it begins, with its first line.
    pub(super) place: String,
    /// Why it is not done.
    pub(super) why: String,
    /// What to do instead.
    pub(super) instead: String,
    /// Info: it asks for what is done anyway.
    pub(super) severity: Severity,
}

/// What was made of the text.
#[derive(Debug, Default)]
pub(in crate::compile) struct Reading {
    pub(super) rules: Rules,
    /// Annotations that say the same, with their values.
    pub(super) typed: Vec<(&'static str, String)>,
    /// Words that are done, with what to write in their place.
    pub(super) done: BTreeSet<(&'static str, &'static str)>,
    /// Statements that are left out.
    pub(super) left: Vec<Left>,
    /// The first statement that is not understood and may mean anything.
    pub(super) refused: Option<Left>,
    media_type: Option<Arc<str>>,
}

/// Why a statement is not done.
pub(super) struct Unread {
    why: String,
    instead: &'static str,
    severity: Severity,
    /// This field of clients must not pass in the place of what was to be sent.
    withheld: Option<Arc<str>>,
}

impl Unread {
    pub(super) fn new(why: impl Into<String>, instead: &'static str) -> Unread {
        Unread { why: why.into(), instead, severity: Severity::Warning, withheld: None }
    }

    /// What it asks for is done without it.
    pub(super) fn needless(why: &str, instead: &'static str) -> Unread {
        Unread { severity: Severity::Info, ..Unread::new(why, instead) }
    }
}

impl Reading {
    /// Reads a text. Without `recognises` no statement is understood.
    pub(in crate::compile) fn of(text: &str, level: Level, recognises: bool) -> Reading {
        let mut reading = Reading::default();
        let statements = match nginx::parse(text) {
            Ok(statements) => statements,
            Err(nginx::Fault { why, line }) => {
                let place = place(text, line);
                let instead = words::instead("").to_owned();
                reading.refused = Some(Left { place, why: why.to_owned(), instead, severity: Severity::Error });
                return reading;
            }
        };
        for statement in &statements {
            let is_understood = match recognises {
                true => reading.statement(statement, level),
                false => Err(Unread::new(
                    "is not looked at, as allow-snippet-annotations says",
                    words::instead_of(statement),
                )),
            };
            let Err(Unread { why, instead, severity, withheld }) = is_understood else { continue };
            let left = Left { place: place(text, statement.line), why, instead: instead.to_owned(), severity };
            if severity == Severity::Info || words::only_tunes(statement) {
                reading.left.push(left);
            } else if reading.refused.is_none() {
                reading.refused = Some(left);
            }
            if let Some(name) = withheld {
                reading.rules.enter(InputEdit { name, value: None, only_present: false });
            }
        }
        let line = statements.iter().find(|statement| statement.name == "default_type").map(|statement| statement.line);
        if !reading.types_its_text() {
            let why = "says nothing here but of what return answers".to_owned();
            let instead = words::instead("").to_owned();
            let left = |line| Left { place: place(text, line), why, instead, severity: Severity::Warning };
            reading.left.extend(line.map(left));
        }
        if let (Some(why), None) = (reading.rules.excess(), &reading.refused) {
            let instead = "the back end, which can say as much as it likes".to_owned();
            reading.refused = Some(Left { place: place(text, 1), why, instead, severity: Severity::Error });
        }
        reading
    }

    /// Gives the text that is answered its type, which may stand behind it. Whether a type, if there is one, has a text.
    fn types_its_text(&mut self) -> bool {
        let Some(media_type) = self.media_type.take() else { return true };
        let Some(reply) = &mut self.rules.reply else { return false };
        let FixedContent::Text { media_type: own, .. } = &mut Arc::make_mut(reply).content else { return false };
        *own = media_type;
        true
    }

    fn statement(&mut self, statement: &Statement, level: Level) -> Result<(), Unread> {
        let Statement { name, words, block, .. } = statement;
        if block.is_some() {
            return Err(Unread::new("is not understood", words::instead_of(statement)));
        }
        let is_on_the_way = level != Level::Auth;
        match name.as_str() {
            "more_set_headers" if is_on_the_way => self.set_answer(words),
            "more_clear_headers" if is_on_the_way => self.clear_answer(words),
            "add_header" if is_on_the_way => self.add_answer(words),
            "proxy_hide_header" | "grpc_hide_header" if is_on_the_way => self.hide_answer(words),
            "more_set_input_headers" if is_on_the_way => self.set_input(words),
            "more_clear_input_headers" if is_on_the_way => self.clear_input(words),
            "proxy_set_header" | "grpc_set_header" => self.send(words, level),
            "return" if matches!(level, Level::Location | Level::Server) => self.reply(words),
            "allow" | "deny" if is_on_the_way => self.access(name == "allow", words),
            "default_type" if matches!(level, Level::Location | Level::Server) => self.default_type(words),
            "proxy_method" if level == Level::Auth && words == &["$request_method"] => {
                self.rules.asks_as_client = true;
                self.done("proxy_method", "auth-method")
            }
            "proxy_method" if level == Level::Auth => self.typed("proxy_method", "auth-method", words),
            "proxy_pass_request_headers" if words == &["on"] => Err(fields::anyway()),
            // A service that is asked gets no body.
            "proxy_pass_request_body" if words == &[if level == Level::Auth { "off" } else { "on" }] => {
                Err(fields::anyway())
            }
            "gzip" if is_on_the_way => self.gzip(words),
            other => match words::typed(other).filter(|_| is_on_the_way) {
                Some((word, annotation)) => self.typed(word, annotation, words),
                None => Err(Unread::new("is not understood", words::instead(other))),
            },
        }
    }

    fn done(&mut self, word: &'static str, instead: &'static str) -> Result<(), Unread> {
        self.done.insert((word, instead));
        Ok(())
    }

    fn set_answer(&mut self, words: &[String]) -> Result<(), Unread> {
        let options = fields::options(words, "-s -t")?;
        for text in &options.headers {
            let Header { name, value } = fields::header(text)?;
            fields::of_answers(name)?;
            let act = if value.is_empty() { AnswerAct::Clear } else { AnswerAct::Set(fields::text(value)?) };
            self.rules.answers.push(options.rule(name, act));
        }
        self.done("more_set_headers", words::SET)
    }

    fn clear_answer(&mut self, words: &[String]) -> Result<(), Unread> {
        let options = fields::options(words, "-s -t")?;
        for text in &options.headers {
            let name = fields::pattern(text)?;
            self.rules.answers.push(options.rule(name, AnswerAct::Clear));
        }
        self.done("more_clear_headers", words::HIDE)
    }

    fn add_answer(&mut self, words: &[String]) -> Result<(), Unread> {
        let (name, value, statuses) = match words {
            [name, value] => (name, value, AnswerRule::USUAL.into()),
            [name, value, always] if always == "always" => (name, value, Box::default()),
            _ => return Err(Unread::new("is not a name and a value", words::SET)),
        };
        fields::of_answers(fields::name(name)?)?;
        let act = AnswerAct::Add(fields::text(value)?);
        self.rules.answers.push(AnswerRule { name: name.as_str().into(), act, statuses, types: Box::default() });
        self.done("add_header", words::SET)
    }

    fn hide_answer(&mut self, words: &[String]) -> Result<(), Unread> {
        let [name] = words else { return Err(Unread::new("is not one name", words::HIDE)) };
        let name = fields::name(name)?.into();
        let (act, statuses, types) = (AnswerAct::Hide, Box::default(), Box::default());
        self.rules.answers.push(AnswerRule { name, act, statuses, types });
        self.done("proxy_hide_header", words::HIDE)
    }

    fn set_input(&mut self, words: &[String]) -> Result<(), Unread> {
        let options = match fields::options(words, "-r") {
            Ok(options) => options,
            Err(unread) => return Err(self.withholding(words, unread)),
        };
        for text in &options.headers {
            let Header { name, value } = fields::header(text)?;
            if fields::is_sent_anyway(name, value) {
                return Err(fields::anyway());
            }
            fields::of_requests(name, value)?;
            let value = fields::text(value).map_err(|unread| Unread { withheld: Some(name.into()), ..unread })?;
            let only_present = options.only_present;
            self.rules.enter(InputEdit { name: name.into(), value: Some(value), only_present });
        }
        self.done("more_set_input_headers", words::SEND)
    }

    fn clear_input(&mut self, words: &[String]) -> Result<(), Unread> {
        let options = match fields::options(words, "") {
            Ok(options) => options,
            Err(unread) => return Err(self.withholding(words, unread)),
        };
        for text in &options.headers {
            let name = fields::pattern(text)?.into();
            self.rules.enter(InputEdit { name, value: None, only_present: false });
        }
        self.done("more_clear_input_headers", words::SEND)
    }

    /// What cannot be said of some requests only must not pass in any.
    fn withholding(&mut self, words: &[String], unread: Unread) -> Unread {
        let named = words.iter().filter(|word| !word.starts_with('-'));
        for name in named.filter_map(|word| fields::header(word).ok()).map(|header| header.name) {
            // A status of an option is no name.
            if name.parse::<u16>().is_err() && fields::of_requests(name, "").is_ok() {
                self.rules.enter(InputEdit { name: name.into(), value: None, only_present: false });
            }
        }
        unread
    }

    fn send(&mut self, words: &[String], level: Level) -> Result<(), Unread> {
        let [name, value] = words else { return Err(Unread::new("is not a name and a value", words::SEND)) };
        let name = fields::name(name)?;
        if matches!(level, Level::Server | Level::Http) {
            let why = "has no effect there, in ingress-nginx either, whose paths all set fields of their own";
            return Err(Unread::new(why, "write it into configuration-snippet"));
        }
        // A service that is asked who may come in is not told how the client came, unless it is to be.
        let is_for_service = level == Level::Auth && fields::is_scheme(name);
        if fields::is_sent_anyway(name, value) && !is_for_service {
            return Err(fields::anyway());
        }
        if name.eq_ignore_ascii_case("host") && level == Level::Location {
            if value.bytes().any(|octet| octet.is_ascii_whitespace() || b"/?#@\"".contains(&octet)) {
                return Err(Unread::new("names no host", "write upstream-vhost"));
            }
            self.rules.host = Some(fields::text(value)?);
            return self.done("proxy_set_header", "upstream-vhost");
        }
        if !is_for_service {
            fields::of_requests(name, value)?;
        }
        let text = fields::text(value).map_err(|unread| Unread { withheld: Some(name.into()), ..unread })?;
        self.rules.send(name.into(), text);
        self.done("proxy_set_header", if level == Level::Auth { "auth-proxy-set-headers" } else { words::SEND })
    }

    fn access(&mut self, allows: bool, words: &[String]) -> Result<(), Unread> {
        let instead = if allows { "allowlist-source-range" } else { "denylist-source-range" };
        let clients = match words {
            [word] if word == "all" => None,
            [word] => match network(word) {
                Some(network) => Some(Networks::new([network])),
                None => return Err(Unread::new("names no address and no network", instead)),
            },
            _ => return Err(Unread::new("is not one address or network", instead)),
        };
        self.rules.access.push(AccessRule { allows, clients });
        self.done(if allows { "allow" } else { "deny" }, instead)
    }

    /// Only what comes first is reached.
    fn reply(&mut self, words: &[String]) -> Result<(), Unread> {
        let (fixed, instead) = reply(words)?;
        self.rules.reply.get_or_insert_with(|| Arc::new(fixed));
        self.done("return", instead)
    }

    fn default_type(&mut self, words: &[String]) -> Result<(), Unread> {
        match words {
            [word] if fields::is_media_type(word) => {
                self.media_type = Some(word.as_str().into());
                Ok(())
            }
            _ => Err(Unread::new("is no media type", words::instead("default_type"))),
        }
    }

    fn gzip(&mut self, words: &[String]) -> Result<(), Unread> {
        let value = match words {
            [word] if word == "on" => "gzip",
            [word] if word == "off" => "off",
            _ => return Err(Unread::new("is neither on nor off", "fairlead.dev/compress")),
        };
        self.typed.push(("compress", value.to_owned()));
        self.done("gzip", "fairlead.dev/compress")
    }

    fn typed(&mut self, word: &'static str, annotation: &'static str, words: &[String]) -> Result<(), Unread> {
        let value = words.join(" ");
        if value.is_empty() || value.chars().any(char::is_control) {
            return Err(Unread::new("has no value that is understood", annotation));
        }
        self.typed.push((annotation, value));
        self.done(word, annotation)
    }
}

/// `CODE [text|URL]`, or a URL alone.
fn reply(words: &[String]) -> Result<(FixedReply, &'static str), Unread> {
    let code = |word: &String| word.parse::<u16>().ok().filter(|_| word.len() == 3);
    match words {
        [url] if code(url).is_none() => Ok((FixedReply { status: 302, content: location(url)? }, words::REDIRECT)),
        [status] => match code(status) {
            Some(status @ 200..=299) => {
                let content = FixedContent::Text { text: Template { parts: Box::default() }, media_type: HTML.into() };
                Ok((FixedReply { status, content }, words::ANSWER))
            }
            Some(status @ (400..=443 | 445..=498 | 500..=599)) => {
                Ok((FixedReply { status, content: FixedContent::Page }, words::REFUSE))
            }
            _ => Err(Unread::new("has no status that is understood", words::REFUSE)),
        },
        [status, text] => match code(status) {
            Some(status @ (301 | 302 | 303 | 307 | 308)) => {
                Ok((FixedReply { status, content: location(text)? }, words::REDIRECT))
            }
            Some(status @ (200..=299 | 400..=443 | 445..=498 | 500..=599)) => {
                if text.len() > LONGEST {
                    return Err(Unread::new("has a text that is longer than 4 KiB", words::ANSWER));
                }
                let content = FixedContent::Text { text: variables(text)?, media_type: HTML.into() };
                Ok((FixedReply { status, content }, words::ANSWER))
            }
            _ => Err(Unread::new("has no status that is understood", words::REFUSE)),
        },
        _ => Err(Unread::new("is not a status and a text", words::REFUSE)),
    }
}

const HTML: &str = "text/html";
/// The longest text that is answered, in octets.
const LONGEST: usize = 4096;

/// A URL or a path.
fn location(url: &str) -> Result<FixedContent, Unread> {
    let is_one = ["/", "http://", "https://", "$scheme://"].iter().any(|start| url.starts_with(start));
    let is_plain = url.len() <= LONGEST && url.bytes().all(|octet| octet.is_ascii_graphic());
    if !is_one || !is_plain || url.starts_with("//") {
        return Err(Unread::new("names no URL that is understood", words::REDIRECT));
    }
    Ok(FixedContent::Location(variables(url)?))
}

/// A text with variables or without.
pub(super) fn variables(text: &str) -> Result<Template, Unread> {
    template::read(text).map_err(|refusal| match refusal {
        Refusal::Mistaken(why, _) | Refusal::Invalid(why) | Refusal::Ignored(why, _) => {
            Unread::new(why, "write a text and variables that docs/annotations.md names")
        }
    })
}

/// `line 3, "deny all;"`.
fn place(text: &str, line: usize) -> String {
    let written = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    format!("line {line}, {:?}", shorten(written.trim()))
}
