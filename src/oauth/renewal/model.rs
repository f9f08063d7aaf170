//! Any sequence of events, and a referee that sees what the token endpoint would see.

use std::collections::HashSet;

use proptest::prelude::*;

use super::tests::{MARGIN, refresh_token, secs, start};
use super::*;

/// What may happen to a renewal.
#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Suspend(u64),
    Demand { behind: u64 },
    Accept { behind: u64 },
    Obtain { lifetime: u64, refresh: bool },
    Fail { nature: Nature, retry_after: Option<u64>, roll: f64 },
}

fn event() -> impl Strategy<Value = Event> {
    let nature = prop_oneof![Just(Nature::Refused), Just(Nature::Lasting), Just(Nature::Passing)];
    prop_oneof![
        3 => (0..5000_u64).prop_map(Event::Pass),
        1 => (0..4_000_000_u64).prop_map(Event::Pass),
        1 => (0..4_000_000_u64).prop_map(Event::Suspend),
        2 => (0..3_u64).prop_map(|behind| Event::Demand { behind }),
        1 => (0..3_u64).prop_map(|behind| Event::Accept { behind }),
        3 => (prop_oneof![1..10_u64, 1..7200_u64], any::<bool>())
            .prop_map(|(lifetime, refresh)| Event::Obtain { lifetime, refresh }),
        3 => (nature, prop::option::of(0..100_u64), 0.0..1.0_f64)
            .prop_map(|(nature, retry_after, roll)| Event::Fail { nature, retry_after, roll }),
    ]
}

/// What an onlooker at the token endpoint would check.
#[derive(Default)]
struct Referee {
    /// Whether the request under way is a refresh.
    asking: Option<bool>,
    /// The asking was caused by a demand.
    forced: bool,
    sent: HashSet<String>,
    /// Nothing may be asked before.
    not_before: Option<Now>,
    /// Only the client's own credentials may be used: a refresh has failed since the last token.
    refresh_token_is_gone: bool,
    lasting: u32,
    issued: u64,
    demanded: bool,
    forced_in_a_row: u32,
    last_forced: Option<Now>,
    latest: Option<(Validity, Now)>,
}

impl Referee {
    fn look(&mut self, renewal: &mut Renewal, now: Now) {
        match renewal.decide(now) {
            Decision::Ask(ask) => self.see_request(ask, now),
            Decision::WaitUntil(moment) => {
                assert!(self.asking.is_none());
                assert!(!now.has_reached(moment), "a wait that is over would spin");
                let resting = self.latest.is_some_and(|(validity, obtained)| {
                    validity.is_valid(now) || !now.has_reached(obtained.plus(BREATH))
                });
                assert!(resting || self.not_before.is_some(), "sleeps without a token or a reason");
            }
            Decision::WaitForAnswer => assert!(self.asking.is_some(), "waits for an answer to nothing"),
        }
    }

    fn see_request(&mut self, ask: Ask, now: Now) {
        assert!(self.asking.is_none(), "two requests at once");
        assert!(self.not_before.is_none_or(|moment| now.has_reached(moment)), "too early");
        self.asking = Some(matches!(ask, Ask::Refresh(_)));
        match ask {
            Ask::Refresh(token) => {
                assert!(!self.refresh_token_is_gone, "a failure leaves no refresh token");
                assert!(self.sent.insert(token.into_secret().reveal().to_owned()), "a refresh token twice");
            }
            Ask::LogIn => {}
        }
        self.forced = self.demanded;
    }

    fn see_failure(&mut self, nature: Nature, retry_after: Option<u64>, hold: Hold, now: Now) {
        let refreshing = self.asking.take() == Some(true);
        self.refresh_token_is_gone = true;
        let least = match nature {
            Nature::Refused if refreshing => Duration::ZERO,
            Nature::Refused | Nature::Lasting => {
                self.lasting += 1;
                assert!(hold.remembered);
                secs(2_u64.saturating_pow(self.lasting - 1).min(60))
            }
            Nature::Passing => Duration::ZERO,
        };
        let most = secs(60).max(secs(retry_after.unwrap_or(0)));
        assert!(now.until(hold.until) <= most, "nobody asked for a pause that long");
        self.not_before = Some(now.plus(least.max(secs(retry_after.unwrap_or(0)))));
    }

    fn see_token(&mut self, validity: Validity, now: Now) {
        self.asking = None;
        if self.forced {
            if let Some(last) = self.last_forced.filter(|_| self.forced_in_a_row > 0) {
                let spacing = secs(2_u64.saturating_pow(self.forced_in_a_row - 1).min(60));
                assert!(now.has_reached(last.plus(spacing)), "forced renewals too close");
            }
            self.forced_in_a_row += 1;
            self.last_forced = Some(now);
        }
        self.demanded = false;
        self.not_before = None;
        self.refresh_token_is_gone = false;
        self.lasting = 0;
        self.latest = Some((validity, now));
    }
}

fn play(events: Vec<Event>) {
    let mut now = start();
    let mut renewal = Renewal::new(MARGIN);
    let mut referee = Referee::default();
    referee.look(&mut renewal, now);
    for event in events {
        match event {
            Event::Pass(millis) => now = now.plus(Duration::from_millis(millis)),
            Event::Suspend(millis) => now.wall += Duration::from_millis(millis),
            Event::Demand { behind } => {
                let generation = renewal.generation().saturating_sub(behind);
                let demand = renewal.demand(generation, now);
                assert_eq!(demand == Demand::Superseded, generation < renewal.generation());
                referee.demanded |= demand == Demand::Granted;
            }
            Event::Accept { behind } => {
                let generation = renewal.generation().saturating_sub(behind);
                renewal.accepted(generation);
                if renewal.spacing().is_none() {
                    referee.forced_in_a_row = 0;
                }
                assert!(behind > 0 || renewal.spacing().is_none(), "acceptance ends the spacing");
            }
            Event::Obtain { lifetime, refresh } if referee.asking.is_some() => {
                referee.issued += 1;
                let token = format!("refresh token {}", referee.issued);
                let validity = Validity::new(now, secs(lifetime));
                let generation = renewal.obtained(validity, refresh.then(|| refresh_token(&token)), now);
                assert_eq!(generation, referee.issued);
                referee.see_token(validity, now);
            }
            Event::Fail { nature, retry_after, roll } if referee.asking.is_some() => {
                let hold = renewal.failed(nature, retry_after.map(secs), now, roll);
                referee.see_failure(nature, retry_after, hold, now);
            }
            // Answers to nothing do not happen.
            Event::Obtain { .. } | Event::Fail { .. } => {}
        }
        referee.look(&mut renewal, now);
    }
}

proptest! {
    #[test]
    fn no_sequence_of_events_breaks_the_rules(events in prop::collection::vec(event(), 0..200)) {
        play(events);
    }
}
