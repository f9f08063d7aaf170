//! What replicas of one set of credentials tell each other through the store, each of them a few times in a second.
//!
//! The store holds one message of each replica, sealed like a token, so that nobody without the client secret can
//! write or read one. How old a message is comes from the store's clock alone, and one that was heard before is not heard
//! again, so neither clocks that differ nor a store that goes back in time have any effect.

use std::collections::HashMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::super::grant::Account;
use super::super::request::RequestWriter;
use super::super::{Settings, TokenRequest};
use super::seal::Seal;
use super::store::{RedisSettings, Session, Store, StoreError, TokenStore as _};
use super::{identity, new_owner};
use crate::clock::Clock;

/// A replica that has said nothing for so long is gone.
const GONE: Duration = Duration::from_secs(3);
/// The key is made anew this often: the secret may have been replaced.
const NEW_KEY: Duration = Duration::from_mins(10);
/// No more replicas are remembered.
const MOST: usize = 1000;

/// One replica's end. `Debug` shows no secret.
#[derive(Debug)]
pub struct Replicas {
    store: Store,
    writer: RequestWriter,
    identity: String,
    owner: String,
    number: u64,
    /// The number of the last message of each.
    heard: HashMap<Vec<u8>, u64>,
    open: Option<Open>,
}

struct Open {
    session: Session,
    seal: Seal,
    since: Instant,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Message<T> {
    owner: String,
    number: u64,
    said: T,
}

/// What came of one exchange.
#[derive(Debug)]
pub struct Heard<T> {
    /// How many other replicas there are.
    pub others: usize,
    /// What they have said that was not heard before, and how long ago.
    pub news: Vec<(T, Duration)>,
}

impl Replicas {
    /// Those with the same credentials, and the same `topic`. Connects nowhere yet.
    pub fn new(settings: &Settings, clock: &Clock, redis: &RedisSettings, topic: &str) -> Self {
        let account: Account =
            settings.grant.account(settings.token_url.to_string(), None, settings.origins.clone());
        let grant = settings.grant.type_of(&TokenRequest::LogIn);
        let identity = [identity(&account, grant, &settings.scopes).as_str(), topic].join("\n");
        Self {
            store: Store::new(redis.clone()),
            writer: RequestWriter::new(settings.grant.clone(), clock),
            identity,
            owner: new_owner(),
            number: 0,
            heard: HashMap::new(),
            open: None,
        }
    }

    /// The store's address, for people.
    pub fn address(&self) -> &str {
        self.store.address()
    }

    /// Says something to the others, which replaces what was said before, and hears them. Takes a second at most, and
    /// longer where a secret's file or command does not answer. Cancel safe: what was being said may not be heard.
    pub async fn exchange<T: Serialize + DeserializeOwned>(
        &mut self,
        said: T,
    ) -> Result<Heard<T>, StoreError> {
        let known = self.open.take().filter(|open| open.since.elapsed() < NEW_KEY);
        let mut open = if let Some(open) = known {
            open
        } else {
            let seal = Seal::new(&self.writer.key_material().await, &self.identity);
            let session = self.store.connect(&seal.name(), &self.owner).await?;
            Open { session, seal, since: Instant::now() }
        };
        self.number += 1;
        let Some(sealed) = open.seal.close(&Message { owner: self.owner.clone(), number: self.number, said })
        else {
            return Err(StoreError::Other("no random numbers".to_owned()));
        };
        let stored = open.session.exchange(&sealed, GONE).await?;
        let heard = hear(&mut self.heard, &open.seal, stored);
        self.open = Some(open);
        Ok(heard)
    }
}

/// What is new of what is stored: owners, ages in milliseconds and sealed messages. `known` has the number of the last
/// message of each owner.
fn hear<T: DeserializeOwned>(
    known: &mut HashMap<Vec<u8>, u64>,
    seal: &Seal,
    stored: Vec<(Vec<u8>, u64, Vec<u8>)>,
) -> Heard<T> {
    let mut heard = Heard { others: 0, news: Vec::new() };
    if known.len() + stored.len() > MOST {
        known.clear();
    }
    for (owner, age, sealed) in stored {
        // What cannot be opened, or was said by somebody else, is nobody's.
        let Some(message) = seal.open::<Message<T>>(sealed) else { continue };
        if message.owner.as_bytes() != owner {
            continue;
        }
        heard.others += 1;
        let last = known.entry(owner).or_default();
        if message.number > *last {
            *last = message.number;
            heard.news.push((message.said, Duration::from_millis(age)));
        }
    }
    heard
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(seal: &Seal, owner: &str, number: u64) -> Vec<u8> {
        seal.close(&Message { owner: owner.to_owned(), number, said: number * 10 }).unwrap()
    }

    fn heard(
        known: &mut HashMap<Vec<u8>, u64>,
        stored: &[(&str, u64, Vec<u8>)],
    ) -> (usize, Vec<(u64, Duration)>) {
        let seal = Seal::new(b"secret", "who");
        let owned =
            |(owner, age, sealed): &(&str, u64, Vec<u8>)| (owner.as_bytes().to_vec(), *age, sealed.clone());
        let Heard { others, news } = hear::<u64>(known, &seal, stored.iter().map(owned).collect());
        (others, news)
    }

    #[test]
    fn a_message_is_heard_once_and_an_older_one_not_after_it() {
        let seal = Seal::new(b"secret", "who");
        let (first, second) = (sealed(&seal, "a", 1), sealed(&seal, "a", 2));
        let mut known = HashMap::new();
        let news = |number: u64, age| (1, vec![(number * 10, Duration::from_millis(age))]);
        assert_eq!(heard(&mut known, &[("a", 5, first.clone())]), news(1, 5));
        assert_eq!(heard(&mut known, &[("a", 9, first.clone())]), (1, vec![]));
        assert_eq!(heard(&mut known, &[("a", 0, second)]), news(2, 0));
        assert_eq!(heard(&mut known, &[("a", 0, first)]), (1, vec![]), "from a snapshot");
    }

    #[test]
    fn what_nobody_has_said_is_not_heard() {
        let seal = Seal::new(b"secret", "who");
        let own = sealed(&seal, "a", 1);
        let foreign = sealed(&Seal::new(b"other", "who"), "c", 1);
        let stored = [("b", 0, own.clone()), ("c", 0, foreign), ("d", 0, b"garbage".to_vec()), ("a", 0, own)];
        assert_eq!(heard(&mut HashMap::new(), &stored), (1, vec![(10, Duration::ZERO)]));
    }
}
