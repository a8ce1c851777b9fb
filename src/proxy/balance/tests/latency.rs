//! Whoever goes by latency: the quick are preferred, the new spared, and those that come back asked again.

use super::*;

#[test]
fn ewma_prefers_the_quick_and_spares_the_new() {
    fastrand::seed(5);
    let world = World::new();
    let backend = many(&world, &Ewma, 4);
    let set = backend.live.endpoints.load_full();
    let now = Instant::now();
    for (place, ms) in [(0, 1), (1, 1), (2, 10)] {
        backend.live.measured(&set.candidates[place], Duration::from_millis(ms), now);
    }
    let counts = counts(&backend, 1, 10_000);
    // The slow one is taken when it is drawn together with the new one, and then half of the times.
    assert!((600..1_100).contains(&counts[2]), "slow: {counts:?}");
    assert!((2_000..3_000).contains(&counts[3]), "new: {counts:?}");
}

#[test]
fn ewma_asks_one_that_hung_as_soon_as_its_time_is_over_and_gives_it_its_share_when_it_answers() {
    fastrand::seed(12);
    let world = World::new();
    let backend = with(&many(&world, &Ewma, 4), |balancing| {
        balancing.passive = Some(PassiveCheck { consecutive: 5, ..PassiveCheck::default() });
    });
    let set = backend.live.endpoints.load_full();
    let ask_at = |now| Ask { worker: 0, tried: &[], pinned: None, now, hash: &|_| None };
    let told = |flight: &mut InFlight, verdict, began: Instant, ended: Instant| {
        judge(&backend, flight, verdict, &Span { began, since: began, ended, is_measured: true });
    };
    let quick = |places: &[usize], began: Instant| {
        for place in places {
            let mut flight = Arc::clone(&set.candidates[*place]).begin();
            told(&mut flight, Verdict::Answered(200), began, began + Duration::from_millis(5));
        }
    };
    let start = Instant::now();
    quick(&[0, 1, 2, 3], start);
    // Twenty requests hang for a minute: five of them eject it, and the others are told of later.
    let mut hung: Vec<InFlight> = (0..20).map(|_| Arc::clone(&set.candidates[1]).begin()).collect();
    let late = start + Duration::from_secs(60);
    hung.iter_mut().for_each(|flight| told(flight, Verdict::Failed(Fault::Timeout), start, late));
    assert_eq!(set.candidates[1].standing().as_str(), "ejected");
    drop(hung);
    let due = late + Duration::from_secs(10);
    quick(&[0, 2, 3], due);
    let picked =
        |now: Instant, count: usize| (0..count).filter(|_| place(&pick(&backend, &ask_at(now)).unwrap()) == 1).count();
    assert_eq!(picked(due - Duration::from_secs(1), 100), 0);
    let probe = (0..100).map(|_| pick(&backend, &ask_at(due)).unwrap()).find(|flight| place(flight) == 1);
    let mut probe = probe.expect("one of a hundred requests tries it");
    told(&mut probe, Verdict::Answered(200), due, due + Duration::from_millis(5));
    drop(probe);
    let share = picked(due + Duration::from_millis(10), 10_000);
    assert!((2_000..3_000).contains(&share), "{share} of 10,000");
    // One that hung from before the ejection, and one that its client leaves, say nothing any more.
    let mut old = Arc::clone(&set.candidates[1]).begin();
    told(&mut old, Verdict::Failed(Fault::Timeout), start, due + Duration::from_secs(1));
    told(&mut old, Verdict::Answered(200), start, due + Duration::from_secs(1));
    old.wait(&backend.live, start);
    drop(old);
    let share = picked(due + Duration::from_secs(1), 10_000);
    assert!((2_000..3_000).contains(&share), "{share} of 10,000");
}

#[test]
fn ewma_takes_one_that_comes_back_for_as_quick_as_its_first_answer() {
    fastrand::seed(13);
    let world = World::new();
    let backend = with(&many(&world, &Ewma, 4), |balancing| {
        balancing.passive = Some(PassiveCheck { consecutive: 1, ..PassiveCheck::default() });
    });
    let set = backend.live.endpoints.load_full();
    let told = |place: usize, verdict, began: Instant, took: Duration| {
        let span = Span { began, since: began, ended: began + took, is_measured: true };
        judge(&backend, &mut Arc::clone(&set.candidates[place]).begin(), verdict, &span);
    };
    let start = Instant::now();
    told(1, Verdict::Failed(Fault::Connect), start, Duration::ZERO);
    let due = start + Duration::from_secs(10);
    let slow = Duration::from_secs(2);
    told(1, Verdict::Answered(200), due, slow);
    assert_eq!((set.candidates[1].standing().as_str(), set.candidates[1].latency()), ("ready", Some(slow)));
    [0, 2, 3].iter().for_each(|place| told(*place, Verdict::Answered(200), due + slow, Duration::from_millis(5)));
    let ask = Ask { worker: 0, tried: &[], pinned: None, now: due + slow, hash: &|_| None };
    assert!((0..1_000).all(|_| place(&pick(&backend, &ask).unwrap()) != 1));
}
