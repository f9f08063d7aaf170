//! The access and refresh tokens that a region has given out.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::jwt::{Claims, Identity, Signer, Tenancy};
use super::settings::{Expiry, Tenant};

/// The most access tokens that are recognised without looking at their signature.
const MOST_REMEMBERED: usize = 4096;
/// The most refresh tokens that wait for their use; the oldest are dropped.
const MOST_REFRESH_TOKENS: usize = 10_000;

/// The party that a token is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// The client that may use the refresh token.
    pub(super) client: String,
    /// The acting party: the client itself, or the access key.
    pub(super) subject: String,
    pub(super) scopes: Vec<String>,
    pub(super) tenant: Option<Tenant>,
}

impl Holder {
    fn tenancy(&self) -> Option<Tenancy> {
        let tenant = self.tenant.as_ref()?;
        Some(Tenancy { tenant_id: tenant.id.clone(), area: tenant.area.clone() })
    }
}

/// An access token, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issued {
    /// Its place among all tokens of the region, from 1.
    pub(super) number: u64,
    /// The acting party: its [`Holder::subject`].
    pub(super) client: String,
    pub(super) scopes: Vec<String>,
    /// The end of the lifetime that the token response stated.
    pub(super) stated_end: SystemTime,
    /// When the region stops accepting it.
    pub(super) good_until: SystemTime,
}

/// The result of a check of a bearer token.
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
    pub(super) text: String,
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
    waiting: HashMap<String, Holder>,
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
        holder: &Holder,
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
        let claims = Claims {
            iss: self.issuer.clone(),
            sub: holder.subject.clone(),
            aud: self.issuer.clone(),
            iat: since_1970.as_secs(),
            exp,
            jti: format!("{}-{number}", self.mark),
            scope: holder.scopes.join(" "),
            tenancy: holder.tenancy(),
        };
        let text = self.signer.sign("at+jwt", &claims)?;
        let (client, scopes) = (holder.subject.clone(), holder.scopes.clone());
        let issued = Issued { number, client, scopes, stated_end, good_until };
        let mut remembered = self.issued.write().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MOST_REMEMBERED {
            remembered.retain(|_, issued| issued.good_until > now);
        }
        if remembered.len() >= MOST_REMEMBERED {
            let newest = number.saturating_sub(MOST_REMEMBERED as u64 / 2);
            remembered.retain(|_, issued| issued.number > newest);
        }
        remembered.insert(text.as_str().into(), Arc::new(issued));
        Ok(Fresh { text, number })
    }

    /// Makes an identity token, which tells who somebody is and opens nothing.
    pub(super) fn identify(
        &self,
        holder: &Holder,
        lifetime: Duration,
        now: SystemTime,
    ) -> io::Result<String> {
        let iat = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let identity = Identity {
            iss: &self.issuer,
            sub: &holder.subject,
            aud: &holder.client,
            iat,
            exp: iat + lifetime.as_secs(),
            tenancy: holder.tenancy(),
        };
        self.signer.sign("JWT", &identity)
    }

    /// Checks a bearer token.
    pub(super) fn check(&self, text: &str, now: SystemTime) -> Verdict {
        let known = self.issued.read().unwrap_or_else(PoisonError::into_inner).get(text).map(Arc::clone);
        match known.or_else(|| self.read(text).map(Arc::new)) {
            Some(issued) => self.still_good(issued, now),
            None => Verdict::Unknown,
        }
    }

    /// Checks a token that is known to be this region's.
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
    pub(super) fn issue_refresh(&self, holder: Holder) -> String {
        let text = format!("rt-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let mut refresh = self.refresh.lock().unwrap_or_else(PoisonError::into_inner);
        if refresh.order.len() >= MOST_REFRESH_TOKENS
            && let Some(oldest) = refresh.order.pop_front()
        {
            refresh.waiting.remove(&oldest);
        }
        refresh.order.push_back(text.clone());
        refresh.waiting.insert(text.clone(), holder);
        text
    }

    /// Uses a refresh token up; its holder, if it was good and this client's.
    pub(super) fn redeem(&self, text: &str, client: &str) -> Option<Holder> {
        let mut refresh = self.refresh.lock().unwrap_or_else(PoisonError::into_inner);
        refresh.waiting.remove(text).filter(|holder| holder.client == client)
    }

    /// Who would act by the token that this refresh token brings.
    pub(super) fn subject_of(&self, text: &str) -> Option<String> {
        let refresh = self.refresh.lock().unwrap_or_else(PoisonError::into_inner);
        refresh.waiting.get(text).map(|holder| holder.subject.clone())
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

    fn holder(client: &str, scopes: &[&str]) -> Holder {
        Holder {
            client: client.to_owned(),
            subject: client.to_owned(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            tenant: Some(Tenant::new("t-1", "na1")),
        }
    }

    fn tokens() -> Tokens {
        Tokens::new("http://region".into()).unwrap()
    }

    #[test]
    fn expires_by_the_clock() {
        let tokens = tokens();
        for (expiry, early) in [(Expiry::Exact, 0), (Expiry::WholeSeconds, 900)] {
            let fresh = tokens.issue(&holder("c", &[]), HOUR, expiry, start()).unwrap();
            let end = start() + HOUR - Duration::from_millis(early);
            let before = tokens.check(&fresh.text, end - Duration::from_millis(1));
            assert!(matches!(before, Verdict::Good(_)), "{expiry:?}: {before:?}");
            assert!(matches!(tokens.check(&fresh.text, end), Verdict::Expired(_)), "{expiry:?}");
        }
    }

    #[test]
    fn revokes_what_exists_and_not_what_comes() {
        let tokens = tokens();
        let old = tokens.issue(&holder("c", &[]), HOUR, Expiry::Exact, start()).unwrap();
        tokens.revoke_all();
        let new = tokens.issue(&holder("c", &[]), HOUR, Expiry::Exact, start()).unwrap();
        assert!(matches!(tokens.check(&old.text, start()), Verdict::Revoked(_)));
        assert!(matches!(tokens.check(&new.text, start()), Verdict::Good(_)));
    }

    #[test]
    fn knows_forgotten_tokens_by_their_signature_and_no_other_region_s() {
        let tokens = tokens();
        let fresh = tokens.issue(&holder("c", &["a", "b"]), HOUR, Expiry::Exact, start()).unwrap();
        tokens.issued.write().unwrap().clear();
        let Verdict::Good(issued) = tokens.check(&fresh.text, start()) else { panic!() };
        assert_eq!((issued.number, issued.client.as_str()), (1, "c"));
        assert_eq!(issued.scopes, ["a", "b"]);
        tokens.revoke_all();
        assert!(matches!(tokens.check(&fresh.text, start()), Verdict::Revoked(_)));

        let other = Tokens::new("http://region".into()).unwrap();
        assert_eq!(other.check(&fresh.text, start()), Verdict::Unknown);
    }

    #[test]
    fn an_identity_token_opens_nothing() {
        let tokens = tokens();
        let text = tokens.identify(&holder("c", &["a"]), HOUR, start()).unwrap();
        assert_eq!(tokens.check(&text, start()), Verdict::Unknown);
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
        tokens.issue(&holder("c", &[]), HOUR, Expiry::Exact, start()).unwrap();
        assert_eq!(tokens.issued.read().unwrap().len(), 1);
    }

    #[test]
    fn redeems_a_refresh_token_once_and_for_its_owner() {
        let tokens = tokens();
        let mine = tokens.issue_refresh(holder("me", &["a"]));
        assert_eq!(tokens.redeem(&mine, "me"), Some(holder("me", &["a"])));
        assert_eq!(tokens.redeem(&mine, "me"), None);
        let yours = tokens.issue_refresh(holder("you", &[]));
        assert_eq!(tokens.redeem(&yours, "me"), None);
    }
}
