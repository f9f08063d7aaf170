//! The options that say how fast requests go to the API, in the order in which people read about them.

use super::entry::{Entry, Fallback, Form, options};

/// Accepted for rates.
pub(in crate::config) const RATE: &str = "an integer, `/`, and `s`, `m`, `h` or a duration, such as `100/s` or `150/5m`, with at least one request";

options! {
    /// Whether limits are learned.
    PACE = Entry {
        variable: "CXONE_PROXY_PACE",
        file_key: Some("rate.pace"),
        flag: Some("pace"),
        default: Fallback::Value("adaptive"),
        form: Form::OneOf(&["adaptive", "off"]),
        accepts: "`adaptive` or `off`",
        meaning: "`adaptive` learns each limit from 429s and paces all callers; `off` leaves every request to its own backoff",
    };
    /// A rate that is never exceeded.
    MAX_RATE = Entry {
        variable: "CXONE_PROXY_MAX_RATE",
        file_key: Some("rate.max"),
        flag: Some("max-rate"),
        default: Fallback::Described("none"),
        form: Form::Rate,
        accepts: RATE,
        meaning: "a rate that is never exceeded, such as `100/s` or `150/5m`, per profile",
    };
    /// The most requests at the API at once.
    MAX_CONCURRENT = Entry {
        variable: "CXONE_PROXY_MAX_CONCURRENT",
        file_key: Some("rate.concurrent"),
        flag: Some("max-concurrent"),
        default: Fallback::Described("none"),
        form: Form::Count { least: 1, most: 1_000_000 },
        accepts: "an integer from 1 to 1000000",
        meaning: "the most requests at the API at once, per profile",
    };
    /// The most requests that wait.
    QUEUE = Entry {
        variable: "CXONE_PROXY_QUEUE",
        file_key: Some("rate.queue"),
        flag: Some("queue"),
        default: Fallback::Value("10000"),
        form: Form::Count { least: 0, most: 1_000_000 },
        accepts: "an integer from 0 to 1000000",
        meaning: "the most requests that may wait for their turn, per profile; then 503 `queue-full`",
    };
    /// The most requests in a window, beyond which they are refused.
    BUDGET = Entry {
        variable: "CXONE_PROXY_BUDGET",
        file_key: Some("rate.budget"),
        flag: Some("budget"),
        default: Fallback::Described("none"),
        form: Form::Rate,
        accepts: RATE,
        meaning: "a rate such as `5000/1h`, per profile: when it is used up, requests are answered 429 `budget-used-up` until the window ends, without asking the API",
    };
}
