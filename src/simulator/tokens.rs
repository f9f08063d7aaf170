//! The access and refresh tokens that a region has given out.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::jwt::{Claims, Signer};
use super::settings::Expiry;
use crate::secret::Secret;

/// The most access tokens that are recognised without looking at their signature.
const MOST_REMEMBERED: usize = 4096;
/// The most refresh tokens that wait for their use; the oldest give way.
const MOST_REFRESH_TOKENS: usize = 10_000;

/// An access token, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issued {
    /// Its place among all tokens of the region, from 1.
    pub(super) number: u64,
    pub(super) client: String,
    pub(super) scopes: Vec<String>,
    /// The end of the lifetime that its client was told.
    pub(super) stated_end: SystemTime,
    /// When the region stops accepting it.
    pub(super) good_until: SystemTime,
}

/// What the region thinks of a bearer token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good(Arc<Issued>),
    Expired(Arc<Issued>),
    Revoked(Arc<Issued>),
    /// Not one of this region's.
    Unknown,
}

/// Text and number of a token that has just been made.
pub(super) struct Fresh {
    pub(super) text: Secret,
    pub(super) number: u64,
}

/// All tokens of one region.
pub(super) struct Tokens {
    signer: Arc<Signer>,
    issuer: String,
    /// Tells this region's tokens from another's that has the same key.
    mark: String,
    next: AtomicU64,
    /// Tokens with a lower number are revoked.
    good_from: AtomicU64,
    issued: RwLock<HashMap<Box<str>, Arc<Issued>>>,
    refresh: Mutex<RefreshTokens>,
}

#[derive(Default)]
struct RefreshTokens {
    waiting: HashMap<String, (String, Vec<String>)>,
    order: VecDeque<String>,
}

impl Tokens {
    pub(super) fn new(issuer: String) -> io::Result<Self> {
        Ok(Self {
            signer: Signer::shared()?,
            issuer,
            mark: format!("{:016x}", fastrand::u64(..)),
            next: AtomicU64::new(1),
            good_from: AtomicU64::new(0),
            issued: RwLock::default(),
            refresh: Mutex::default(),
        })
    }

    pub(super) fn key_set(&self) -> String {
        self.signer.key_set()
    }

    /// Makes an access token.
    pub(super) fn issue(
        &self,
        client: &str,
        scopes: &[String],
        lifetime: Duration,
        expiry: Expiry,
        now: SystemTime,
    ) -> io::Result<Fresh> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let stated_end = now + lifetime;
        let (exp, good_until) = match expiry {
            Expiry::WholeSeconds => {
                let exp = since_1970.as_secs() + lifetime.as_secs();
                (exp, UNIX_EPOCH + Duration::from_secs(exp))
            }
            Expiry::Exact => {
                let end = since_1970 + lifetime;
                (end.as_secs() + u64::from(end.subsec_nanos() > 0), stated_end)
            }
        };
        let text = self.signer.sign(&Claims {
            iss: self.issuer.clone(),
            sub: client.to_owned(),
            aud: self.issuer.clone(),
            iat: since_1970.as_secs(),
            exp,
            jti: format!("{}-{number}", self.mark),
            scope: scopes.join(" "),
        })?;
        let issued =
            Issued { number, client: client.to_owned(), scopes: scopes.to_vec(), stated_end, good_until };
        let mut remembered = self.issued.write().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MOST_REMEMBERED {
            remembered.retain(|_, issued| issued.good_until > now);
        }
        if remembered.len() >= MOST_REMEMBERED {
            let newest = number.saturating_sub(MOST_REMEMBERED as u64 / 2);
            remembered.retain(|_, issued| issued.number > newest);
        }
        remembered.insert(text.as_str().into(), Arc::new(issued));
        Ok(Fresh { text: Secret::new(text), number })
    }

    /// Judges a bearer token.
    pub(super) fn judge(&self, text: &str, now: SystemTime) -> Verdict {
        let known = self.issued.read().unwrap_or_else(PoisonError::into_inner).get(text).map(Arc::clone);
        match known.or_else(|| self.read(text).map(Arc::new)) {
            Some(issued) => self.still_good(issued, now),
            None => Verdict::Unknown,
        }
    }

    /// Judges a token that is known to be this region's.
    pub(super) fn still_good(&self, issued: Arc<Issued>, now: SystemTime) -> Verdict {
        if now >= issued.good_until {
            Verdict::Expired(issued)
        } else if issued.number < self.good_from.load(Ordering::Acquire) {
            Verdict::Revoked(issued)
        } else {
            Verdict::Good(issued)
        }
    }

    /// A token that is no longer remembered, by what it says itself.
    fn read(&self, text: &str) -> Option<Issued> {
        let claims = self.signer.verify(text)?;
        let number = claims.jti.strip_prefix(&self.mark)?.strip_prefix('-')?.parse().ok()?;
        let end = UNIX_EPOCH + Duration::from_secs(claims.exp);
        (claims.iss == self.issuer).then(|| Issued {
            number,
            client: claims.sub,
            scopes: claims.scope.split_ascii_whitespace().map(str::to_owned).collect(),
            stated_end: end,
            good_until: end,
        })
    }

    /// Makes every access token that exists a bad one.
    pub(super) fn revoke_all(&self) {
        self.good_from.store(self.next.load(Ordering::Acquire), Ordering::Release);
    }

    /// Makes a refresh token that is good for one use.
    pub(super) fn issue_refresh(&self, client: &str, scopes: &[String]) -> Secret {
        let text = format!("rt-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let mut refresh = self.refresh.lock().unwrap_or_else(PoisonError::into_inner);
        if refresh.order.len() >= MOST_REFRESH_TOKENS
            && let Some(oldest) = refresh.order.pop_front()
        {
            refresh.waiting.remove(&oldest);
        }
        refresh.order.push_back(text.clone());
        refresh.waiting.insert(text.clone(), (client.to_owned(), scopes.to_vec()));
        Secret::new(text)
    }

    /// Uses a refresh token up; its scopes, where it was good and this client's.
    pub(super) fn redeem(&self, text: &str, client: &str) -> Option<Vec<String>> {
        let mut refresh = self.refresh.lock().unwrap_or_else(PoisonError::into_inner);
        let (owner, scopes) = refresh.waiting.remove(text)?;
        (owner == client).then_some(scopes)
    }

    /// Makes every refresh token a bad one.
    pub(super) fn revoke_refresh_tokens(&self) {
        *self.refresh.lock().unwrap_or_else(PoisonError::into_inner) = RefreshTokens::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn start() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_700_000_000_900)
    }

    fn tokens() -> Tokens {
        Tokens::new("http://region".into()).unwrap()
    }

    #[test]
    fn judges_by_the_clock() {
        let tokens = tokens();
        for (expiry, early) in [(Expiry::Exact, 0), (Expiry::WholeSeconds, 900)] {
            let fresh = tokens.issue("c", &[], HOUR, expiry, start()).unwrap();
            let end = start() + HOUR - Duration::from_millis(early);
            let before = tokens.judge(fresh.text.reveal(), end - Duration::from_millis(1));
            assert!(matches!(before, Verdict::Good(_)), "{expiry:?}: {before:?}");
            assert!(matches!(tokens.judge(fresh.text.reveal(), end), Verdict::Expired(_)), "{expiry:?}");
        }
    }

    #[test]
    fn revokes_what_exists_and_not_what_comes() {
        let tokens = tokens();
        let old = tokens.issue("c", &[], HOUR, Expiry::Exact, start()).unwrap();
        tokens.revoke_all();
        let new = tokens.issue("c", &[], HOUR, Expiry::Exact, start()).unwrap();
        assert!(matches!(tokens.judge(old.text.reveal(), start()), Verdict::Revoked(_)));
        assert!(matches!(tokens.judge(new.text.reveal(), start()), Verdict::Good(_)));
    }

    #[test]
    fn knows_forgotten_tokens_by_their_signature_and_no_other_region_s() {
        let tokens = tokens();
        let fresh = tokens.issue("c", &["a".into(), "b".into()], HOUR, Expiry::Exact, start()).unwrap();
        tokens.issued.write().unwrap().clear();
        let Verdict::Good(issued) = tokens.judge(fresh.text.reveal(), start()) else { panic!() };
        assert_eq!((issued.number, issued.client.as_str()), (1, "c"));
        assert_eq!(issued.scopes, ["a", "b"]);
        tokens.revoke_all();
        assert!(matches!(tokens.judge(fresh.text.reveal(), start()), Verdict::Revoked(_)));

        let other = Tokens::new("http://region".into()).unwrap();
        assert_eq!(other.judge(fresh.text.reveal(), start()), Verdict::Unknown);
    }

    #[test]
    fn forgets_the_oldest_when_there_are_too_many() {
        let tokens = tokens();
        let spare = Arc::new(Issued {
            number: 0,
            client: "c".into(),
            scopes: vec![],
            stated_end: start() + HOUR,
            good_until: start() + HOUR,
        });
        for n in 0..MOST_REMEMBERED {
            tokens.issued.write().unwrap().insert(n.to_string().into(), Arc::clone(&spare));
        }
        tokens.next.store(MOST_REMEMBERED as u64, Ordering::Relaxed);
        tokens.issue("c", &[], HOUR, Expiry::Exact, start()).unwrap();
        assert_eq!(tokens.issued.read().unwrap().len(), 1);
    }

    #[test]
    fn redeems_a_refresh_token_once_and_for_its_owner() {
        let tokens = tokens();
        let mine = tokens.issue_refresh("me", &["a".into()]);
        assert_eq!(tokens.redeem(mine.reveal(), "me"), Some(vec!["a".into()]));
        assert_eq!(tokens.redeem(mine.reveal(), "me"), None);
        let yours = tokens.issue_refresh("you", &[]);
        assert_eq!(tokens.redeem(yours.reveal(), "me"), None);
    }
}
