//! A plugin's life on a virtual clock.

use super::*;

struct Bench {
    supervisor: Supervisor,
    now: Instant,
}

impl Bench {
    fn started() -> Self {
        let mut bench = Self { supervisor: Supervisor::new(1), now: Instant::now() };
        bench.supervisor.start("p", bench.now);
        assert_eq!(bench.next(), Some(Action::Start { plugin: "p".into(), run: 1 }));
        bench
    }

    fn next(&mut self) -> Option<Action> {
        self.supervisor.poll_action()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.supervisor.handle_timeout(self.now);
    }

    fn ready(&mut self) {
        let run = self.view().run;
        self.supervisor.handle_ready("p", run, self.now);
    }

    fn crash(&mut self) {
        let run = self.view().run;
        self.supervisor.handle_ended("p", run, Some("trap".into()), self.now);
    }

    fn view(&self) -> View {
        self.supervisor.view("p").unwrap().clone()
    }

    fn pause(&self) -> Duration {
        self.view().retry_at.unwrap() - self.now
    }
}

#[test]
fn the_first_crash_is_answered_at_once_and_later_ones_wait_longer_each_time() {
    let mut b = Bench::started();
    b.ready();
    b.crash();
    assert_eq!(b.next(), Some(Action::Start { plugin: "p".into(), run: 2 }));
    let mut last = Duration::ZERO;
    for run in 3..=8 {
        b.ready();
        b.crash();
        assert_eq!((b.view().state, b.next()), (State::Backoff, None));
        let pause = b.pause();
        assert!(pause > last && pause >= BACKOFF_FIRST && pause <= BACKOFF_FIRST * 80, "{pause:?}");
        last = pause;
        b.pass(pause - Duration::from_millis(1));
        assert_eq!(b.next(), None);
        b.pass(Duration::from_millis(1));
        assert_eq!(b.next(), Some(Action::Start { plugin: "p".into(), run }));
    }
    b.crash();
    assert_eq!(b.view().state, State::Quarantined);
    assert_eq!(b.view().last_crash.as_deref(), Some("trap"));
    assert!(b.pause() >= QUARANTINE);
    b.pass(QUARANTINE * 2);
    assert_eq!(b.next(), Some(Action::Start { plugin: "p".into(), run: 9 }));
    b.crash();
    assert_eq!(b.view().state, State::Quarantined, "retried slowly for ever");
}

#[test]
fn a_stable_minute_forgives() {
    let mut b = Bench::started();
    for _ in 0..20 {
        b.ready();
        b.pass(STABLE);
        b.crash();
        assert!(matches!(b.next(), Some(Action::Start { .. })), "at once");
    }
}

#[test]
fn a_plugin_that_never_says_ready_is_thrown_away_and_counts_as_crashed() {
    let mut b = Bench::started();
    b.pass(READY_WITHIN);
    assert_eq!(b.next(), Some(Action::Kill { plugin: "p".into() }));
    b.supervisor.handle_ended("p", 1, None, b.now);
    assert_eq!(b.next(), Some(Action::Start { plugin: "p".into(), run: 2 }));
    assert!(b.view().last_crash.unwrap().contains("ready"));
}

#[test]
fn a_stop_drains_and_kills_only_after_its_time() {
    let mut b = Bench::started();
    b.ready();
    b.supervisor.stop("p", b.now);
    assert_eq!(b.next(), Some(Action::Drain { plugin: "p".into() }));
    assert!(!b.supervisor.all_stopped());
    b.pass(DRAIN_WITHIN - Duration::from_millis(1));
    assert_eq!(b.next(), None);
    b.pass(Duration::from_millis(1));
    assert_eq!(b.next(), Some(Action::Kill { plugin: "p".into() }));
    b.supervisor.handle_ended("p", 1, None, b.now);
    assert_eq!((b.view().state, b.next()), (State::Stopped, None));
    assert!(b.supervisor.all_stopped());
}

#[test]
fn a_crash_while_draining_is_an_end_like_any_other() {
    let mut b = Bench::started();
    b.ready();
    b.supervisor.stop("p", b.now);
    b.crash();
    assert_eq!(b.view().state, State::Stopped);
    assert_eq!(b.supervisor.poll_timeout(), None);
}

#[test]
fn a_restart_waits_for_the_old_instance() {
    let mut b = Bench::started();
    b.ready();
    b.supervisor.restart("p", b.now);
    assert_eq!(b.next(), Some(Action::Drain { plugin: "p".into() }));
    assert_eq!(b.next(), None);
    b.supervisor.handle_ended("p", 1, None, b.now);
    assert_eq!(b.next(), Some(Action::Start { plugin: "p".into(), run: 2 }));
}

#[test]
fn a_restart_of_one_that_waits_after_a_crash_does_not_cut_the_wait() {
    let mut b = Bench::started();
    b.crash();
    b.next();
    b.crash();
    assert_eq!(b.view().state, State::Backoff);
    b.supervisor.restart("p", b.now);
    assert_eq!((b.view().state, b.next()), (State::Backoff, None));
}

#[test]
fn after_a_shut_down_nothing_starts() {
    let mut b = Bench::started();
    b.ready();
    b.supervisor.shut_down(b.now);
    assert_eq!(b.next(), Some(Action::Drain { plugin: "p".into() }));
    b.supervisor.restart("p", b.now);
    b.supervisor.start("p", b.now);
    b.supervisor.start("q", b.now);
    b.supervisor.handle_ended("p", 1, None, b.now);
    assert_eq!(b.next(), None);
    assert!(b.supervisor.all_stopped());
}

#[test]
fn one_that_is_given_up_counts_as_crashed() {
    let mut b = Bench::started();
    b.ready();
    b.supervisor.give_up("p", 7, "another run");
    assert_eq!(b.next(), None);
    b.supervisor.give_up("p", 1, "it does not answer");
    assert_eq!(b.next(), Some(Action::Kill { plugin: "p".into() }));
    b.supervisor.handle_ended("p", 1, None, b.now);
    assert_eq!(b.view().last_crash.as_deref(), Some("it does not answer"));
}

#[test]
fn news_of_an_earlier_run_is_ignored() {
    let mut b = Bench::started();
    b.crash();
    assert!(matches!(b.next(), Some(Action::Start { run: 2, .. })));
    b.supervisor.handle_ready("p", 1, b.now);
    b.supervisor.handle_ended("p", 1, Some("late".into()), b.now);
    assert_eq!((b.view().state, b.view().run), (State::Starting, 2));
}

#[test]
fn degraded_comes_and_goes_and_is_still_stable() {
    let mut b = Bench::started();
    b.ready();
    b.crash();
    b.next();
    b.ready();
    b.supervisor.handle_degraded("p", 2, "no socket".into(), b.now + Duration::from_secs(30));
    assert_eq!(b.view().state, State::Degraded("no socket".into()));
    b.pass(STABLE);
    b.crash();
    assert!(matches!(b.next(), Some(Action::Start { .. })), "the minute counted through");
}

#[test]
fn a_spurious_timeout_does_nothing() {
    let mut b = Bench::started();
    b.pass(Duration::ZERO);
    b.supervisor.stop("unknown", b.now);
    b.supervisor.handle_ready("unknown", 1, b.now);
    assert_eq!(b.next(), None);
}
