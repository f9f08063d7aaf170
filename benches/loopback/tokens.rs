//! A token without a token endpoint.

use std::sync::Arc;
use std::time::Duration;

use cxone_proxy::clock::Clock;
use cxone_proxy::metrics::TokenCounters;
use cxone_proxy::oauth::{
    Ask, Claims, Failure, GrantType, Keeper, Obtained, TokenEndpoint, Tokens, Unavailable,
};
use cxone_proxy::secret::Secret;
use tokio::time::Instant;

use super::answers::TOKEN;

const LIFETIME: Duration = Duration::from_hours(24);

struct AtHand;

impl TokenEndpoint for AtHand {
    async fn ask(&self, _: Ask) -> Result<Obtained, Failure> {
        let access_token = Secret::new(TOKEN.to_owned());
        Ok(Obtained {
            access_token,
            refresh_token: None,
            scopes: None,
            claims: Claims::default(),
            lifetime: LIFETIME,
        })
    }

    fn grant_type(&self, _: &Ask) -> GrantType {
        GrantType::ClientCredentials
    }

    fn scopes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Tokens that hold a valid one for a day. Their keeper has ended.
pub(crate) async fn at_hand(clock: &Clock) -> Result<Tokens, Unavailable> {
    let observer = Arc::new(TokenCounters::default());
    let (tokens, keeper) = Keeper::new(AtHand, Duration::from_mins(5), clock.clone(), observer);
    let deadline = Instant::now() + Duration::from_secs(10);
    tokio::select! {
        () = keeper.run(std::future::pending()) => {}
        outcome = tokens.valid(clock, deadline) => { outcome?; }
    }
    Ok(tokens)
}
