//! Each answer the API server is known to give, and what comes of it.

use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A watch, its clock, and what was asked and understood so far.
struct Play {
    watch: Watch,
    began: Instant,
    now: Instant,
    told: Vec<String>,
}

impl Play {
    fn new(has_streams: bool) -> Play {
        let now = Instant::now();
        let watch = Watch::new(Arc::new(AtomicBool::new(has_streams)));
        Play { watch, began: now, now, told: Vec::new() }
    }

    /// Asks what is next, at its time, with the longest wait that jitter gives.
    fn ask(&mut self) -> &mut Play {
        let (at, request) = self.watch.next(self.now);
        self.now = at;
        self.watch.ask(&request, at);
        let what = match request {
            Request::Check => "check".to_owned(),
            Request::Page { next: None, is_whole: false } => "list".to_owned(),
            Request::Page { next: None, is_whole: true } => "list whole".to_owned(),
            Request::Page { next: Some(next), .. } => format!("page {next}"),
            Request::Stream => "stream".to_owned(),
            Request::Watch { version } => format!("watch {version}"),
        };
        self.told.push(format!("{}:{what}", (at - self.began).as_millis()));
        self
    }

    fn hear(&mut self, heard: Heard) -> &mut Play {
        self.now += MS(10);
        let meaning = self.watch.hear(heard, self.now, 1.0);
        let word = match meaning {
            Meaning::Change => "change",
            Meaning::Collect => "collect",
            Meaning::Complete { is_rewound: false } => "complete",
            Meaning::Complete { is_rewound: true } => "complete rewound",
            Meaning::Discard => "discard",
            Meaning::Nothing => return self,
        };
        self.told.push(word.to_owned());
        self
    }

    fn pass(&mut self, time: Duration) -> &mut Play {
        self.now += time;
        self
    }

    #[track_caller]
    fn told(&mut self, expected: &str) -> &mut Play {
        assert_eq!(self.told.join(", "), expected);
        self.told.clear();
        self
    }

    /// Listed and watching from version 5.
    fn watching() -> Play {
        let mut play = Play::new(false);
        play.ask().hear(page("5", None)).ask().told("0:list, complete, 10:watch 5");
        play
    }
}

fn page(version: &str, next: Option<&str>) -> Heard {
    Heard::Page { version: version.to_owned(), next: next.map(str::to_owned) }
}

fn object(version: &str) -> Heard {
    Heard::Object { version: version.to_owned() }
}

fn bookmark(version: &str, ends_initial: bool) -> Heard {
    Heard::Bookmark { version: version.to_owned(), ends_initial }
}

fn status(code: u16) -> Status {
    Status { code, ..Status::default() }
}

fn refused(code: u16) -> Heard {
    Heard::Refused { status: status(code), retry_after: None }
}

#[test]
fn a_list_is_complete_with_its_last_page() {
    let mut play = Play::new(false);
    play.ask().hear(page("5", Some("a"))).ask().hear(page("5", Some("b"))).ask().hear(page("6", None)).ask();
    play.told("0:list, collect, 10:page a, collect, 20:page b, complete, 30:watch 6");
}

#[test]
fn a_streaming_list_is_complete_with_its_bookmark_and_goes_on_as_a_watch() {
    let mut play = Play::new(true);
    play.ask().hear(object("1")).hear(bookmark("3", false)).hear(object("2")).hear(bookmark("5", true));
    play.hear(object("6")).pass(MS(290_000)).hear(Heard::End).ask().hear(page("6", None)).ask();
    play.told("0:stream, collect, collect, complete, change, 290060:check, 290070:watch 6");
}

#[test]
fn a_server_without_streaming_lists_is_asked_for_pages_at_once_and_so_for_all_kinds() {
    for heard in [refused(400), refused(422), Heard::Error(status(500)), Heard::Silence, Heard::End] {
        let mut play = Play::new(true);
        let other = Watch::new(Arc::clone(&play.watch.has_streams));
        play.ask().hear(heard).ask().told("0:stream, discard, 10:list");
        assert_eq!(other.next(play.now).1, Request::Page { next: None, is_whole: false });
    }
}

#[test]
fn a_server_that_is_busy_is_still_asked_for_a_streaming_list() {
    for heard in [refused(403), refused(429), refused(500), Heard::Unreachable] {
        Play::new(true).ask().hear(heard).ask().told("0:stream, 1000:stream");
    }
}

#[test]
fn a_watch_that_ends_goes_on_where_it_was() {
    let mut play = Play::watching();
    play.hear(object("6")).hear(bookmark("8", false)).pass(MS(290_000)).hear(Heard::End).ask();
    play.hear(page("9", Some("more"))).ask().told("change, 290040:check, 290050:watch 8");
    // Without a bookmark, and without anything.
    play.pass(MS(290_000)).hear(Heard::End).ask().hear(page("9", None)).ask();
    play.told("580060:check, 580070:watch 8");
    // What has no version moves nothing.
    play.hear(object("")).hear(bookmark("", false)).hear(Heard::End).ask().hear(page("x", None)).ask();
    play.told("change, 581070:check, 581080:watch 8");
}

#[test]
fn a_watch_that_is_cut_goes_on_where_it_was_without_a_list() {
    let mut play = Play::watching();
    play.hear(Heard::Cut).ask().hear(page("5", None)).ask().told("1010:check, 1020:watch 5");
    play.hear(object("6")).hear(Heard::Cut).ask().hear(Heard::Cut).ask().hear(page("6", None)).ask();
    play.told("change, 2020:check, 2830:check, 2840:watch 6");
    // A list that is cut begins anew, and a stream as a stream.
    Play::new(true).ask().hear(object("5")).hear(Heard::Cut).ask().told("0:stream, collect, discard, 1000:stream");
    Play::new(false).ask().hear(Heard::Cut).ask().told("0:list, 1000:list");
}

#[test]
fn a_server_that_went_back_in_time_is_listed() {
    for (now, is_behind) in [("4", true), ("5", false), ("10", false), ("", false)] {
        let mut play = Play::watching();
        play.pass(MS(5_000)).hear(Heard::End).ask().hear(page(now, None)).ask();
        play.told(if is_behind { "5020:check, discard, 5030:list" } else { "5020:check, 5030:watch 5" });
    }
}

#[test]
fn a_list_says_whether_the_server_went_back_in_time() {
    for (now, word) in [("4", "complete rewound"), ("5", "complete"), ("10", "complete")] {
        for heard in [Heard::Unreachable, refused(410), Heard::Error(status(500))] {
            let mut play = Play::watching();
            play.pass(MS(5_000)).hear(heard).ask().hear(Heard::Unreachable).ask().told.clear();
            play.hear(page(now, None)).told(word);
        }
    }
}

#[test]
fn an_expired_version_leads_to_a_list_at_once_however_the_server_says_it() {
    for heard in
        [refused(410), Heard::Error(status(410)), Heard::Error(Status { reason: "Expired".to_owned(), ..status(0) })]
    {
        let mut play = Play::watching();
        play.pass(MS(5_000)).hear(heard).ask().told("discard, 5020:list");
    }
}

#[test]
fn a_server_that_knows_no_version_is_listed_less_than_once_a_second() {
    for end in [Heard::End, refused(410), Heard::Error(status(410))] {
        let mut play = Play::watching();
        let mut lists = 0;
        while play.now - play.began < MS(60_000) {
            play.hear(end.clone()).ask();
            if play.told.pop().unwrap().ends_with("list") {
                lists += 1;
                play.hear(page("5", None)).ask();
            }
        }
        assert!((4..=60).contains(&lists), "{lists} lists in a minute");
    }
}

#[test]
fn watches_of_one_kind_start_a_second_apart() {
    let mut play = Play::watching();
    play.hear(object("6")).hear(Heard::End).ask().hear(page("6", None)).ask();
    play.told("change, 1010:check, 1020:watch 6");
}

#[test]
fn a_page_that_fails_is_asked_for_again_and_one_that_expired_begins_the_list_anew_in_one_page() {
    let mut play = Play::new(false);
    play.ask().hear(page("5", Some("a"))).ask().hear(refused(500)).ask();
    play.told("0:list, collect, 10:page a, 820:page a");
    play.hear(Heard::End).ask().told("2430:page a");
    play.hear(refused(410)).ask().told("discard, 5640:list whole");
    play.hear(page("7", None)).ask().told("complete, 5650:watch 7");
}

#[test]
fn a_refused_watch_keeps_its_version_and_a_broken_one_is_listed_after_a_while() {
    let mut play = Play::watching();
    for time in ["1010", "2620", "5830", "12240", "22250"] {
        play.hear(refused(403)).ask().told(&format!("{time}:check"));
    }
    play.hear(page("7", None)).ask().told("22260:watch 5");
    let mut play = Play::watching();
    play.hear(refused(504)).ask().hear(refused(504)).ask().hear(refused(504)).ask();
    play.told("1010:check, 2620:check, 5830:check");
    play.hear(refused(504)).ask().told("discard, 12240:list");
}

#[test]
fn after_an_outage_the_history_may_be_another_so_it_is_listed() {
    let mut play = Play::watching();
    play.hear(object("6")).hear(Heard::End).ask().told("change, 1010:check");
    play.hear(Heard::Unreachable).ask().told("discard, 1820:list");
    play.hear(Heard::Unreachable).ask().told("3430:list");
}

#[test]
fn waits_double_up_to_ten_seconds_and_end_with_a_good_watch() {
    let mut play = Play::new(false);
    let mut last = Duration::ZERO;
    for seconds in ["1.0", "1.6", "3.2", "6.4", "10.0", "10.0"] {
        play.ask().hear(Heard::Unreachable).told.clear();
        let (at, _) = play.watch.next(play.now);
        // The first is no shorter than the distance between two lists.
        let wait = if last.is_zero() { at - play.began } else { at - play.now };
        assert_eq!(format!("{:.1}", wait.as_secs_f64()), seconds);
        last = wait;
    }
    play.ask().hear(page("5", None)).ask().hear(object("6")).hear(Heard::Silence);
    assert_eq!(play.watch.next(play.now).0 - play.now, Duration::from_millis(980));
    assert!((0..9).all(|failures| backoff(failures, 0.0).is_zero()), "jitter is full");
}

#[test]
fn a_server_that_says_when_to_come_back_is_heard_within_reason() {
    for (seconds, wait) in [(5, 5_000), (3_600, 10_000)] {
        let mut play = Play::watching();
        play.pass(MS(5_000));
        play.hear(Heard::Refused { status: status(429), retry_after: Some(Duration::from_secs(seconds)) });
        assert_eq!(play.watch.next(play.now).0 - play.now, MS(wait));
    }
}

#[test]
fn a_silent_watch_is_given_up_before_five_minutes_and_sooner_if_it_sent_bookmarks() {
    let mut play = Play::watching();
    assert!(play.watch.silence() < Duration::from_secs(300) && play.watch.silence().as_secs() > WATCH_SECONDS);
    play.hear(bookmark("6", false));
    assert_eq!(play.watch.silence(), BOOKMARK_SILENCE);
    play.hear(Heard::End).ask().hear(page("6", None)).ask().told("1010:check, 1020:watch 6");
    assert_eq!(play.watch.silence(), BOOKMARK_SILENCE, "the server is known to send them");
    play.pass(BOOKMARK_SILENCE).hear(Heard::Silence).ask();
    assert_eq!(play.watch.silence(), LIST_SILENCE);
    play.hear(page("6", None)).ask();
    assert_eq!(play.watch.silence(), WATCH_SILENCE, "or it does so no more");
    play.told("151830:check, 151840:watch 6");
    let mut play = Play::new(true);
    play.ask().hear(bookmark("5", true));
    assert_eq!(play.watch.silence(), BOOKMARK_SILENCE, "it ended a list by one");
    assert_eq!(Play::new(false).watch.silence(), LIST_SILENCE);
}
