//! The learned rate of one limit. Pure: events and moments in, decisions out. A moment is the time since any
//! fixed start.
//!
//! The first 429 switches it on. It starts slowly and doubles the rate until rejections come (four steps a
//! second), then keeps close to what was accepted. A fraction of rejections that is small enough does not
//! lower the rate: an upstream that rejects at random has no quota that pacing could meet. A `Retry-After`
//! pauses everybody, so the rate is then found by halving the distance between what is known to be too much and
//! what was kept, and a rate that caused a pause is avoided for sixty times as long as the pause took.

use std::time::Duration;

use super::accepted::Accepted;

/// The rate that learning starts with, per second.
const START: f64 = 10.0;
/// The lowest and the highest learned rate, per second.
const LOWEST: f64 = 0.02;
const HIGHEST: f64 = 1e6;
/// How many rejections are forgiven for each accepted request.
const FORGIVEN: f64 = 0.02;
/// While the rate is doubled, a smaller share of rejections than this proves nothing.
const FEW: f64 = 0.05;
/// The most rejections that are forgiven at once, whatever the rate.
const LEAST_CREDIT: f64 = 3.0;
/// A rejection with `Retry-After` costs as much as this many without: it pauses everybody.
const PAUSE_COST: f64 = 4.0;
/// The pauses after rejections alone, without `Retry-After`.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A rate that caused a pause is not tried again for this many times the pause, and not longer than that.
const AVOIDED: u32 = 60;
const LONGEST_AVOIDED: Duration = Duration::from_mins(1);
/// Two rates that differ by less than this factor are not told apart: finding out costs more than it brings.
const CLOSE: f64 = 1.04;
/// How long a rate is tried before it is raised; the first while it is doubled.
const QUICK_TRIAL: Duration = Duration::from_millis(250);
const TRIAL: Duration = Duration::from_secs(1);
/// After so long without a rejection and without a wait the limit is forgotten.
const QUIET: Duration = Duration::from_secs(30);
/// A late timer may be made up for by this much, so that the rate is met.
const LATENESS: Duration = Duration::from_millis(20);

/// Learns one limit's rate.
#[derive(Debug, Default)]
pub(super) struct Controller(Option<Learned>);

#[derive(Debug)]
struct Learned {
    began: Duration,
    /// Requests a second.
    rate: f64,
    /// The last rate that was kept for a whole trial; zero before there is one.
    good: f64,
    /// The rate that caused the last pause, and until when it is avoided.
    ceiling: f64,
    avoided_until: Duration,
    /// The rate is still doubled. What was accepted and rejected since that began.
    quick: bool,
    quick_accepted: u32,
    quick_rejected: u32,
    next: Duration,
    paused_until: Duration,
    /// Rejections of requests that were sent before say nothing about this rate.
    changed: Duration,
    credit: f64,
    trial: Trial,
    clean: u32,
    /// Rejections in a row with nothing accepted between.
    in_vain: u32,
    /// When the last pause began, and what was accepted since.
    cycle_began: Duration,
    cycle_accepted: u32,
    accepted: Accepted,
    last_rejection: Duration,
    last_wait: Duration,
}

#[derive(Debug)]
struct Trial {
    began: Duration,
    accepted: u32,
    rejected: u32,
    waited: bool,
}

impl Trial {
    fn new(began: Duration) -> Self {
        Self { began, accepted: 0, rejected: 0, waited: false }
    }
}

impl Controller {
    /// True from the first rejection until the limit is forgotten.
    pub(super) fn is_limited(&self) -> bool {
        self.0.is_some()
    }

    /// The learned rate per second.
    pub(super) fn rate(&self) -> Option<f64> {
        self.0.as_ref().map(|learned| learned.rate)
    }

    /// Until when nothing is sent, where that lies ahead of `now`.
    pub(super) fn paused_until(&self, now: Duration) -> Option<Duration> {
        self.0.as_ref().map(|learned| learned.paused_until).filter(|until| *until > now)
    }

    /// When the next request may be sent: `now` where that is at once. Says as well that one waits.
    pub(super) fn next(&mut self, now: Duration) -> Duration {
        let Some(learned) = &mut self.0 else { return now };
        learned.advance(now);
        let next = learned.next.max(learned.paused_until).max(now);
        if next > now {
            learned.trial.waited = true;
            learned.last_wait = now;
        }
        next
    }

    /// A request is sent.
    pub(super) fn sent(&mut self, now: Duration) {
        if let Some(learned) = &mut self.0 {
            let earliest = now.saturating_sub(LATENESS).max(learned.paused_until.min(now));
            learned.next = learned.next.max(earliest) + Duration::from_secs_f64(learned.rate.recip());
        }
    }

    /// How long the request at this place of the queue (from 0) waits, as far as that is known.
    pub(super) fn wait(&self, place: usize, now: Duration) -> Duration {
        let Some(learned) = &self.0 else { return Duration::ZERO };
        let pause = learned.paused_until.saturating_sub(now);
        if learned.quick || learned.in_vain > 0 {
            // The rate is not known yet: nobody is refused because of it.
            return pause;
        }
        let places = f64::from(u32::try_from(place).unwrap_or(u32::MAX));
        // The rate may have fallen too low for a moment: what was served of late is more certain.
        let rate = learned.rate.max(learned.accepted.rate(now, LOWEST));
        pause.max(learned.next.saturating_sub(now)) + Duration::from_secs_f64(places / rate)
    }

    /// The upstream served a request that was sent at `sent`.
    pub(super) fn accepted(&mut self, now: Duration, sent: Duration) {
        let Some(learned) = &mut self.0 else { return };
        learned.advance(now);
        learned.accepted.add(now);
        learned.cycle_accepted += 1;
        if sent >= learned.changed {
            if learned.in_vain > 0 {
                learned.in_vain = 0;
                learned.credit = LEAST_CREDIT;
            }
            learned.trial.accepted += 1;
            learned.quick_accepted += 1;
            let most = (0.05 * learned.rate).max(LEAST_CREDIT);
            learned.credit = (learned.credit + FORGIVEN).min(most);
        }
    }

    /// The upstream rejected a request that was sent at `sent`. True where this is the first rejection.
    pub(super) fn rejected(&mut self, now: Duration, sent: Duration, retry_after: Option<Duration>) -> bool {
        let retry_after = retry_after.filter(|after| !after.is_zero());
        let Some(learned) = &mut self.0 else {
            self.0 = Some(Learned::new(now, now + retry_after.unwrap_or(FIRST_PAUSE)));
            return true;
        };
        learned.advance(now);
        learned.last_rejection = now;
        let known_pause = now < learned.paused_until;
        if let Some(after) = retry_after {
            learned.paused_until = learned.paused_until.max(now + after);
        }
        if sent >= learned.changed {
            learned.trial.rejected += 1;
            learned.quick_rejected += 1;
            // Several of one burst say the same thing.
            learned.credit -= if retry_after.is_some() && !known_pause { PAUSE_COST } else { 1.0 };
            if learned.credit < 0.0 {
                learned.fall(now, retry_after);
            }
        }
        false
    }

    /// Nothing is to be sent until then: somebody else's request was rejected. True where the limit was not known.
    pub(super) fn paused(&mut self, now: Duration, until: Duration) -> bool {
        let Some(learned) = &mut self.0 else {
            self.0 = Some(Learned::new(now, until));
            return true;
        };
        learned.paused_until = learned.paused_until.max(until);
        learned.last_rejection = now;
        false
    }

    /// Forgets a limit that has not been met for a while. True where it is forgotten now.
    pub(super) fn forget(&mut self, now: Duration) -> bool {
        let quiet = self
            .0
            .as_ref()
            .is_some_and(|learned| learned.last_rejection.max(learned.last_wait) + QUIET <= now);
        if quiet {
            self.0 = None;
        }
        quiet
    }
}

impl Learned {
    fn new(now: Duration, paused_until: Duration) -> Self {
        Self {
            began: now,
            rate: START,
            good: 0.0,
            ceiling: HIGHEST,
            avoided_until: now,
            quick: true,
            quick_accepted: 0,
            quick_rejected: 0,
            next: paused_until,
            paused_until,
            changed: now,
            credit: LEAST_CREDIT,
            trial: Trial::new(paused_until),
            clean: 0,
            in_vain: 0,
            cycle_began: now,
            cycle_accepted: 0,
            accepted: Accepted::new(now),
            last_rejection: now,
            last_wait: now,
        }
    }

    /// Ends a trial that has lasted long enough, and raises the rate where it was needed and kept.
    fn advance(&mut self, now: Duration) {
        let length = match self.quick {
            true => QUICK_TRIAL,
            // A whole window has to pass.
            false if now < self.avoided_until => TRIAL * 2,
            false => TRIAL,
        };
        let length = length.max(Duration::from_secs_f64(1.0 / self.rate));
        if now < self.trial.began + length {
            return;
        }
        let trial = std::mem::replace(&mut self.trial, Trial::new(now));
        if !trial.waited || trial.accepted == 0 {
            return;
        }
        let rejected = f64::from(trial.rejected) / f64::from(trial.accepted + trial.rejected);
        if rejected > 0.015 {
            self.clean = 0;
            return;
        }
        let raised = if self.quick {
            // A quota by windows may serve a burst of any rate, so nothing is proven yet.
            self.rate * 2.0
        } else {
            self.good = self.rate;
            if trial.rejected > 0 {
                self.clean = 0;
            }
            let growth = (0.01 * f64::from(1_u32 << self.clean.min(6))).min(0.5);
            self.clean += 1;
            self.rate * (1.0 + growth)
        };
        if now < self.avoided_until {
            if self.rate * CLOSE < self.ceiling {
                self.change(f64::midpoint(self.rate, self.ceiling).min(self.rate * 2.0), now);
            }
            return;
        }
        self.change(raised, now);
    }

    /// Lowers the rate to what is accepted.
    fn fall(&mut self, now: Duration, retry_after: Option<Duration>) {
        if self.quick && retry_after.is_none() && self.rejections_are_few() {
            // An upstream that rejects at random does so at any rate. If it is a quota, the next step shows it.
            self.credit = LEAST_CREDIT;
            return;
        }
        let accepted = self.accepted.rate(now, self.rate);
        self.clean = 0;
        if now < self.began + TRIAL || (self.quick && self.rate <= START) {
            // Nothing is known yet of what is accepted: the requests of the first burst, and what is left of the
            // window that they used up, say nothing of a rate.
            if retry_after.is_none() {
                self.pause(now);
            }
            self.rate = START;
            self.restart(now);
            return;
        }
        let lower = if let Some(pause) = retry_after {
            self.ceiling = self.rate;
            self.avoided_until = now + (pause * AVOIDED).min(LONGEST_AVOIDED) + pause;
            self.between(now)
        } else if accepted <= 0.0 {
            // A window longer than a second is used up. The pauses decide how often it is asked; when it is open
            // again, the rate is found anew.
            self.pause(now);
            self.rate = START;
            self.quick = true;
            self.good = 0.0;
            self.restart(now);
            return;
        } else {
            (accepted * 0.995).clamp(self.rate / 2.0, self.rate * 0.99)
        };
        self.quick = false;
        self.restart(now);
        self.change(lower, now);
        self.good = self.good.min(self.rate);
    }

    /// A rate below the one that caused a pause. What was accepted since the pause before, that pause included, is
    /// less than the limit; so is a rate that was kept for a whole trial.
    fn between(&mut self, now: Duration) -> f64 {
        let elapsed = now.saturating_sub(self.cycle_began).max(TRIAL);
        let served = f64::from(self.cycle_accepted) / elapsed.as_secs_f64();
        (self.cycle_began, self.cycle_accepted) = (now, 0);
        if self.good >= self.rate * 0.999 {
            // It is rejected now, so it was not kept by right, or the limit was lowered.
            self.good = 0.0;
        }
        let least = served.clamp(self.rate / 2.0, self.rate * 0.98).max(self.good);
        if least * CLOSE < self.rate { f64::midpoint(least, self.rate) } else { least }
    }

    /// True where so few of many were rejected that chance can be the reason.
    fn rejections_are_few(&self) -> bool {
        let all = self.quick_accepted + self.quick_rejected;
        f64::from(self.quick_rejected) < FEW * f64::from(all)
    }

    /// Pauses for twice as long as the last time, if nothing was accepted since.
    fn pause(&mut self, now: Duration) {
        let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.in_vain.min(8));
        self.in_vain += 1;
        self.paused_until = self.paused_until.max(now + pause.min(LONGEST_PAUSE));
    }

    fn restart(&mut self, now: Duration) {
        // While nothing is accepted, one rejection says enough.
        self.credit = if self.in_vain > 0 { 0.0 } else { 1.0 };
        self.changed = now;
        (self.quick_accepted, self.quick_rejected) = (0, 0);
        self.trial = Trial::new(now.max(self.paused_until));
    }

    fn change(&mut self, rate: f64, now: Duration) {
        self.rate = rate.clamp(LOWEST, HIGHEST);
        self.next = self.next.min(now.max(self.paused_until) + Duration::from_secs_f64(self.rate.recip()));
    }
}

#[cfg(test)]
mod simulation;
