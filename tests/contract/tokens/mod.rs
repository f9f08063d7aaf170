//! Section 4: Tokens and retries.
