//! Scripts for both sides of the proxy: who sends which bytes, who must see which.

/// How a connection ends for the one who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// FIN.
    Closed,
    /// RST.
    Reset,
}

/// One step. The upstream's steps act on its connection that was accepted last.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The client sends.
    Client(Vec<u8>),
    /// The client ends its side.
    ClientEnds,
    /// The client goes away without a word.
    ClientResets,
    /// These bytes come to the client.
    ToClient(Vec<u8>),
    /// The client sees the end of its connection.
    ClientSees(End),
    /// The upstream sends.
    Upstream(Vec<u8>),
    /// The upstream closes.
    UpstreamCloses,
    /// The upstream resets the connection.
    UpstreamResets,
    /// These bytes come to the upstream, on a connection not seen before or not.
    ToUpstream(Vec<u8>, On),
    /// The upstream sees the end of its connection, in either way.
    UpstreamSeesEnd,
}

/// On which connection a request comes to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    /// On a new one.
    New,
    /// On the one that is open.
    Open,
}

/// A named list of steps.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
    /// Not to be repeated with its bytes split.
    pub(super) is_played_once: bool,
}

/// A script without steps.
pub(super) fn script(name: &str) -> Script {
    Script { name: name.to_owned(), steps: Vec::new(), is_played_once: false }
}

impl Script {
    fn step(mut self, step: Step) -> Script {
        self.steps.push(step);
        self
    }

    /// The client sends `bytes`.
    pub(super) fn client(self, bytes: impl AsRef<[u8]>) -> Script {
        self.step(Step::Client(bytes.as_ref().to_vec()))
    }

    /// The client ends its side.
    pub(super) fn client_ends(self) -> Script {
        self.step(Step::ClientEnds)
    }

    /// The client resets its connection.
    pub(super) fn client_resets(self) -> Script {
        self.step(Step::ClientResets)
    }

    /// `pattern` comes to the client.
    pub(super) fn reaches_client(self, pattern: impl AsRef<[u8]>) -> Script {
        self.step(Step::ToClient(pattern.as_ref().to_vec()))
    }

    /// The client's connection is closed.
    pub(super) fn closed(self) -> Script {
        self.step(Step::ClientSees(End::Closed))
    }

    /// The client's connection is reset.
    pub(super) fn reset(self) -> Script {
        self.step(Step::ClientSees(End::Reset))
    }

    /// The upstream sends `bytes`.
    pub(super) fn upstream(self, bytes: impl AsRef<[u8]>) -> Script {
        self.step(Step::Upstream(bytes.as_ref().to_vec()))
    }

    /// The upstream closes its connection.
    pub(super) fn upstream_closes(self) -> Script {
        self.step(Step::UpstreamCloses)
    }

    /// The upstream resets its connection.
    pub(super) fn upstream_resets(self) -> Script {
        self.step(Step::UpstreamResets)
    }

    /// `pattern` comes to the upstream, on a connection that it has not seen.
    pub(super) fn reaches_upstream(self, pattern: impl AsRef<[u8]>) -> Script {
        self.step(Step::ToUpstream(pattern.as_ref().to_vec(), On::New))
    }

    /// `pattern` comes to the upstream, on the connection that is open.
    pub(super) fn reaches_same_upstream(self, pattern: impl AsRef<[u8]>) -> Script {
        self.step(Step::ToUpstream(pattern.as_ref().to_vec(), On::Open))
    }

    /// The proxy ends the upstream's connection.
    pub(super) fn upstream_is_dropped(self) -> Script {
        self.step(Step::UpstreamSeesEnd)
    }

    /// Plays it whole only: its limits count by the second, or its bytes are too many to split.
    pub(super) fn once(mut self) -> Script {
        self.is_played_once = true;
        self
    }

    /// Every way to play it: whole, each message cut in two at each place, byte by byte.
    pub(super) fn paces(&self) -> Vec<Pace> {
        let lengths = self.steps.iter().map(|step| match step {
            Step::Client(bytes) | Step::Upstream(bytes) => bytes.len(),
            _ => 0,
        });
        let longest = lengths.max().unwrap_or(0);
        let mut paces = vec![Pace::Whole];
        if !self.is_played_once {
            paces.extend((1..longest).map(Pace::CutAt));
            paces.push(Pace::Bytes);
        }
        paces
    }
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// At once.
    Whole,
    /// In two writes, the first of this length.
    CutAt(usize),
    /// One by one.
    Bytes,
}

impl Pace {
    /// `bytes` in the pieces that are written.
    pub(super) fn pieces(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Pace::CutAt(at) if at < bytes.len() => vec![&bytes[..at], &bytes[at..]],
            Pace::Bytes => bytes.chunks(1).collect(),
            _ => vec![bytes],
        }
    }
}
