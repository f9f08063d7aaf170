//! What an operator should know of rejected tokens.

use std::time::Duration;

/// A state that begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Tokens that were accepted are rejected long before their end; so many in a row.
    EarlyRejections { tokens: u32, age: Duration, lifetime: Duration },
    /// A token has been accepted until it was replaced in time.
    EarlyRejectionsEnded,
    /// The API rejects fresh tokens too.
    RejectedEverywhere,
    /// The API accepts tokens again.
    AcceptedAgain,
}
