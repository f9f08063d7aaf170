//! An access token, with its header value made once; and a refresh token, which is sent once.
//!
//! Decides how long a token may be used. Pure: time is an argument.

use std::fmt;
use std::time::Duration;

use http::HeaderValue;

use super::claims::Claims;
use crate::clock::Now;
use crate::secret::Secret;

/// The longest lifetime that is believed: far beyond any token, and small enough that no sum of it
/// with a moment overflows.
pub(super) const LONGEST_LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);

/// A bearer token (RFC 6750) with its header value and its lifetime. `Debug` shows nothing of the token.
pub struct AccessToken {
    generation: u64,
    text: Secret,
    authorization: HeaderValue,
    scopes: Vec<String>,
    claims: Claims,
    obtained_at: Now,
    validity: Validity,
}

/// From when to when a token may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    lifetime: Duration,
    /// The end as its issuer states it.
    ends: Now,
    /// How much earlier than that we stop.
    early: Duration,
    /// From here on it is not sent any more.
    unusable_from: Now,
}

impl Validity {
    /// The validity of a token that was requested at `requested` and lives for `lifetime`.
    ///
    /// It counts from the request, not from the response: the issuer's clock started somewhere between
    /// the two. It ends early by a second, or by a tenth of the lifetime where that is less, because
    /// servers count in whole seconds.
    pub(super) fn new(requested: Now, lifetime: Duration) -> Self {
        let lifetime = lifetime.min(LONGEST_LIFETIME);
        let early = (lifetime / 10).min(Duration::from_secs(1));
        Self {
            lifetime,
            early,
            ends: requested.plus(lifetime),
            unusable_from: requested.plus(lifetime.saturating_sub(early)),
        }
    }

    pub(super) fn is_valid(&self, now: Now) -> bool {
        !now.has_reached(self.unusable_from)
    }

    pub(super) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// When its successor should be requested: `refresh_margin` before the stated end, though never
    /// more than a fifth of the lifetime before it, nor later than its last usable moment.
    pub(super) fn due(&self, refresh_margin: Duration) -> Now {
        let before = refresh_margin.min(self.lifetime / 5).max(self.early);
        Now { steady: self.ends.steady - before, wall: self.ends.wall - before }
    }
}

impl AccessToken {
    /// Makes the header value. `None` where `text` is not legal in a header field.
    pub(super) fn new(
        generation: u64,
        text: Secret,
        scopes: Vec<String>,
        claims: Claims,
        obtained_at: Now,
        validity: Validity,
    ) -> Option<Self> {
        let authorization = bearer(&text)?;
        Some(Self { generation, text, authorization, scopes, claims, obtained_at, validity })
    }

    /// Counts the tokens of this process, from 1. A higher one was obtained later.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The value of the `Authorization` header: `Bearer` and the token, marked as sensitive.
    pub fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    /// The token alone, for the command that prints it.
    pub fn text(&self) -> &Secret {
        &self.text
    }

    /// The scopes granted, or the scopes requested where the response named none (RFC 6749 section 5.1).
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// The token's tenant, where the token or the `id_token` beside it names one. Not secret.
    pub fn tenant_id(&self) -> Option<&str> {
        self.claims.tenant_id.as_deref()
    }

    /// The tenant's area (`na1`, `eu1`, …) when the token was issued, where the token or the `id_token`
    /// beside it names one. Tenants fail over: this is for display.
    pub fn area(&self) -> Option<&str> {
        self.claims.area.as_deref()
    }

    /// When the response with this token arrived.
    pub fn obtained_at(&self) -> Now {
        self.obtained_at
    }

    /// The end of its life as its issuer states it. It is used a little less long: [`Self::is_valid`].
    pub fn expires_at(&self) -> Now {
        self.validity.ends
    }

    /// How long it lives in all, as its issuer states it.
    pub fn lifetime(&self) -> Duration {
        self.validity.lifetime
    }

    /// Whether it may still be sent at `now`. A moment that either clock has reached has come.
    pub fn is_valid(&self, now: Now) -> bool {
        self.validity.is_valid(now)
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("generation", &self.generation)
            .field("scopes", &self.scopes)
            .field("expires_at", &self.validity.ends.wall)
            .finish_non_exhaustive()
    }
}

fn bearer(text: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", text.reveal())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A refresh token (RFC 6749 section 6). It is good for one use: it cannot be copied, and the only
/// access to its text consumes it. `Debug` shows nothing of it.
#[derive(Debug)]
pub struct RefreshToken(Secret);

impl RefreshToken {
    pub(super) fn new(text: Secret) -> Self {
        Self(text)
    }

    /// Gives the text up for the one request that sends it.
    pub(super) fn into_secret(self) -> Secret {
        self.0
    }
}

/// What a token is requested with. Sending the request consumes it, and the refresh token with it.
#[derive(Debug)]
pub enum TokenRequest {
    /// The configured credentials, by the configured [`Grant`](super::Grant).
    LogIn,
    /// The refresh token of the response before (RFC 6749 section 6).
    Refresh(RefreshToken),
}

impl TokenRequest {
    /// True for a refresh.
    pub fn is_refresh(&self) -> bool {
        matches!(self, Self::Refresh(_))
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    fn start() -> Now {
        Clock::anchored(UNIX_EPOCH + Duration::from_secs(1_700_000_000)).now()
    }

    fn token(text: &str) -> Option<AccessToken> {
        let validity = Validity::new(start(), Duration::from_hours(1));
        let scopes = vec!["users".to_owned()];
        AccessToken::new(7, Secret::new(text.to_owned()), scopes, Claims::default(), start(), validity)
    }

    #[test]
    fn the_header_value_is_ready_and_sensitive() {
        let token = token("abc").unwrap();
        assert_eq!(token.authorization(), "Bearer abc");
        assert!(token.authorization().is_sensitive());
        assert_eq!(token.text().reveal(), "abc");
    }

    #[test]
    fn no_header_value_can_be_split() {
        assert!(token("abc\r\nX-Evil: 1").is_none());
        assert!(token("abc\n").is_none());
    }

    #[test]
    fn debug_shows_no_token() {
        let shown = format!("{:?} {:?}", token("abc123").unwrap(), token("abc123").unwrap().authorization());
        assert!(shown.contains("users"));
        assert!(!shown.contains("abc123"), "{shown}");
        let refresh = RefreshToken::new(Secret::new("abc123".to_owned()));
        assert!(!format!("{:?}", TokenRequest::Refresh(refresh)).contains("abc123"));
    }

    #[test]
    fn it_ends_early_by_a_second_or_a_tenth() {
        let now = start();
        for (lifetime, usable) in [(3_600_000, 3_599_000), (10_000, 9000), (5000, 4500), (1000, 900)] {
            let validity = Validity::new(now, Duration::from_millis(lifetime));
            assert!(validity.is_valid(now.plus(Duration::from_millis(usable - 1))), "{lifetime}");
            assert!(!validity.is_valid(now.plus(Duration::from_millis(usable))), "{lifetime}");
        }
    }

    #[test]
    fn either_clock_ends_it() {
        let now = start();
        let validity = Validity::new(now, Duration::from_mins(1));
        assert!(!validity.is_valid(Now { steady: now.steady + Duration::from_mins(1), ..now }));
        assert!(!validity.is_valid(Now { wall: now.wall + Duration::from_mins(1), ..now }));
    }

    #[test]
    fn the_margin_counts_from_the_stated_end_and_is_a_fifth_at_most() {
        let now = start();
        let due = |lifetime, margin| {
            let validity = Validity::new(now, Duration::from_secs(lifetime));
            now.until(validity.due(Duration::from_secs(margin))).as_millis()
        };
        assert_eq!(due(3600, 300), 3_300_000);
        assert_eq!(due(600, 300), 480_000);
        assert_eq!(due(3600, 0), 3_599_000, "never later than the last usable moment");
    }

    proptest! {
        #[test]
        fn nothing_is_valid_at_its_stated_end(
            lifetime in any::<Duration>(), margin in any::<Duration>(), after in 0..1_000_000_u64
        ) {
            let now = start();
            let validity = Validity::new(now, lifetime);
            let after = Duration::from_millis(after);
            prop_assert!(!validity.is_valid(now.plus(lifetime.min(LONGEST_LIFETIME) + after)));
            let due = validity.due(margin);
            prop_assert!(due.steady >= now.steady && due.wall >= now.wall);
            prop_assert!(due.steady <= validity.unusable_from.steady);
        }
    }
}
