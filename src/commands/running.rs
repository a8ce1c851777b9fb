//! Whom a command asks: one running Fairlead by its admin address, or every replica in a cluster.

use std::net::SocketAddr;
use std::time::Duration;

use super::cluster::{self, Replicas};
use super::{Call, Stop, admin_client};
use crate::settings::flag;

/// Replicas that differ are asked again this often: a change reaches them a moment apart.
const TRIES: usize = 3;
/// Pause before they are asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Somebody to ask.
pub(super) enum Running {
    /// Its admin address.
    Address(SocketAddr),
    /// Those of one installation.
    Replicas(Replicas),
}

/// What those that were asked say: one opinion if they agree.
pub(super) struct Opinions<T> {
    pub(super) opinions: Vec<Opinion<T>>,
    /// Why some did not answer.
    silent: Vec<String>,
}

/// What some say with one voice.
pub(super) struct Opinion<T> {
    /// Who; empty names for one address.
    pub(super) who: Vec<String>,
    /// What each says, in the order of `who`.
    pub(super) said: Vec<T>,
    /// What makes it the same.
    text: String,
}

impl Running {
    /// Finds whom `call` means. Nobody at a given address is asked yet.
    pub(super) fn find(call: &Call<'_>) -> Result<Running, Stop> {
        let is_address = call.given.is_set("admin");
        if is_address && call.given.is_on("cluster")? {
            return Err(Stop::unusable("--admin and --cluster exclude each other; give one of them"));
        }
        if !is_address && cluster::is_meant(call)? {
            return Replicas::find(&call.given).map(Running::Replicas);
        }
        match call.given.read("admin", flag::address)? {
            Some(address) => Ok(Running::Address(address)),
            None => Err(Stop::unusable("--admin is empty")),
        }
    }

    /// What all of them answer for a path with its query. `read` makes something of a body, and a text of that: what
    /// has the same text is the same opinion. `Err` if nobody answers.
    pub(super) fn ask<T>(
        &self,
        path: &str,
        read: impl Fn(&str, &str) -> Result<(T, String), Stop>,
    ) -> Result<Opinions<T>, Stop> {
        let mut tries = 1;
        loop {
            let bodies = match self {
                Running::Address(address) => vec![(address.to_string(), admin_client::get(*address, path))],
                Running::Replicas(replicas) => replicas.ask(path),
            };
            let found = Opinions::of(bodies.into_iter().map(|(who, body)| {
                let read = body.and_then(|body| read(&who, &body));
                (who, read)
            }))?;
            if found.opinions.len() < 2 || tries >= TRIES {
                return Ok(found);
            }
            tries += 1;
            std::thread::sleep(PAUSE);
        }
    }
}

impl<T> Opinions<T> {
    fn of(answers: impl Iterator<Item = (String, Result<(T, String), Stop>)>) -> Result<Opinions<T>, Stop> {
        let mut opinions: Vec<Opinion<T>> = Vec::new();
        let mut failures = Vec::new();
        for (who, answer) in answers {
            match answer {
                Err(stop) => failures.push(stop),
                Ok((said, text)) => match opinions.iter_mut().find(|opinion| opinion.text == text) {
                    Some(opinion) => {
                        opinion.who.push(who);
                        opinion.said.push(said);
                    }
                    None => opinions.push(Opinion { who: vec![who], said: vec![said], text }),
                },
            }
        }
        if opinions.is_empty() {
            return Err(failures.into_iter().next().unwrap_or_else(|| Stop::failed("there is nobody to ask")));
        }
        Ok(Opinions { opinions, silent: failures.into_iter().map(|stop| stop.line).collect() })
    }

    /// `Err` with exit code `code` if not all say the same.
    pub(super) fn verdict(&self, code: u8) -> Result<(), Stop> {
        let mut lines = self.silent.clone();
        if self.opinions.len() > 1 {
            let sides: Vec<String> = self.opinions.iter().map(|opinion| opinion.who.join(", ")).collect();
            lines.push(format!("the replicas disagree: {}", sides.join(" against ")));
        }
        if lines.is_empty() { Ok(()) } else { Err(Stop { code, line: lines.join("; ") }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opinions(answers: &[(&str, Result<&str, &str>)]) -> Result<Opinions<()>, Stop> {
        Opinions::of(answers.iter().map(|(who, answer)| {
            let answer = answer.map(|text| ((), text.to_owned())).map_err(Stop::failed);
            ((*who).to_owned(), answer)
        }))
    }

    #[test]
    fn replicas_that_differ_or_are_silent_are_named() {
        for (answers, opinions_of, line) in [
            (&[("a", Ok("x")), ("b", Ok("x"))][..], 1, None),
            (&[("a", Ok("x")), ("b", Ok("y")), ("c", Ok("x"))], 2, Some("the replicas disagree: a, c against b")),
            (&[("a", Ok("x")), ("b", Err("b is away"))], 1, Some("b is away")),
        ] {
            let Ok(found) = opinions(answers) else { panic!("somebody answers") };
            assert_eq!(found.opinions.len(), opinions_of);
            assert_eq!(found.verdict(1).err().map(|stop| stop.line).as_deref(), line);
        }
        let Err(stop) = opinions(&[("a", Err("a is away")), ("b", Err("b is away"))]) else { panic!("nobody answers") };
        assert_eq!(stop.line, "a is away");
    }
}
