//! Stops asking a server that has stopped answering.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Failures in a row that open the breaker: twice what one call may try, so
/// that a single unlucky call does not stop the others.
const FAILURES_TO_OPEN: u32 = 20;
/// The first time it stays open; doubled with every probe that fails.
const FIRST_REST: Duration = Duration::from_secs(5);
/// Probes that may fail before callers are turned away instead of waiting.
const PROBES_TO_GIVE_UP: u32 = 3;
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Closed it lets every attempt through; open it holds them back; half open it
/// lets one through to see.
pub(super) struct Breaker {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    failures: u32,
    open: Option<Open>,
}

#[derive(Clone, Copy)]
struct Open {
    until: Instant,
    failed_probes: u32,
    probing: bool,
}

/// The breaker is open and several probes have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StaysOpen {
    /// How long until it is worth asking again.
    pub(super) rest: Duration,
}

/// Leave for one attempt; its outcome is to be reported. Dropped without a
/// report (the caller was cancelled) it leaves everything as it was.
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

enum Decision {
    Go { probe: bool },
    Wait { until: Option<Instant> },
    Refuse(StaysOpen),
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), changed: Notify::new() }
    }

    /// Waits while the breaker is open, unless it stays so.
    pub(super) async fn pass(&self) -> Result<Pass<'_>, StaysOpen> {
        loop {
            // Listening begins before looking, or a change between is missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let decision = self.state().decide(Instant::now());
            match decision {
                Decision::Go { probe } => return Ok(Pass { breaker: self, probe }),
                Decision::Refuse(stays_open) => return Err(stays_open),
                Decision::Wait { until: None } => changed.await,
                Decision::Wait { until: Some(until) } => tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = changed => {}
                },
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The server answered, if only to refuse.
    pub(super) fn answered(self) {
        let was_open = {
            let mut state = self.breaker.state();
            state.failures = 0;
            state.open.take().is_some()
        };
        if was_open {
            self.breaker.changed.notify_waiters();
        }
    }

    /// The server failed or did not answer.
    pub(super) fn failed(self) {
        self.breaker.state().fail(self.probe, Instant::now());
        if self.probe {
            self.breaker.changed.notify_waiters();
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.probe {
            return;
        }
        if let Some(open) = &mut self.breaker.state().open {
            open.probing = false;
        }
        self.breaker.changed.notify_waiters();
    }
}

impl State {
    fn decide(&mut self, now: Instant) -> Decision {
        let Some(open) = &mut self.open else { return Decision::Go { probe: false } };
        if now >= open.until && !open.probing {
            open.probing = true;
            return Decision::Go { probe: true };
        }
        if open.failed_probes >= PROBES_TO_GIVE_UP {
            return Decision::Refuse(StaysOpen { rest: open.until.duration_since(now) });
        }
        Decision::Wait { until: (now < open.until).then_some(open.until) }
    }

    fn fail(&mut self, probe: bool, now: Instant) {
        self.failures += 1;
        match &mut self.open {
            Some(open) if probe => {
                open.failed_probes += 1;
                let rest = FIRST_REST * 2_u32.saturating_pow(open.failed_probes.min(8));
                open.until = now + rest.min(LONGEST_REST);
            }
            Some(_) => {}
            None if self.failures >= FAILURES_TO_OPEN => {
                self.open =
                    Some(Open { until: now + FIRST_REST, failed_probes: 0, probing: false });
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.pass().await.expect("closed or half open").failed();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_between_keeps_it_closed() {
        let breaker = Breaker::new();
        let start = Instant::now();
        for _ in 0..5 {
            fail(&breaker, FAILURES_TO_OPEN - 1).await;
            breaker.pass().await.expect("closed").answered();
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn once_open_it_lets_one_through_after_a_rest_and_closes_on_its_answer() {
        let breaker = Breaker::new();
        fail(&breaker, FAILURES_TO_OPEN).await;
        let start = Instant::now();
        let probe = breaker.pass().await.expect("half open");
        assert_eq!(start.elapsed().as_secs(), FIRST_REST.as_secs());
        let other = breaker.pass();
        tokio::pin!(other);
        assert!(futures::poll!(other.as_mut()).is_pending(), "one probe at a time");
        probe.answered();
        other.await.expect("closed").answered();
        assert_eq!(start.elapsed().as_secs(), FIRST_REST.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn callers_are_turned_away_when_it_stays_open_and_let_in_again_later() {
        let breaker = Breaker::new();
        fail(&breaker, FAILURES_TO_OPEN + PROBES_TO_GIVE_UP).await;
        let stays_open = breaker.pass().await.err().expect("open for good");
        assert!(stays_open.rest > FIRST_REST && stays_open.rest <= LONGEST_REST);
        tokio::time::sleep(stays_open.rest).await;
        breaker.pass().await.expect("a probe").answered();
        breaker.pass().await.expect("closed").answered();
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_probe_makes_way_for_another() {
        let breaker = Breaker::new();
        fail(&breaker, FAILURES_TO_OPEN).await;
        drop(breaker.pass().await.expect("a probe"));
        breaker.pass().await.expect("another probe").answered();
    }
}
