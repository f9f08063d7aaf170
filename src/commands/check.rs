//! `check`: could the proxy serve as configured? The answer, good or bad, is this command's result and
//! goes to standard output.

use std::io::{self, Write};

use super::{
    Ending, complain,
    obtain::{NoToken, obtain},
};
use crate::{
    config::{Config, Environment, Flags},
    oauth::{AccessToken, Unavailable},
};

/// Runs the command. Blocks for ten seconds at most.
pub fn run(flags: &Flags, environment: &Environment) -> Ending {
    let (ending, report) = report(obtain(flags, environment));
    let mut out = io::stdout().lock();
    match out.write_all(report.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ending,
        Err(error) => {
            complain(&format!("the result cannot be written to standard output: {error}"));
            if ending == Ending::Well { Ending::Failed } else { ending }
        }
    }
}

fn report(obtained: Result<(Config, AccessToken), NoToken>) -> (Ending, String) {
    match obtained {
        Ok((config, token)) => (Ending::Well, ready(&config, &token)),
        Err(NoToken::Config(error)) => (Ending::Misconfigured, misconfigured(&error.faults)),
        Err(NoToken::Unavailable { config, reason }) => (Ending::Failed, refused(&config, &reason)),
        Err(error @ (NoToken::Tls(_) | NoToken::Endpoint(_))) => {
            (Ending::Misconfigured, misconfigured(&[error]))
        }
        Err(error @ NoToken::Machine(_)) => (Ending::Failed, format!("not ready: {error}\n")),
    }
}

fn ready(config: &Config, token: &AccessToken) -> String {
    let scopes = match token.scopes() {
        [] => "none named".to_owned(),
        scopes => scopes.join(" "),
    };
    let lifetime = token.lifetime();
    let margin = config.oauth.refresh_margin.min(lifetime / 5);
    format!(
        "ready to serve\n\
         upstream: {}\n\
         token endpoint: {}\n\
         {}\
         lifetime: {}s, renewed {}s before its end\n\
         scopes: {scopes}\n",
        config.upstream.base_url,
        config.oauth.token_endpoint(),
        identities(config),
        lifetime.as_secs(),
        margin.as_secs(),
    )
}

fn refused(config: &Config, reason: &Unavailable) -> String {
    format!(
        "no token: {reason}\n\
         token endpoint: {}\n\
         {}\
         scopes asked for: {}\n\
         next step: {}\n",
        config.oauth.token_endpoint(),
        identities(config),
        config.oauth.scopes.as_deref().unwrap_or("none"),
        reason.why.hint(),
    )
}

/// As whom the token was asked for, a line for each identifier.
fn identities(config: &Config) -> String {
    let grant = &config.oauth.grant;
    let client = grant.client().map(|client| format!("client: {}\n", client.id));
    let key = grant.key().map(|key| format!("access key: {}\n", key.id));
    [client, key].into_iter().flatten().collect()
}

fn misconfigured(faults: &[impl std::fmt::Display]) -> String {
    let lines: Vec<String> = faults.iter().map(|fault| format!("configuration error: {fault}")).collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::{super::obtain::tests::asked, *};
    use crate::config;

    fn report_of(answer: &'static str) -> (Ending, String) {
        let (obtained, address) = asked(answer);
        let (ending, report) = report(obtained);
        (ending, report.replace(&address, "REGION"))
    }

    #[test]
    fn what_was_got_is_said_without_the_token() {
        let (ending, report) = report_of(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n\
             {\"access_token\":\"t0ken\",\"token_type\":\"bearer\",\"expires_in\":600,\"scope\":\"users:read\"}",
        );
        assert_eq!(ending, Ending::Well);
        assert_eq!(
            report,
            "ready to serve\nupstream: http://REGION\ntoken endpoint: http://REGION/api/v2/oauth/token\n\
             client: app\nlifetime: 600s, renewed 120s before its end\nscopes: users:read\n"
        );
    }

    #[test]
    fn refusals_come_with_their_next_step() {
        for (error, step) in [
            ("invalid_client", "CXONE_CLIENT_SECRET"),
            ("invalid_scope", "CXONE_SCOPES"),
            ("unauthorized_client", "client credentials grant"),
            ("unsupported_grant_type", "client credentials grant"),
        ] {
            let answer =
                format!("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n{{\"error\":\"{error}\"}}");
            let (ending, report) = report_of(answer.leak());
            assert_eq!(ending, Ending::Failed);
            assert!(report.starts_with("no token: ") && report.contains(error), "{report}");
            assert!(report.contains("\ntoken endpoint: http://REGION/api/v2/oauth/token\n"), "{report}");
            assert!(
                report.lines().any(|line| line.starts_with("next step: ") && line.contains(step)),
                "{report}"
            );
        }
    }

    #[test]
    fn bad_configuration_is_reported_with_every_fault() {
        let error = config::load(&Flags::default(), &Environment::default()).unwrap_err();
        let (ending, report) = report(Err(error.into()));
        assert_eq!(ending, Ending::Misconfigured);
        let starts =
            ["configuration error: oauth.client_id is", "configuration error: CXONE_CLIENT_SECRET is"];
        assert!(report.lines().zip(starts).all(|(line, start)| line.starts_with(start)), "{report}");
        assert_eq!(report.lines().count(), 2);
    }
}
