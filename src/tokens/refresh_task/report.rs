//! What the log says of tokens: each state once when it begins, then once a minute, and once when it ends.

use super::super::error::Failure;
use super::super::grant::{Account, GrantType};
use super::super::notice::Notice;
use super::super::scopes::Scopes;
use super::super::token::AccessToken;
use crate::cause::Cause;
use crate::clock::Now;
use crate::log::Repeats;
use crate::text::spoken;

/// What has been said, so that it is not said again.
#[derive(Debug)]
pub(super) struct Report {
    failures: Repeats<Kind>,
    missing_scopes: Vec<String>,
}

/// Failures that are the same to an operator.
#[derive(Clone, Debug)]
struct Kind(Cause);

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_like(&other.0)
    }
}

impl Report {
    pub(super) fn new() -> Self {
        Self { failures: Repeats::new(), missing_scopes: Vec::new() }
    }

    /// A token came.
    pub(super) fn token(
        &mut self,
        token: &AccessToken,
        (grant, is_shared): (GrantType, bool),
        requested: &Scopes,
        account: &Account,
        now: Now,
    ) {
        let Account { token_url, id, .. } = account;
        if let Some(failures) = self.failures.end(now.steady) {
            tracing::info!(
                token_url,
                client_id = id,
                failures = failures.count,
                lasted_seconds = failures.lasted.as_secs(),
                "the token endpoint {token_url} issues tokens to {account} again"
            );
        }
        tracing::info!(
            grant = grant.as_str(),
            generation = token.generation(),
            lifetime_seconds = token.lifetime().as_secs(),
            shared = is_shared.then_some(true),
            scopes = token.scopes().join(" "),
            "token obtained"
        );
        self.missing_scopes(token, requested, account);
    }

    /// Warns once where fewer scopes were granted than requested.
    fn missing_scopes(&mut self, token: &AccessToken, requested: &Scopes, account: &Account) {
        let is_missing = |name: &&String| !token.scopes().contains(name);
        let missing: Vec<String> = requested.names().iter().filter(is_missing).cloned().collect();
        if !missing.is_empty() && missing != self.missing_scopes {
            let missing = missing.join(" ");
            tracing::warn!(
                client_id = account.id,
                missing,
                "{account} was not granted these scopes of CXONE_SCOPES: {missing}. Requests that need them \
                 get 403 from the CXone API."
            );
        }
        self.missing_scopes = missing;
    }

    /// A token request failed. A refresh that the log-in follows at once is no news yet.
    pub(super) fn failure(&mut self, failure: &Failure, token: Option<&AccessToken>, now: Now) {
        let next_try = now.until(failure.next_try);
        if next_try.is_zero() && failure.grant == GrantType::RefreshToken {
            tracing::debug!(outcome = failure.cause.outcome(), "{failure}; the log-in is tried at once");
            return;
        }
        let Some(due) = self.failures.met(Kind(failure.cause.clone()), now.steady) else { return };
        let state = match token.filter(|token| token.is_valid(now)) {
            Some(token) => {
                format!(
                    "token not renewed, the old one is valid for {}",
                    spoken(now.until(token.expires_at()))
                )
            }
            None => "no token".to_owned(),
        };
        let more = due.more();
        let hint = failure.hint();
        let next = if next_try.is_zero() { "at once".to_owned() } else { format!("in {}", spoken(next_try)) };
        tracing::warn!(
            token_url = failure.account.token_url,
            client_id = failure.account.id,
            grant = failure.grant.as_str(),
            outcome = failure.cause.outcome(),
            status = failure.cause.status(),
            error = failure.cause.error_code(),
            hint,
            next_try_ms = u64::try_from(next_try.as_millis()).unwrap_or(u64::MAX),
            more,
            "{state}: {failure}{due}. {hint} Next try {next}."
        );
    }

    /// What became known of rejected tokens.
    pub(super) fn notices(notices: Vec<Notice>, account: &Account) {
        for notice in notices {
            match notice {
                Notice::EarlyRejections { tokens, age, lifetime } => tracing::warn!(
                    client_id = account.id,
                    tokens,
                    age_seconds = age.as_secs(),
                    lifetime_seconds = lifetime.as_secs(),
                    "tokens die young: the last {tokens} were rejected by the CXone API (401) long before their \
                     end, this one after {} of {}. Another program or replica probably requests tokens for \
                     {account}, and each new token ends the one before. Give each its own client.",
                    spoken(age),
                    spoken(lifetime)
                ),
                Notice::EarlyRejectionsEnded => {
                    tracing::info!(client_id = account.id, "tokens of {account} live until their end again");
                }
                Notice::RejectedEverywhere => tracing::warn!(
                    client_id = account.id,
                    token_url = account.token_url,
                    "the CXone API rejects fresh tokens too (401). Check that CXONE_REGION or CXONE_BASE_URL belongs \
                     to the same tenant as {account}, and that the client may use the API."
                ),
                Notice::AcceptedAgain => {
                    tracing::info!(client_id = account.id, "the CXone API accepts tokens of {account} again");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
