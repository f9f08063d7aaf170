//! Any sequence of events, and a referee that sees what the token endpoint would see.

use std::collections::HashSet;

use proptest::prelude::*;

use super::tests::{MARGIN, refresh_token, secs, start};
use super::*;

/// What may happen to a schedule.
#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Suspend(u64),
    Force,
    Obtain { lifetime: u64, refresh: bool },
    Fail { kind: FailureKind, retry_after: Option<u64>, random: f64 },
}

fn event() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        Just(FailureKind::Refused),
        Just(FailureKind::Unusable),
        Just(FailureKind::Untrusted),
        Just(FailureKind::Temporary)
    ];
    prop_oneof![
        3 => (0..5000_u64).prop_map(Event::Pass),
        1 => (0..4_000_000_u64).prop_map(Event::Pass),
        1 => (0..4_000_000_u64).prop_map(Event::Suspend),
        2 => Just(Event::Force),
        3 => (prop_oneof![1..10_u64, 1..7200_u64], any::<bool>())
            .prop_map(|(lifetime, refresh)| Event::Obtain { lifetime, refresh }),
        3 => (kind, prop::option::of(0..100_u64), 0.0..1.0_f64)
            .prop_map(|(kind, retry_after, random)| Event::Fail { kind, retry_after, random }),
    ]
}

/// What an onlooker at the token endpoint would check.
#[derive(Default)]
struct Referee {
    /// Whether the request in flight is a refresh.
    in_flight: Option<bool>,
    forced: bool,
    sent: HashSet<String>,
    /// Nothing may be requested before.
    not_before: Option<Now>,
    /// Only the client's own credentials may be used: a refresh has failed since the last token.
    refresh_token_is_gone: bool,
    lasting: u32,
    issued: u64,
    latest: Option<(Validity, Now)>,
}

impl Referee {
    fn look(&mut self, schedule: &mut Schedule, now: Now) {
        match schedule.next_step(self.forced, now) {
            Step::Request(request) => self.see_request(request, now),
            Step::WaitUntil(moment) => {
                assert!(self.in_flight.is_none());
                assert!(!now.has_reached(moment), "a wait that is over would spin");
                let rests = self.latest.is_some_and(|(validity, obtained)| {
                    validity.is_valid(now) || !now.has_reached(obtained.plus(LEAST_INTERVAL))
                });
                assert!((rests && !self.forced) || self.not_before.is_some(), "sleeps without a reason");
            }
            Step::WaitForResponse => assert!(self.in_flight.is_some(), "waits for a response to nothing"),
        }
    }

    fn see_request(&mut self, request: TokenRequest, now: Now) {
        assert!(self.in_flight.is_none(), "two requests at once");
        assert!(self.not_before.is_none_or(|moment| now.has_reached(moment)), "too early");
        self.in_flight = Some(request.is_refresh());
        match request {
            TokenRequest::Refresh(token) => {
                assert!(!self.refresh_token_is_gone, "a failure leaves no refresh token");
                assert!(self.sent.insert(token.into_secret().reveal().to_owned()), "a refresh token twice");
            }
            TokenRequest::LogIn => {}
        }
    }

    fn see_failure(&mut self, kind: FailureKind, retry_after: Option<u64>, retry: Retry, now: Now) {
        let was_refresh = self.in_flight.take() == Some(true);
        self.refresh_token_is_gone = true;
        let retry_after = secs(retry_after.unwrap_or(0));
        let (least, most) = match kind {
            FailureKind::Refused | FailureKind::Unusable if was_refresh => (retry_after, retry_after),
            FailureKind::Refused | FailureKind::Unusable | FailureKind::Untrusted => {
                self.lasting += 1;
                let exact = secs(2_u64.saturating_pow(self.lasting - 1).min(60)).max(retry_after);
                (exact, exact)
            }
            FailureKind::Temporary => (retry_after, retry_after.max(secs(10))),
        };
        let wait = now.until(retry.at);
        assert!(wait >= least && wait <= most, "{kind:?}: {wait:?} is not between {least:?} and {most:?}");
        let is_fixed_by_waiting =
            kind == FailureKind::Temporary || (was_refresh && kind != FailureKind::Untrusted);
        assert_eq!(retry.is_remembered, !is_fixed_by_waiting);
        self.not_before = Some(now.plus(least));
    }

    fn see_token(&mut self, validity: Validity, now: Now) {
        self.in_flight = None;
        self.forced = false;
        self.not_before = None;
        self.refresh_token_is_gone = false;
        self.lasting = 0;
        self.latest = Some((validity, now));
    }
}

fn play(events: Vec<Event>) {
    let mut now = start();
    let mut schedule = Schedule::new(MARGIN);
    let mut referee = Referee::default();
    referee.look(&mut schedule, now);
    for event in events {
        match event {
            Event::Pass(millis) => now = now.plus(Duration::from_millis(millis)),
            Event::Suspend(millis) => now.wall += Duration::from_millis(millis),
            Event::Force => referee.forced = true,
            Event::Obtain { lifetime, refresh } if referee.in_flight.is_some() => {
                referee.issued += 1;
                let token = format!("refresh token {}", referee.issued);
                let validity = Validity::new(now, secs(lifetime));
                let generation = schedule.obtained(validity, refresh.then(|| refresh_token(&token)), now);
                assert_eq!(generation, referee.issued);
                referee.see_token(validity, now);
            }
            Event::Fail { kind, retry_after, random } if referee.in_flight.is_some() => {
                let retry = schedule.failed(kind, retry_after.map(secs), now, random);
                referee.see_failure(kind, retry_after, retry, now);
            }
            // Responses to nothing do not happen.
            Event::Obtain { .. } | Event::Fail { .. } => {}
        }
        referee.look(&mut schedule, now);
    }
}

proptest! {
    #[test]
    fn no_sequence_of_events_breaks_the_rules(events in prop::collection::vec(event(), 0..200)) {
        play(events);
    }
}
