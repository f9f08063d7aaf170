//! How much the simulated region takes: the options that `simulate` and `demo` share.

use cxone_simulator::{Action, Canned, Endpoint, Fault, Quota, QuotaKind, RetryAfterForm, Settings};

use crate::proxy::pace::Rate;

/// What the command line says of the region's limits.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Limits {
    /// Requests that a client may make in a window of time, such as `100/s` or `150/5m`; more are answered 429. After
    /// commas: `fixed` (windows one after the other, the default), `sliding` or `bucket`; `burst=20` for a bucket;
    /// `path=/api/v2/users` for paths that start so; `retry-after=date` or `retry-after=none`. May be repeated: a
    /// request must pass every quota for its path
    #[arg(long, value_name = "RATE[,OPTION]...", value_parser = quota)]
    pub quota: Vec<Quota>,

    /// Answer so many of a hundred API requests 429, chosen at random and without any quota
    #[arg(long = "random-429", value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub random_429: Option<u8>,
}

impl Limits {
    /// Puts these limits into the settings of a region. The faults of its script come first.
    pub fn apply(&self, settings: &mut Settings) {
        settings.quotas.clone_from(&self.quota);
        let rejection =
            |percent| Fault::new(Action::Status(Canned::new(429))).at(Endpoint::Api).percent(percent);
        settings.script.faults.extend(self.random_429.map(rejection));
    }
}

const OPTIONS: &str = "`fixed`, `sliding`, `bucket`, `burst=COUNT`, `path=/PATH`, `retry-after=seconds`, \
                       `retry-after=date` and `retry-after=none`";

fn quota(text: &str) -> Result<Quota, String> {
    let (rate, options) = text.split_once(',').unwrap_or((text, ""));
    let rate: Rate =
        rate.parse().map_err(|why| format!("it {why}; accepted: a rate such as 100/s or 150/5m"))?;
    let mut quota = Quota::new(rate.count.get(), rate.per);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=').unwrap_or((option, "")) {
            ("fixed", "") => quota.kind = QuotaKind::Fixed,
            ("sliding", "") => quota.kind = QuotaKind::Sliding,
            ("bucket", "") => quota.kind = QuotaKind::Bucket,
            ("burst", count) => {
                let count = count.parse().ok().filter(|count| *count > 0);
                quota.burst = Some(count.ok_or("its `burst` needs a number from 1 on")?);
            }
            ("path", path) if path.starts_with('/') => quota.path = Some(path.to_owned()),
            ("retry-after", "seconds") => quota.retry_after = RetryAfterForm::Seconds,
            ("retry-after", "date") => quota.retry_after = RetryAfterForm::Date,
            ("retry-after", "none") => quota.retry_after = RetryAfterForm::None,
            (_, _) => return Err(format!("it has the unknown option `{option}`; accepted: {OPTIONS}")),
        }
    }
    if quota.burst.is_some() && quota.kind != QuotaKind::Bucket {
        return Err("it has a `burst`, which only a `bucket` has; add `bucket`".to_owned());
    }
    Ok(quota)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        limits: Limits,
    }

    fn limits(line: &str) -> Result<Limits, clap::Error> {
        Line::try_parse_from(format!("simulate {line}").split_whitespace()).map(|line| line.limits)
    }

    #[test]
    fn quotas_of_each_kind_for_all_or_for_a_path() {
        let line = "--quota 100/s --quota 150/5m,sliding,path=/api/v2/media,retry-after=none \
                    --quota 50/s,bucket,burst=5,retry-after=date --random-429 1";
        let mut settings = Settings::default();
        limits(line).unwrap().apply(&mut settings);
        let second = Duration::from_secs(1);
        let expected = [
            Quota::new(100, second),
            Quota::new(150, Duration::from_mins(5))
                .kind(QuotaKind::Sliding)
                .path("/api/v2/media")
                .retry_after(RetryAfterForm::None),
            Quota {
                burst: Some(5),
                ..Quota::new(50, second).kind(QuotaKind::Bucket).retry_after(RetryAfterForm::Date)
            },
        ];
        assert_eq!(settings.quotas, expected);
        assert_eq!(settings.script.faults.len(), 1);
        assert_eq!(settings.script.faults[0].percent, Some(1));
        let mut settings = Settings::default();
        limits("").unwrap().apply(&mut settings);
        assert!(settings.quotas.is_empty() && settings.script.faults.is_empty());
    }

    #[test]
    fn what_is_unknown_is_refused_and_says_what_is_known() {
        for (line, says) in [
            ("--quota 100/s,leaky", "`bucket`"),
            ("--quota 100/s,path=users", "`path=/PATH`"),
            ("--quota 100/s,retry-after=later", "`retry-after=date`"),
            ("--quota 100/s,bucket,burst=0", "from 1 on"),
            ("--quota 100/s,burst=2", "add `bucket`"),
            ("--quota 100", "such as 100/s"),
            ("--random-429 0", "1..=100"),
            ("--random-429 101", "1..=100"),
        ] {
            let error = limits(line).unwrap_err().to_string();
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
