//! The options that say how clients are served, in the order in which people read about them.

use std::time::Duration;

use super::entry::{DURATION, DURATION_OR_OFF, DURATION_OR_ZERO, Entry, Fallback, Form, MS, options};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const ADDRESS: &str = "an address and port such as `127.0.0.1:8080` or `[::1]:8080`, `localhost:8080`, or \
                       `unix:PATH` with an optional `,mode=0660`";

options! {
    /// Where clients connect.
    LISTEN = Entry {
        variable: "CXONE_PROXY_LISTEN",
        file_key: Some("listen"),
        flag: Some("listen"),
        default: Fallback::Value("127.0.0.1:8080"),
        form: Form::Address,
        accepts: ADDRESS,
        meaning: "address and port (0 picks one), `localhost:PORT` (both loopback addresses where the machine has both), or `unix:PATH` with optional `,mode=0660` (default 0600; a left-over socket that nobody serves is replaced; removed at the end)",
    };
    /// Where the admin pages are.
    ADMIN_LISTEN = Entry {
        variable: "CXONE_PROXY_ADMIN_LISTEN",
        file_key: Some("admin.listen"),
        flag: Some("admin-listen"),
        default: Fallback::Value("127.0.0.1:8081"),
        form: Form::Address,
        accepts: "an address and port such as `127.0.0.1:8081` or `[::1]:8081`, `localhost:8081`, `unix:PATH` with an optional `,mode=0660`, or `off`",
        meaning: "the same, or `off`",
    };
    /// Where other proxies ask for tokens.
    AUTH_LISTEN = Entry {
        variable: "CXONE_PROXY_AUTH_LISTEN",
        file_key: Some("auth.listen"),
        flag: Some("auth-listen"),
        default: Fallback::Value("off"),
        form: Form::Address,
        accepts: "an address and port such as `127.0.0.1:8082` or `[::1]:8082`, `localhost:8082`, `unix:PATH` with an optional `,mode=0660`, or `off`",
        meaning: "where other proxies get the access token for requests that they send themselves (nginx `auth_request`, Traefik `forwardAuth`): a loopback address, a Unix socket, or any other together with `clients_file`",
    };
    /// Where replicas share their token.
    REDIS_URL = Entry {
        variable: "CXONE_PROXY_REDIS_URL",
        file_key: Some("redis.url"),
        flag: Some("redis-url"),
        default: Fallback::Described("none: each process has a token of its own"),
        form: Form::Url,
        accepts: "`redis://HOST`, or `rediss://HOST` for TLS, with an optional user, port and database such as `redis://user@redis.example:6379/0`, without a password",
        meaning: "the Redis in which processes with the same credentials share one token, encrypted with a key from the client secret",
    };
    /// The password of that store.
    REDIS_PASSWORD_FILE = Entry {
        variable: "CXONE_PROXY_REDIS_PASSWORD_FILE",
        file_key: Some("redis.password_file"),
        flag: Some("redis-password-file"),
        default: Fallback::Described("none"),
        form: Form::File,
        accepts: "the path of a readable file that holds the password and nothing else; together with redis.url",
        meaning: "the password of that Redis, read again for every connection",
    };
    /// Names accepted in `Host`.
    ALLOWED_HOSTS = Entry {
        variable: "CXONE_PROXY_ALLOWED_HOSTS",
        file_key: Some("guard.allowed_hosts"),
        flag: Some("allowed-hosts"),
        default: Fallback::Described("this machine's own"),
        form: Form::List,
        accepts: "host names or IP addresses without scheme, port and path, or `*` for any",
        meaning: "names accepted in `Host` beyond the built-in ones; `*` accepts any",
    };
    /// Web origins that may call.
    ALLOWED_ORIGINS = Entry {
        variable: "CXONE_PROXY_ALLOWED_ORIGINS",
        file_key: Some("guard.allowed_origins"),
        flag: Some("allowed-origins"),
        default: Fallback::Described("none"),
        form: Form::List,
        accepts: "web origins such as `https://app.example` or `http://localhost:3000`, without a path",
        meaning: "web origins whose pages may call the proxy",
    };
    /// Which messages get a `Via` field.
    VIA = Entry {
        variable: "CXONE_PROXY_VIA",
        file_key: Some("forwarding.via"),
        flag: Some("via"),
        default: Fallback::Value("response"),
        form: Form::OneOf(&["response", "both", "off"]),
        accepts: "`response`, `both` or `off`",
        meaning: "which messages get a `Via` field: `response`, `both` or `off`",
    };
    /// How names are spelled over HTTP/1.1.
    HEADER_CASE = Entry {
        variable: "CXONE_PROXY_HEADER_CASE",
        file_key: Some("forwarding.header_case"),
        flag: Some("header-case"),
        default: Fallback::Value("title"),
        form: Form::OneOf(&["title", "preserve"]),
        accepts: "`title` or `preserve`",
        meaning: "over HTTP/1.1, in both directions: `title` writes `Content-Type`; `preserve` keeps the sender's spelling where it came over HTTP/1.1 (costs some CPU)",
    };
    /// Whether responses say where the time went.
    SERVER_TIMING = Entry {
        variable: "CXONE_PROXY_SERVER_TIMING",
        file_key: Some("forwarding.server_timing"),
        flag: Some("server-timing"),
        default: Fallback::Value("false"),
        form: Form::Switch,
        accepts: "`true` or `false`",
        meaning: "`true` adds `Server-Timing` to the API's responses: milliseconds spent in the queue, on a token, on other waits and upstream, and the number of attempts",
    };
    /// Memory for one request's body.
    REPLAY_BUFFER = Entry {
        variable: "CXONE_PROXY_REPLAY_BUFFER",
        file_key: Some("retry.replay_buffer"),
        flag: Some("replay-buffer"),
        default: Fallback::Value("1MiB"),
        form: Form::Size { least: 0, most: 1024 * MIB },
        accepts: "an integer with `B`, `KiB` or `MiB`, such as `512KiB`, at most `1024MiB`",
        meaning: "the most of one request body that is kept in memory for a retry",
    };
    /// Memory for the bodies of all requests together.
    REPLAY_MEMORY = Entry {
        variable: "CXONE_PROXY_REPLAY_MEMORY",
        file_key: Some("retry.replay_memory"),
        flag: Some("replay-memory"),
        default: Fallback::Value("64MiB"),
        form: Form::Size { least: 0, most: 2048 * MIB },
        accepts: "an integer with `B`, `KiB` or `MiB`, such as `64MiB`, at most `2048MiB`",
        meaning: "the most that all kept bodies together may take; beyond it a body streams and cannot be replayed",
    };
    /// Retries after 429.
    RATE_LIMIT_RETRIES = Entry {
        variable: "CXONE_PROXY_RATE_LIMIT_RETRIES",
        file_key: Some("retry.rate_limit_retries"),
        flag: Some("rate-limit-retries"),
        default: Fallback::Value("3"),
        form: Form::Count { least: 0, most: 1000 },
        accepts: "an integer from 0 to 1000",
        meaning: "the most retries after 429 for one request; `0` passes every 429 through (load tests)",
    };
    /// The longest one request may wait.
    MAX_WAIT = Entry {
        variable: "CXONE_PROXY_MAX_WAIT",
        file_key: Some("retry.max_wait"),
        flag: Some("max-wait"),
        default: Fallback::Value("30s"),
        form: Form::Duration { least: Duration::ZERO },
        accepts: DURATION_OR_ZERO,
        meaning: "the longest one request may wait, its backoffs and its wait for a token together",
    };
    /// The largest header section.
    HEADER_SIZE = Entry {
        variable: "CXONE_PROXY_HEADER_SIZE",
        file_key: Some("limits.header_size"),
        flag: Some("header-size"),
        default: Fallback::Value("64KiB"),
        form: Form::Size { least: KIB, most: 16 * MIB },
        accepts: "an integer with `B`, `KiB` or `MiB`, such as `64KiB`, from `1KiB` to `16MiB`",
        meaning: "the largest header section of a request, over HTTP/1.1 and HTTP/2; then 431. A request target above 65,534 bytes, or above this size, is 414",
    };
    /// The longest a header section may take.
    HEADER_TIMEOUT = Entry {
        variable: "CXONE_PROXY_HEADER_TIMEOUT",
        file_key: Some("limits.header_timeout"),
        flag: Some("header-timeout"),
        default: Fallback::Value("10s"),
        form: Form::Duration { least: MS },
        accepts: DURATION,
        meaning: "the longest a client may take over its header section, from its first byte (from the accept for the first one); then 408 or the connection is closed",
    };
    /// How long a connection may stay open without a request.
    IDLE_TIMEOUT = Entry {
        variable: "CXONE_PROXY_IDLE_TIMEOUT",
        file_key: Some("limits.idle_timeout"),
        flag: Some("idle-timeout"),
        default: Fallback::Value("5m"),
        form: Form::Duration { least: MS },
        accepts: DURATION,
        meaning: "how long a connection may stay open between requests",
    };
    /// How long a client may make no progress.
    STALL_TIMEOUT = Entry {
        variable: "CXONE_PROXY_STALL_TIMEOUT",
        file_key: Some("limits.stall_timeout"),
        flag: Some("stall-timeout"),
        default: Fallback::Value("60s"),
        form: Form::Duration { least: MS },
        accepts: DURATION_OR_OFF,
        meaning: "how long a request or a tunnel may make no progress while the client owes bytes or does not take those that wait for it, or `off`; then it is cut off. Waiting for the upstream's response is not a stall",
    };
    /// The most requests at once.
    IN_FLIGHT = Entry {
        variable: "CXONE_PROXY_IN_FLIGHT",
        file_key: Some("limits.in_flight"),
        flag: Some("in-flight"),
        default: Fallback::Value("10000"),
        form: Form::Count { least: 1, most: 1_000_000 },
        accepts: "an integer from 1 to 1000000",
        meaning: "the most requests and tunnels at once; then 503 with `Retry-After`",
    };
    /// The most connections at once.
    CONNECTIONS = Entry {
        variable: "CXONE_PROXY_CONNECTIONS",
        file_key: Some("limits.connections"),
        flag: Some("connections"),
        default: Fallback::Value("20000"),
        form: Form::Count { least: 1, most: 1_000_000 },
        accepts: "an integer from 1 to 1000000",
        meaning: "the most client connections at once; beyond it idle ones are closed first, then new ones wait; fewer where the process may not have two files open for each",
    };
    /// How long the listener stays open after SIGTERM.
    DRAIN_DELAY = Entry {
        variable: "CXONE_PROXY_DRAIN_DELAY",
        file_key: Some("drain_delay"),
        flag: Some("drain-delay"),
        default: Fallback::Value("0s"),
        form: Form::Duration { least: Duration::ZERO },
        accepts: DURATION_OR_ZERO,
        meaning: "how long the listener goes on accepting after SIGTERM, while `/readyz` says 503 already: time for a load balancer to notice",
    };
    /// How long the drain may take.
    DRAIN_TIMEOUT = Entry {
        variable: "CXONE_PROXY_DRAIN_TIMEOUT",
        file_key: Some("drain_timeout"),
        flag: Some("drain-timeout"),
        default: Fallback::Value("30s"),
        form: Form::Duration { least: Duration::ZERO },
        accepts: DURATION_OR_ZERO,
        meaning: "how long open requests may take to finish after SIGTERM",
    };
    /// Threads that serve clients.
    THREADS = Entry {
        variable: "CXONE_PROXY_THREADS",
        file_key: Some("threads"),
        flag: Some("threads"),
        default: Fallback::Described("number of cores"),
        form: Form::Count { least: 1, most: 1024 },
        accepts: "an integer from 1 to 1024",
        meaning: "threads that serve clients",
    };
    /// Whether files are watched.
    WATCH = Entry {
        variable: "CXONE_PROXY_WATCH",
        file_key: Some("watch"),
        flag: Some("watch"),
        default: Fallback::Value("true"),
        form: Form::Switch,
        accepts: "`true` or `false`",
        meaning: "the configuration is loaded again where a file of it has changed: configuration, secrets, certificates, clients; `false` leaves that to SIGHUP",
    };
    /// What is logged.
    LOG = Entry {
        variable: "CXONE_PROXY_LOG",
        file_key: Some("log.filter"),
        flag: Some("log"),
        default: Fallback::Value("info"),
        form: Form::Text,
        accepts: "`off`, `error`, `warn`, `info`, `debug` or `trace`, or directives such as `info,cxone_proxy::tokens=debug`",
        meaning: "filter in `tracing` directive syntax",
    };
    /// How it is logged.
    LOG_FORMAT = Entry {
        variable: "CXONE_PROXY_LOG_FORMAT",
        file_key: Some("log.format"),
        flag: Some("log-format"),
        default: Fallback::Described("`text` on a terminal, else `json`"),
        form: Form::OneOf(&["text", "json"]),
        accepts: "`text` or `json`",
        meaning: "`text` or `json`",
    };
    /// Which requests are logged.
    ACCESS_LOG = Entry {
        variable: "CXONE_PROXY_ACCESS_LOG",
        file_key: Some("log.access"),
        flag: Some("access-log"),
        default: Fallback::Value("errors"),
        form: Form::Text,
        accepts: "`errors`, `all`, `slow:` and a duration such as `slow:1s`, or `off`",
        meaning: "which requests have a line in the log: `errors` (5xx and the proxy's own refusals, equal ones counted instead of repeated), `all`, `slow:1s` (those that took so long), or `off`",
    };
    /// How many of them.
    ACCESS_SAMPLE = Entry {
        variable: "CXONE_PROXY_ACCESS_SAMPLE",
        file_key: Some("log.access_sample"),
        flag: Some("access-sample"),
        default: Fallback::Value("1"),
        form: Form::Count { least: 1, most: 1_000_000 },
        accepts: "an integer from 1 to 1000000",
        meaning: "one in so many of these lines is written, chosen at random; `1` writes all. Errors are counted and never sampled",
    };
    /// Whether lines have the query.
    ACCESS_QUERY = Entry {
        variable: "CXONE_PROXY_ACCESS_QUERY",
        file_key: Some("log.access_query"),
        flag: Some("access-query"),
        default: Fallback::Value("false"),
        form: Form::Switch,
        accepts: "`true` or `false`",
        meaning: "`true` adds the query to the path in these lines; it may hold personal data",
    };
}
